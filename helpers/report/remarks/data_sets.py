"""Data sets: remarks on what notebook 01 finds in X-rays: classes, copies, sources."""

import pandas as pd

from helpers.data.layouts import POSITIVE_CLASS


def remark_on_classes(counts: dict[str, int]) -> str:
    """Return how many times as large the largest class is, and how far guessing it alone gets.

    `counts` are the X-rays by class.
    """
    total, names = sum(counts.values()), sorted(counts, key=counts.get)
    least, most = names[0], names[-1]
    if len(names) == 1:
        return f"All {total:,} X-rays are of one class, {most}: no detector can be trained on them."
    ratio = f"{counts[most] / counts[least]:.1f} times" if counts[least] else "infinitely"
    sentence = f"{most} has {ratio} as many X-rays as {least}."
    if POSITIVE_CLASS in counts:
        share = counts[POSITIVE_CLASS] / total
        word = "yes" if share > 0.5 else "no"
        sentence += (
            f"\n{share:.1%} of all are {POSITIVE_CLASS}: whoever always answers “{word}” to the "
            f"question “is it {POSITIVE_CLASS}?” is right in {max(share, 1 - share):.1%} of cases."
        )
    return sentence


def remark_on_copies(index: pd.DataFrame) -> str:
    """Return how many X-rays are in how many families of copies, and how that adds up.

    The index has the columns `copy_of` and `pixels`, one row an X-ray.
    """
    related = index["copy_of"].duplicated(keep=False)
    if not related.any():
        return f"None of the {len(index):,} X-rays is a copy of another one."
    families = index.loc[related, "copy_of"].nunique()
    exact = index["pixels"].duplicated(keep=False)
    distinct = index.drop_duplicates("pixels")
    altered = index.index.isin(distinct.index[distinct["copy_of"].duplicated(keep=False)])
    both = int((exact & altered).sum())
    superfluous = related.sum() - families
    return (
        f"{related.sum():,} of {len(index):,} X-rays have a copy.\nThey form {families:,} "
        f"{'family' if families == 1 else 'families'}. The X-rays of a family seem to show the "
        f"same exposure, so all but one of each, {superfluous:,} in all, seem superfluous.\n"
        f"The findings count members of families: {exact.sum():,} with a copy of equal pixels + "
        f"{altered.sum():,} with an altered copy − {both:,} in both lists = {related.sum():,}."
    )


def remark_on_sources(counts: pd.DataFrame) -> str:
    """Return whether sources and classes can be told apart.

    `counts` are X-rays, as `metadata.source_table` returns them: a row a source, a column a class.
    """
    known = counts.drop(index="unknown", errors="ignore")
    if known.empty:
        return "The metadata name no source: whether one tells the classes apart cannot be seen."
    if len(known) == 1:
        return (
            f"The metadata name a single source, “{known.index[0]}”: it cannot tell the classes "
            "apart.\nThere is nothing to compare."
        )
    if POSITIVE_CLASS not in counts:
        return f"The metadata name {len(known)} sources, none of them with {POSITIVE_CLASS}."
    others = known.drop(columns=POSITIVE_CLASS).sum(axis=1)
    mixed = (known[POSITIVE_CLASS] > 0) & (others > 0)
    alone = known.loc[~mixed, POSITIVE_CLASS].sum() / max(known[POSITIVE_CLASS].sum(), 1)
    return (
        f"{mixed.sum()} of {len(known)} sources gave both {POSITIVE_CLASS} and other X-rays.\n"
        f"Of the {POSITIVE_CLASS} X-rays with a known source, {alone:.1%} come from sources that "
        "gave nothing else."
    )

"""Remarks: what a result shows, in a sentence made from the data, for a notebook to print."""

import numpy as np
import pandas as pd

from helpers.data.layouts import POSITIVE_CLASS

CLOSE = 0.005  # two shares that print alike to two digits


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
        f"{related.sum():,} of {len(index):,} X-rays have a copy.\nThey are {families:,} "
        f"{'family' if families == 1 else 'families'}, each of one exposure. All but one of each "
        f"family, {superfluous:,} in all, are superfluous.\n"
        f"The findings count members of families: {exact.sum():,} with a copy of equal pixels + "
        f"{altered.sum():,} with an altered copy − {both:,} in both lists = {related.sum():,}."
    )


def remark_on_leaks(split: pd.DataFrame, leaked: pd.DataFrame, groups: pd.Series) -> str:
    """Return how many test X-rays of a split leak, and how many have relatives at all.

    Args:
        split: one row an X-ray, with `split`.
        leaked: what `splits.find_leaks` returns of it.
        groups: the group of each row, by the same index.
    """
    tested = split["split"] == "test"
    related = groups.duplicated(keep=False)
    if not related.any():
        return "No X-ray has a relative here, so no split can leak one."
    return (
        f"{len(leaked):,} of {tested.sum():,} test X-rays have a relative in training: "
        f"{len(leaked) / max(tested.sum(), 1):.1%} of the test would reward memory.\nOf all "
        f"X-rays {related.mean():.1%} have relatives."
    )


def remark_on_majority(history: pd.DataFrame, labels: np.ndarray) -> str:
    """Return up to which epoch a detector only predicted the larger class.

    Args:
        history: one row an epoch, with `epoch` and `val_accuracy`.
        labels: zeros and ones of the validation split, (N,).
    """
    larger = max(np.mean(labels), 1 - np.mean(labels))
    idle = (history["val_accuracy"] - larger).abs() < CLOSE
    epochs = int(idle.cummin().sum())
    if not epochs:
        return (
            f"From the first epoch on, the validation accuracy differs from {larger:.3f}, the "
            "share of the larger class: the network looks at the X-rays."
        )
    return (
        f"The validation accuracy up to epoch {epochs} is {larger:.3f}, the share of the larger "
        "class: nothing learnt yet. The network gives every X-ray the same answer."
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
        f"{alone:.1%} of the {POSITIVE_CLASS} X-rays come from sources that gave nothing else."
    )


def remark_on_split(split: pd.DataFrame) -> str:
    """Return how far the share of each class in a split is from its share in all X-rays at most.

    `split` has the columns `class` and `split`, one row an X-ray.
    """
    shares = pd.crosstab(split["class"], split["split"], normalize="columns")
    apart = shares.sub(split["class"].value_counts(normalize=True), axis=0).abs()
    name, place = apart.stack().idxmax()
    largest = apart.loc[name, place] * 100
    return f"{(split['split'] == 'train').mean():.1%} of the X-rays are for training.\n" + (
        f"The share of a class in a split differs from its share in all X-rays by at most "
        f"{largest:.1f} percentage points ({name} in {place})."
        if largest >= 0.05  # what is printed as 0.1
        else "Every class has the same share in all splits."
    )

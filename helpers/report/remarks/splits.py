"""Splits: remarks on how X-rays, classes and relatives are shared out."""

import numpy as np
import pandas as pd


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


def remark_on_shares(split: pd.DataFrame) -> str:
    """Return which split is furthest from its share of X-rays with relatives, and why.

    `split` has the columns `class`, `group` and `split`, one row an X-ray.
    """
    related = split[split["group"].duplicated(keep=False)]
    if related.empty:
        return "No X-ray has a relative here, so there are no groups to share out."
    parts = split["split"].value_counts(normalize=True).sort_index()
    held = pd.crosstab(related["class"], related["split"]).reindex(
        columns=parts.index, fill_value=0
    )
    fair = pd.DataFrame(np.outer(held.sum(axis=1), parts), held.index, parts.index)
    name = (held - fair).sum().abs().idxmax()
    off = (held - fair).abs().to_numpy().max()
    largest = related["group"].value_counts().max()
    said = (
        f"{len(related) / len(split):.1%} of all X-rays have relatives. The fair share of the "
        f"split {name} is {fair[name].sum():.1f} of these X-rays; it has {held[name].sum()}.\n"
    )
    if off < largest:
        return said + (
            f"Class by class, no split is more than {off:.1f} X-rays with relatives away from its "
            f"fair share; a group, which cannot be divided, has up to {largest}. Such gaps can add "
            "up over the classes."
        )
    return said + (
        f"A class is off by {off:.1f} X-rays, and the largest group has {largest}: these groups "
        "are not shared out evenly."
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

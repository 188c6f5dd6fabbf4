"""Leaks: test X-rays that a network has as good as seen, because their relatives trained it."""

import pandas as pd

from helpers.split.groups import merge_groups
from helpers.split.splits import assign_splits

EXAMPLES = 3


def careless_split(index: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return the split that `assign_splits` makes when every X-ray is a group of its own.

    Raises:
        CovidLungsError: a class has too few X-rays to be in every split.
    """
    return assign_splits(index.assign(copy_of=index["file"], patient=""), seed)


def find_leaks(split: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
    """Return the test X-rays of which a relative is in training.

    Args:
        split: with the columns `file`, `class` and `split`.
        groups: what makes relatives: a name for each row, "" for none, such as the index's
            `copy_of` or the patients of `read_groups`.

    Returns:
        `file`, `class` and `leaked_from`, the first relative in training; the split's order.
    """
    named = _named(split, groups)
    trained = named[named["split"] == "train"].groupby("group")["file"].min()
    tested = named[named["split"] == "test"]
    leaks = tested.assign(leaked_from=tested["group"].map(trained))
    return leaks.dropna(subset="leaked_from")[["file", "class", "leaked_from"]]


def leak_table(splits: dict[str, pd.DataFrame], groups: pd.Series) -> pd.DataFrame:
    """Return for each split, by its name, how many test X-rays leak, by class and in all."""
    columns = {}
    for name, split in splits.items():
        tested = split.loc[split["split"] == "test", "class"].value_counts().sort_index()
        leaked = find_leaks(split, groups)["class"].value_counts().reindex(tested.index).fillna(0)
        # Added at the end, not by its name: a class may be called so, too.
        counts, totals = [*leaked, leaked.sum()], [*tested, tested.sum()]
        columns[name] = [
            f"{count:,.0f} of {total:,} ({count / total:.1%})"
            for count, total in zip(counts, totals, strict=True)
        ]
    return pd.DataFrame(columns, index=[*tested.index, "all"])


def shared_groups(split: pd.DataFrame, groups: pd.Series) -> tuple[int, int]:
    """Return how many groups, such as patients, are in more than one split, and how many exist."""
    named = _named(split, groups)
    found = named.groupby("group")["split"].nunique()
    return int((found > 1).sum()), len(found)


def describe_divided(
    split: pd.DataFrame, index: pd.DataFrame, groups: pd.Series | None = None
) -> str:
    """Return how many families of copies, and patients, are in more than one split; name three.

    Args:
        split: with the columns `file` and `split`.
        index: of the same rows, with `copy_of` and perhaps `patient`.
        groups: a group's name for each row, "" for none, as `read_groups` returns them.
    """
    patients = merge_groups(index.assign(copy_of=index["file"]), groups)
    lines = []
    for kind, names in {"Copies": index["copy_of"], "Patients or groups": patients}.items():
        shared, _ = shared_groups(split, names)
        lines += [f"{kind} in more than one split: {shared:,}", *_examples(split, names)]
    return "\n".join(lines)


def _examples(split: pd.DataFrame, groups: pd.Series) -> list[str]:
    """Return a line for each of the first groups that are divided: a file of each split."""
    first = _named(split, groups).drop_duplicates(["group", "split"])
    first = first[first["group"].duplicated(keep=False)]
    lines = (first["file"] + " (" + first["split"] + ")").groupby(first["group"]).agg(", ".join)
    return [f"  {line}" for line in lines[:EXAMPLES]]


def _named(split: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
    """Return the rows of a split that have a group, with its name in `group`."""
    table = split.assign(group=groups)
    return table[table["group"] != ""]

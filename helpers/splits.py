"""Splits: training, validation and test, stratified by class, identical images kept together."""

import hashlib
from pathlib import Path

import pandas as pd

from helpers.data_sets import DataSet
from helpers.errors import CovidLungsError
from helpers.folders import require, shown
from helpers.index import read_index

FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}


def assign_splits(index: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Return `file`, `class`, `group` and `split` for every row of the index, in its order.

    Files with the same decoded pixels form a group, and a group is never divided. Within each
    class the groups are ordered by a hash of seed and group, which no library's random generator
    can change, and handed out so that every split comes as near to its fraction as groups allow.

    Raises:
        CovidLungsError: a class has fewer groups than there are splits.
    """
    table = index[["file", "class"]].copy()
    table["group"] = index.groupby("pixels")["file"].transform("min")
    leaders = table[table["file"] == table["group"]]  # a group's class is that of its first file
    sizes = table["group"].value_counts()
    split_of_group: dict[str, str] = {}
    for class_name in sorted(table["class"].unique()):
        members = leaders.loc[leaders["class"] == class_name, "group"]
        _refuse_too_few(class_name, len(members))
        # Large groups first, while there is still room for them.
        ordered = sorted(members, key=lambda group: (-sizes[group], _draw(seed, group)))
        split_of_group |= _hand_out(ordered, sizes)
    table["split"] = table["group"].map(split_of_group)
    return table


def _draw(seed: int, group: str) -> str:
    """Return the group's lot: equal on every machine and Python version."""
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()


def _hand_out(groups: list[str], sizes: pd.Series) -> dict[str, str]:
    """Give each group to the split that lacks most of its share; no split is left empty."""
    total = int(sizes[groups].sum())
    missing = {name: fraction * total for name, fraction in FRACTIONS.items()}
    empty = list(FRACTIONS)
    given: dict[str, str] = {}
    for position, group in enumerate(groups):
        must_fill = len(groups) - position <= len(empty)
        name = max(empty if must_fill else FRACTIONS, key=missing.__getitem__)
        given[group] = name
        missing[name] -= int(sizes[group])
        empty = [other for other in empty if other != name]
    return given


def _refuse_too_few(class_name: str, count: int) -> None:
    """Stop at a class that cannot be in every split."""
    if count < len(FRACTIONS):
        raise CovidLungsError(
            f"{class_name}: {count} distinct X-rays are too few for training, validation and test. "
            f"Add X-rays, at least {len(FRACTIONS)} a class, or remove the class folder."
        )


def write_split(run_folder: Path, split: pd.DataFrame) -> Path:
    """Write `split.csv` into a run folder and return its path.

    Raises:
        CovidLungsError: the folder's networks learnt from another split; with a new one they would
            be tested on X-rays that they were trained on.
    """
    path = run_folder / "split.csv"
    text = split.to_csv(index=False, lineterminator="\n")
    changed = path.is_file() and path.read_text(encoding="utf-8") != text
    if changed and list(run_folder.glob("*/model.keras")):
        raise CovidLungsError(
            f"{shown(path)}: networks were trained on this split, which another seed would change. "
            "Choose another name with `run`, or remove that folder if you no longer need it."
        )
    path.write_text(text, encoding="utf-8", newline="\n")
    return path


def read_split(run_folder: Path, data_set: DataSet) -> pd.DataFrame:
    """Return the index of a run with the columns `group` and `split` added.

    Raises:
        CovidLungsError: a file is missing, or split and index do not list the same X-rays.
    """
    index = read_index(run_folder, data_set)
    path = require(run_folder / "split.csv", "02_split_data")
    try:
        split = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError:  # pandas' word for a file that is empty or no table
        split = pd.DataFrame()
    complete = {"file", "group", "split"} <= set(split.columns)
    if not complete or list(split["file"]) != list(index["file"]):
        raise CovidLungsError(
            f"{shown(path)} does not list the X-rays of index.csv: run 02_split_data again."
        )
    unknown = set(split["split"]) - set(FRACTIONS)
    if unknown:
        raise CovidLungsError(
            f"{shown(path)}: unknown split {min(unknown)!r}: run 02_split_data again."
        )
    return index.assign(group=split["group"], split=split["split"])

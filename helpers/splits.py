"""Splits: training, validation and test, stratified by class, groups kept together."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.data_sets import DataSet
from helpers.errors import CovidLungsError
from helpers.files import write_whole
from helpers.folders import require, shown
from helpers.groups import merge_groups
from helpers.index import read_index

FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}
COLUMNS = ["file", "class", "group", "split", "hash"]
AGAIN = (
    "Run 02_split_data again, under another `run` name if networks were trained on the old split."
)


def assign_splits(index: pd.DataFrame, seed: int, groups: pd.Series | None = None) -> pd.DataFrame:
    """Return `file`, `class`, `group`, `split` and `hash` for every row of the index, in its order.

    Copies, and X-rays of one group, are never divided; `group` is the first file of those that
    stay together. Groups are ordered by a hash of seed and group, which no library's random
    generator can change, and handed out so that in each class every split comes as near to its
    fraction as groups allow. `hash` vouches for the row and for the pixels it was made from.

    Args:
        index: with the columns `file`, `class`, `pixels`, `mask_pixels` and `copy_of`.
        seed: decides the order of equal groups.
        groups: a group's name for each row, "" for none, as `read_groups` returns them.

    Raises:
        CovidLungsError: a class has too few groups to be in every split.
    """
    table = index[["file", "class"]].copy()
    table["group"] = merge_groups(index, groups)
    counts = table.groupby(["group", "class"]).size().unstack(fill_value=0)
    table["split"] = table["group"].map(_hand_out(counts, seed))
    _refuse_absent_classes(table)
    table["hash"] = _hashes(table, index)
    return table


def _draw(seed: int, group: str) -> str:
    """Return the group's lot: equal on every machine and Python version."""
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()


def _hand_out(counts: pd.DataFrame, seed: int) -> dict[str, str]:
    """Give each group (a row; a column a class) to the split that lacks most of what it holds."""
    held = dict(zip(counts.index, counts.to_numpy(), strict=True))

    def rank(group: str) -> tuple[int, int, str]:
        # Groups of several classes first, then large ones: small ones can fill what these leave.
        return -np.count_nonzero(held[group]), -held[group].sum(), _draw(seed, group)

    # Hundredths of X-rays, (splits, classes): whole numbers, which add up alike on every machine.
    missing = np.outer([round(100 * part) for part in FRACTIONS.values()], counts.sum())
    reached = np.zeros(missing.shape, bool)
    coming = (counts > 0).sum().to_numpy()
    given: dict[str, str] = {}
    for group in sorted(held, key=rank):
        own = held[group]
        # A class with no more groups to come than splits to reach can spare none of them.
        wasted = reached[:, (own > 0) & (coming <= (~reached).sum(axis=0))].any(axis=1)
        lacks = missing @ own
        place = int(np.where(wasted, lacks.min() - 1, lacks).argmax())
        given[group] = list(FRACTIONS)[place]
        missing[place] -= 100 * own
        reached[place] |= own > 0
        coming = coming - (own > 0)
    return given


def _refuse_absent_classes(table: pd.DataFrame) -> None:
    """Stop at a class that is not in every split."""
    for class_name, members in table.groupby("class"):
        if members["split"].nunique() < len(FRACTIONS):
            raise CovidLungsError(
                f"{class_name}: {members['group'].nunique()} distinct X-rays or groups are too few "
                f"for training, validation and test. Add X-rays, at least {len(FRACTIONS)} a class "
                "that no group ties together, or remove the class folder."
            )


def _hashes(table: pd.DataFrame, index: pd.DataFrame) -> list[str]:
    """Return a hash for every row of a split and the pixels of its X-ray and mask."""
    columns = [table[name] for name in COLUMNS[:-1]] + [index["pixels"], index["mask_pixels"]]
    rows = zip(*columns, strict=True)
    return [hashlib.sha256(json.dumps(row).encode()).hexdigest()[:16] for row in rows]


def write_split(run_folder: Path, split: pd.DataFrame) -> Path:
    """Write `split.csv` into a run folder, sorted by file, and return its path.

    Raises:
        CovidLungsError: the folder's networks learnt from another split; with a new one they would
            be tested on X-rays that they were trained on.
    """
    path = run_folder / "split.csv"
    text = split.sort_values("file").to_csv(index=False, lineterminator="\n")
    changed = path.is_file() and path.read_text(encoding="utf-8", errors="replace") != text
    if changed and list(run_folder.glob("*/model.keras")):
        raise CovidLungsError(
            f"{shown(path)}: networks were trained on this split, which another seed, other "
            "groups, other data or another version of covid-lungs would change. Choose another "
            "name with `run`, or remove that folder if you no longer need it."
        )
    return write_whole(path, text)


def read_split(run_folder: Path, data_set: DataSet) -> pd.DataFrame:
    """Return the index of a run with the columns `group` and `split` added.

    Raises:
        CovidLungsError: a file is missing, split and index do not list the same X-rays, or a row
            of the split was changed, or was made from other pixels.
    """
    index = read_index(run_folder, data_set)
    path = require(run_folder / "split.csv", "02_split_data")
    try:
        split = pd.read_csv(path, dtype=str, keep_default_na=False)
    except ValueError:  # pandas' word for a file that is empty or no table
        split = pd.DataFrame()
    if list(split.columns) != COLUMNS:
        raise CovidLungsError(
            f"{shown(path)} has not the columns {','.join(COLUMNS)}: it was damaged, or written by "
            f"an earlier version. {AGAIN}"
        )
    if list(split["file"]) != list(index["file"]):
        raise CovidLungsError(f"{shown(path)} does not list the X-rays of index.csv. {AGAIN}")
    agrees = (split["hash"] == _hashes(split, index)) & (split["class"] == index["class"])
    if not agrees.all():
        raise CovidLungsError(
            f"{shown(path)}: {split['file'][~agrees].iloc[0]} does not agree with its hash. Its "
            f"row was edited, or index.csv is of other X-rays or masks than were split. {AGAIN}"
        )
    return index.assign(group=split["group"], split=split["split"])

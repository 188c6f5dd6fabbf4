"""Splits: training, validation and test, stratified by class, groups kept together."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.data.sources import DataSet
from helpers.split.groups import merge_groups
from helpers.split.index import read_index, read_table
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import write_whole
from helpers.storage.folders import require, shown

FRACTIONS = {"train": 0.8, "validation": 0.1, "test": 0.1}
# Which split each equal part is for. In this order, a few leftover X-rays are shared fairly.
TENTHS = ("train", "train", "validation", *["train"] * 4, "test", "train", "train")
NINTHS = tuple(name for name in TENTHS if name != "test")
COLUMNS = ["file", "class", "group", "split", "hash"]
WAYS = ("drawn", "published")  # a split is drawn here, or the data set's own is kept
UNPUBLISHED = "Leave out --split (in notebook 02: choose 'drawn'), so that a split is drawn."
AGAIN = (
    "Run 02_split_data again, under another `run` name if networks were trained on the old split."
)


def check_way(way: str) -> None:
    """Raise a CovidLungsError if a way to split is none of `WAYS`."""
    if way not in WAYS:
        raise CovidLungsError(f"split {way!r}: choose {' or '.join(WAYS)}.")


def assign_splits(index: pd.DataFrame, seed: int, groups: pd.Series | None = None) -> pd.DataFrame:
    """Return `file`, `class`, `group`, `split` and `hash` for every row of the index, in its order.

    X-rays that belong together, such as copies, are a group, which is never divided; `group` is
    the first of their files. Groups are dealt out to ten equal parts, eight of them for training,
    so that each split has its share of every class, and of X-rays with relatives, as nearly as
    groups allow. `hash` covers the row and the pixels that it was made from.

    Args:
        index: as `build_index` returns it; the column `patient` may be absent.
        seed: decides which of equal groups comes first, and which of equal parts gets it.
        groups: what `read_groups` returns.

    Raises:
        CovidLungsError: a class has too few groups to be in every split.
    """
    table = index[["file", "class"]].assign(group=merge_groups(index, groups))
    table["split"] = _deal(table, seed, TENTHS)
    if absent := _find_absent(table):
        class_name, _ = absent
        count = table.loc[table["class"] == class_name, "group"].nunique()
        raise CovidLungsError(
            f"{class_name}: {count} distinct X-rays or groups are too few for training, validation "
            f"and test. Add X-rays, at least {len(FRACTIONS)} a class that no group ties together, "
            "or remove the class folder."
        )
    return table.assign(hash=_hashes(table, index))


def keep_published(index: pd.DataFrame, seed: int, groups: pd.Series | None = None) -> pd.DataFrame:
    """Return what `assign_splits` does, with the split that the data set was published with.

    If that has no validation part, a ninth of the training part is drawn for it, by group. A group
    that the published split divides stays divided; all of it keeps one name in `group`.

    Arguments as for `assign_splits`; the index has the column `published_split` too.

    Raises:
        CovidLungsError: an X-ray has no published split, or a class is not in every split.
    """
    refuse_unpublished(index["published_split"])
    table = index[["file", "class"]].assign(
        group=merge_groups(index, groups), split=index["published_split"]
    )
    if "validation" not in set(table["split"]):
        training = table[table["split"] == "train"]
        table.loc[training.index, "split"] = _deal(training, seed, NINTHS)
    if absent := _find_absent(table):
        class_name, split = absent
        raise CovidLungsError(
            f"split 'published': {class_name} has no X-ray in the split {split!r}. {UNPUBLISHED}"
        )
    return table.assign(hash=_hashes(table, index))


def share_table(split: pd.DataFrame) -> pd.DataFrame:
    """Return the share of each class in each split, and of X-rays with relatives, as text."""
    parts = split["split"]
    classes = pd.crosstab(split["class"], parts, normalize="columns")
    related = split["group"].duplicated(keep=False).groupby(parts).mean()
    shares = pd.concat([classes, related.to_frame("with relatives").T])
    return shares[list(FRACTIONS)].map("{:.1%}".format)


def find_leaks(split: pd.DataFrame, groups: pd.Series) -> pd.DataFrame:
    """Return `file`, `class` and `leaked_from` of the test X-rays with a relative in training.

    `leaked_from` is the first such relative; the order is the split's. Relatives are the rows with
    one name in `groups`.
    """
    trained, tested = (split[split["split"] == name] for name in ("train", "test"))
    first = trained["file"].groupby(groups).min()
    leaks = tested.assign(leaked_from=groups.map(first))
    return leaks.dropna(subset="leaked_from")[["file", "class", "leaked_from"]]


def leak_table(splits: dict[str, pd.DataFrame], groups: pd.Series) -> pd.DataFrame:
    """Return for each split, by its name, how many test X-rays leak, by class and in all."""
    classes = sorted(set().union(*(split["class"] for split in splits.values())))
    columns = {}
    for name, split in splits.items():
        tests = split.loc[split["split"] == "test", "class"], find_leaks(split, groups)["class"]
        tested, leaked = (test.value_counts().reindex(classes, fill_value=0) for test in tests)
        # The sums are no rows of a class: a class may be called "all" too.
        columns[name] = [
            f"{count:,} of {total:,}" + (f" ({count / total:.1%})" if total else "")
            for count, total in zip([*leaked, leaked.sum()], [*tested, tested.sum()], strict=True)
        ]
    return pd.DataFrame(columns, index=[*classes, "all"])


def divided_groups(split: pd.DataFrame) -> pd.Series:
    """Return the groups that are in more than one split: the first file in each, as text."""
    first = split.drop_duplicates(["group", "split"])
    first = first[first["group"].duplicated(keep=False)]
    return (first["file"] + " (" + first["split"] + ")").groupby(first["group"]).agg(", ".join)


def describe_divided(split: pd.DataFrame) -> str:
    """Return in words how many groups are in more than one split, and three of them."""
    divided = divided_groups(split)
    lines = [f"Copies, patients or other groups in more than one split: {len(divided):,}"]
    return "\n".join([*lines, *(f"  {files}" for files in divided[:3])])


def _draw(seed: int, name: str) -> str:
    """Return a lot that is equal on every machine and with every version of a library."""
    return hashlib.sha256(f"{seed}:{name}".encode()).hexdigest()


def _deal(table: pd.DataFrame, seed: int, parts: tuple[str, ...]) -> pd.Series:
    """Return the split of each row; `parts` says which split each of the equal parts is for."""
    counts = table.groupby(["group", "class"]).size().unstack(fill_value=0)
    held = dict(zip(counts.index, counts.to_numpy(), strict=True))

    def rank(group: str) -> tuple[int, int, str]:
        # Groups of several classes first, then large ones: small ones can fill what these leave.
        return -np.count_nonzero(held[group]), -held[group].sum(), _draw(seed, group)

    order = sorted(held, key=rank)
    places = _hand_out(counts.loc[order], seed, parts)
    return table["group"].map(dict(zip(order, places, strict=True)))


def _hand_out(counts: pd.DataFrame, seed: int, parts: tuple[str, ...]) -> list[str]:
    """Give each group (a row; a column a class) to the part that lacks most of what it holds."""
    held = counts.to_numpy()
    # X-rays of each class, and once more those with relatives, (groups, 2 * classes).
    counted = np.hstack([held, held * (held.sum(axis=1, keepdims=True) > 1)])
    names, split_of = np.unique(parts, return_inverse=True)
    kin = split_of[:, None] == split_of  # (parts, parts): those of one split
    unit = len(parts) * parts.count("train")  # whole numbers add up alike on every machine
    missing = np.tile(counted.sum(axis=0) * (unit // len(parts)), (len(parts), 1))
    reached = np.zeros((len(names), held.shape[1]), bool)
    coming, totals = (held > 0).sum(axis=0), held.sum(axis=0)
    places = []
    for group, own, count in zip(counts.index, held, counted, strict=True):
        # A class with only as many groups left as splits without it must give each to one of these.
        wasted = reached[:, (own > 0) & (coming <= (~reached).sum(axis=0))].any(axis=1)[split_of]
        # A group larger than a part fills all parts of its split alike.
        large = (len(parts) * (own - 1) >= totals).any()
        lacks = (kin @ missing if large else missing) @ count
        lots = [
            _draw(seed, f"{group}:{part}") if own.sum() > 1 else "" for part in range(len(parts))
        ]
        place = np.lexsort((lots, missing.sum(axis=1), lacks, ~wasted))[-1]
        holders = kin[place] if large else np.arange(len(parts)) == place
        missing[holders] -= count * (unit // holders.sum())
        reached[split_of[place]] |= own > 0
        coming -= own > 0
        places.append(parts[place])
    return places


def refuse_unpublished(published: Iterable[str]) -> None:
    """Raise a CovidLungsError if an X-ray has no published split ("" or another word)."""
    if not set(published) <= set(FRACTIONS):
        raise CovidLungsError(
            f"split 'published': the data set does not name the split of every X-ray. {UNPUBLISHED}"
        )


def _find_absent(table: pd.DataFrame) -> tuple[str, str] | None:
    """Return the first class that is not in every split, and a split without it; or None."""
    for class_name, members in table.groupby("class"):
        if lacking := set(FRACTIONS) - set(members["split"]):
            return class_name, min(lacking)
    return None


def _hashes(table: pd.DataFrame, index: pd.DataFrame) -> list[str]:
    """Return a hash for every row of a split and the pixels of its X-ray and mask."""
    columns = [table[name] for name in COLUMNS[:-1]] + [index["pixels"], index["mask_pixels"]]
    rows = zip(*columns, strict=True)
    return [hashlib.sha256(json.dumps(row).encode()).hexdigest()[:16] for row in rows]


def write_split(run_folder: Path, split: pd.DataFrame) -> Path:
    """Write `split.csv` into a run folder, sorted by file, and return its path.

    Raises:
        CovidLungsError: networks in the folder were trained on another split: with the new one
            they would be tested on X-rays that they were trained on.
    """
    path = run_folder / "split.csv"
    text = split.sort_values("file").to_csv(index=False, lineterminator="\n")
    changed = path.is_file() and path.read_text(encoding="utf-8", errors="replace") != text
    if changed and list(run_folder.glob("*/model.keras")):
        raise CovidLungsError(
            f"{shown(path)}: networks were trained on this split, which another seed, other "
            "groups, another --split, other data or another version of covid-lungs would change. "
            "Choose another name with `run`, or remove that folder if you no longer need it."
        )
    return write_whole(path, text)


def read_split(run_folder: Path, data_set: DataSet) -> pd.DataFrame:
    """Return the index of a run with the columns `group` and `split` added.

    Raises:
        CovidLungsError: a file is missing, or the split was edited or made from other X-rays.
    """
    index = read_index(run_folder, data_set)
    path = require(run_folder / "split.csv")
    split = read_table(path, str)
    if list(split.columns) != COLUMNS or list(split["file"]) != list(index["file"]):
        raise CovidLungsError(
            f"{shown(path)} does not list the X-rays of index.csv with the columns "
            f"{','.join(COLUMNS)}: it was edited, or is of other X-rays. {AGAIN}"
        )
    agrees = (split["hash"] == _hashes(split, index)) & (split["class"] == index["class"])
    if not agrees.all():
        raise CovidLungsError(
            f"{shown(path)}: {split['file'][~agrees].iloc[0]} does not agree with its hash. Its "
            f"row was edited, or index.csv is of other X-rays or masks than were split. {AGAIN}"
        )
    return index.assign(group=split["group"], split=split["split"])

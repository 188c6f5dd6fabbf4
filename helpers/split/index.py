"""The index: every usable X-ray with its mask, one row each."""

import json
from pathlib import Path

import pandas as pd

from helpers.audit.examination import INDEX_COLUMNS, NUMBERS, recall, refuse_unusable
from helpers.data.listing import HALVES
from helpers.data.sources import PUBLISHED_COUNTS, DataSet
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import write_whole
from helpers.storage.folders import require, shown

TEXTS = {name: str for name in INDEX_COLUMNS if name not in NUMBERS}


def build_index(data_set: DataSet, allow: str = "") -> tuple[pd.DataFrame, dict]:
    """Return the index and the audit of a data set, from its files or from an earlier look.

    The index has the columns `INDEX_COLUMNS` and is sorted by `file`: POSIX paths below the data
    set's root, sizes in pixels, fingerprints of the decoded pixels, and "" for what is unknown or
    missing. Where an X-ray has no lung mask, `mask` is "" and its size 0. The audit is that of
    `examination.examine`.

    Args:
        data_set: the data set to read.
        allow: names of findings that must not stop a run, separated by commas.

    Raises:
        CovidLungsError: the data set cannot be used as it is.
    """
    pairs, found = recall(data_set)
    refuse_unusable(found, allow)
    return pairs, found


def published_table(audit: dict) -> pd.DataFrame:
    """Return the counts per class beside those of the published database ("-" if it has none)."""
    counts = audit["counts"]
    names = list(counts | PUBLISHED_COUNTS)
    # The sum is no row of a class: a class may be called "all" too.
    return pd.DataFrame(
        {
            "X-rays here": _show_counts(counts, names, "0"),
            "published": _show_counts(PUBLISHED_COUNTS, names, "-"),
        },
        index=[*names, "all"],
    )


def _show_counts(counts: dict[str, int], names: list[str], absent: str) -> list[str]:
    """Return the count of each class, and their sum, as text."""
    shown_counts = [f"{counts[name]:,}" if name in counts else absent for name in names]
    return [*shown_counts, f"{sum(counts.values()):,}"]


def write_index(run_folder: Path, index: pd.DataFrame, audit: dict) -> None:
    """Write `index.csv` and `audit.json` into a run folder.

    Raises:
        CovidLungsError: the folder holds the index of other data, which is not overwritten.
    """
    path = run_folder / "index.csv"
    text = index.to_csv(index=False, lineterminator="\n")
    if path.exists() and path.read_text(encoding="utf-8", errors="replace") != text:
        raise CovidLungsError(
            f"{shown(run_folder)} holds a run on other data, or on an earlier state of these: "
            "choose another name with `run`, or remove that folder if you no longer need it."
        )
    audit_text = json.dumps(audit, indent=2, ensure_ascii=False) + "\n"
    write_whole(run_folder / "audit.json", audit_text)
    write_whole(path, text)  # last, since the notebooks that follow ask for it


def read_index(run_folder: Path, data_set: DataSet) -> pd.DataFrame:
    """Return the index of a run, after a check that this data set has its files.

    Raises:
        CovidLungsError: there is no index yet, or it lists files that are not there.
    """
    path = require(run_folder / "index.csv")
    try:
        # A class may be called NA, and a fingerprint may look like a number.
        index = pd.read_csv(path, dtype=TEXTS, keep_default_na=False)
    except ValueError:  # what pandas raises if a file is empty or no table
        index = pd.DataFrame()
    if list(index.columns) != INDEX_COLUMNS:
        raise CovidLungsError(
            f"{shown(path)} does not have the columns of an index: remove it and run 01_get_data "
            "again."
        )
    masks = (file for mask in index["mask"] if mask for file in mask.split(HALVES))
    for file in [*index["file"], *masks]:
        if not (data_set.root / file).is_file():
            raise CovidLungsError(
                f"{shown(path)} lists {file}, which {data_set.name} does not have: "
                "give the `data` of this run, or run 01_get_data under another name."
            )
    return index


def has_masks(index: pd.DataFrame) -> bool:
    """Return whether the X-rays of an index have lung masks: all have, or none."""
    return bool((index["mask"] != "").any())

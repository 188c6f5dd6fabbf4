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
    """Decode every X-ray and mask once, or recall what was seen; return the index and the audit.

    The index has the columns `INDEX_COLUMNS`, sorted by `file`: POSIX paths below the data set's
    root, sizes in pixels, fingerprints of the decoded pixels, the source where the metadata names
    it, the first of the copies of an X-ray, the mask of the infection, the split that the data set
    was published with, and the patient where the file's name tells. Where an X-ray has no lung
    mask, `mask` is "" and its size 0. The audit is that of `audit.examine`.

    Args:
        data_set: what to read.
        allow: names of findings that would stop a run and shall not, separated by commas.

    Raises:
        CovidLungsError: the data set cannot be used as it is.
    """
    pairs, found = recall(data_set)
    refuse_unusable(found, allow)
    return pairs, found


def published_table(audit: dict) -> pd.DataFrame:
    """Return the counts per class beside those of the published database (- where it has none)."""
    counts = audit["counts"]
    names = [*counts, *(name for name in PUBLISHED_COUNTS if name not in counts)]
    table = pd.DataFrame(
        {
            "X-rays here": [f"{counts.get(name, 0):,}" for name in names],
            "published": [
                f"{PUBLISHED_COUNTS[name]:,}" if name in PUBLISHED_COUNTS else "-" for name in names
            ],
        },
        index=names,
    )
    totals = [f"{sum(counts.values()):,}", f"{sum(PUBLISHED_COUNTS.values()):,}"]
    # Added as a row, not by its name: a class may be called so, too.
    return pd.concat([table, pd.DataFrame([totals], ["all"], table.columns)])


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
    except ValueError:  # pandas' word for a file that is empty or no table
        index = pd.DataFrame()
    if list(index.columns) != INDEX_COLUMNS:
        raise CovidLungsError(
            f"{shown(path)} has not the columns of an index: remove it and run 01_get_data again."
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

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


def build_index(data_set: DataSet, allow: str = "") -> tuple[pd.DataFrame, dict]:
    """Return the index and the audit of a data set, kept from an earlier call if there was one.

    The index has the columns `INDEX_COLUMNS` and is sorted by `file`: POSIX paths below the data
    set's root, sizes in pixels, fingerprints of the decoded pixels, and "" for what is unknown or
    missing. Where an X-ray has no lung mask, `mask` is "" and its size 0. The audit is that of
    `examination.examine`.

    Raises:
        CovidLungsError: the data set has a fault that `allow`, names of findings separated by
            commas, does not list.
    """
    index, audit = recall(data_set)
    refuse_unusable(audit, allow)
    return index, audit


def published_table(audit: dict) -> pd.DataFrame:
    """Return the counts per class beside those of the published database ("-" if it has none)."""
    columns = {"X-rays here": audit["counts"], "published": PUBLISHED_COUNTS}
    table = pd.DataFrame(columns).loc[[*(audit["counts"] | PUBLISHED_COUNTS)]]
    # The sum is no row of a class: a class may be called "all" too.
    table = pd.concat([table, table.sum().to_frame("all").T])
    table["X-rays here"] = table["X-rays here"].fillna(0)
    return table.map("{:,.0f}".format, na_action="ignore").fillna("-")


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
    index = read_table(path, {name: str for name in INDEX_COLUMNS if name not in NUMBERS})
    if list(index.columns) != INDEX_COLUMNS:
        raise CovidLungsError(
            f"{shown(path)} does not have the columns of an index: remove it and run 01_get_data "
            "again."
        )
    masks = pd.concat([index["mask"], index["infection_mask"]])
    masks = (file for mask in masks if mask for file in mask.split(HALVES))
    for file in [*index["file"], *masks]:
        if not (data_set.root / file).is_file():
            raise CovidLungsError(
                f"{shown(path)} lists {file}, which {data_set.name} does not have: "
                "give the `data` of this run, or run 01_get_data under another name."
            )
    return index


def read_table(path: Path, kinds: type | dict[str, type]) -> pd.DataFrame:
    """Return the table in a run's file, with columns of these types; an empty one if it is none."""
    try:
        # A class may be called NA, and a fingerprint may look like a number.
        return pd.read_csv(path, dtype=kinds, keep_default_na=False)
    except ValueError:  # what pandas raises if a file is empty or no table
        return pd.DataFrame()


def has_masks(index: pd.DataFrame) -> bool:
    """Return whether the X-rays of an index have lung masks: all have, or none."""
    return bool((index["mask"] != "").any())


def has_infection(index: pd.DataFrame) -> bool:
    """Return whether X-rays of an index have infection masks; not all need have one."""
    return bool((index["infection_mask"] != "").any())

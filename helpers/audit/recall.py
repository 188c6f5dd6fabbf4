"""Recall: what an audit found, kept until a file, the code or a library that made it changes."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd

from helpers.data.listing import walk
from helpers.data.sources import DataSet
from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import cache_root, make_partial, shown
from helpers.storage.versions import code_version

Examination = tuple[pd.DataFrame, dict]
TABLE, REPORT = "pairs.csv", "audit.json"
NUMBERS = ("width", "height", "mask_width", "mask_height")


def recall(data_set: DataSet, examine: Callable[[DataSet], Examination]) -> Examination:
    """Return what `examine` finds in a data set, from the cache where it holds that.

    The table's columns come back as texts, but for the sizes of NUMBERS.

    Raises:
        CovidLungsError: what `examine` raises, or the cache cannot be written.
    """
    made_by = code_version(__name__, examine.__module__)
    folder = cache_root() / "audits" / f"{_identity(data_set)}-{made_by}"
    if not folder.is_dir():
        pairs, report = examine(data_set)
        _keep(folder, pairs, report)
    pairs = pd.read_csv(folder / TABLE, dtype=str, keep_default_na=False)
    for name in NUMBERS:
        pairs[name] = pairs[name].astype(int)
    return pairs, json.loads((folder / REPORT).read_text(encoding="utf-8"))


def _keep(folder: Path, pairs: pd.DataFrame, report: dict) -> None:
    """Write an examination under a temporary name, renamed when it is whole."""
    partial = make_partial(folder)
    try:
        pairs.to_csv(partial / TABLE, index=False, lineterminator="\n")
        text = json.dumps(report, ensure_ascii=False)
        (partial / REPORT).write_text(text, encoding="utf-8")
        partial.rename(folder)
    except OSError as error:
        if not folder.is_dir():  # else another process was quicker
            raise CovidLungsError(
                f"{shown(folder.parent)}: the audit cannot be kept there ({error.strerror}). Make "
                "room, or choose another folder with COVID_LUNGS_CACHE."
            ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _identity(data_set: DataSet) -> str:
    """Return a name that changes with the data set's own and with any file's size or time."""
    digest = hashlib.sha256(repr(data_set).encode(errors="surrogateescape"))
    for line in sorted(describe_files(data_set.root)):
        digest.update(line.encode(errors="surrogateescape"))
    return digest.hexdigest()[:16]


def describe_files(folder: Path) -> Iterator[str]:
    """Yield the path of every folder in a folder or deeper, and path, size and time of every file.

    Litter is left out: it changes without the X-rays.
    """
    for place, _, files in walk(folder):
        yield f"{place}/\n"  # an empty class folder counts, too
        for entry in files:
            yield f"{place}/{entry.name}|{_size_and_time(entry)}\n"


def _size_and_time(entry: os.DirEntry) -> str:
    """Return what changes with a file; a link to nowhere has neither, and the scan names it."""
    try:
        status = entry.stat()
    except OSError:
        return "missing"
    return f"{status.st_size}|{status.st_mtime_ns}"

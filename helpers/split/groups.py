"""Groups: X-rays that must stay together: copies, a patient's, or what a groups file names."""

import csv
import unicodedata
from pathlib import Path, PurePosixPath

import pandas as pd

from helpers.audit.duplicates import join_pairs
from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import shown


def read_groups(path: Path, index: pd.DataFrame) -> pd.Series:
    """Return the group that a groups file gives each row of the index; "" where it gives none.

    The file is comma-separated UTF-8 with the columns `file` and `group`, for example patients;
    other columns are ignored. `file` is the path below the data set's root, with either slash, or
    the X-ray's base name, with or without its ending. Groups that share an X-ray become one, named
    by the first of their names: this only keeps more X-rays together.

    Raises:
        CovidLungsError: the file is missing or is no such table, a base name fits several X-rays,
            or no X-ray gets a group.
    """
    files = _files_by_name(index)
    given: dict[str, list[str]] = {}
    for line, name, group in _read_rows(path):
        found = sorted(files.get(_key(name), ()))
        if len(found) > 1:
            raise CovidLungsError(
                f"{shown(path)}, line {line}: {name!r} may be {' or '.join(found)}. "
                "Give the path below the data set's root instead."
            )
        if found and group:
            given.setdefault(found[0], []).append(group)
    if not given:
        raise CovidLungsError(
            f"{shown(path)} gives no X-ray of this data set a group. Fill its column `group`, and "
            f"name files as index.csv does, for example {index['file'].iloc[0]}."
        )
    joined = join_pairs((names[0], name) for names in given.values() for name in names)
    return index["file"].map(lambda file: joined[given[file][0]] if file in given else "")


def describe_groups(groups: pd.Series) -> str:
    """Return in words how many X-rays are in how many of the groups of `read_groups`."""
    grouped = groups[groups != ""]
    return f"{len(grouped):,} of {len(groups):,} X-rays are in {grouped.nunique():,} groups"


def merge_groups(index: pd.DataFrame, groups: pd.Series | None = None) -> pd.Series:
    """Return for each row the first file of its group: its copies, their patients, and so on.

    The index has the columns `file` and `copy_of`, and perhaps `patient` ("" for unknown); the
    groups are those of `read_groups`, with the same rows.
    """
    pairs = []
    for kind, names in enumerate((index["copy_of"], groups, index.get("patient"))):
        if names is not None:
            named = zip(index["file"], names.loc[index.index], strict=True)
            pairs += [((0, file), (kind, name)) for file, name in named if name]
    joined = join_pairs(pairs)  # a file, of kind 0, is smaller than any name
    return index["file"].map(lambda file: joined[0, file][1])


def _files_by_name(index: pd.DataFrame) -> dict[str, set[str]]:
    """Return the files that a name may mean: the whole path, the base name, or its stem."""
    files: dict[str, set[str]] = {}
    for file in index["file"]:
        path = PurePosixPath(file)
        for name in (file, path.name, path.stem):
            files.setdefault(_key(name), set()).add(file)
    return files


def _key(name: str) -> str:
    """Return a file's name as it is compared: systems differ in slashes and composed letters."""
    return unicodedata.normalize("NFC", name.replace("\\", "/")).removeprefix("./")


def _read_rows(path: Path) -> list[tuple[int, str, str]]:
    """Return line, file and group of every row of a groups file."""
    remedy = "Save it as comma-separated UTF-8 with the columns file,group."
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, skipinitialspace=True, restval="")
            missing = {"file", "group"} - set(reader.fieldnames or ())
            rows = [
                (reader.line_num, row["file"].strip(), row["group"].strip())
                for row in (() if missing else reader)
            ]
    except OSError as error:
        raise CovidLungsError(
            f"groups {shown(path)}: cannot be read ({error.strerror}). Give a .csv file."
        ) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise CovidLungsError(f"groups {shown(path)}: no table ({error}). {remedy}") from error
    if missing:
        raise CovidLungsError(f"groups {shown(path)}: no column {min(missing)!r}. {remedy}")
    return rows

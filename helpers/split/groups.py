"""Groups: X-rays that must stay together: copies, a patient's, or what a groups file names."""

import csv
import unicodedata
from pathlib import Path, PurePosixPath

import pandas as pd

from helpers.audit.duplicates import join_pairs
from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import shown

COLUMNS = ("file", "group")


def read_groups(path: Path, index: pd.DataFrame) -> pd.Series:
    """Return the group that a groups file gives each row of the index; "" where it gives none.

    The file is comma-separated UTF-8 with the columns `file` and `group`, for example patients;
    others are ignored. `file` is the path below the data set's root, with either slash, or the
    X-ray's base name, with or without its ending. Groups that share an X-ray become one, since
    that only keeps more together; it takes the first of their names.

    Raises:
        CovidLungsError: there is no such file, it is no such table, a base name may be several
            X-rays, or no X-ray gets a group.
    """
    given, _ = _match(path, index)
    joined = join_pairs((names[0], name) for names in given.values() for name in names)
    return index["file"].map(lambda file: joined[given[file][0]] if file in given else "")


def describe_groups(path: Path, index: pd.DataFrame) -> str:
    """Return how many X-rays of the index a groups file groups, and how many rows it has besides.

    Raises:
        CovidLungsError: as `read_groups`.
    """
    groups = read_groups(path, index)
    _, strangers = _match(path, index)
    grouped = groups[groups != ""]
    return (
        f"{len(grouped):,} of {len(index):,} X-rays are in {grouped.nunique():,} groups; "
        f"{strangers:,} rows of {path.name} name none of these X-rays"
    )


def merge_groups(index: pd.DataFrame, groups: pd.Series | None = None) -> pd.Series:
    """Return for each row the first file of its group: its copies, their patients, and so on.

    Args:
        index: with the columns `file` and `copy_of`, and perhaps `patient`: the patient whom the
            file's name tells, "" for none.
        groups: a group's name for each row, "" for none, as `read_groups` returns them.
    """
    pairs = [
        ((0, file), (0, copy)) for file, copy in zip(index["file"], index["copy_of"], strict=True)
    ]
    for kind, names in enumerate((groups, index.get("patient")), start=1):
        if names is not None:
            named = zip(index["file"], names.loc[index.index], strict=True)
            pairs += [((0, file), (kind, name)) for file, name in named if name]
    joined = join_pairs(pairs)  # a file is smaller than any name
    return index["file"].map(lambda file: joined[0, file][1])


def _match(path: Path, index: pd.DataFrame) -> tuple[dict[str, list[str]], int]:
    """Return the groups named for each file of the index, and how many rows name no such file."""
    files = _files_by_name(index)
    given: dict[str, list[str]] = {}
    strangers = 0
    for line, name, group in _read_rows(path):
        found = sorted(files.get(_key(name), ()))
        if len(found) > 1:
            raise CovidLungsError(
                f"{shown(path)}, line {line}: {name!r} may be {' or '.join(found)}. "
                "Give the path below the data set's root instead."
            )
        strangers += not found
        for file in found if group else ():
            given.setdefault(file, []).append(group)
    if not given:
        raise CovidLungsError(
            f"{shown(path)} gives no X-ray of this data set a group. Fill its column `group`, and "
            f"name files as index.csv does, for example {index['file'].iloc[0]}."
        )
    return given, strangers


def _files_by_name(index: pd.DataFrame) -> dict[str, set[str]]:
    """Return the files that a name may mean: the whole path, or the base name, or its stem."""
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
            missing = set(COLUMNS) - set(reader.fieldnames or ())
            rows = [] if missing else [(reader.line_num, *map(row.get, COLUMNS)) for row in reader]
    except OSError as error:
        raise CovidLungsError(
            f"groups {shown(path)}: cannot be read ({error.strerror}). Give a .csv file."
        ) from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise CovidLungsError(f"groups {shown(path)}: no table ({error}). {remedy}") from error
    if missing:
        raise CovidLungsError(f"groups {shown(path)}: no column {min(missing)!r}. {remedy}")
    return [(line, file.strip(), group.strip()) for line, file, group in rows]

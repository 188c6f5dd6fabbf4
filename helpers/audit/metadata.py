"""Metadata: what the data set's own tables say of its X-rays, above all where they come from."""

import csv
import io
import re
import warnings
import zipfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from posixpath import basename, splitext  # pathlib takes several times as long
from urllib.parse import urlsplit

import numpy as np
import pandas as pd

from helpers.audit.findings import Finding, find
from helpers.data.images import SUFFIXES
from helpers.data.listing import class_key

COLUMNS = ["class", "name", "size", "url"]
WANTED = ("filename", "size", "source", "url")  # columns of the tables, as `_loosen` spells them
ENDINGS = (".xlsx", ".csv")
BYTE_LIMIT = 32_000_000  # the largest published table unpacks to 3 MB; parsing takes many times it
ROW_LIMIT = 100_000  # the published database has 21,165 X-rays
COLUMN_LIMIT = 64
TEXT_LIMIT = 2_000  # characters of a cell that are kept
SOURCE_LIMIT = 80  # characters of a source's name
PURE_SHARE = 0.9  # of the positive X-rays; from here on their sources tell the class
LOCKED = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # how encrypted workbooks begin, and old .xls files


def read_metadata(root: Path, classes: list[str]) -> tuple[pd.DataFrame, list[Finding]]:
    """Return the metadata of all classes, and a finding for each table that cannot be read.

    A class's table is `<class>.metadata.xlsx` or `.csv`. Formulas in it are never evaluated.

    Args:
        root: the folder that the tables are in.
        classes: the classes' names, however the tables spell them.

    Returns:
        The columns `COLUMNS`, all text as written, for each row of each table. `url` holds the
        table's column `source` where that is filled.
    """
    rows, findings = [], []
    for class_name in classes:
        for path in _find_tables(root, class_name)[:1]:
            try:
                rows += [(class_name, *row) for row in _read_table(path)]
            except Exception as error:  # whatever the parsers of zip, XML and numbers raise
                findings.append(_unreadable(path.name, error))
    return pd.DataFrame(rows, columns=COLUMNS, dtype=str), findings


def _find_tables(root: Path, class_name: str) -> list[Path]:
    """Return a class's tables, workbooks first, however they spell the class."""
    files = [path for path in sorted(root.iterdir()) if path.is_file()]
    wanted = (class_key(class_name), "metadata")
    parts = {path: path.stem.rpartition(".") for path in files}
    found = [path for path in files if tuple(map(class_key, parts[path][::2])) == wanted]
    return [path for end in ENDINGS for path in found if path.suffix.lower() == end]


def _read_table(path: Path) -> list[tuple[str, str, str]]:
    """Return (name, size, url) of every row that is not blank."""
    _check_size(path.stat().st_size)
    content = path.read_bytes()
    if not content.strip():
        raise ValueError("it is empty")
    read = _read_workbook if path.suffix.lower() == ".xlsx" else _read_csv
    header, *rows = [row for row in read(content) if any(row)] or [()]
    names = [_text(cell) for cell in header]
    # Backwards, so that of two equal names the first counts.
    places = {_loosen(names[place]): place for place in reversed(range(len(names)))}
    if "filename" not in places:
        raise ValueError(f"no column FILE NAME among: {', '.join(filter(None, names)) or 'none'}")
    places = {name: places[name] for name in WANTED if name in places}
    records = [record for row in rows if (record := _record(row, places))]
    if not records:
        raise ValueError("it has no rows below its header")
    return records


def _check_size(size: int) -> None:
    if size > BYTE_LIMIT:
        raise ValueError(f"{size / 1e6:,.0f} MB, where {BYTE_LIMIT / 1e6:,.0f} MB are allowed")


def _read_workbook(content: bytes) -> list[tuple]:
    """Return the cells of a workbook's first sheet, by row."""
    import openpyxl  # here, since an audit that is recalled reads none, and the import takes long

    if content.startswith(LOCKED):
        raise ValueError("it is protected by a password, or an old .xls file")
    with zipfile.ZipFile(io.BytesIO(content)) as archive:  # unpacks no more than it declares
        _check_size(sum(part.file_size for part in archive.infolist()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about styles and the like
        workbook = openpyxl.load_workbook(
            io.BytesIO(content), read_only=True, data_only=True, keep_links=False
        )
        sheet = workbook.worksheets[0]
        sheet.reset_dimensions()  # the declared ones may lie
        return _limit(sheet.iter_rows(max_col=COLUMN_LIMIT, values_only=True))


def _read_csv(content: bytes) -> list[list[str]]:
    """Return the cells of a text table by row; its delimiter is the commonest of its header."""
    text = content.decode("utf-8-sig", errors="replace").lstrip("\r\n")
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    return _limit(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))


def _limit(rows: Iterable) -> list:
    taken = list(islice(rows, ROW_LIMIT + 1))
    if len(taken) > ROW_LIMIT:
        raise ValueError(f"it has more than {ROW_LIMIT:,} rows")
    return taken


def _record(row: tuple | list, places: dict[str, int]) -> tuple[str, str, str] | None:
    """Return (name, size, url) of a row, or None if all are blank; a source replaces the URL."""
    cells = {name: _text(row[place]) for name, place in places.items() if place < len(row)}
    if not "".join(cells.values()).strip():
        return None
    source = cells.get("source", "")
    url = source if source.strip() else cells.get("url", "")
    return cells.get("filename", ""), cells.get("size", ""), url


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)[:TEXT_LIMIT]


def _unreadable(file: str, error: Exception) -> Finding:
    reason = _harmless((str(error) or type(error).__name__).partition("\n")[0])
    return Finding(
        "metadata_unreadable",
        "warning",
        f"{_harmless(file)} cannot be read as a table ({reason})",
        [file],
        "restore it, or save it as .xlsx or .csv with a column FILE NAME; "
        "until then the sources of its X-rays are unknown",
    )


def match_metadata(table: pd.DataFrame, files: pd.DataFrame) -> tuple[pd.Series, list[Finding]]:
    """Return the source of every X-ray, and how the table and the files disagree.

    A row belongs to the X-ray of its class whose name is the same but for case, spaces,
    underscores and ending.

    Args:
        table: what `read_metadata` returned.
        files: the columns `file`, `class`, `width` and `height` (pixels, 0 if unknown), a row an
            X-ray.

    Returns:
        Text for each row of `files`, "" where no source is known; findings.
    """
    source_of = {url: _source(url) for url in table["url"].unique()}  # few, of many rows
    rows = table.assign(
        place=_places(table, files),
        source=table["url"].map(source_of),
        shown=[_harmless(name) or "(no name)" for name in table["name"].to_list()],
    )
    matched = rows[rows["place"] >= 0]
    for name in ("file", "width", "height"):
        matched = matched.assign(**{name: files[name].to_numpy()[matched["place"]]})
    with_source = matched[matched["source"] != ""].drop_duplicates("place")
    known = dict(zip(with_source["place"], with_source["source"], strict=True))
    sources = [known.get(place, "") for place in range(len(files))]
    findings = [
        *_unmatched(rows, files),
        *_named_twice(matched),
        *_spelled_otherwise(matched),
        *_wrong_sizes(matched),
        *_without_source(rows),
    ]
    return pd.Series(sources, index=files.index, name="source", dtype=str), findings


def _places(table: pd.DataFrame, files: pd.DataFrame) -> np.ndarray:
    """Return for each row of the table the place of its X-ray in `files`, -1 without one."""
    exact, loose = {}, {}
    # Lists, here and below: pandas gives out single texts several times as slowly.
    named = zip(files["class"].to_list(), files["file"].to_list(), strict=True)
    for place, (class_name, file) in enumerate(named):
        stem = splitext(basename(file))[0]
        exact[class_name, stem] = place
        loose.setdefault((class_name, _loosen(stem)), place)
    places = []
    names = map(_stem, table["name"].to_list())
    for class_name, stem in zip(table["class"].to_list(), names, strict=True):
        place = exact.get((class_name, stem))
        if place is None:
            place = loose.get((class_name, _loosen(stem)), -1)
        places.append(place)
    return np.array(places, dtype=int)


def _loosen(text: str) -> str:
    """Return a text without what the tables spell at will: case, spaces and underscores."""
    return "".join(text.casefold().replace("_", " ").split())


def _stem(name: str) -> str:
    """Return a name without an image's ending."""
    stem, _, ending = name.rpartition(".")
    return stem if f".{ending.strip().lower()}" in SUFFIXES else name


def _source(url: str) -> str:
    """Return a URL's host and the first part of its path; any other text as it is."""
    url = url.strip()
    try:
        address = urlsplit(f"//{url}" if url.lower().startswith("www.") else url)
    except ValueError:  # brackets without an address in them
        return _harmless(url)
    host = (address.hostname or "").removeprefix("www.")
    part = address.path.lstrip("/").partition("/")[0]
    return _harmless(f"{host}/{part}".rstrip("/").lower() if host else url)


def _harmless(text: str) -> str:
    """Return a short text that neither a terminal nor a spreadsheet takes for a command."""
    if not text.isprintable():
        text = "".join(sign for sign in text if sign.isprintable())
    return text.lstrip("=+-@ ")[:SOURCE_LIMIT].rstrip()


def _unmatched(rows: pd.DataFrame, files: pd.DataFrame) -> list[Finding]:
    """Return the findings about rows without a file, and about files that a table lacks."""
    in_table = files["class"].isin(rows["class"]).to_numpy()
    listed = pd.Series(range(len(files))).isin(rows["place"]).to_numpy()
    return [
        *find(
            "metadata_row_without_file",
            "warning",
            "rows of the metadata without a file",
            rows.loc[rows["place"] < 0, "shown"].to_list(),
            "restore the files if they should be there; the rows themselves do no harm",
        ),
        *find(
            "file_without_metadata_row",
            "warning",
            "X-rays without a row in the metadata",
            files.loc[in_table & ~listed, "file"].to_list(),
            "add the rows; without them the sources of these X-rays are unknown",
        ),
    ]


def _named_twice(matched: pd.DataFrame) -> list[Finding]:
    """Return the finding about X-rays with more than one row."""
    return find(
        "metadata_name_twice",
        "warning",
        "X-rays with several rows in the metadata",
        matched.loc[matched["place"].duplicated(), "file"].unique().tolist(),
        "keep one row of each; the first that names a source counts",
    )


def _spelled_otherwise(matched: pd.DataFrame) -> list[Finding]:
    """Return the finding about names that are not written as their file's is."""
    files = map(basename, matched["file"].to_list())
    pairs = zip(matched["name"].to_list(), files, strict=True)
    differs = [name not in (file, splitext(file)[0]) for name, file in pairs]
    others = matched.loc[differs]
    examples = [
        f"{row.shown} for {_harmless(basename(row.file))}" for row in others[:1].itertuples()
    ]
    return find(
        "metadata_spelling",
        "note",
        f"names spelled otherwise in the metadata, such as {''.join(examples)}",
        others["file"].to_list(),
        "nothing to do: case, spaces, underscores and the ending are ignored",
    )


def _wrong_sizes(matched: pd.DataFrame) -> list[Finding]:
    """Return the finding about sizes that the pixels belie; what is no size is passed over."""
    columns = (matched[name].to_list() for name in ("file", "size", "width", "height"))
    wrong = {}
    for file, size, width, height in zip(*columns, strict=True):
        said = re.fullmatch(r"\s*(\d{1,6})\s*[*x×]\s*(\d{1,6})\s*", size, re.IGNORECASE)
        if said and width and set(map(int, said.groups())) != {width, height}:
            wrong[file] = f"{_harmless(size)} for {width} × {height} pixels"
    return find(
        "metadata_wrong_size",
        "note",
        f"wrong sizes in the metadata, such as {next(iter(wrong.values()), '')}",
        list(wrong),
        "nothing to do: sizes are read from the files",
    )


def _without_source(rows: pd.DataFrame) -> list[Finding]:
    """Return the finding about rows that do not say where their X-ray comes from."""
    return find(
        "metadata_without_source",
        "note",
        "rows of the metadata without a URL",
        rows.loc[rows["source"] == "", "shown"].to_list(),
        "add the URL if you know it: a source may tell a detector the class",
    )


def source_table(index: pd.DataFrame) -> pd.DataFrame:
    """Return counts of X-rays: a row for each source ("unknown" for none), a column a class.

    Args:
        index: the columns `source` and `class`, one row an X-ray.
    """
    named = index.assign(source=index["source"].replace("", "unknown"))
    return named.groupby(["source", "class"]).size().unstack(fill_value=0)


def confounding_finding(index: pd.DataFrame, positive_class: str) -> Finding | None:
    """Return a warning if the sources tell the positive class from the others, else None.

    They do if at least nine in ten of the positive X-rays whose source is known come from
    sources without any other class. With one source, or with sources known on one side only,
    there is nothing to tell.

    Args:
        index: the columns `source` and `class`, one row an X-ray.
        positive_class: the class that a detector is to find.
    """
    counts = source_table(index[index["source"] != ""])
    if positive_class not in counts or counts.shape[1] == 1:
        return None
    positives = counts[positive_class]
    pure = positives[positives == counts.sum(axis=1)]
    if pure.sum() < PURE_SHARE * positives.sum():
        return None
    share = f"{pure.sum():,} of {positives.sum():,} ({100 * pure.sum() // positives.sum()} %)"
    found = (
        f"no source has both {positive_class} and another class"
        if pure.sum() == positives.sum()
        else f"{share} of the X-rays of {positive_class} come from sources without another class"
    )
    return Finding(
        "source_tells_class",
        "warning",
        f"{found}, so a detector can learn the source in place of the disease",
        pure.index.to_list(),
        "test the detector on X-rays of another hospital, and see the notebook on shortcuts",
    )

"""Metadata: the source of each X-ray by the data set's own tables; whether it tells the class."""

import csv
import io
import re
import warnings
import zipfile
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from posixpath import basename  # pathlib takes several times as long
from urllib.parse import urlsplit

import pandas as pd

from helpers.audit.findings import Found
from helpers.data.images import find_stem
from helpers.data.layouts import POSITIVE_CLASS
from helpers.data.listing import class_key

TABLE = re.compile(r"(.+)\.metadata\.(xlsx|csv)", re.IGNORECASE)  # <class>.metadata.xlsx
BYTE_LIMIT = 32_000_000  # the largest published table unpacks to 3 MB; parsing takes many times it
ROW_LIMIT = 100_000  # the published database has 21,165 X-rays
COLUMN_LIMIT = 64
TEXT_LIMIT = 2_000  # characters of a cell: in a workbook, many cells may share one long text
SOURCE_LIMIT = 80  # characters of a source's name
PURE_SHARE = 0.9  # of the positive X-rays; from here on their sources tell the class

Sources = dict[tuple[str, str], str]  # by class and loosened name; "" where a row names none


def read_metadata(root: Path, classes: list[str]) -> tuple[Sources, Found]:
    """Return the sources that the tables of all classes name, and the unreadable tables.

    A class's tables are `<class>.metadata.xlsx` and `.csv` in the folder `root`, with the columns
    FILE NAME and SOURCE or URL. Formulas in them are never evaluated. Of several rows of a name the
    first with a source counts.
    """
    names = {class_key(name): name for name in classes}
    sources, unreadable = {}, {}
    for path in sorted(root.iterdir(), reverse=True):  # a workbook goes before a .csv
        table = TABLE.fullmatch(path.name)
        class_name = names.get(class_key(table[1])) if table and path.is_file() else None
        if class_name is None:
            continue
        try:
            rows = _read_table(path)
        except Exception as error:  # whatever the parsers of zip, XML and numbers raise
            unreadable[path.name] = _harmless(str(error) or type(error).__name__)
            continue
        for name, source in rows:
            key = class_name, _loosen(find_stem(name))
            sources[key] = sources.get(key) or source
    files = sorted(unreadable)
    reasons = "; ".join(f"{_harmless(file)}: {unreadable[file]}" for file in files)
    return sources, Found("metadata_unreadable", files, reasons)


def _read_table(path: Path) -> list[tuple[str, str]]:
    """Return name and source of every row that has a name; the column SOURCE goes before URL."""
    _check_size(path.stat().st_size)
    read = _read_workbook if path.suffix.lower() == ".xlsx" else _read_csv
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of openpyxl, about styles and the like
        rows = list(islice(read(path.read_bytes()), ROW_LIMIT + 1))
    if len(rows) > ROW_LIMIT:
        raise ValueError(f"it has more than {ROW_LIMIT:,} rows")
    rows = [[_text(cell) for cell in row] for row in rows]
    header, *rows = [row for row in rows if any(row)] or [[]]
    columns = [_loosen(cell).replace(" ", "") for cell in header]
    if "filename" not in columns:
        raise ValueError("no column FILE NAME")
    cells = (dict(zip(columns, row, strict=False)) for row in rows)
    named = [
        (row["filename"], _source(row.get("source", "")) or _source(row.get("url", "")))
        for row in cells
        if row.get("filename")
    ]
    if not named:
        raise ValueError("no file is named below its header")
    return named


def _text(cell: object) -> str:
    """Return what a cell holds as text, no longer than anyone writes it."""
    return "" if cell is None else str(cell)[:TEXT_LIMIT].strip()


def _check_size(size: int) -> None:
    """Refuse a table that is too large, before it is parsed."""
    if size > BYTE_LIMIT:
        raise ValueError(f"{size / 1e6:,.0f} MB, where {BYTE_LIMIT / 1e6:,.0f} MB are allowed")


def _read_workbook(content: bytes) -> Iterable[tuple]:
    """Return the cells of a workbook's first sheet, by row."""
    import openpyxl  # here, since an audit that is recalled reads none, and the import takes long

    opened = io.BytesIO(content)
    with zipfile.ZipFile(opened) as archive:  # unpacks no more than it declares
        _check_size(sum(part.file_size for part in archive.infolist()))
    workbook = openpyxl.load_workbook(opened, read_only=True, data_only=True, keep_links=False)
    sheet = workbook.worksheets[0]
    sheet.reset_dimensions()  # the declared ones may lie
    return sheet.iter_rows(max_col=COLUMN_LIMIT, values_only=True)


def _read_csv(content: bytes) -> Iterable[list[str]]:
    """Return the cells of a text table by row; its delimiter is the commonest of its header."""
    text = content.decode("utf-8-sig", errors="replace").lstrip("\r\n")
    delimiter = max(",;\t", key=text.partition("\n")[0].count)
    return csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)


def _loosen(text: str) -> str:
    """Return a text in lower case, with single spaces for underscores and spaces."""
    return " ".join(text.casefold().replace("_", " ").split())


def _source(url: str) -> str:
    """Return a URL's host and the first part of its path; any other text as it is."""
    try:
        address = urlsplit(f"//{url}" if url.lower().startswith("www.") else url)
    except ValueError:  # brackets without an address in them
        return _harmless(url)
    host = (address.hostname or "").removeprefix("www.")
    part = address.path.lstrip("/").partition("/")[0]
    return _harmless(f"{host}/{part}".rstrip("/").lower() if host else url)


def _harmless(text: str) -> str:
    """Return a short text that neither a terminal nor a spreadsheet takes for a command."""
    text = "".join(sign for sign in text if sign.isprintable())
    return text.lstrip("=+-@ ")[:SOURCE_LIMIT].rstrip()


def name_sources(sources: Sources, files: pd.DataFrame) -> tuple[list[str], Found]:
    """Return the source of every X-ray, "" where it is unknown, and those without one.

    A row belongs to the X-ray of its class whose name is the same but for case, spaces,
    underscores and ending. `files` has the columns `file` and `class`, a row an X-ray. Where no
    table has a row, no source is missed.
    """
    places = zip(files["class"].to_list(), files["file"].to_list(), strict=True)
    named = [sources.get((name, _loosen(find_stem(basename(file)))), "") for name, file in places]
    unknown = files["file"][[source == "" for source in named]]
    return named, Found("source_unknown", list(unknown) if sources else [])


def source_table(index: pd.DataFrame) -> pd.DataFrame:
    """Return counts of X-rays: a row for each source ("unknown" for none), a column a class."""
    named = index.assign(source=index["source"].replace("", "unknown"))
    return named.groupby(["source", "class"]).size().unstack(fill_value=0)


def about_sources(index: pd.DataFrame) -> list[Found]:
    """Return whether the sources tell the positive class from the others.

    They do if at least nine in ten of the positive X-rays whose source is known come from
    sources without any other class. With one source, or with sources known on one side only,
    they cannot. The index has the columns `source` and `class`, one row an X-ray.
    """
    counts = source_table(index[index["source"] != ""])
    if POSITIVE_CLASS not in counts or counts.shape[1] == 1:
        return []
    positives = counts[POSITIVE_CLASS]
    pure = positives[positives == counts.sum(axis=1)]
    if pure.sum() < PURE_SHARE * positives.sum():
        return []
    share = f"{pure.sum():,} of {positives.sum():,} ({100 * pure.sum() // positives.sum()} %)"
    details = f"{share} of the X-rays of {POSITIVE_CLASS} come from sources without another class"
    return [Found("source_tells_class", list(pure.index), details)]

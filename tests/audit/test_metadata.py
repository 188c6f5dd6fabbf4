"""The metadata: tables read without trust, matched with the files, and what their sources tell."""

import csv
import io
import tempfile
import zipfile
from datetime import datetime
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.audit import metadata
from helpers.audit.metadata import about_sources, name_sources, read_metadata, source_table

HEADER = ("FILE NAME", "FORMAT", "SIZE", "URL")
TYPES = "[Content_Types].xml"
SHEET = "xl/worksheets/sheet1.xml"
SPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
cells = (
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1))
    | st.sampled_from(["=1+1", "=cmd|'/c calc'!A0", "#N/A", "http://[", "x" * 30_000])
)
anything = st.text(max_size=30) | st.text(
    st.sampled_from("COVID-1_ .png*299×/:@=[]www\0\t\u202e"), max_size=30
)


def workbook(*rows):
    """Return an .xlsx file with these rows."""
    book, content = openpyxl.Workbook(), io.BytesIO()
    for row in rows:
        book.active.append(row)
    book.save(content)
    return content.getvalue()


def text_table(*rows, delimiter=","):
    """Return a .csv file with these rows."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode()


def parts(content):
    """Return the parts of an .xlsx file by name."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def with_parts(content, replacements):
    """Return an .xlsx file with these of its parts replaced, or added."""
    changed = io.BytesIO()
    with zipfile.ZipFile(changed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in (parts(content) | replacements).items():
            archive.writestr(name, part)
    return changed.getvalue()


def with_sheet(rows, before=""):
    """Return an .xlsx file whose sheet has this XML for its rows."""
    xml = f'{before}<worksheet xmlns="{SPACE}"><sheetData>{rows}</sheetData></worksheet>'
    return with_parts(workbook(), {SHEET: xml})


def text_cell(text):
    return f'<c t="str"><v>{text}</v></c>'


def read(folder, name="COVID.metadata.xlsx", content=None, classes=("COVID",)):
    """Return what `read_metadata` makes of a table in a data set of these classes."""
    if content is not None:
        (folder / name).write_bytes(content)
    return read_metadata(folder, list(classes))


def read_rows(*given, **named):
    """Return the source of each name in a table that must be readable."""
    sources, unreadable = read(*given, **named)
    assert not unreadable.files
    return {name: source for (_, name), source in sources.items()}


def xrays(*paths):
    """Return the files `<class>/<name>` as `name_sources` takes them."""
    rows = [path.split("/") for path in paths]
    files = [f"{class_name}/images/{name}" for class_name, name in rows]
    return pd.DataFrame({"file": files, "class": [class_name for class_name, _ in rows]})


def index(**classes):
    """Return an index from `COVID="aab"`: an X-ray for each letter, which names its source."""
    rows = [(name, letter.strip()) for name, letters in classes.items() for letter in letters]
    return pd.DataFrame(rows, columns=["class", "source"])


SOUND = workbook(HEADER, ("COVID-1", "PNG", "256*256", "https://a.org"))


def test_names_and_sources_are_read_as_text(tmp_path):
    content = workbook(HEADER, ("NORMAL-1", "PNG", "256*256", "https://a.org"), (7, "PNG", 1, None))
    sources, unreadable = read(tmp_path, "Normal.metadata.xlsx", content, ["Normal"])
    assert not unreadable.files
    assert sources == {("Normal", "normal-1"): "a.org", ("Normal", "7"): ""}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_is_read_too(tmp_path, delimiter):
    content = text_table(("", "File name", "URL"), ("0", "a,b;c", "d\te"), delimiter=delimiter)
    content = b"\xef\xbb\xbf" + content  # as Excel marks its UTF-8
    assert read_rows(tmp_path, "COVID.metadata.csv", content) == {"a,b;c": "de"}


def test_a_workbook_goes_before_a_csv_which_stands_in_for_it(tmp_path):
    (tmp_path / "COVID.metadata.csv").write_bytes(b"FILE NAME,URL\na,csv\nb,csv\n")
    content = workbook(HEADER, ("a", "", "", "xlsx"))
    assert read_rows(tmp_path, content=content) == {"a": "xlsx", "b": "csv"}
    sources, unreadable = read(tmp_path, content=b"no workbook")
    assert set(sources.values()) == {"csv"}
    assert unreadable.files == ["COVID.metadata.xlsx"]


@pytest.mark.parametrize("name", ["FILE NAME", "file_name", "FileName", " File  name "])
def test_column_names_are_matched_loosely(tmp_path, name):
    content = workbook(("u r l", name, "Size"), ("b", "a", "c"))
    assert read_rows(tmp_path, content=content) == {"a": "b"}


@pytest.mark.parametrize("file", ["Lung Opacity.metadata.xlsx", "LUNG_OPACITY.METADATA.XLSX"])
def test_table_names_are_matched_loosely(tmp_path, file):
    sources, _ = read(tmp_path, file, workbook(("FILE NAME",), ("a",)), ["Lung_Opacity"])
    assert sources == {("Lung_Opacity", "a"): ""}


def test_a_source_goes_before_the_url(tmp_path):
    content = workbook(("FILE NAME", "URL", "Source"), ("a", "u", "s"), ("b", "u", " "))
    assert read_rows(tmp_path, content=content) == {"a": "s", "b": "u"}


def test_blank_rows_and_short_rows_are_no_fault(tmp_path):
    content = b"\n,\nFILE NAME,URL\n\na\n , \nb,u\n"
    assert read_rows(tmp_path, "COVID.metadata.csv", content) == {"a": "", "b": "u"}


def test_a_data_set_without_tables_has_no_metadata(data_set):
    sources, unreadable = read_metadata(data_set.root, data_set.classes)
    assert not sources and not unreadable.files


def test_formulas_are_not_evaluated(tmp_path):
    formula = '<row><c t="str"><f>1+1</f><v>kept</v></c><c><f>1+1</f></c></row>'
    header = f"<row>{text_cell('FILE NAME')}{text_cell('URL')}</row>"
    assert read_rows(tmp_path, content=with_sheet(header + formula)) == {"kept": ""}


def test_a_sheet_that_lies_about_its_extent_is_read_whole(tmp_path):
    content = workbook(("FILE NAME",), ("a",), ("b",))
    xml = parts(content)[SHEET]
    assert b'ref="A1:A3"' in xml
    lie = with_parts(content, {SHEET: xml.replace(b"A1:A3", b"A1:A2")})
    assert read_rows(tmp_path, content=lie) == {"a": "", "b": ""}


UNREADABLE = {
    "no zip": (b"FILE NAME,URL", "not a zip file"),
    "cut short": (workbook(HEADER)[:-30], "not a zip file"),
    "no workbook": (with_parts(workbook(), {TYPES: "<a/>"}), "no valid workbook part"),
    "broken XML": (with_sheet("<row>"), "mismatched tag"),
    "column 65": (workbook(("URL", *[None] * 63, "FILE NAME"), ("u",)), "no column FILE NAME"),
    "header alone": (workbook(HEADER), "no file is named below its header"),
    "no names": (workbook(HEADER, ("", "PNG")), "no file is named below its header"),
    "entities": (
        with_sheet("&b;", '<!DOCTYPE a [<!ENTITY b SYSTEM "/etc/passwd">]>'),
        "could not read worksheets",  # defusedxml forbids entities
    ),
    "far row": (with_sheet('<row r="9999999999"/>'), "100,000 rows"),
    "bomb": (with_parts(workbook(), {SHEET: " " * 33_000_000}), "33 MB, where 32 MB are allowed"),
}


@pytest.mark.parametrize(("content", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_table_that_cannot_be_read_is_a_finding(tmp_path, content, reason):
    (tmp_path / "Normal.metadata.csv").write_bytes(text_table(HEADER, ("n", "", "", "u")))
    rows, unreadable = read(tmp_path, content=content, classes=("COVID", "Normal"))
    assert list(rows) == [("Normal", "n")], "the table of the other class is read"
    assert unreadable.files == ["COVID.metadata.xlsx"]
    assert unreadable.details.startswith("COVID.metadata.xlsx: ")
    assert reason in unreadable.details


def test_every_unreadable_table_is_named(tmp_path):
    (tmp_path / "Normal.metadata.csv").write_bytes(b"NAME\na\n")
    _, unreadable = read(tmp_path, content=b"", classes=("COVID", "Normal"))
    assert unreadable.files == ["COVID.metadata.xlsx", "Normal.metadata.csv"]
    assert unreadable.details.endswith("; Normal.metadata.csv: no column FILE NAME")


def test_a_bomb_that_hides_its_size_is_a_finding(tmp_path):
    row = f"<row>{text_cell('x' * 100_000)}</row>"
    bomb = with_sheet(row)
    size = len(parts(bomb)[SHEET]).to_bytes(4, "little")
    assert bomb.count(size) == 2
    _, unreadable = read(tmp_path, content=bomb.replace(size, (90).to_bytes(4, "little")))
    assert unreadable.files


def test_a_text_longer_than_any_name_is_cut(tmp_path):
    rows = (f"<row>{text_cell(text)}</row>" for text in ("FILE NAME", "x" * 100_000))
    assert list(read_rows(tmp_path, content=with_sheet("".join(rows)))) == ["x" * 2_000]


def test_a_file_larger_than_allowed_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(metadata, "BYTE_LIMIT", 10_000)
    content = text_table(HEADER, *[("a" * 100, "", "", "")] * 200)
    _, unreadable = read(tmp_path, "COVID.metadata.csv", content)
    assert "MB are allowed" in unreadable.details


@pytest.mark.parametrize("name", ["COVID.metadata.xlsx", "COVID.metadata.csv"])
def test_reading_stops_at_the_row_limit(tmp_path, monkeypatch, name):
    monkeypatch.setattr(metadata, "ROW_LIMIT", 3)
    make = workbook if name.endswith("xlsx") else text_table
    names = [(letter, "", "", "") for letter in "abc"]
    assert len(read_rows(tmp_path, name, make(HEADER, *names[:2]))) == 2
    sources, unreadable = read(tmp_path, name, make(HEADER, *names))
    assert sources == {}
    assert "it has more than 3 rows" in unreadable.details


def check_harmless(sources, unreadable):
    """Expect texts alone, which no terminal or spreadsheet takes for a command."""
    for text in (*sources.values(), unreadable.details):
        assert text.isprintable()
        assert not text.startswith(("=", "+", "-", "@"))
    assert all(len(source) <= 80 for source in sources.values())


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(cells, cells, cells, cells), min_size=1, max_size=5))
def test_no_cell_of_a_workbook_raises(rows):
    with tempfile.TemporaryDirectory() as folder:
        check_harmless(*read(Path(folder), content=workbook(HEADER, *rows)))


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.lists(anything, max_size=5), max_size=5), end=st.binary(max_size=9))
def test_no_text_of_a_csv_raises(rows, end):
    content = text_table(("FILE NAME", "URL"), *rows) + end
    with tempfile.TemporaryDirectory() as folder:
        check_harmless(*read(Path(folder), "COVID.metadata.csv", content))


@st.composite
def broken_workbooks(draw):
    """Draw any bytes, or a workbook with a piece of it, or of one of its parts, replaced."""
    if draw(st.booleans()):
        return draw(st.binary(max_size=300))
    part = draw(st.sampled_from(["", *parts(SOUND)]))
    content = parts(SOUND)[part] if part else SOUND
    start = draw(st.integers(0, len(content)))
    end = start + draw(st.sampled_from([0, 1, 4, 60, len(content)]))
    piece = draw(st.binary(max_size=8) | st.sampled_from([b"-1", b"9" * 5000, b"<c/>", b"\xff"]))
    broken = content[:start] + piece + content[end:]
    return with_parts(SOUND, {part: broken}) if part else broken


@settings(max_examples=200, deadline=None)
@given(content=broken_workbooks())
def test_no_bytes_of_a_workbook_raise(content):
    with tempfile.TemporaryDirectory() as folder:
        rows, unreadable = read(Path(folder), content=content)
    check_harmless(rows, unreadable)
    assert bool(rows) != bool(unreadable.files)


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://github.com/ieee8023/covid-chestxray-dataset", "github.com/ieee8023"),
        ("https://www.Kaggle.com/c/RSNA-challenge/data", "kaggle.com/c"),
        (" http://me:word@sirm.org:80//Category/?q#f ", "sirm.org/category"),
        ("www.eurorad.org/case/17", "eurorad.org/case"),
        ("RSNA 2018", "RSNA 2018"),
        ("http://[", "http://["),
        ("=cmd|'/c calc'!A0", "cmd|'/c calc'!A0"),
        ("red\x1b[31m\u202e\n", "red[31m"),
        ("https://a.org/" + "x" * 200, "a.org/" + "x" * 74),
    ],
)
def test_a_source_is_the_head_of_its_url(url, source, tmp_path):
    content = text_table(("FILE NAME", "URL"), ("a", url))
    assert read_rows(tmp_path, "COVID.metadata.csv", content) == {"a": source}


def test_rows_find_their_files_whatever_the_spelling(tmp_path):
    files = xrays("Lung_Opacity/Lung_Opacity-1.png", "Normal/Normal-1.png", "Normal/1_1.png")
    files.index = [5, 3, 3]
    rows = [("normal-1.PNG", "b"), ("1 1", "c"), ("11", "d"), ("elsewhere", "e")]
    read(tmp_path, "Normal.metadata.csv", text_table(("FILE NAME", "URL"), *rows))
    content = workbook(("FILE NAME", "URL"), ("Lung Opacity-1", "a"))
    sources, _ = read(tmp_path, "Lung_Opacity.metadata.xlsx", content, ["Normal", "Lung_Opacity"])
    named, unknown = name_sources(sources, files)
    assert named == ["a", "b", "c"]
    assert unknown.files == []


def test_xrays_without_a_source_in_their_class_are_found():
    sources = {("Normal", "covid-1"): "u", ("COVID", "covid-2"): "", ("COVID", "covid-3"): "u"}
    files = xrays("COVID/COVID-1.png", "COVID/COVID-2.png", "COVID/COVID-3.png")
    named, unknown = name_sources(sources, files)
    assert named == ["", "", "u"]
    assert unknown.files == ["COVID/images/COVID-1.png", "COVID/images/COVID-2.png"]
    assert name_sources({}, files)[1].files == [], "nothing is missing where no table is"


def test_of_several_rows_the_first_with_a_source_counts(tmp_path):
    content = text_table(("FILE NAME", "URL"), ("a", ""), ("A", "one"), ("a", "two"))
    assert read_rows(tmp_path, "COVID.metadata.csv", content) == {"a": "one"}


def test_the_source_table_counts_sources_by_class():
    counts = source_table(index(COVID="aab ", Normal="b"))
    assert counts.to_dict("index") == {
        "a": {"COVID": 2, "Normal": 0},
        "b": {"COVID": 1, "Normal": 1},
        "unknown": {"COVID": 1, "Normal": 0},
    }


def test_nine_in_ten_from_pure_sources_are_a_finding_with_the_share():
    (found,) = about_sources(index(COVID="a" * 9 + "b ", Normal="bc"))
    assert found.name == "source_tells_class"
    assert found.files == ["a"]
    assert found.details == (
        "9 of 10 (90 %) of the X-rays of COVID come from sources without another class"
    )
    assert about_sources(index(COVID="a" * 8 + "b", Normal="bc")) == []


@pytest.mark.parametrize(
    "classes",
    [
        {"Normal": "ab", "Tuberculosis": "c"},
        {"COVID": "ab"},
        {"COVID": "  ", "Normal": " "},
        {"COVID": "aa", "Normal": "a"},
        {"COVID": "ab", "Normal": "  "},
        {"COVID": "  ", "Normal": "ab"},
        {},
    ],
    ids=["no positive", "positive alone", "no source", "one source", "others", "positives", "none"],
)
def test_where_sources_cannot_tell_the_class_there_is_no_finding(classes):
    assert about_sources(index(**classes)) == []

"""The metadata: tables read without trust, matched with the files, and what their sources tell."""

import csv
import io
import tempfile
import zipfile
from datetime import date, datetime
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.audit import metadata
from helpers.audit.metadata import confounding_finding, match_metadata, read_metadata, source_table

HEADER = ("FILE NAME", "FORMAT", "SIZE", "URL")
TYPES = "[Content_Types].xml"
SHEET = "xl/worksheets/sheet1.xml"
SPACE = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
LOCKED = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600)
cells = (
    st.none()
    | st.booleans()
    | st.integers(-(10**12), 10**12)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.datetimes(datetime(1950, 1, 1), datetime(2100, 1, 1))
    | st.dates(date(1950, 1, 1), date(2100, 1, 1))
    | st.times()
    | st.sampled_from(["=1+1", "=cmd|'/c calc'!A0", "#N/A", "COVID-1", "http://[", "x" * 30_000])
    | st.text(st.characters(codec="utf-8", exclude_categories=["C"]), max_size=20)
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


def with_strings(*rows):
    """Return an .xlsx file as Excel writes it: the cells are numbers of shared texts."""
    texts = [text for row in rows for text in row]
    numbers = iter(range(len(texts)))
    cells = ["".join(f'<c t="s"><v>{next(numbers)}</v></c>' for _ in row) for row in rows]
    content = with_sheet("".join(f"<row>{row}</row>" for row in cells))
    strings = "".join(f"<si><t>{text}</t></si>" for text in texts)
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    override = f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'
    types = parts(content)[TYPES].decode().replace("</Types>", override)
    strings = f'<sst xmlns="{SPACE}">{strings}</sst>'
    return with_parts(content, {TYPES: types, "xl/sharedStrings.xml": strings})


def text_cell(text):
    return f'<c t="str"><v>{text}</v></c>'


def read(folder, name="COVID.metadata.xlsx", content=None, classes=("COVID",)):
    """Return what `read_metadata` makes of a table in a data set of these classes."""
    if content is not None:
        (folder / name).write_bytes(content)
    return read_metadata(folder, list(classes))


def text_table(*rows, delimiter=","):
    """Return a .csv file with these rows."""
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue().encode()


def table(*rows):
    """Return metadata as `read_metadata` returns them, from (class, name, size, url)."""
    return pd.DataFrame(rows, columns=["class", "name", "size", "url"], dtype=str)


def xrays(*paths, size=(299, 299)):
    """Return the files `<class>/<name>` as `match_metadata` takes them."""
    rows = [path.split("/") for path in paths]
    files = [f"{class_name}/images/{name}" for class_name, name in rows]
    classes = [class_name for class_name, _ in rows]
    return pd.DataFrame({"file": files, "class": classes, "width": size[0], "height": size[1]})


def index(**classes):
    """Return an index from `COVID="aab"`: an X-ray for each letter, which names its source."""
    rows = [(name, letter.strip()) for name, letters in classes.items() for letter in letters]
    return pd.DataFrame(rows, columns=["class", "source"])


def found(findings):
    """Return what was found, by name."""
    return {each.name: (each.level, each.text, list(each.files)) for each in findings}


SOUND = with_strings(HEADER, ("COVID-1", "PNG", "256*256", "https://a.org"))

# Reading


def test_the_published_columns_are_read_as_text(tmp_path):
    first, second = ("NORMAL-1", "PNG", "256*256", "https://a.org"), (7, "PNG", None, None)
    content = workbook(HEADER, first, second)
    rows, findings = read(tmp_path, "Normal.metadata.xlsx", content, ["Normal"])
    assert findings == []
    assert list(rows.columns) == ["class", "name", "size", "url"]
    assert rows.to_numpy().tolist() == [
        ["Normal", "NORMAL-1", "256*256", "https://a.org"],
        ["Normal", "7", "", ""],
    ]


def test_a_workbook_with_shared_texts_is_read_too(tmp_path):
    rows, findings = read(tmp_path, content=SOUND)
    assert findings == []
    assert rows.to_numpy().tolist() == [["COVID", "COVID-1", "256*256", "https://a.org"]]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_csv_is_read_too(tmp_path, delimiter):
    content = text_table(("File name", "URL"), ("a,b;c", "d\te"), delimiter=delimiter)
    content = b"\xef\xbb\xbf" + content  # as Excel marks its UTF-8
    rows, findings = read(tmp_path, "COVID.metadata.csv", content)
    assert findings == []
    assert rows.to_numpy().tolist() == [["COVID", "a,b;c", "", "d\te"]]


def test_bytes_that_are_no_text_do_not_lose_a_csv(tmp_path):
    rows, findings = read(tmp_path, "COVID.metadata.csv", b"FILE NAME,URL\na,\xe9\n")
    assert findings == []
    assert rows.to_numpy().tolist() == [["COVID", "a", "", "\N{REPLACEMENT CHARACTER}"]]


def test_of_a_workbook_and_a_csv_the_workbook_counts(tmp_path):
    (tmp_path / "COVID.metadata.csv").write_bytes(text_table(("FILE NAME",), ("csv",)))
    rows, _ = read(tmp_path, content=workbook(("FILE NAME",), ("xlsx",)))
    assert rows["name"].to_list() == ["xlsx"]


@pytest.mark.parametrize("name", ["FILE NAME", "file_name", "FileName", " File  name "])
def test_column_names_are_matched_loosely(tmp_path, name):
    rows, _ = read(tmp_path, content=workbook(("u r l", name, "Size"), ("b", "a", "c")))
    assert rows.to_numpy().tolist() == [["COVID", "a", "c", "b"]]


@pytest.mark.parametrize("file", ["Lung Opacity.metadata.xlsx", "LUNG_OPACITY.METADATA.XLSX"])
def test_table_names_are_matched_loosely(tmp_path, file):
    rows, _ = read(tmp_path, file, workbook(("FILE NAME",), ("a",)), ["Lung_Opacity"])
    assert rows["class"].to_list() == ["Lung_Opacity"]


def test_of_two_columns_of_one_name_the_first_counts(tmp_path):
    rows, _ = read(tmp_path, content=workbook(("FILE NAME", "file_name"), ("first", "second")))
    assert rows["name"].to_list() == ["first"]


def test_a_source_takes_precedence_over_the_url(tmp_path):
    content = workbook(("FILE NAME", "URL", "Source"), ("a", "u", "s"), ("b", "u", " "))
    rows, _ = read(tmp_path, content=content)
    assert rows["url"].to_list() == ["s", "u"]


def test_blank_rows_and_short_rows_are_no_fault(tmp_path):
    content = b"\n,\nFILE NAME,URL\n\na\n , \nb,u\n"
    rows, findings = read(tmp_path, "COVID.metadata.csv", content)
    assert findings == []
    assert rows[["name", "url"]].to_numpy().tolist() == [["a", ""], ["b", "u"]]


def test_a_first_column_without_a_name_shifts_nothing(tmp_path):
    content = text_table(("", "FILE NAME", "URL"), ("0", "a", "u"), delimiter="\t")
    rows, _ = read(tmp_path, "COVID.metadata.csv", content)
    assert rows.to_numpy().tolist() == [["COVID", "a", "", "u"]]


def test_a_data_set_without_tables_has_no_metadata(data_set):
    rows, findings = read_metadata(data_set.root, data_set.classes)
    assert rows.empty
    assert list(rows.columns) == ["class", "name", "size", "url"]
    assert findings == []


def test_formulas_are_not_evaluated(tmp_path):
    formula = '<row><c t="str"><f>1+1</f><v>kept</v></c><c><f>1+1</f></c></row>'
    header = f"<row>{text_cell('FILE NAME')}{text_cell('URL')}</row>"
    rows, _ = read(tmp_path, content=with_sheet(header + formula))
    assert rows[["name", "url"]].to_numpy().tolist() == [["kept", ""]]


def test_a_sheet_that_lies_about_its_extent_is_read_whole(tmp_path):
    content = workbook(("FILE NAME",), ("a",), ("b",))
    xml = parts(content)[SHEET]
    assert b'ref="A1:A3"' in xml
    lie = {SHEET: xml.replace(b"A1:A3", b"A1:A2")}
    rows, _ = read(tmp_path, content=with_parts(content, lie))
    assert rows["name"].to_list() == ["a", "b"]


def test_very_long_cells_are_cut(tmp_path):
    rows, _ = read(tmp_path, content=workbook(("FILE NAME",), ("x" * 30_000,)))
    assert rows["name"].str.len().to_list() == [2_000]


STYLES, ODD = "xl/styles.xml", b'<patternFill patternType="odd"/>'
UNREADABLE = {
    "empty": (b"", "it is empty"),
    "no zip": (b"FILE NAME,URL", "not a zip file"),
    "cut short": (workbook(HEADER)[:-30], "not a zip file"),
    "password": (LOCKED, "protected by a password"),
    "no workbook": (with_parts(workbook(), {TYPES: "<a/>"}), "no valid workbook part"),
    "broken XML": (with_sheet("<row>"), "mismatched tag"),
    "odd style": (
        with_parts(SOUND, {STYLES: parts(SOUND)[STYLES].replace(b"<patternFill />", ODD)}),
        "could not read stylesheet from None.)",
    ),
    "escape": (workbook(("NA\u202eME",)), "no column FILE NAME among: NAME)"),
    "column 65": (workbook(("URL", *[None] * 63, "FILE NAME"), ("u",)), "among: URL)"),
    "no rows": (workbook(), "no column FILE NAME among: none"),
    "header alone": (workbook(HEADER), "no rows below its header"),
    "other columns": (
        workbook(("NAME", "URL"), ("a", "b")),
        "no column FILE NAME among: NAME, URL",
    ),
    "entities": (
        with_sheet("&b;", '<!DOCTYPE a [<!ENTITY b SYSTEM "/etc/passwd">]>'),
        "could not read worksheets",  # defusedxml forbids entities
    ),
    "far row": (with_sheet('<row r="9999999999"/>'), "100,000 rows"),
}


@pytest.mark.parametrize(("content", "reason"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_table_that_cannot_be_read_is_a_finding(tmp_path, content, reason):
    (tmp_path / "Normal.metadata.csv").write_bytes(text_table(HEADER, ("n", "", "", "u")))
    rows, (finding,) = read(tmp_path, content=content, classes=("COVID", "Normal"))
    assert rows["name"].to_list() == ["n"], "the table of the other class is read"
    assert (finding.name, finding.level) == ("metadata_unreadable", "warning")
    assert finding.files == ["COVID.metadata.xlsx"]
    assert finding.text.startswith("COVID.metadata.xlsx cannot be read as a table (")
    assert reason in finding.text
    assert "save it as .xlsx or .csv with a column FILE NAME" in finding.remedy


def test_a_bomb_is_a_finding(tmp_path):
    bomb = with_parts(workbook(), {SHEET: " " * 33_000_000})
    assert len(bomb) < 100_000
    _, (finding,) = read(tmp_path, content=bomb)
    assert "33 MB, where 32 MB are allowed" in finding.text


def test_a_bomb_that_hides_its_size_is_a_finding(tmp_path):
    row = f"<row>{text_cell('x' * 100_000)}</row>"
    bomb = with_sheet(row)
    size = len(parts(bomb)[SHEET]).to_bytes(4, "little")
    assert bomb.count(size) == 2
    _, (finding,) = read(tmp_path, content=bomb.replace(size, (90).to_bytes(4, "little")))
    assert finding.name == "metadata_unreadable"


def test_a_file_larger_than_allowed_is_not_opened(tmp_path, monkeypatch):
    monkeypatch.setattr(metadata, "BYTE_LIMIT", 10_000)
    content = text_table(HEADER, *[("a" * 100, "", "", "")] * 200)
    _, (finding,) = read(tmp_path, "COVID.metadata.csv", content)
    assert "MB are allowed" in finding.text


@pytest.mark.parametrize("name", ["COVID.metadata.xlsx", "COVID.metadata.csv"])
def test_reading_stops_at_the_row_limit(tmp_path, monkeypatch, name):
    monkeypatch.setattr(metadata, "ROW_LIMIT", 3)
    make = workbook if name.endswith("xlsx") else text_table
    rows, findings = read(tmp_path, name, make(HEADER, *[("a", "", "", "")] * 2))
    assert (len(rows), findings) == (2, [])
    rows, (finding,) = read(tmp_path, name, make(HEADER, *[("a", "", "", "")] * 3))
    assert rows.empty
    assert "it has more than 3 rows" in finding.text


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(cells, cells, cells, cells), min_size=1, max_size=5))
def test_no_cell_of_a_workbook_raises(rows):
    with tempfile.TemporaryDirectory() as folder:
        read_rows, findings = read(Path(folder), content=workbook(HEADER, *rows))
    assert len(read_rows) <= len(rows)
    assert read_rows.map(lambda cell: isinstance(cell, str)).all(axis=None)
    assert set(found(findings)) <= {"metadata_unreadable"}
    _, findings = match_metadata(read_rows, xrays("COVID/COVID-1.png"))
    assert all(text.isprintable() for _, text, _ in found(findings).values())


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.lists(anything, max_size=5), max_size=5), end=st.binary(max_size=9))
def test_no_text_of_a_csv_raises(rows, end):
    content = text_table(("FILE NAME", "URL"), *rows) + end
    with tempfile.TemporaryDirectory() as folder:
        read_rows, findings = read(Path(folder), "COVID.metadata.csv", content)
    assert read_rows.map(lambda cell: isinstance(cell, str)).all(axis=None)
    assert set(found(findings)) <= {"metadata_unreadable"}


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
        rows, findings = read(Path(folder), content=content)
    assert list(found(findings)) == (["metadata_unreadable"] if rows.empty else [])
    assert all(finding.text.isprintable() for finding in findings)


# Matching


def test_rows_find_their_files_whatever_the_spelling():
    files = xrays("Lung_Opacity/Lung_Opacity-1.png", "Normal/Normal-1.png", "Normal/Normal-10.png")
    files.index = [5, 3, 3]
    rows = table(
        ("Normal", "NORMAL-10", "", "https://c.org"),
        ("Normal", "normal-1.PNG", "", "https://b.org"),
        ("Lung_Opacity", " Lung Opacity-1", "", "https://a.org"),
    )
    sources, findings = match_metadata(rows, files)
    assert sources.to_list() == ["a.org", "b.org", "c.org"]
    assert sources.index.to_list() == [5, 3, 3]
    level, text, spelled = found(findings).pop("metadata_spelling")
    assert len(findings) == 1
    assert level == "note"
    assert text == ("names spelled otherwise in the metadata, such as NORMAL-10 for Normal-10.png")
    assert spelled == files["file"].to_list()[::-1]


def test_names_with_and_without_ending_are_spelled_like_the_file():
    rows = table(("COVID", "a.1", "", "u"), ("COVID", "b.png", "", "u"))
    sources, findings = match_metadata(rows, xrays("COVID/a.1.png", "COVID/b.png"))
    assert sources.to_list() == ["u", "u"]
    assert findings == []


def test_the_exact_name_goes_before_a_like_one():
    files = xrays("COVID/a_1.png", "COVID/a1.png")
    rows = table(("COVID", "a1", "", "second"), ("COVID", "a_1", "", "first"))
    sources, findings = match_metadata(rows, files)
    assert sources.to_list() == ["first", "second"]
    assert findings == []


def test_rows_of_another_class_do_not_match():
    rows = table(("Normal", "COVID-1", "", "u"))
    sources, findings = match_metadata(rows, xrays("COVID/COVID-1.png", "Normal/Normal-1.png"))
    assert sources.to_list() == ["", ""]
    assert found(findings) == {
        "metadata_row_without_file": (
            "warning",
            "rows of the metadata without a file",
            ["COVID-1"],
        ),
        "file_without_metadata_row": (
            "warning",
            "X-rays without a row in the metadata",
            ["Normal/images/Normal-1.png"],
        ),
    }


def test_a_row_without_a_name_names_no_file():
    _, findings = match_metadata(table(("COVID", "\x1b ", "", "u")), xrays())
    assert found(findings)["metadata_row_without_file"][2] == ["(no name)"]


def test_names_listed_twice_are_found_and_the_first_source_counts():
    rows = table(("COVID", "a", "", ""), ("COVID", "A", "", "one"), ("COVID", "a", "", "two"))
    sources, findings = match_metadata(rows, xrays("COVID/a.png"))
    assert sources.to_list() == ["one"]
    assert found(findings)["metadata_name_twice"] == (
        "warning",
        "X-rays with several rows in the metadata",
        ["COVID/images/a.png"],
    )


@pytest.mark.parametrize("said", ["256*256", "256 x 256", "299×300", " 0299 X 256 "])
def test_sizes_that_the_pixels_belie_are_found(said):
    _, findings = match_metadata(table(("COVID", "a", said, "u")), xrays("COVID/a.png"))
    text = f"wrong sizes in the metadata, such as {said.strip()} for 299 × 299 pixels"
    assert found(findings) == {"metadata_wrong_size": ("note", text, ["COVID/images/a.png"])}


@pytest.mark.parametrize("said", ["300*299", "299 × 300", "large", "", "0", "9" * 5000 + "*1"])
def test_right_sizes_and_what_is_no_size_are_not_found(said):
    files = xrays("COVID/a.png", size=(299, 300))
    assert match_metadata(table(("COVID", "a", said, "u")), files)[1] == []


def test_rows_without_a_url_are_found():
    rows = table(("COVID", "a", "", " "), ("COVID", "b", "", "u"))
    sources, findings = match_metadata(rows, xrays("COVID/a.png", "COVID/b.png"))
    assert sources.to_list() == ["", "u"]
    assert found(findings) == {
        "metadata_without_source": ("note", "rows of the metadata without a URL", ["a"])
    }


@pytest.mark.parametrize(
    ("url", "source"),
    [
        ("https://github.com/ieee8023/covid-chestxray-dataset", "github.com/ieee8023"),
        ("https://www.Kaggle.com/c/RSNA-challenge/data", "kaggle.com/c"),
        ("https://data.mendeley.com/datasets/rscbjbr9sj/2", "data.mendeley.com/datasets"),
        (" http://me:word@sirm.org:80//Category/?q#f ", "sirm.org/category"),
        ("www.eurorad.org", "eurorad.org"),
        ("synthetic", "synthetic"),
        ("RSNA 2018", "RSNA 2018"),
        ("http://[", "http://["),
        ("=cmd|'/c calc'!A0", "cmd|'/c calc'!A0"),
        ("red\x1b[31m\u202e\n", "red[31m"),
        ("https://a.org/" + "x" * 200, "a.org/" + "x" * 74),
    ],
)
def test_a_source_is_the_head_of_its_url(url, source):
    sources, _ = match_metadata(table(("COVID", "a", "", url)), xrays("COVID/a.png"))
    assert sources.to_list() == [source]


@settings(max_examples=150, deadline=None)
@given(
    rows=st.lists(st.tuples(st.sampled_from(["COVID", "Normal"]), anything, anything, anything)),
    names=st.lists(anything.filter(lambda name: "/" not in name and name.strip(". ")), unique=True),
)
def test_any_texts_give_a_harmless_source_for_each_file(rows, names):
    files = xrays(*(f"COVID/{name}.png" for name in names))
    sources, findings = match_metadata(table(*rows), files)
    assert len(sources) == len(files)
    for source in sources:
        assert source.isprintable()
        assert len(source) <= 80
        assert not source.startswith(("=", "+", "-", "@"))
    unlisted = found(findings).get("file_without_metadata_row", ("", "", []))[2]
    assert not sources[files["file"].isin(unlisted).to_numpy()].any()
    assert all(finding.text.isprintable() for finding in findings)


@settings(max_examples=50, deadline=None)
@given(numbers=st.lists(st.integers(1, 99), unique=True, min_size=1), order=st.randoms())
def test_a_complete_table_in_any_order_gives_every_file_its_source(numbers, order):
    files = xrays(*(f"Viral Pneumonia/Viral Pneumonia-{number}.png" for number in numbers))
    rows = [
        ("Viral Pneumonia", f"VIRAL_PNEUMONIA-{number}", "299*299", f"https://{number}.org")
        for number in numbers
    ]
    order.shuffle(rows)
    sources, findings = match_metadata(table(*rows), files)
    assert sources.to_list() == [f"{number}.org" for number in numbers]
    assert list(found(findings)) == ["metadata_spelling"]


# Sources and classes


def test_the_source_table_counts_sources_by_class():
    counts = source_table(index(COVID="aab ", Normal="b"))
    assert counts.to_dict("index") == {
        "a": {"COVID": 2, "Normal": 0},
        "b": {"COVID": 1, "Normal": 1},
        "unknown": {"COVID": 1, "Normal": 0},
    }


def test_sources_of_one_class_each_tell_the_class():
    finding = confounding_finding(index(COVID="aab ", Normal="ccd "), "COVID")
    assert (finding.name, finding.level) == ("source_tells_class", "warning")
    assert finding.text == (
        "no source has both COVID and another class, "
        "so a detector can learn the source in place of the disease"
    )
    assert finding.files == ["a", "b"]
    assert "another hospital" in finding.remedy
    assert "notebook on shortcuts" in finding.remedy


def test_nine_in_ten_from_pure_sources_are_a_warning_with_the_share():
    finding = confounding_finding(index(COVID="a" * 9 + "b", Normal="bc"), "COVID")
    assert finding.text.startswith(
        "9 of 10 (90 %) of the X-rays of COVID come from sources without another class, so"
    )
    assert finding.files == ["a"]
    assert confounding_finding(index(COVID="a" * 8 + "b", Normal="bc"), "COVID") is None


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
def test_where_nothing_can_be_told_there_is_no_finding(classes):
    assert confounding_finding(index(**classes), "COVID") is None


# Real data


def test_the_real_tables_name_every_source_and_the_sources_tell_the_class(real_sets):
    data_set = real_sets["COVID-19_Radiography_Dataset"]
    paths = sorted(data_set.root.glob("*/images/*.png"))
    files = xrays(*(f"{path.parts[-3]}/{path.name}" for path in paths))
    rows, unreadable = read_metadata(data_set.root, data_set.classes)
    sources, findings = match_metadata(rows, files)
    assert unreadable == []
    assert len(rows) == len(files) == 1605
    assert {name: len(entry[2]) for name, entry in found(findings).items()} == {
        "metadata_spelling": 579,
        "metadata_wrong_size": 1605,
    }
    sourced = files.assign(source=sources)
    other, own = "data.mendeley.com/datasets", "github.com/ieee8023"
    assert source_table(sourced)["COVID"].to_dict() == {other: 0, own: 256}
    assert confounding_finding(sourced, "COVID").files == [own]
    shenzhen = real_sets["shenzhen"]
    assert read_metadata(shenzhen.root, shenzhen.classes)[0].empty

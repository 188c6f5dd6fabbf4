from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.split.groups import describe_groups, merge_groups, read_groups
from tests.support.builders import refused

FILES = [
    "COVID/images/COVID-1.png",
    "COVID/images/COVID-2.png",
    "COVID/images/both.png",
    "Normal/images/Normal-1.png",
    "Normal/images/NA.jpeg",
    "Normal/images/both.png",
    "Normal/images/é, b.v2.png",
]
few = settings(max_examples=60, deadline=None)


def table_of(files: list[str] = FILES, copy_of: list[str] | None = None) -> pd.DataFrame:
    return pd.DataFrame({"file": files, "copy_of": copy_of or files})


def write_groups(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / "patients.csv"
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


def groups_of(folder: Path, *lines: str, encoding: str = "utf-8") -> dict[str, str]:
    """Return the groups that a file of these lines gives, without the X-rays that get none."""
    groups = read_groups(write_groups(folder, *lines, encoding=encoding), table_of())
    return {file: group for file, group in zip(FILES, groups, strict=True) if group}


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("COVID/images/COVID-1.png", FILES[0]),
        (r"COVID\images\COVID-1.png", FILES[0]),
        ("./COVID/images/COVID-1.png", FILES[0]),
        ("COVID-1.png", FILES[0]),
        ("COVID-1", FILES[0]),
        (" COVID-1 ", FILES[0]),
        ("Normal/images/both.png", FILES[5]),
        ("NA", FILES[4]),
        ('"é, b.v2"', FILES[6]),
        ('"e\u0301, b.v2.png"', FILES[6]),  # as macOS may write the same letter
    ],
)
def test_the_ways_to_name_an_xray(tmp_path, name, file):
    assert groups_of(tmp_path, "file,group", f"{name},P1") == {file: "P1"}


@pytest.mark.parametrize("name", ["OVID-1", "covid-1.png", "images/COVID-1.png", ""])
def test_what_names_no_xray(tmp_path, name):
    assert groups_of(tmp_path, "file,group", f"{name},P1", "COVID-2,P2") == {FILES[1]: "P2"}


def test_groups_stand_beside_their_rows(tmp_path):
    index = table_of().iloc[[3, 0, 1]]
    path = write_groups(tmp_path, "file,group", "COVID-1,P1", "Normal-1,P3")
    groups = read_groups(path, index)
    assert groups.to_dict() == {3: "P3", 0: "P1", 1: ""}


@pytest.mark.parametrize("end", ["", "\r"])
def test_other_columns_blanks_line_ends_and_a_byte_order_mark_do_no_harm(tmp_path, end):
    lines = ["file, group,x", "", "COVID-1,  P1 ,", "COVID-2,,AP", "AP", "NA,NA,1,9"]
    found = groups_of(tmp_path, *(line + end for line in lines), encoding="utf-8-sig")
    assert found == {FILES[0]: "P1", FILES[4]: "NA"}


def test_groups_that_share_an_xray_become_one(tmp_path):
    """One and two by COVID-2, two and three by Normal-1; the fourth stays alone."""
    rows = ["COVID-1,three", "Normal-1,three", "Normal-1,two", "COVID-2,two", "COVID-2,one", "NA,4"]
    one = dict.fromkeys([FILES[0], FILES[1], FILES[3]], "one")
    assert groups_of(tmp_path, "file,group", *rows) == one | {FILES[4]: "4"}
    assert groups_of(tmp_path, "file,group", *rows[::-1]) == one | {FILES[4]: "4"}


def test_a_base_name_of_two_xrays_is_refused(tmp_path):
    candidates = "'both' may be COVID/images/both.png or Normal/images/both.png"
    with refused("patients.csv, line 4", candidates, "Give the path"):
        groups_of(tmp_path, "file,group", "COVID-1,P1", "", "both,P2")


@pytest.mark.parametrize("name", ["patients.csv", ""], ids=["missing", "folder"])
def test_what_is_no_file_is_refused(tmp_path, name):
    with refused(name, "cannot be read (", "Give a .csv file"):
        read_groups(tmp_path / name, table_of())


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04\xff\xfe", "file,group\nä,1".encode("latin-1"), b"file,group\n" + b"x" * 200_000],
    ids=["archive", "latin", "endless field"],
)
def test_what_is_no_table_is_refused(tmp_path, content):
    (tmp_path / "patients.csv").write_bytes(content)
    with refused("patients.csv", "no table", "Save it as comma-separated UTF-8"):
        read_groups(tmp_path / "patients.csv", table_of())


@pytest.mark.parametrize(
    ("header", "missing"),
    [("file;group", "file"), ("file,patient", "group"), ("File,group", "file"), ("", "file")],
)
def test_a_missing_column_is_refused(tmp_path, header, missing):
    with refused("patients.csv", f"no column '{missing}'", "with the columns file,group"):
        groups_of(tmp_path, header, "COVID-1,P1")


@pytest.mark.parametrize("row", ["other-1.png,P1", "COVID-1,", ""])
def test_a_file_that_groups_nothing_is_refused(tmp_path, row):
    with refused("patients.csv", "gives no X-ray of this data set a group", FILES[0]):
        groups_of(tmp_path, "file,group", row)


def test_groups_are_described():
    groups = pd.Series(["P1", "P1", "P2", "", "", "", ""])
    assert describe_groups(groups) == "3 of 7 X-rays are in 2 groups"


def test_copies_and_groups_chain():
    """d is a copy of b, which shares a patient with e; f and c share one, and a is alone."""
    index = table_of(list("fedcba"), copy_of=list("febcba"))
    groups = pd.Series(["Q", "P", "", "Q", "P", ""])
    assert list(merge_groups(index, groups)) == ["c", "b", "b", "c", "b", "a"]


def test_patients_whom_file_names_tell_are_tied():
    """b is a copy of d and of the patient of c; the groups file's Q is another than patient Q."""
    index = table_of(list("abcdef"), copy_of=list("abcbef")).assign(patient=["", *"QQRS", ""])
    groups = pd.Series(["Q", "", "", "", "", "Q"])
    assert list(merge_groups(index)) == list("abbbef")
    assert list(merge_groups(index, groups)) == list("abbbea")
    mixed = index.sample(frac=1, random_state=2)
    assert merge_groups(mixed, groups).sort_index().equals(merge_groups(index, groups))


def test_a_long_chain_is_followed_to_its_end():
    files = [f"{number:05}" for number in range(20_000)]
    index = table_of(files, copy_of=[files[0], *files[:-1]])
    assert set(merge_groups(index)) == {"00000"}
    assert set(merge_groups(index.iloc[::-1])) == {"00000"}


@few
@given(names=st.lists(st.sampled_from(["", *"PQRST"]), min_size=1, max_size=30))
def test_xrays_of_equal_names_and_no_others_are_merged(names):
    files = [f"{number:02}" for number in range(len(names))]
    merged = merge_groups(table_of(files), pd.Series(names))
    expected = [files[names.index(name)] if name else files[row] for row, name in enumerate(names)]
    assert list(merged) == expected

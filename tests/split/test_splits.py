import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.split.splits import FRACTIONS, assign_splits, divided_groups, write_split
from helpers.storage.errors import CovidLungsError
from tests.support.builders import refused
from tests.support.indexes import as_mapping, grouped_tables, index_tables, patients_of, table_of

pytestmark = pytest.mark.usefixtures("runs")
seeds = st.integers(0, 2**31 - 1)
few = settings(max_examples=60, deadline=None)


def relabel(table: pd.DataFrame, patients: pd.Series) -> list[str]:
    """Return each row's group by the plainest way: the smaller label wins until none changes."""
    names = [set(row) - {""} for row in zip(table["file"], table["copy_of"], patients, strict=True)]
    pairs = [
        (one, two) for one in range(len(names)) for two in range(one) if names[one] & names[two]
    ]
    labels, before = list(table["file"]), None
    while labels != before:
        before = list(labels)
        for one, two in pairs:
            labels[one] = labels[two] = min(labels[one], labels[two])
    return labels


@few
@given(table=index_tables(), seed=seeds)
def test_rows_groups_and_classes(table, seed):
    split = assign_splits(table, seed)
    assert list(split.columns) == ["file", "class", "group", "split", "hash"]
    assert split[["file", "class"]].equals(table[["file", "class"]])
    assert (split.groupby("group")["split"].nunique() == 1).all(), "no group is in two splits"
    assert (split.groupby("class")["split"].nunique() == 3).all(), "every class is in every split"
    assert set(split["split"]) == set(FRACTIONS)


@few
@given(table=index_tables(), seed=seeds)
def test_fractions_are_met_to_within_a_group(table, seed):
    split = assign_splits(table, seed)
    for _, members in split.groupby("class"):
        sizes = members["group"].value_counts()
        found = members["split"].value_counts()
        # With fewer than ten groups, one for each split is more than its fraction.
        for name in ("validation", "test"):
            assert abs(found[name] - FRACTIONS[name] * len(members)) <= sizes.max()
        assert abs(found["train"] - FRACTIONS["train"] * len(members)) <= 2 * sizes.max()


@few
@given(count=st.integers(10, 400), seed=seeds)
def test_without_copies_fractions_are_met_to_within_one_xray(count, seed):
    table = table_of([(f"A/images/{number}.png", "A", str(number)) for number in range(count)])
    found = assign_splits(table, seed)["split"].value_counts()
    for name, fraction in FRACTIONS.items():
        assert abs(found[name] - fraction * count) < 1


@settings(max_examples=1000, deadline=None)
@given(drawn=grouped_tables(), seed=seeds)
def test_no_group_is_in_two_splits(drawn, seed):
    table, patients = drawn
    groups = relabel(table, patients)
    try:
        split = assign_splits(table, seed, patients)
    except CovidLungsError as error:
        assert "too few" in str(error)
        assert spare_groups(table, groups) < 2
        return
    assert list(split["group"]) == groups
    assert len(set(zip(groups, split["split"], strict=True))) == len(set(groups))
    assert len(split[["class", "split"]].drop_duplicates()) == 3 * split["class"].nunique()
    assert divided_groups(split.assign(group=patients)[patients != ""]).empty


def spare_groups(table: pd.DataFrame, groups: list[str]) -> int:
    """Return how many groups of its own the poorest class has; none if it has fewer than three.

    Two of them can always fill the splits that the groups it shares with others leave empty.
    """
    held = pd.crosstab(np.array(groups), table["class"]) > 0
    own = held[held.sum(axis=1) == 1]
    return int(own.sum().where(held.sum() >= 3, 0).min())


@few
@given(drawn=grouped_tables(), seed=seeds, shuffle=st.integers(0, 1000))
def test_the_order_of_rows_does_not_matter_to_groups_across_classes(drawn, seed, shuffle):
    table, patients = drawn
    mixed = table.sample(frac=1, random_state=shuffle)
    try:
        first = assign_splits(table, seed, patients)
    except CovidLungsError as error:
        with pytest.raises(CovidLungsError, match=str(error).split(".")[0]):
            assign_splits(mixed, seed, patients[mixed.index])
        return
    second = assign_splits(mixed, seed, patients[mixed.index])
    pd.testing.assert_frame_equal(second.sort_index(), first)


@few
@given(data=st.data(), seed=seeds)
def test_groups_across_classes_leave_fractions_within_a_group(data, seed):
    """Patients with X-rays of two classes hold up to half of them."""
    rows, patients = [], []
    for name in "AB":
        for patient in range(data.draw(st.integers(10, 30))):
            patients += [f"{name}{patient}"] * data.draw(st.integers(1, 4))
        rows += [name] * (len(patients) - len(rows))
    for patient in range(data.draw(st.integers(0, 5))):
        held = "A" * data.draw(st.integers(1, 2)) + "B" * data.draw(st.integers(1, 2))
        rows += held
        patients += [f"AB{patient}"] * len(held)
    table = table_of([(f"{name}/{row}", name, str(row)) for row, name in enumerate(rows)])
    split = assign_splits(table, seed, pd.Series(patients))
    for _, members in split.groupby("class"):
        found, largest = members["split"].value_counts(), members["group"].value_counts().max()
        for name, fraction in FRACTIONS.items():
            assert abs(found[name] - fraction * len(members)) <= largest


def test_groups_of_several_classes_come_first():
    """Largest first, A and C or B and C would each be left with another split to fill: refused."""
    held = ["A" * 3, "A" * 3, "B" * 3, "B" * 3, "C" * 3, "C" * 3, "AC", "BC"]
    table, patients = patients_of(held)
    split = assign_splits(table, 7, patients)
    assert (split.groupby("class")["split"].nunique() == 3).all()


def test_a_group_counts_by_how_much_of_each_class_it_holds():
    """Training has its 32 of A with the first patient; that it lacks B's weighs less than A's."""
    table, patients = patients_of(["A" * 32 + "B", "AAB", "AAB", "AAB", "AAB"])
    split = assign_splits(table, 7, patients)
    found = split.loc[split["class"] == "A", "split"].value_counts()
    assert found.to_dict() == {"train": 32, "validation": 4, "test": 4}


def test_another_seed_gives_another_split():
    table = table_of([(f"A/images/{number}.png", "A", str(number)) for number in range(30)])
    assert len({tuple(assign_splits(table, seed)["split"]) for seed in range(10)}) == 10


def test_a_pinned_table():
    """Ten X-rays, two of them copies of `b`; another way to split must not go unnoticed."""
    pixels = zip("abcdefghij", "abcdefghbb", strict=True)
    table = table_of([(file, "toy", pixel) for file, pixel in pixels])
    # b, of three, is more than a tenth: training lacks most of it. Then, by lot, c and e come to
    # the parts that still lack all, and a f d h g to those of training.
    expected = dict.fromkeys("bijafdhg", "train") | {"c": "test", "e": "validation"}
    assert as_mapping(assign_splits(table, seed=7)) == expected


@pytest.mark.parametrize("patients", ["ABABABABA", "PPPPQQQQQ"])
@pytest.mark.parametrize("copied", [True, False])
def test_a_class_of_too_few_groups_is_refused(patients, copied):
    patients = pd.Series(list(patients))
    rows = [
        (f"A/images/{row}.png", "A", name if copied else str(row)) for row, name in patients.items()
    ]
    with refused(
        "A: 2 distinct X-rays or groups", "are too few", "at least 3 a class that no group"
    ):
        assign_splits(table_of(rows), 7, None if copied else patients)


GOLDEN = "3bf386a208d86f84302d4a507ac6d110881309fe0c37c03f304862c5a0b2d3be"


def golden_table() -> tuple[pd.DataFrame, pd.Series]:
    """Return an index of four classes with odd names and copies, and patients across classes."""
    names = ["ä, b", "a\u0308", "Ж 1", "肺", 'q"u', "😀", "z", "Z", "10", "9", "é", "_", "-", "'"]
    names += ["x y"]
    classes = ["COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"]
    rows = [
        (f"{name}/images/{stem}.png", name, f"{name}-{min(number, 11)}" if number % 2 else stem)
        for name in classes
        for number, stem in enumerate(names)
    ]
    patients = [("", "", f"P{row % 7}")[row % 3] if row > 30 else "" for row in range(len(rows))]
    return table_of(rows), pd.Series(patients)


def test_the_bytes_of_a_golden_split(runs):
    """Equal on Python 3.11 and 3.13, and on every system: a new digest is another split."""
    runs.mkdir()
    table, patients = golden_table()
    path = write_split(runs, assign_splits(table, 7, patients))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == GOLDEN
    mixed = table.sample(frac=1, random_state=1)
    write_split(runs, assign_splits(mixed, 7, patients))
    assert hashlib.sha256(path.read_bytes()).hexdigest() == GOLDEN


def test_the_hash_of_a_pinned_row():
    """What sha256sum says too of `["a", "toy", "a", "train", "1", "m1"]`."""
    split = assign_splits(table_of([(file, "toy", str(row)) for row, file in enumerate("bacd")]), 7)
    row = split.iloc[1]
    text = json.dumps([*row[["file", "class", "group", "split"]], "1", "m1"])
    assert row["hash"] == hashlib.sha256(text.encode()).hexdigest()[:16]

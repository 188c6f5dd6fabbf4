"""A data set's own split, which is kept as it is."""

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.split.groups import merge_groups, read_groups
from helpers.split.index import build_index, read_index, write_index
from helpers.split.splits import (
    assign_splits,
    check_way,
    divided_groups,
    keep_published,
    read_split,
    write_split,
)
from tests.support.builders import make_data_set, make_qata, make_qu_ex, refused
from tests.support.indexes import table_of

seeds = st.integers(0, 2**31 - 1)


def published(splits: list[str], classes: str = "A") -> pd.DataFrame:
    """Return an index of X-rays of each class with the splits given, one after the other."""
    rows = [(name, split) for name in classes for split in splits]
    table = table_of([(f"{row:03}", name, str(row)) for row, (name, _) in enumerate(rows)])
    return table.assign(published_split=[split for _, split in rows], patient="")


@st.composite
def published_tables(draw) -> pd.DataFrame:
    """Indexes of two classes in training and test, with patients, perhaps on both sides."""
    parts = draw(st.lists(st.sampled_from(["train", "train", "train", "test"]), max_size=60))
    table = published([*["train"] * 8, "test", *parts], "AB")
    names = [f"{name}{row // 3}" for row, name in enumerate(table["class"])]
    chosen = draw(st.lists(st.booleans(), min_size=len(table), max_size=len(table)))
    return table.assign(
        patient=[name if one else "" for name, one in zip(names, chosen, strict=True)]
    )


@settings(max_examples=60, deadline=None)
@given(table=published_tables(), seed=seeds, shuffle=st.integers(0, 1000))
def test_validation_is_drawn_by_group_from_the_training_part(table, seed, shuffle):
    split = keep_published(table, seed)
    assert list(split.columns) == ["file", "class", "group", "split", "hash"]
    assert list(split["group"]) == list(merge_groups(table))
    test = table["published_split"] == "test"
    assert (split["split"] == "test").equals(test)
    training = split[~test]
    assert divided_groups(training).empty, "no patient trains and validates"
    for _, members in training.groupby("class"):
        largest = members["group"].value_counts().max()
        count = (members["split"] == "validation").sum()
        assert count and abs(count - len(members) / 9) <= largest
    mixed = keep_published(table.sample(frac=1, random_state=shuffle), seed)
    pd.testing.assert_frame_equal(mixed.sort_index(), split)


def test_a_whole_published_split_is_kept_to_the_row():
    table = published(["test", "train", "validation", "train", "validation"], "AB")
    split = keep_published(table, 7)
    assert list(split["split"]) == list(table["published_split"])
    assert list(keep_published(table, 8)["split"]) == list(table["published_split"])


def test_a_group_that_the_published_split_divides_keeps_one_name():
    table = published(["train", "validation", "test"]).assign(patient=["p", "", "p"])
    split = keep_published(table, 7)
    assert list(split["group"]) == ["000", "001", "000"]
    assert list(split["split"]) == ["train", "validation", "test"]
    groups = pd.Series(["", "g", "g"])
    assert list(keep_published(table, 7, groups)["group"]) == ["000"] * 3


def test_hashes_and_file_are_those_of_any_split(tmp_path, runs):
    data_set = make_data_set(tmp_path / "tiny")
    folder = runs / "a"
    folder.mkdir(parents=True)
    write_index(folder, *build_index(data_set))
    index = read_index(folder, data_set)
    drawn = assign_splits(index, 3)
    kept = keep_published(index.assign(published_split=drawn["split"]), 7)
    pd.testing.assert_frame_equal(kept, drawn)
    write_split(folder, kept)
    assert list(read_split(folder, data_set)["split"]) == list(drawn["split"])


@pytest.fixture(scope="module")
def qata(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The index of a drawn QaTa-COV19, with both of its sets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVID_LUNGS_CACHE", str(tmp_path_factory.mktemp("cache")))
        return build_index(make_qata(tmp_path_factory.mktemp("qata")))[0]


def test_the_validation_part_of_qata_is_drawn_by_patient(qata):
    split = keep_published(qata, 7)
    assert split["split"].value_counts().to_dict() == {"train": 14, "validation": 2, "test": 4}
    assert (split["split"] == "test").equals(qata["published_split"] == "test")
    assert divided_groups(split).empty
    named = qata["patient"] != ""
    patients = qata["patient"][named]
    assert patients.nunique() < len(patients)
    assert split["group"][named].nunique() == patients.nunique()


def test_patients_in_qata_s_names_and_in_a_groups_file_are_joined(qata, tmp_path):
    """A file ties an X-ray without a patient in its name to all X-rays of a patient."""
    train = qata[qata["published_split"] == "train"]
    first, second = (Path(file).stem for file in train.loc[train["patient"] == "", "file"][:2])
    patient = train["patient"].max()
    tied = Path(train.loc[train["patient"] == patient, "file"].iloc[0]).name
    path = tmp_path / "patients.csv"
    path.write_text(f"file,group\n{first},A\n{tied},A\n{second},B\n")
    groups = read_groups(path, qata)
    whole = qata["file"].str.contains(f"{first}.png", regex=False) | (qata["patient"] == patient)
    for seed in range(5):
        for split in (keep_published(qata, seed, groups), assign_splits(qata, seed, groups)):
            assert divided_groups(split).empty
            assert (split["group"] == split["group"][whole].iloc[0]).equals(whole)
    assert whole.sum() == 3


def test_the_published_split_of_covid_qu_ex_is_kept_healthy_xrays_included(cache, tmp_path):
    index, _ = build_index(make_qu_ex(tmp_path / "qu", 1))
    split = keep_published(index, 7)
    places = {"Train": "train", "Val": "validation", "Test": "test"}
    assert split["split"].tolist() == [places[file.split("/")[0]] for file in split["file"]]
    assert pd.crosstab(split["class"], split["split"]).to_numpy().tolist() == [[1] * 3] * 3


@pytest.mark.parametrize(
    ("splits", "fault"),
    [
        ([""] * 4, "does not name the split of every X-ray"),
        (["train", "", "Test", "test"], "does not name the split of every X-ray"),
        (["train", "train", "validation"], "A has no X-ray in the split 'test'"),
        (["validation", "test"], "A has no X-ray in the split 'train'"),
        (["train", "test"], "A has no X-ray in the split"),
        (["test"], "A has no X-ray in the split"),
    ],
)
def test_what_is_no_whole_split_is_refused(splits, fault):
    with refused("split 'published'", fault, "Leave out --split"):
        keep_published(published(splits), 7)


def test_another_way_to_split_is_refused():
    with refused("split 'Drawn'", "choose drawn", "or published"):
        check_way("Drawn")

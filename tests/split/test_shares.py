"""Whether a split is a fair sample: its shares of each class and of X-rays with relatives."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.sources import find_data
from helpers.split.groups import read_groups
from helpers.split.index import build_index
from helpers.split.splits import FRACTIONS, assign_splits, divided_groups, share_table
from tests.support.indexes import patients_of, table_of

seeds = st.integers(0, 2**31 - 1)
few = settings(max_examples=25, deadline=None)


def shares_of(split: pd.DataFrame) -> pd.DataFrame:
    """Return the share of each split's X-rays, in points, of each class and of those in company."""
    company = split["group"].map(split["group"].value_counts()) > 1
    table = pd.get_dummies(split["class"]).assign(company=company)
    return 100 * table.groupby(split["split"]).mean()


def spread(shares: pd.DataFrame) -> pd.Series:
    """Return how many points lie between the splits with the most and the least of something."""
    return shares.max() - shares.min()


def draw_patients(seed: int, classes: int, patients: int) -> tuple[pd.DataFrame, pd.Series]:
    """Return an index of so many patients of each class, of one to six X-rays, in any order."""
    rng = np.random.default_rng(seed)
    several = rng.uniform(0.1, 0.6)  # of how many patients there are several X-rays
    held = []
    for name in "ABCD"[:classes]:
        sizes = np.where(rng.random(patients) < several, rng.integers(2, 7, patients), 1)
        held += [name * size for size in sizes]
    table, names = patients_of(held)
    return table.sample(frac=1, random_state=seed), names


@few
@given(seed=seeds, classes=st.integers(1, 4), patients=st.integers(60, 150))
def test_each_split_has_its_share_of_xrays_with_relatives(seed, classes, patients):
    """In each class to within a group."""
    table, names = draw_patients(seed, classes, patients)
    split = assign_splits(table, seed, names)
    related = split[split["group"].duplicated(keep=False)]
    for _, members in related.groupby("class"):
        largest = members["group"].value_counts().max()
        found = members["split"].value_counts().reindex(FRACTIONS, fill_value=0)
        for name in ("validation", "test"):
            assert abs(found[name] - FRACTIONS[name] * len(members)) <= largest
        assert abs(found["train"] - FRACTIONS["train"] * len(members)) <= 2 * largest


@few
@given(seed=seeds, classes=st.integers(1, 4))
def test_the_splits_are_alike(seed, classes):
    table, names = draw_patients(seed, classes, 400)
    found = spread(shares_of(assign_splits(table, seed, names)))
    assert found["company"] <= 5
    assert found.drop("company").max() <= 2


def test_no_split_gets_the_largest_group_systematically():
    """Of 300 seeds a tenth gives it to the test split, but for luck: four standard deviations."""
    table, patients = patients_of(["A" * 5, *["AA"] * 10, *["A"] * 50])
    found = [assign_splits(table, seed, patients)["split"].iloc[0] for seed in range(300)]
    for name, fraction in FRACTIONS.items():
        deviation = (300 * fraction * (1 - fraction)) ** 0.5
        assert abs(found.count(name) - 300 * fraction) <= 4 * deviation


@pytest.mark.parametrize("seed", range(5))
def test_groups_are_shared_out_like_single_xrays(seed):
    """Ten pairs and ten single X-rays: of each, one for validation and one for the test."""
    table, patients = patients_of([*["AA"] * 10, *["A"] * 10])
    split = assign_splits(table, seed, patients)
    assert pd.Series(split["split"][:20]).value_counts().to_dict() == {
        "train": 16,
        "validation": 2,
        "test": 2,
    }
    assert split["split"].value_counts().to_dict() == {"train": 24, "validation": 3, "test": 3}


@pytest.mark.parametrize("seed", range(5))
def test_a_group_larger_than_a_tenth_leaves_the_others_their_share(seed):
    """A test split of one patient would tell of nobody else, so that training has all of five."""
    split = assign_splits(
        table_of([(f"{row:02}", "A", str(max(row, 4))) for row in range(20)]), seed
    )
    assert set(split["split"][:5]) == {"train"}
    assert split["split"].value_counts().to_dict() == {"train": 16, "validation": 2, "test": 2}


def test_groups_all_larger_than_a_tenth_are_shared_out():
    """Eight of ten X-rays and ten single ones: training has seven of the eight."""
    table, patients = patients_of([*["A" * 10] * 8, *["A"] * 10])
    found = assign_splits(table, 7, patients)["split"].value_counts()
    assert 70 <= found["train"] <= 74
    assert 8 <= found["validation"] <= 10
    assert 8 <= found["test"] <= 10


def test_the_table_of_shares():
    classes = ["A", "A", "B", "A", "B", "B", "A", "with relatives"]
    parts = ["train"] * 3 + ["validation"] + ["test"] * 4
    table = share_table(pd.DataFrame({"class": classes, "group": list("ppqrsstu"), "split": parts}))
    assert list(table.columns) == ["train", "validation", "test"]
    assert list(table.index) == ["A", "B", "with relatives", "with relatives"]
    assert table.to_numpy().tolist() == [
        ["66.7%", "100.0%", "25.0%"],
        ["33.3%", "0.0%", "50.0%"],
        ["0.0%", "0.0%", "25.0%"],
        ["66.7%", "0.0%", "50.0%"],
    ]


@pytest.mark.parametrize("seed", range(5))
def test_the_demo_s_splits_are_alike(seed):
    """An X-ray is 2.5 points of a test split of 40."""
    index, _ = build_index(find_data("demo"))
    found = spread(shares_of(assign_splits(index, seed)))
    assert found["company"] <= 5
    assert found.drop("company").max() <= 2


@pytest.mark.parametrize("seed", range(5))
def test_the_splits_of_real_patients_are_alike(real_indexes, real_data, tmp_path, seed):
    index, _ = real_indexes["COVID-19_Radiography_Dataset"]
    sample = pd.read_csv(real_data / "radiography_sample.csv", dtype=str)
    path = tmp_path / "patients.csv"
    sample.rename(columns={"patient": "group"}).to_csv(path, index=False)
    patients = read_groups(path, index)
    split = assign_splits(index, seed, patients)
    found = spread(shares_of(split))
    assert found["company"] <= 5
    assert found.drop("company").max() <= 2
    assert divided_groups(split).empty
    blind = assign_splits(index, seed).assign(group=patients)
    assert len(divided_groups(blind[patients != ""])) > 0

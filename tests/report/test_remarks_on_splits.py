"""Remarks on splits: each sentence follows the data."""

import pandas as pd

from helpers.data.sources import find_data
from helpers.report import remarks
from helpers.split.index import build_index
from helpers.split.splits import assign_splits

TABLE = pd.DataFrame(
    {
        "file": list("abcdefgh"),
        "copy_of": list("aaaadegg"),
        "pixels": list("11234566"),
    }
)


def test_leaks_are_a_share_of_the_test_split():
    split = TABLE.assign(split=["test"] * 5 + ["train"] * 3)
    sentence = remarks.remark_on_leaks(split, TABLE[:2], TABLE["copy_of"])
    assert "2 of 5 test X-rays have a relative in training: 40.0%" in sentence
    assert "Of all X-rays 75.0% have relatives" in sentence
    assert "no split can leak" in remarks.remark_on_leaks(split, TABLE[:0], TABLE["file"])


def test_a_gap_of_less_than_a_group_is_told_from_a_larger_one():
    """Eight of twenty X-rays are pairs: a test split of five has a fair share of two."""
    split = pd.DataFrame({"class": "A", "group": list("aabbccdd") + list(range(12))})
    names = ["train"] * 6 + ["test"] * 2 + ["train"] * 9 + ["test"] * 3
    even = remarks.remark_on_shares(split.assign(split=names))
    assert "40.0% of all" in even
    assert "The fair share of the split test is 2.0 of these X-rays; it has 2.\n" in even
    assert "no split is more than 0.0 X-rays" in even
    assert "has up to 2." in even
    names = ["test"] * 4 + ["train"] * 15 + ["test"]
    uneven = remarks.remark_on_shares(split.assign(split=names))
    assert "is 2.0 of these X-rays; it has 4.\n" in uneven
    assert "A class is off by 2.0 X-rays, and the largest group has 2: these groups" in uneven
    assert "No X-ray has a relative" in remarks.remark_on_shares(split[8:].assign(split="test"))


def test_the_share_of_the_demo_s_test_split_is_off_by_less_than_a_group():
    table, _ = build_index(find_data("demo"))
    assert "Class by class, no split is more than" in remarks.remark_on_shares(
        assign_splits(table, 7)
    )


def test_the_class_that_a_split_holds_least_fairly_is_named():
    split = pd.DataFrame({"class": list("AAAAAABBBB"), "split": ["train"] * 8 + ["test"] * 2})
    sentence = remarks.remark_on_split(split)
    assert "80.0% of the X-rays are for training" in sentence
    assert "by at most 60.0 percentage points (A in test)" in sentence
    even = pd.DataFrame({"class": list("ABAB"), "split": ["train"] * 2 + ["test"] * 2})
    assert "the same share in all splits" in remarks.remark_on_split(even)

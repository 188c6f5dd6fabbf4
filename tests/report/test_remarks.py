"""Remarks: each sentence follows the data."""

import numpy as np
import pandas as pd
import pytest

from helpers.data.sources import find_data
from helpers.report import remarks
from helpers.split.index import build_index

TABLE = pd.DataFrame(
    {
        "file": list("abcdefgh"),
        "copy_of": list("aaaadegg"),
        "pixels": list("11234566"),
    }
)
LABELS = np.array([1, 1, 0, 0, 0])


def test_guessing_the_larger_side_is_right_as_often_as_it_is_large():
    counts = {"COVID": 30, "Normal": 60, "Viral Pneumonia": 10}
    sentence = remarks.remark_on_classes(counts)
    assert "Normal has 6.0 times as many X-rays as Viral Pneumonia" in sentence
    assert "30.0% of all are COVID: whoever always answers “no”" in sentence
    assert "right in 70.0% of cases" in sentence
    assert "“yes”" in remarks.remark_on_classes({"COVID": 60, "Normal": 40})
    assert "COVID" not in remarks.remark_on_classes({"Normal": 5, "Tuberculosis": 5})
    assert "of one class, Normal" in remarks.remark_on_classes({"Normal": 5})


def test_counts_of_copies_add_up():
    """a = b by pixels, altered in c and d; g = h by pixels; e and f stand alone."""
    sentence = remarks.remark_on_copies(TABLE)
    assert "6 of 8 X-rays have a copy.\nThey are 2 families" in sentence
    assert "All but one of each family, 4 in all, are superfluous" in sentence
    assert (
        "4 with a copy of equal pixels + 3 with an altered copy − 1 in both lists = 6" in sentence
    )
    assert "They are 1 family, each" in remarks.remark_on_copies(TABLE[:4])
    alone = TABLE.assign(copy_of=TABLE["file"], pixels=TABLE["file"])
    assert "None of the 8 X-rays is a copy" in remarks.remark_on_copies(alone)


def test_copies_are_counted_as_the_audit_counts_them():
    table, audit = build_index(find_data("demo"))
    counts = {finding["name"]: finding["count"] for finding in audit["findings"]}
    exact, near = counts["exact_copies"], counts["near_copies"]
    sentence = remarks.remark_on_copies(table)
    assert f"{exact} with a copy of equal pixels + {near} with an altered copy" in sentence


def test_leaks_are_a_share_of_the_test_split():
    split = TABLE.assign(split=["test"] * 5 + ["train"] * 3)
    sentence = remarks.remark_on_leaks(split, TABLE[:2], TABLE["copy_of"])
    assert "2 of 5 test X-rays have a relative in training: 40.0%" in sentence
    assert "Of all X-rays 75.0% have relatives" in sentence
    assert "no split can leak" in remarks.remark_on_leaks(split, TABLE[:0], TABLE["file"])


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ([0.6, 0.6, 0.8], "up to epoch 2 is 0.600"),
        ([0.6, 0.8, 0.6], "up to epoch 1 is 0.600"),
        ([0.8, 0.6, 0.8], "From the first epoch on"),
    ],
)
def test_epochs_that_predict_the_larger_class_only_are_counted(accuracies, expected):
    history = pd.DataFrame({"epoch": [1, 2, 3], "val_accuracy": accuracies})
    assert expected in remarks.remark_on_majority(history, LABELS)


def test_a_source_that_gave_only_covid_is_told_from_one_that_gave_both():
    counts = pd.DataFrame({"COVID": [30, 10, 0, 7], "Normal": [0, 5, 9, 0]})
    counts.index = ["Hannover", "Madrid", "Bethesda", "unknown"]
    sentence = remarks.remark_on_sources(counts)
    assert "1 of 3 sources gave both" in sentence
    assert "75.0% of the COVID X-rays come from sources that gave nothing else" in sentence
    assert "single source, “Hannover”" in remarks.remark_on_sources(counts.iloc[[0, 3]])
    assert "name no source" in remarks.remark_on_sources(counts.iloc[3:])
    assert "2 sources, none" in remarks.remark_on_sources(counts[["Normal"]].iloc[1:])


def test_the_class_that_a_split_holds_least_fairly_is_named():
    split = pd.DataFrame({"class": list("AAAAAABBBB"), "split": ["train"] * 8 + ["test"] * 2})
    sentence = remarks.remark_on_split(split)
    assert "80.0% of the X-rays are for training" in sentence
    assert "by at most 60.0 percentage points (A in test)" in sentence
    even = pd.DataFrame({"class": list("ABAB"), "split": ["train"] * 2 + ["test"] * 2})
    assert "the same share in all splits" in remarks.remark_on_split(even)

"""Remarks on data sets: each sentence follows the data."""

import pandas as pd

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
    assert "6 of 8 X-rays have a copy.\nThey form 2 families." in sentence
    assert "all but one of each, 4 in all, seem superfluous" in sentence
    assert (
        "4 with a copy of equal pixels + 3 with an altered copy − 1 in both lists = 6" in sentence
    )
    assert "They form 1 family." in remarks.remark_on_copies(TABLE[:4])
    alone = TABLE.assign(copy_of=TABLE["file"], pixels=TABLE["file"])
    assert "None of the 8 X-rays is a copy" in remarks.remark_on_copies(alone)


def test_copies_are_counted_as_the_audit_counts_them():
    table, audit = build_index(find_data("demo"))
    counts = {finding["name"]: finding["count"] for finding in audit["findings"]}
    exact, near = counts["exact_copies"], counts["near_copies"]
    sentence = remarks.remark_on_copies(table)
    assert f"{exact} with a copy of equal pixels + {near} with an altered copy" in sentence


def test_a_source_that_gave_only_covid_is_told_from_one_that_gave_both():
    counts = pd.DataFrame({"COVID": [30, 10, 0, 7], "Normal": [0, 5, 9, 0]})
    counts.index = ["Hannover", "Madrid", "Bethesda", "unknown"]
    sentence = remarks.remark_on_sources(counts)
    assert "1 of 3 sources gave both" in sentence
    assert "Of the COVID X-rays with a known source, 75.0% come from sources that gave" in sentence
    assert "single source, “Hannover”" in remarks.remark_on_sources(counts.iloc[[0, 3]])
    assert "name no source" in remarks.remark_on_sources(counts.iloc[3:])
    assert "2 sources, none" in remarks.remark_on_sources(counts[["Normal"]].iloc[1:])

"""Remarks on heat maps: each sentence follows the data."""

import numpy as np
import pytest

from helpers.report import remarks


@pytest.mark.parametrize(
    ("inside", "averaged", "expected"),
    [
        (0.52, 0.35, "moves heat out of the lungs: 35% lies in them instead of 52%"),
        (0.35, 0.52, "moves heat into the lungs: 52% lies in them instead of 35%"),
        (0.523, 0.521, "Averaged or not, 52% of the heat lies in the lungs"),
    ],
)
def test_what_averaging_changes_is_said(inside, averaged, expected):
    assert expected in remarks.remark_on_averaging(inside, averaged)


@pytest.mark.parametrize(
    ("inside", "lungs", "expected"),
    [
        (0.52, 0.25, "puts 52% of its heat in the lungs, which fill 25% of the image: 2.1 times"),
        (0.10, 0.25, "of the image: 0.4 times as much as an even spread"),
        (0.10, 0.0, "which fill 0% of the image."),
        (np.nan, 0.25, "there is no heat"),
    ],
)
def test_heat_is_compared_with_an_even_spread(inside, lungs, expected):
    said = remarks.remark_on_heat("HiResCAM", inside, lungs)
    assert said.startswith("HiResCAM")
    assert expected in said


@pytest.mark.parametrize(
    ("correlations", "expected"),
    [
        ([0.23, -0.09, np.nan], ["maps: -0.09 to 0.23 (1:", "neither map can be trusted alone"]),
        ([0.23], ["maps: 0.23 (1:", "The methods disagree"]),
        ([0.9, 0.2], ["agree on some X-rays and disagree on others"]),
        ([0.9, 0.6], ["largely agree"]),
        ([np.nan], ["cannot be compared"]),
    ],
)
def test_two_maps_agree_as_far_as_their_ranks_do(correlations, expected):
    said = remarks.remark_on_agreement(np.array(correlations))
    assert [part for part in expected if part not in said] == []


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([0.54, 0.56, 0.50, np.nan], ["55% of the heat lies in the lungs, in the others 50%"]),
        ([0.54, 0.56, 0.50, np.nan], ["says little about the disease"]),
        ([0.54, 0.56, 0.20, 0.30], ["in the others 25%. The share differs"]),
        ([0.54, 0.56, np.nan, np.nan], ["nothing to compare"]),
    ],
)
def test_heat_that_lies_alike_in_all_classes_is_told(shares, expected):
    said = remarks.remark_on_heat_by_class(np.array(shares), np.array([1, 1, 0, 0]))
    assert [part for part in expected if part not in said] == []

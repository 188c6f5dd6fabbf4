"""Remarks: each sentence follows the data."""

import numpy as np
import pandas as pd
import pytest

from helpers.report import remarks

LABELS = np.array([1, 1, 0, 0, 0])


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
    ("probability", "chosen", "truth", "expected"),
    [
        (
            0.45,
            0.31,
            "COVID",
            ["0.05 under 0.50: not COVID", "0.14 over 0.31", ": COVID", "second"],
        ),
        (0.45, 0.31, "Normal", ["signs of Normal: the first answer is right"]),
        (0.45, 0.31, "", ["threshold alone decides", "Nobody here knows"]),
        (0.98, 0.31, "COVID", ["0.48 over 0.50: COVID", "0.67 over 0.31", "network is right"]),
        (0.98, 0.31, "Normal", ["network is wrong"]),
        (0.984, 0.286, "", ["0.98 lies", "0.69 over 0.29"]),
        (0.12, 0.31, "COVID", ["0.19 under 0.31", "network is wrong"]),
    ],
)
def test_a_decision_comes_with_its_margin_and_the_truth(probability, chosen, truth, expected):
    said = remarks.remark_on_decision(probability, chosen, truth)
    assert [part for part in expected if part not in said] == []
    assert ("threshold alone" in said) == (probability == 0.45)


@pytest.mark.parametrize(
    ("inside", "lungs", "expected"),
    [
        (0.52, 0.25, "puts 52% of its heat in the lungs, which fill 25% of the image: 2.1 times"),
        (0.30, 0.25, "about as much as an even spread"),
        (0.20, 0.25, "about as much as an even spread"),
        (0.10, 0.25, "much less than an even spread"),
        (np.nan, 0.25, "there is no heat"),
    ],
)
def test_heat_is_compared_with_an_even_spread(inside, lungs, expected):
    said = remarks.remark_on_heat("HiResCAM", inside, lungs)
    assert said.startswith("HiResCAM")
    assert expected in said


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


def test_success_and_failure_are_named():
    surest = pd.DataFrame(
        {"class": ["COVID", "Normal"], "probability": [0.97, 0.85], "right": [True, False]}
    )
    both = remarks.remark_on_surest(surest).splitlines()
    assert both == [
        "Surest and right: truly COVID, predicted COVID 0.97.",
        "Surest and wrong: truly Normal, predicted COVID 0.85.",
    ]
    assert "wrong about none" in remarks.remark_on_surest(surest.head(1))


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({0.1: 0.25, 0.5: 0.24, 0.9: 0.24}, "0.1 to 0.9 the mask loses 4% of its pixels"),
        ({0.1: 0.25, 0.9: 0.20}, "loses 20% of its pixels: the network is sure of most"),
        ({0.1: 0.25, 0.9: 0.0}, "loses 100% of its pixels: the network is sure of few"),
        ({0.1: 0.0, 0.9: 0.0}, "loses 0%"),
    ],
)
def test_a_mask_that_shrinks_with_the_threshold_is_unsure(shares, expected):
    assert expected in remarks.remark_on_thresholds(shares)

"""Remarks: each sentence follows the data."""

import numpy as np
import pandas as pd
import pytest

from helpers.evaluate.intervals import Estimate
from helpers.report import remarks

LABELS = np.array([1, 1, 0, 0, 0])


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


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.85, 0.92, "overlap: chance alone may explain"),
        (0.91, 0.90, "do not overlap: the difference is more than chance"),
        (None, 0.90, "One has no interval"),
    ],
)
def test_classes_differ_by_more_than_chance_if_their_intervals_are_apart(low, high, expected):
    means = {
        "dice": Estimate(0.9, 9, 0.8, 0.95),
        "dice_loss/COVID": Estimate(0.1, 4),
        "dice/COVID": Estimate(0.88, 4, 0.8, high),
        "dice/Normal": Estimate(0.93, 5, low, None if low is None else 0.95),
    }
    said = remarks.remark_on_classes(means)
    assert expected in said
    assert "lowest for COVID, 0.880" in said
    assert "highest for Normal, 0.930" in said


def test_a_single_class_is_not_compared():
    means = {"dice": Estimate(0.9, 9, 0.8, 0.95), "dice/COVID": Estimate(0.9, 9, 0.8, 0.95)}
    assert "of one class" in remarks.remark_on_classes(means)


def test_errors_beside_the_outline_are_told_from_lost_parts():
    shares = {"one": [0.9, 1.0, np.nan], "two": [0.2, 0.4], "three": [np.nan]}
    first, second = remarks.remark_on_outlines(shares).splitlines()
    assert "of one, 95% lie" in first
    assert "along their edge" in first
    assert "of two, 30% lie" in second
    assert "whole parts" in second
    assert remarks.remark_on_outlines({"three": [np.nan]}) == "No pixel is wrong."


def test_the_share_of_the_loss_that_the_threshold_forgives():
    true = np.array([[1, 1, 0, 0]], np.uint8)
    # Errors of 0.4 (right side), 0.9 (wrong side), 0 and 0.2 (right side): 0.6 of 1.5.
    probability = np.array([[0.6, 0.1, 0.0, 0.2]], np.float32)
    assert remarks.remark_on_soft_errors(true, probability).startswith("40% of the Dice loss")
    assert remarks.remark_on_soft_errors(true, true.astype("float32")).startswith("0%")


@pytest.mark.parametrize(
    ("dices", "expected"),
    [
        ([0.98, 0.97, 0.96], "lowest 0.960 (c). No X-ray is more than 0.05 below"),
        ([0.98, 0.98, 0.50], "lowest 0.500 (c). 1 of 3 are more than 0.05 below it"),
    ],
)
def test_a_mean_is_said_to_hide_what_is_far_below_it(dices, expected):
    assert expected in remarks.remark_on_tail(pd.DataFrame({"file": list("abc"), "dice": dices}))


def test_the_best_threshold_is_named_with_the_range():
    said = remarks.remark_on_thresholds([0.1, 0.5, 0.9], [0.8, 0.95, 0.7])
    assert "between 0.700 and 0.950; it is highest at 0.50" in said

"""Remarks on masks: each sentence follows the data."""

import numpy as np
import pandas as pd
import pytest

from helpers.evaluate.intervals import Estimate
from helpers.report import remarks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.85, 0.92, "chance alone may explain it"),
        (0.91, 0.90, "more than chance"),
        (None, 0.90, "One has no interval"),
    ],
)
def test_masks_by_class_differ_if_their_intervals_are_apart(low, high, expected):
    means = {
        "dice": Estimate(0.9, 9, 0.8, 0.95),
        "dice_loss/COVID": Estimate(0.1, 4),
        "dice/COVID": Estimate(0.88, 4, 0.8, high),
        "dice/Normal": Estimate(0.93, 5, low, None if low is None else 0.95),
    }
    said = remarks.remark_on_masks_by_class(means)
    assert expected in said
    assert "lowest for COVID, 0.880" in said
    assert "highest for Normal, 0.930" in said


def test_the_best_and_worst_of_several_classes_were_picked_after_looking():
    means = {
        f"dice/{name}": Estimate(value, 9, value - 0.01, value + 0.01)
        for name, value in {"A": 0.8, "B": 0.85, "C": 0.9}.items()
    }
    assert "of 3 classes we picked these" in remarks.remark_on_masks_by_class(means)


def test_a_single_class_is_not_compared():
    means = {"dice": Estimate(0.9, 9, 0.8, 0.95), "dice/COVID": Estimate(0.9, 9, 0.8, 0.95)}
    assert "of one class" in remarks.remark_on_masks_by_class(means)


def test_wrong_pixels_are_pooled_and_errors_along_the_outline_told_from_parts():
    counts = {"one": [(90, 90), (5, 10)], "two": [(10, 10), (20, 90)], "three": [(0, 0)]}
    first, second, third = remarks.remark_on_outlines(counts).splitlines()
    assert first == "one: of 100 wrong pixels 95% lie along the outline. The others are few."
    assert "two: of 100 wrong pixels 30% lie" in second
    assert "missed or added parts" in second
    assert third == "three: no pixel is wrong."


def test_the_dice_loss_is_split_into_three_parts():
    true = np.zeros((100, 100), np.uint8)
    true[20:80, 20:80] = 1
    probability = true.astype("float32")
    assert "is 0" in remarks.remark_on_soft_errors(true, probability)
    probability[50, 19] = 0.9  # wrong, beside the outline, by 0.9
    probability[50:52, 20] = 0.7  # right, at the outline, by 0.3 each
    probability[:10] = 0.0015  # right, far away: 1.5 of the errors' sum of 3
    said = remarks.remark_on_soft_errors(true, probability)
    assert "30% come from pixels on the wrong side of 0.5" in said
    assert "20% come from pixels on the right side near the outline" in said
    assert "50% come from pixels on the right side far from it" in said
    assert "of 0.5; 20%" in said
    assert "far from it, each wrong by 0.000 on average" in said
    probability[:10] = 0
    said = remarks.remark_on_soft_errors(true, probability)
    assert "1 pixels on the wrong side of 0.5, each wrong by 0.900" in said


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


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ({0.1: 0.25, 0.5: 0.24, 0.9: 0.24}, "0.1 to 0.9 the mask loses 4% of its pixels"),
        ({0.1: 0.25, 0.9: 0.20}, "loses 20% of its pixels: the network is sure of most"),
        ({0.1: 0.25, 0.9: 0.0}, "loses 100% of its pixels: the network is sure of few"),
        ({0.1: 0.0, 0.9: 0.0}, "Even above a threshold of 0.1 the mask is empty"),
    ],
)
def test_a_mask_that_shrinks_with_the_threshold_is_unsure(shares, expected):
    assert expected in remarks.remark_on_certainty(shares)

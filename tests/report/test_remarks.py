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


def aurocs(**lows: float | None) -> dict[str, Estimate]:
    """An AUROC of 0.7 for each view, with this lower limit."""
    return {f"auroc_{name}": Estimate(0.7, 40, low, 0.9) for name, low in lows.items()}


@pytest.mark.parametrize(
    ("lows", "expected"),
    [
        (
            {"whole": 0.6, "border": 0.5},
            ["above 0.5: whole 0.700.", "border 0.700.", "needed"],
        ),
        ({"whole": 0.6, "mask_shape": 0.51}, ["0.5: whole 0.700, mask shape 0.700."]),
        (
            {"whole": 0.6, "mask_shape": 0.51},
            ["the lungs: mask shape 0.700.", "a shortcut"],
        ),
        ({"whole": 0.4, "border": None}, ["above 0.5: in no view.", "only guessed"]),
    ],
)
def test_views_are_told_apart_by_the_lower_limit_of_their_aurocs(lows, expected):
    said = remarks.remark_on_views(aurocs(**lows), lows)
    assert [words for words in expected if words not in said] == []
    assert said.count("\n") == 2

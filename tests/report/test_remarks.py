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
    ("losses", "checked", "expected"),
    [
        (
            [3.0, 2.0, 1.0],
            [3.0, 2.0, 1.5],
            "Kept: epoch 3, where the validation loss was lowest",
        ),
        ([3.0, 2.0, 1.0], [3.0, 1.5, 2.5], "fell on, from 2.000 to 1.000, and the validation loss"),
        ([3.0, 2.0, 2.5], [3.0, 1.5, 2.5], "The epochs after it brought nothing better."),
    ],
)
def test_learning_curves_tell_of_the_kept_epoch_and_of_overfitting(losses, checked, expected):
    history = pd.DataFrame({"epoch": [1, 2, 3], "loss": losses, "val_loss": checked})
    said = remarks.remark_on_curves(history)
    assert expected in said
    assert ("overfitting" in said) == ("fell on" in expected)
    assert ("more epochs" in said) == (expected.startswith("Kept"))


@pytest.mark.parametrize(
    ("value", "low", "expected"),
    [
        (0.9, 0.8, ("more than the 0.600", "has learnt something")),
        (0.7, 0.5, ("more than the 0.600", "cannot show a difference")),
        (0.6, 0.5, ("no more than the 0.600", "cannot show a difference")),
    ],
)
def test_the_accuracy_is_held_against_the_larger_class(value, low, expected):
    metrics = {
        "accuracy": Estimate(value, low=low, high=1.0, n=40),
        "majority_accuracy": Estimate(0.6, low=0.4, high=0.8, n=40),
    }
    said = remarks.remark_on_accuracy(metrics)
    assert all(part in said for part in expected), said

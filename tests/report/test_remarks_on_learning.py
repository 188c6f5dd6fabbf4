"""Remarks on learning: each sentence follows the data."""

import numpy as np
import pandas as pd
import pytest

from helpers.report import remarks

LABELS = np.array([1, 1, 0, 0, 0])


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ([0.6, 0.6, 0.8], "up to epoch 2 is 0.600"),
        ([0.6, 0.8, 0.6], "up to epoch 1 is 0.600"),
        ([0.4, 0.6, 0.8], "up to epoch 1 is 0.400"),
        ([0.8, 0.6, 0.8], "From the first epoch on"),
    ],
)
def test_epochs_that_predict_the_larger_class_only_are_counted(accuracies, expected):
    history = pd.DataFrame({"epoch": [1, 2, 3], "val_accuracy": accuracies})
    assert expected in remarks.remark_on_majority(history, LABELS)


@pytest.mark.parametrize(
    ("losses", "checked", "expected"),
    [
        ([3.0, 2.0, 1.0], [3.0, 2.0, 1.5], "epoch 3, where the validation loss was lowest"),
        ([3.0, 2.0, 1.0], [3.0, 1.5, 2.5], "From epoch 2 to 3 it rose from 1.500 to 2.500"),
        ([3.0, 2.0, 1.0], [2.0, 3.0, 1.5], "From epoch 1 to 2 it rose from 2.000 to 3.000"),
        ([3.0, 2.0, 2.5], [3.0, 1.5, 2.5], "The epochs after it brought nothing better."),
    ],
)
def test_learning_curves_tell_of_the_kept_epoch_and_of_overfitting(losses, checked, expected):
    history = pd.DataFrame({"epoch": [1, 2, 3], "loss": losses, "val_loss": checked})
    said = remarks.remark_on_curves(history)
    assert expected in said
    assert ("overfitting" in said) == ("rose" in expected)
    assert ("more epochs" in said) == (expected.startswith("epoch 3"))
    assert ("fell again" in said) == (checked == [2.0, 3.0, 1.5])

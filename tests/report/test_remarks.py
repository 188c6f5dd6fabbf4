"""Remarks: each sentence follows the data."""

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
        ([0.8, 0.6, 0.8], "From the first epoch on"),
    ],
)
def test_epochs_that_predict_the_larger_class_only_are_counted(accuracies, expected):
    history = pd.DataFrame({"epoch": [1, 2, 3], "val_accuracy": accuracies})
    assert expected in remarks.remark_on_majority(history, LABELS)

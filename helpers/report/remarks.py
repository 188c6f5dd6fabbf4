"""Remarks: what a result shows, in a sentence made from the data, for a notebook to print."""

import numpy as np
import pandas as pd

CLOSE = 0.005  # two shares that print alike to two digits


def remark_on_majority(history: pd.DataFrame, labels: np.ndarray) -> str:
    """Return up to which epoch a detector only predicted the larger class.

    Args:
        history: one row an epoch, with `epoch` and `val_accuracy`.
        labels: zeros and ones of the validation split, (N,).
    """
    larger = max(np.mean(labels), 1 - np.mean(labels))
    idle = (history["val_accuracy"] - larger).abs() < CLOSE
    epochs = int(idle.cummin().sum())
    if not epochs:
        return (
            f"From the first epoch on, the validation accuracy differs from {larger:.3f}, the "
            "share of the larger class: the network looks at the X-rays."
        )
    return (
        f"The validation accuracy up to epoch {epochs} is {larger:.3f}, the share of the larger "
        "class: nothing learnt yet. The network gives every X-ray the same answer."
    )

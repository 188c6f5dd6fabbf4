"""Remarks: what a result shows, in a sentence made from the data, for a notebook to print."""

import numpy as np
import pandas as pd

from helpers.evaluate.intervals import Estimate

CLOSE = 0.005  # two shares that print alike to two digits


def remark_on_accuracy(metrics: dict[str, Estimate]) -> str:
    """Return whether a detector is better than to always predict the larger class.

    `metrics` are those of `detection.detection_metrics`.
    """
    accuracy, majority = metrics["accuracy"], metrics["majority_accuracy"].value
    more = "more than" if accuracy.value > majority else "no more than"
    line = (
        f"The accuracy is {accuracy.value:.3f}, {more} the {majority:.3f} that needs no network. "
    )
    if accuracy.low > majority:
        return line + "Its whole interval lies above: the network has learnt something."
    return line + "Its interval reaches down to that: so few X-rays cannot show a difference."


def remark_on_curves(history: pd.DataFrame) -> str:
    """Return which epoch was kept, and whether the epochs after it look like overfitting.

    `history` has a row an epoch, with `epoch`, `loss` and `val_loss`.
    """
    best = history.loc[history["val_loss"].idxmin()]
    epoch, last = int(best["epoch"]), history.iloc[-1]
    line = f"Kept: epoch {epoch}, where the validation loss was lowest ({best['val_loss']:.3f}). "
    if epoch == last["epoch"]:
        return line + "It was the last: with more epochs the network might still improve."
    if last["loss"] < best["loss"] and last["val_loss"] > best["val_loss"]:
        return line + (
            f"Until epoch {int(last['epoch'])} the training loss fell on, from {best['loss']:.3f} "
            f"to {last['loss']:.3f}, and the validation loss rose to {last['val_loss']:.3f}: "
            "overfitting has begun."
        )
    return line + "The epochs after it brought nothing better."


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

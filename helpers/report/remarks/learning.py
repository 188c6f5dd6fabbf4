"""Learning: remarks on what a network's epochs show."""

import numpy as np
import pandas as pd

from helpers.report.remarks.limits import CLOSE

RISEN = 1.2  # times as large a validation loss is more than its jumps


def remark_on_curves(history: pd.DataFrame) -> str:
    """Return which epoch was kept, and where the validation loss rose while the training loss fell.

    `history` has a row an epoch, with `epoch`, `loss` and `val_loss`.
    """
    best = history.loc[history["val_loss"].idxmin()]
    kept = f"Kept: epoch {best['epoch']:.0f}, where the validation loss was lowest "
    kept += f"({best['val_loss']:.3f}). "
    low, high = _find_rise(history)
    if high["val_loss"] > RISEN * low["val_loss"]:
        return kept + (
            f"From epoch {low['epoch']:.0f} to {high['epoch']:.0f} it rose from "
            f"{low['val_loss']:.3f} to {high['val_loss']:.3f}, while the training loss fell from "
            f"{low['loss']:.3f} to {high['loss']:.3f}: a sign of overfitting."
            + (" Later it fell again." if best["epoch"] > high["epoch"] else "")
        )
    if best["epoch"] == history["epoch"].iloc[-1]:
        return kept + "It was the last: with more epochs the network might still improve."
    return kept + "The epochs after it brought nothing better."


def remark_on_majority(history: pd.DataFrame, labels: np.ndarray) -> str:
    """Return up to which epoch a detector may have given every X-ray the same answer.

    Args:
        history: one row an epoch, with `epoch` and `val_accuracy`.
        labels: zeros and ones of the validation split, (N,).
    """
    accuracy, share = history["val_accuracy"], np.mean(labels)
    nearest = min(share, 1 - share, key=lambda constant: abs(accuracy.iloc[0] - constant))
    alike = (accuracy - nearest).abs() < CLOSE
    epochs = int(alike.cummin().sum())
    if not epochs:
        return (
            "From the first epoch on the validation accuracy differs from the share of either "
            "class: the network does not give every X-ray the same answer."
        )
    return (
        f"The validation accuracy up to epoch {epochs} is {accuracy.iloc[epochs - 1]:.3f}, the "
        "share of one class, as if every X-ray got the same answer: it does not show yet that "
        "anything was learnt."
    )


def _find_rise(history: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the two epochs between which the validation loss rose most, the training loss fell."""
    pairs = [
        (before, after)
        for _, before in history.iterrows()
        for _, after in history.iterrows()
        if after["epoch"] >= before["epoch"] and after["loss"] <= before["loss"]
    ]
    return max(pairs, key=lambda pair: pair[1]["val_loss"] / pair[0]["val_loss"])

"""Remarks: what a result shows, in a sentence made from the data, for a notebook to print."""

import numpy as np
import pandas as pd

from helpers.evaluate.intervals import Estimate
from helpers.train.recipes import THRESHOLD

CLOSE = 0.005  # two shares that print alike to two digits
FAR_BELOW = 0.05  # a Dice so much below the mean is one that the mean does not tell of
MOSTLY = 0.9  # a share that leaves little else


def remark_on_classes(means: dict[str, Estimate]) -> str:
    """Return which class has the best and the worst masks, and whether that may be chance.

    `means` are what `segmentation.mean_scores` returns.
    """
    classes = {key[5:]: mean for key, mean in means.items() if key.startswith("dice/")}
    if len(classes) < 2:
        return f"All test X-rays are of one class. Their mean Dice is {means['dice'].text(3)}."
    worst, best = (choose(classes, key=lambda key: classes[key].value) for choose in (min, max))
    said = (
        f"The mean Dice is lowest for {worst}, {classes[worst].text(3)}, and highest for {best}, "
        f"{classes[best].text(3)}."
    )
    low, high = classes[best].low, classes[worst].high
    if low is None or high is None:
        return f"{said} One has no interval: too few X-rays to compare them."
    if low <= high:
        return f"{said} The two intervals overlap: chance alone may explain the difference."
    return f"{said} The two intervals do not overlap: the difference is more than chance."


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


def remark_on_outlines(shares: dict[str, list[float]]) -> str:
    """Return how many of their wrong pixels networks have at the edge of the lungs.

    `shares` are, by the network's name, what `error_maps.share_near_outline` returns for X-rays.
    """
    means = {
        name: np.nanmean(values) for name, values in shares.items() if not np.all(np.isnan(values))
    }
    parts = [
        f"Of the wrong pixels of {name}, {mean:.0%} lie right beside the true outline: "
        + (
            "it finds the lungs, and errs by a pixel or two along their edge."
            if mean >= MOSTLY
            else "it also misses or adds whole parts."
        )
        for name, mean in means.items()
    ]
    return "\n".join(parts) or "No pixel is wrong."


def remark_on_soft_errors(true: np.ndarray, probability: np.ndarray) -> str:
    """Return why an X-ray's Dice loss is not 1 - Dice, with the share of the loss that explains it.

    Args:
        true: zeros and ones, one is lung, (height, width).
        probability: of lung, of the same shape.
    """
    errors = np.abs(true - probability.astype("float64"))
    wrong = (probability > THRESHOLD) != (true == 1)
    forgiven = errors[~wrong].sum() / errors.sum() if errors.any() else 0.0
    return (
        f"{forgiven:.0%} of the Dice loss comes from pixels on the right side of {THRESHOLD}. The "
        "threshold forgives them: they are right, though not with certainty."
    )


def remark_on_tail(scores: pd.DataFrame) -> str:
    """Return how far the worst X-ray is below the mean Dice, and how many are far below it.

    `scores` has `file` and `dice`, a row an X-ray.
    """
    mean = scores["dice"].mean()
    worst = scores.loc[scores["dice"].idxmin()]
    far = int((scores["dice"] < mean - FAR_BELOW).sum())
    said = f"The mean Dice is {mean:.3f}, the lowest {worst['dice']:.3f} ({worst['file']})."
    if not far:
        return f"{said} No X-ray is more than {FAR_BELOW} below the mean: here it speaks for all."
    return f"{said} {far} of {len(scores)} are more than {FAR_BELOW} below it: the mean hides them."


def remark_on_thresholds(thresholds: list[float], scores: list[float]) -> str:
    """Return how much the Dice of an X-ray depends on the threshold."""
    best = int(np.argmax(scores))
    return (
        f"From threshold {min(thresholds):.2f} to {max(thresholds):.2f} the Dice lies between "
        f"{min(scores):.3f} and {max(scores):.3f}; it is highest at {thresholds[best]:.2f}."
    )

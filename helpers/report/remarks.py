"""Remarks: what a result shows, in a sentence made from the data, for a notebook to print."""

import numpy as np
import pandas as pd

from helpers.data.layouts import POSITIVE_CLASS
from helpers.train.recipes import THRESHOLD

CLOSE = 0.005  # two shares that print alike to two digits
UNEVEN = 1.5  # times as much heat as an even spread would give is more than chance


def remark_on_averaging(inside: float, averaged: float) -> str:
    """Return what averaging the gradients over places changes, in shares of heat in the lungs.

    `inside` is HiResCAM's share, `averaged` is Grad-CAM's.
    """
    if abs(inside - averaged) < CLOSE:
        return (
            f"Averaged or not, {inside:.0%} of the heat lies in the lungs: this network itself "
            "weighs a feature alike at every place."
        )
    where = "out of" if averaged < inside else "into"
    return (
        f"Averaging the gradients moves heat {where} the lungs: {averaged:.0%} lies in them "
        f"instead of {inside:.0%}, though network and X-rays are the same."
    )


def remark_on_decision(probability: float, chosen: float, truth: str = "") -> str:
    """Return what a probability is called at 0.5 and at a run's chosen threshold, and how narrowly.

    `truth` is the X-ray's class, or nothing if nobody knows it.
    """
    usual, own = _decide(probability, THRESHOLD), _decide(probability, chosen)
    said = (
        f"{probability:.2f} lies {_margin(probability, THRESHOLD)} {THRESHOLD:.2f}: {usual}.\n"
        f"It lies {_margin(probability, chosen)} {chosen:.2f}, the threshold that the run chose "
        f"on its validation split: {own}.\n"
    )
    if usual != own:
        said += "The threshold alone decides, so neither answer is firm.\n"
    if not truth:
        return said + "Nobody here knows the truth about this X-ray."
    drawn = f"This X-ray was drawn with signs of {truth}"
    right = POSITIVE_CLASS if truth == POSITIVE_CLASS else f"not {POSITIVE_CLASS}"
    if usual != own:
        return said + f"{drawn}: the {'first' if usual == right else 'second'} answer is right."
    return said + f"{drawn}: the network is {'right' if usual == right else 'wrong'}."


def _decide(probability: float, threshold: float) -> str:
    """Return what a probability is called."""
    return POSITIVE_CLASS if probability > threshold else f"not {POSITIVE_CLASS}"


def _margin(probability: float, threshold: float) -> str:
    """Return how far a probability is from a threshold, and on which side."""
    margin = abs(round(probability, 2) - round(threshold, 2))  # that of the numbers that are shown
    return f"{margin:.2f} {'over' if probability > threshold else 'under'}"


def remark_on_heat(method: str, inside: float, lungs: float) -> str:
    """Return how much of a method's heat lies in the lungs, beside what an even spread would give.

    `inside` is the lungs' share of the heat, NaN without heat; `lungs` is their share of the X-ray.
    """
    if np.isnan(inside):
        return f"{method}: nothing raised the probability of COVID, so there is no heat."
    if inside > UNEVEN * lungs:
        more = "more than" if not lungs else f"{inside / lungs:.1f} times as much as"
    elif inside > lungs / UNEVEN:
        more = "about as much as"
    else:
        more = "much less than"
    return (
        f"{method} puts {inside:.0%} of its heat in the lungs, which fill {lungs:.0%} of the "
        f"image: {more} an even spread."
    )


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


def remark_on_surest(surest: pd.DataFrame) -> str:
    """Return the right and the wrong test X-ray of which a detector was surest, as words.

    `surest` has `class`, `probability` and `right`, a row each.
    """
    said = [
        f"Surest and {'right' if row['right'] else 'wrong'}: truly {row['class']}, predicted COVID "
        f"{row['probability']:.2f}."
        for _, row in surest.iterrows()
    ]
    if surest["right"].all():
        said.append("It was wrong about none of its test X-rays, so there is no failure to show.")
    return "\n".join(said)


def remark_on_thresholds(shares: dict[float, float]) -> str:
    """Return how a mask shrinks as its threshold rises, given its share of the image at each."""
    low, high = min(shares), max(shares)
    lost = 1 - shares[high] / shares[low] if shares[low] else 0
    sure = "nearly all" if lost < 0.1 else "most" if lost < 0.5 else "few"
    return (
        f"From a threshold of {low} to {high} the mask loses {lost:.0%} of its pixels: the network "
        f"is sure of {sure} of them."
    )

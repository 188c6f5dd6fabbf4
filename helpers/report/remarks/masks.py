"""Masks: remarks on how good predicted masks are, where they are wrong, and how sure."""

import numpy as np
import pandas as pd

from helpers.evaluate.intervals import Estimate, subtract
from helpers.report.error_maps import find_near_outline
from helpers.report.remarks.limits import MOSTLY
from helpers.train.recipes import THRESHOLD

FAR_BELOW = 0.05  # a Dice so much below the mean is one that the mean does not tell of


def remark_on_certainty(shares: dict[float, float]) -> str:
    """Return how a mask shrinks as its threshold rises, given its share of the image at each."""
    low, high = min(shares), max(shares)
    if not shares[low]:
        return f"Even above a threshold of {low} the mask is empty: the network sees no lungs here."
    lost = 1 - shares[high] / shares[low]
    sure = "nearly all" if lost < 0.1 else "most" if lost < 0.5 else "few"
    return (
        f"From a threshold of {low} to {high} the mask loses {lost:.0%} of its pixels: the network "
        f"is sure of {sure} of them."
    )


def remark_on_masks_by_class(means: dict[str, Estimate]) -> str:
    """Return which class has the best and the worst masks, and whether that may be chance.

    `means` are what `segmentation.mean_scores` returns.
    """
    classes = {key[5:]: mean for key, mean in means.items() if key.startswith("dice/")}
    if len(classes) < 2:
        mean = means["dice"].text(3)
        return f"All X-rays that are scored are of one class. Their mean Dice is {mean}."
    worst, best = (choose(classes, key=lambda key: classes[key].value) for choose in (min, max))
    said = (
        f"The mean Dice is lowest for {worst}, {classes[worst].text(3)}, and highest for {best}, "
        f"{classes[best].text(3)}."
    )
    difference = subtract(classes[best], classes[worst])
    if difference.low is None:
        return f"{said} One has no interval: too few X-rays to compare them."
    said += f" The difference is {difference.text(3)}"
    if difference.low <= 0:
        return f"{said}: chance alone may explain it."
    if len(classes) == 2:
        return f"{said}: more than chance."
    return f"{said}, but of {len(classes)} classes we picked these after looking: test it anew."


def remark_on_outlines(counts: dict[str, list[tuple[int, int]]]) -> str:
    """Return how many of their wrong pixels networks have along the outline of the lungs.

    `counts` are, by the network's name, what `error_maps.count_near_outline` returns for X-rays.
    """
    lines = []
    for name, pairs in counts.items():
        near, wrong = np.sum(pairs, axis=0)
        if not wrong:
            lines.append(f"{name}: no pixel is wrong.")
            continue
        edge = near / wrong >= MOSTLY
        said = "The others are few." if edge else "The others are missed or added parts."
        lines.append(
            f"{name}: of {wrong:,} wrong pixels {near / wrong:.0%} lie along the outline. {said}"
        )
    return "\n".join(lines)


def remark_on_soft_errors(true: np.ndarray, probability: np.ndarray) -> str:
    """Return what an X-ray's Dice loss consists of, in three parts, and which is the largest.

    Args:
        true: zeros and ones, one is lung, (height, width).
        probability: of lung, of the same shape.
    """
    errors = np.abs(true - probability.astype("float64"))
    if not errors.any():
        return "The Dice loss is 0: every pixel is right, and with certainty."
    wrong = (probability > THRESHOLD) != (true == 1)
    near = find_near_outline(true)
    places = {
        f"pixels on the wrong side of {THRESHOLD}": wrong,
        "pixels on the right side near the outline": ~wrong & near,
        "pixels on the right side far from it": ~wrong & ~near,
    }
    shares = {name: errors[place].sum() / errors.sum() for name, place in places.items()}
    parts = [f"{share:.0%} come from {name}" for name, share in shares.items()]
    largest = max(places, key=shares.get)
    return (
        f"Of the Dice loss {'; '.join(parts)}. The largest part: {places[largest].sum():,} "
        f"{largest}, each wrong by {errors[places[largest]].mean():.3f} on average."
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

"""Infection map: the same answer for every X-ray, which any network should beat.

Infections of one disease lie in similar places, so this answer alone reaches some Dice. What a
network adds to it is what it reads in the X-ray.
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from helpers.data.threads import in_blocks
from helpers.evaluate.intervals import Estimate, compare_paired, estimate_mean
from helpers.train.recipes import THRESHOLD

BLOCK = 256  # images in memory at once
STEPS = 100  # thresholds that are tried


def fit_map(masks_train: np.ndarray, masks_validation: np.ndarray) -> tuple[np.ndarray, float]:
    """Return the mean infection mask and the threshold at which it fits other masks best.

    The map is float32, (size, size), 0..1: how often each place is infected in training. The
    threshold has the best mean Dice over the validation masks with infection; without any it
    is 0.5. Masks are zeros and ones, uint8, (N, size, size).
    """
    mean = average(masks_train)
    thresholds = np.linspace(0, mean.max(), STEPS, endpoint=False, dtype=np.float32)
    dice = _score_thresholds(mean, thresholds, masks_validation)
    if not len(dice):
        return mean, THRESHOLD
    return mean, float(thresholds[dice.mean(axis=0).argmax()])


def average(images: np.ndarray) -> np.ndarray:
    """Return the mean of images or masks, uint8 (N, height, width), a few in memory: float32."""
    sums = sum(block.sum(axis=0, dtype=np.int64) for block in in_blocks(images, BLOCK))
    return (sums / len(images)).astype(np.float32)


def _score_thresholds(mean: np.ndarray, thresholds: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return the Dice of the map at ascending thresholds: (masks with infection, thresholds)."""
    # A pixel of level n is above the first n thresholds.
    levels = np.searchsorted(thresholds, mean.ravel(), side="left")
    count = len(thresholds)

    def count_above(pixels: np.ndarray) -> np.ndarray:
        """Return how many of these pixels are above each threshold."""
        return np.bincount(levels[pixels], minlength=count + 1)[:0:-1].cumsum()[::-1]

    chosen = count_above(np.arange(levels.size))
    infected = (np.flatnonzero(mask) for mask in masks)
    scores = [
        2 * count_above(pixels) / (chosen + len(pixels)) for pixels in infected if len(pixels)
    ]
    return np.array(scores)


def repeat_map(mean: np.ndarray, threshold: float, count: int) -> Iterator[np.ndarray]:
    """Yield the map's answer `count` times, as `infection.measure_infection` takes probabilities.

    It is float32, of the map's shape: 1 where the map is above the threshold, else 0.
    """
    answer = (mean > threshold).astype(np.float32)
    return (answer for _ in range(count))


def compare_with_map(
    scores: pd.DataFrame, map_scores: pd.DataFrame, groups: pd.Series
) -> dict[str, Estimate]:
    """Return the map's mean Dice, and what the network's is better by, X-ray by X-ray.

    Both are over X-rays with infection. The scores are those of `infection.measure_infection` for
    the same rows, with the index of the groups.
    """
    infected = scores["infected"]
    network, constant = scores.loc[infected, "dice"], map_scores.loc[infected, "dice"]
    return {
        "map_dice": estimate_mean(constant, groups),
        "map_dice_gain": compare_paired(network, constant, groups),
    }

"""Doubt: which pictures are refused, and of which predictions to be wary.

The lung network of the package says what is no chest X-ray, for every run: its limit was set by a
hospital that it had not learnt from. A run's limit knows the run's own X-rays only, so that one
unlike them gets a warning.
"""

from typing import NamedTuple

import numpy as np

from helpers.data.images import resize_image
from helpers.predict.chests import find_chests, read_frames
from helpers.predict.novelty import Likeness, find_unlike
from helpers.train import lungs
from helpers.train.backend import keras
from helpers.train.inference import predict
from helpers.train.postprocessing import draw_lungs, expect_dice

REFUSAL = "not a chest X-ray"
UNLIKE = "unlike the X-rays of this run"
LEAST = 0.94  # expected Dice from which a mask is not doubted; chosen on Viral Pneumonia


class Doubt(NamedTuple):
    """What speaks against a picture, or against what was predicted for it."""

    refusal: str = ""
    warning: str = ""
    expected_dice: float = np.nan  # of the mask; known of the package's network only


def prepare_doubts() -> None:
    """Read what doubts need, so that a damaged file stops a prediction before it begins.

    Raises:
        CovidLungsError: a file of the package is missing or damaged.
    """
    lungs.load_network()
    read_frames()


def find_doubts(
    segmenter: keras.Model,
    likeness: Likeness | None,
    xrays: np.ndarray,
    probabilities: np.ndarray,
) -> list[Doubt]:
    """Return what speaks against each X-ray.

    Args:
        segmenter: the network that drew the lungs.
        likeness: of the X-rays that a run's segmenter was trained on. None if that is not known,
            and for the package's network.
        xrays: uint8 (N, height, width), at the segmenter's size.
        probabilities: of lung that it predicts, float32 of the same shape.
    """
    if segmenter.name == lungs.NAME:
        return _doubt_masks(xrays, probabilities)
    unlike = find_unlike(likeness, xrays) if likeness else np.ones(len(xrays), bool)
    doubts = [Doubt()] * len(xrays)
    rows = np.flatnonzero(unlike)
    for row, chest in zip(rows, _are_chests(xrays[rows]) if len(rows) else [], strict=True):
        doubts[row] = Doubt("" if chest else REFUSAL, UNLIKE if likeness else "")
    return doubts


def _doubt_masks(xrays: np.ndarray, probabilities: np.ndarray) -> list[Doubt]:
    """Return what speaks against X-rays whose lungs the package's network has drawn."""
    masks = [draw_lungs(probability, probability.shape) for probability in probabilities]
    expected = [expect_dice(*pair) for pair in zip(probabilities, masks, strict=True)]
    return [
        Doubt("" if chest else REFUSAL, _warn_of(dice), dice)
        for chest, dice in zip(find_chests(xrays, masks), expected, strict=True)
    ]


def _warn_of(expected_dice: float) -> str:
    """Return a warning of a mask that is probably wrong, or ""."""
    if expected_dice >= LEAST:
        return ""
    return f"the mask may be wrong: expected Dice {expected_dice:.3f}"


def _are_chests(xrays: np.ndarray) -> np.ndarray:
    """Return whether X-rays of any size are of chests, asking the package's network."""
    network = lungs.load_network()
    size = network.input_shape[1:3]
    resized = np.stack([resize_image(xray, size) for xray in xrays])
    masks = [draw_lungs(probability, size) for probability in predict(network, resized)]
    return find_chests(resized, masks)

"""Threshold slider: in a notebook, how the mask of the lungs follows the threshold."""

from typing import TYPE_CHECKING

import numpy as np

from helpers.data.images import draw_outlines, resize_image
from helpers.report.pictures import PREDICTED_COLOUR
from helpers.report.playground import offer_slider
from helpers.train.postprocessing import draw_lungs
from helpers.train.recipes import THRESHOLD

if TYPE_CHECKING:  # an optional extra, which only a notebook in a browser needs
    from ipywidgets import VBox

LARGEST = 420  # pixels of the longer side: enough to see, and quick to send
THRESHOLDS = [percent / 100 for percent in range(1, 100)]


def offer_threshold(image: np.ndarray, probability: np.ndarray) -> "VBox | None":
    """Show a slider for the threshold, with the outline of what is lung; None without widgets.

    Args:
        image: uint8, (height, width).
        probability: of lung, float32 of any size.
    """
    shrunk = min(1, LARGEST / max(image.shape))
    small = resize_image(image, tuple(max(1, round(shrunk * side)) for side in image.shape))

    def draw(threshold: float) -> np.ndarray:
        mask = draw_lungs(probability, small.shape, threshold)
        return draw_outlines(small, (mask, PREDICTED_COLOUR))

    def describe(threshold: float) -> str:
        share = draw_lungs(probability, small.shape, threshold).mean()
        return f"Above {threshold:.2f}, the lungs fill {share:.1%} of the image."

    return offer_slider(draw, "threshold", THRESHOLDS, THRESHOLD, describe)

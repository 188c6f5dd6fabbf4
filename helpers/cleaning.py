"""Cleaning: what is known of lungs, told to a predicted mask."""

import cv2
import numpy as np

from helpers.images import resize_image
from helpers.recipes import THRESHOLD

LUNGS = 2
SPECK_SHARE = 0.1  # of the largest region; a smaller one is no lung


def draw_lungs(probability: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the cleaned mask that a network's probabilities of lung make at (height, width).

    Args:
        probability: float32, of any size.
        size: height and width of the mask, in pixels.

    Returns:
        zeros and ones, uint8; one is lung.
    """
    return clean_mask((resize_image(probability, size) > THRESHOLD).astype(np.uint8))


def clean_mask(mask: np.ndarray) -> np.ndarray:
    """Return a predicted mask with its two largest regions only, and without holes in them.

    A second region of less than a tenth of the first is left out, too.

    Args:
        mask: zeros and ones, uint8 (height, width), one is lung.

    Returns:
        the same dtype and shape; a mask without lung stays as it is.
    """
    _, labels = cv2.connectedComponents(mask)
    areas = np.bincount(labels.ravel())[1:]  # OpenCV's own count takes thrice the time
    cleaned = np.zeros_like(mask)
    for region in np.argsort(-areas, kind="stable")[:LUNGS]:
        if areas[region] >= SPECK_SHARE * areas.max():
            lung = (labels == region + 1).view(np.uint8)
            outline, _ = cv2.findContours(lung, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(cleaned, outline, -1, 1, cv2.FILLED)
    return cleaned

"""Postprocessing: clean a predicted mask, since lungs are two regions without holes."""

import cv2
import numpy as np

from helpers.data.images import resize_image
from helpers.train.recipes import THRESHOLD

LUNGS = 2
SPECK_SHARE = 0.1  # of the largest region; a smaller one is no lung


def draw_lungs(
    probability: np.ndarray, size: tuple[int, int], threshold: float = THRESHOLD
) -> np.ndarray:
    """Return the cleaned mask of a network's probabilities of lung, float32 of any size.

    It is zeros and ones, uint8, of this height and width; a probability above the threshold is one.
    """
    return clean_mask((resize_image(probability, size) > threshold).astype(np.uint8))


def draw_infection(
    probability: np.ndarray, size: tuple[int, int], threshold: float = THRESHOLD
) -> np.ndarray:
    """Return the mask of a network's probabilities of infection, float32 of any size.

    It is zeros and ones, uint8, of this height and width; a probability above the threshold is one.
    It is not cleaned: an infection may have any number of parts, and holes.
    """
    return (resize_image(probability, size) > threshold).astype(np.uint8)


def expect_dice(probability: np.ndarray, mask: np.ndarray) -> float:
    """Return the Dice coefficient that a network itself expects of a mask, 0 to 1.

    Were its probabilities right, a true mask would hold each pixel with its probability. So a mask
    in which it is half sure of many pixels is expected to miss many. No true mask is needed.

    Args:
        probability: of lung, float32 (height, width).
        mask: what was made of it, zeros and ones of the same shape.
    """
    both = float((probability * mask).sum())
    total = float(probability.sum()) + float(mask.sum())
    return 2 * both / total if total else 1.0


def clean_mask(mask: np.ndarray) -> np.ndarray:
    """Return a mask with its two largest regions only, and their holes filled.

    A second region of less than a tenth of the first is left out too; sizes include holes. A mask
    without lung stays as it is.

    Args:
        mask: zeros and ones, uint8 (height, width), as is what is returned; one is lung.
    """
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    areas = np.array([_count_pixels(outline) for outline in outlines])
    largest = np.argsort(-areas, kind="stable")[:LUNGS]
    lungs = [outlines[i] for i in largest if areas[i] >= SPECK_SHARE * areas.max()]
    return cv2.drawContours(np.zeros_like(mask), lungs, -1, 1, cv2.FILLED)


def _count_pixels(outline: np.ndarray) -> int:
    """Return how many pixels are on and within an outline.

    By Pick's theorem, from the area of the polygon through the centres of the outer pixels. For a
    single pixel, whose outline is one point, the sum is rounded down.
    """
    return int(cv2.contourArea(outline) + len(outline) / 2 + 1)

"""Cleaning: what is known of lungs, told to a predicted mask."""

import cv2
import numpy as np

LUNGS = 2
SPECK_SHARE = 0.1  # of the largest region; a smaller one is no lung


def clean_mask(mask: np.ndarray) -> np.ndarray:
    """Return a predicted mask with its two largest regions only, and without holes in them.

    A second region of less than a tenth of the first is left out, too.

    Args:
        mask: zeros and ones, uint8 (height, width), one is lung.

    Returns:
        the same dtype and shape; a mask without lung stays as it is.
    """
    _, labels, statistics, _ = cv2.connectedComponentsWithStats(mask)
    areas = statistics[1:, cv2.CC_STAT_AREA]
    cleaned = np.zeros_like(mask)
    for region in np.argsort(-areas, kind="stable")[:LUNGS]:
        if areas[region] >= SPECK_SHARE * areas.max():
            lung = (labels == region + 1).view(np.uint8)
            outline, _ = cv2.findContours(lung, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(cleaned, outline, -1, 1, cv2.FILLED)
    return cleaned

"""Labels: masks that tell several things apart, and so cannot be read as lung and the rest."""

import cv2
import numpy as np

LEVELS = 256
SMOOTH = 8  # levels that differ inside an area, as JPEG makes them
APART = 32  # levels between two labels; nearer ones are one
SHARE = 0.01  # of the pixels: a smaller area is a letter or a smear
NEIGHBOURS = np.ones((3, 3), np.uint8)


def is_label_map(brightness: np.ndarray) -> bool:
    """Return whether areas of three or more levels make up a mask.

    JPEG and resizing smear the outline of a mask over many levels, but in no place are neighbours
    alike there: only pixels that hardly differ from those around them count. So does a mask whose
    brightest level is but a letter beside an area of another.

    Args:
        brightness: uint8 or uint16, (height, width).
    """
    largest = int(brightness.max())
    lit, full = np.count_nonzero(brightness), np.count_nonzero(brightness == largest)
    if lit == full or largest == 0:
        return False  # two levels at most, 0 among them
    levels = np.round(brightness * ((LEVELS - 1) / largest)).astype(np.uint8)
    differences = cv2.morphologyEx(levels, cv2.MORPH_GRADIENT, NEIGHBOURS)
    counts = np.bincount(levels[differences <= SMOOTH], minlength=LEVELS)
    if (levels > LEVELS // 2).sum() < SHARE * levels.size < counts[APART : LEVELS // 2].sum():
        return True
    for _ in range(3):
        most = int(counts.argmax())
        if counts[max(0, most - SMOOTH) : most + SMOOTH + 1].sum() < SHARE * levels.size:
            return False
        counts[max(0, most - APART) : most + APART + 1] = 0
    return True

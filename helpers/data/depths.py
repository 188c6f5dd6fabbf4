"""Depths: how many bits the values of an X-ray have, and how they become grey of eight."""

import cv2
import numpy as np

DEPTHS = (8, 9, 10, 11, 12, 13, 14, 15)  # that detectors have; their files mostly have 16
# Share of the values that may be too bright for the depth: letters are burned in at the brightest
# value that a file can hold, whatever the detector's depth is.
BEYOND = 0.01


def find_depth(values: np.ndarray, candidates: tuple[int, ...] = DEPTHS) -> int:
    """Return the bits of the smallest depth that holds an X-ray's values; 16 if no other does.

    Files of 16 bits mostly hold the values of a detector with fewer, and seldom say so. One value
    of a hundred may be beyond, so that neither a single pixel nor a letter decides.

    Args:
        values: integers, none below 0.
        candidates: bits of the depths that are possible, in order; 16 always is.
    """
    few = BEYOND * values.size
    holding = (bits for bits in candidates if np.count_nonzero(values >= 2**bits) <= few)
    return next(holding, 16)


def reduce_depth(values: np.ndarray, bits: int) -> np.ndarray:
    """Return uint16 values of a depth as uint8, of the same shape; what is beyond is white."""
    white = 2**bits - 1
    greys = np.minimum(np.arange(2**16), white) * (255 / white)
    return np.round(greys).astype(np.uint8)[values]


def to_grey(pixels: np.ndarray, bits: int | None = None) -> np.ndarray:
    """Return decoded pixels as an X-ray: uint8 grey, (height, width); colours by luminance.

    Args:
        pixels: uint8 or uint16, (height, width) or, blue first, (height, width, 3).
        bits: the depth of uint16 values; None: as `find_depth` finds it.
    """
    if pixels.dtype != np.uint8:
        pixels = reduce_depth(pixels, find_depth(pixels) if bits is None else bits)
    if pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BGR2GRAY)

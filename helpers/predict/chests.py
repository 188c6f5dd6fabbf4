"""Chests: whether a picture is a chest X-ray at all, by the lungs drawn in it.

A lung network draws something in any picture. So what lies around its mask is compared with what
lies around the lungs of known chest X-rays. Within that frame X-rays of other hospitals, ages and
crops look alike, and other pictures do not.
"""

from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

from helpers.predict.novelty import describe, find_distances
from helpers.storage.files import read_arrays, write_arrays
from helpers.train.lungs import FOLDER, RESTORE

FRAMES = FOLDER / "frames.npz"
SIDE = 128  # pixels of a frame
AROUND = 0.12  # of the lungs' width and height that a frame shows beyond them, at each edge


def find_chests(xrays: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> np.ndarray:
    """Return for each picture whether it is a chest X-ray: bool, (N,).

    Args:
        xrays: uint8, (height, width) each.
        masks: the lungs that the package's network draws, zeros and ones of the same shapes.

    Raises:
        CovidLungsError: what it compares with cannot be read.
    """
    known, farthest = read_frames()
    return measure_frames(xrays, masks, known) <= farthest


def measure_frames(
    xrays: Sequence[np.ndarray], masks: Sequence[np.ndarray], known: np.ndarray
) -> np.ndarray:
    """Return how far pictures are from the known frames: 0 is equal, 1 unrelated, (N,)."""
    return find_distances(describe_frames(xrays, masks), known)


def describe_frames(xrays: Sequence[np.ndarray], masks: Sequence[np.ndarray]) -> np.ndarray:
    """Return the descriptions of what lies around the lungs: float32, (N, 512)."""
    return describe(_cut_frame(*pair) for pair in zip(xrays, masks, strict=True))


def _cut_frame(xray: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return the lungs and a little around them: uint8, (SIDE, SIDE); without lungs the whole."""
    left, top, width, height = cv2.boundingRect(mask)
    if not width:
        left, top, (height, width) = 0, 0, mask.shape
    across, down = (SIDE / (length * (1 + 2 * AROUND)) for length in (width, height))
    motion = np.array(
        [
            [across, 0, -across * (left - AROUND * width)],
            [0, down, -down * (top - AROUND * height)],
        ]
    )
    # Beyond the X-ray its edge is repeated: a black bar would be an edge of its own.
    return cv2.warpAffine(xray, motion, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)


@cache
def read_frames() -> tuple[np.ndarray, float]:
    """Return the descriptions of known frames, float32 (N, 512), and the farthest that counts.

    Raises:
        CovidLungsError: their file is missing or damaged.
    """
    known, farthest = read_arrays(FRAMES, ("known", "farthest"), RESTORE)
    return known.astype(np.float32), float(farthest)


def write_frames(known: np.ndarray, farthest: float) -> None:
    """Write the known frames, in place of the package's."""
    write_arrays(FRAMES, known=known.astype(np.float16), farthest=np.float64(farthest))

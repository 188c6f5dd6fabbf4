"""Seen: which X-rays are of the set that the lung network learnt from, by their fingerprints."""

from collections.abc import Iterable, Sequence
from functools import cache

import cv2
import numpy as np

from helpers.data.images import fingerprint
from helpers.storage.files import read_arrays, write_arrays
from helpers.train.lungs.network import FOLDER, RESTORE

SEEN = FOLDER / "seen.npz"
SIDE = 32  # pixels at which waves are measured
# Of the waves in each direction: the longest are those that all chests share, and compression
# changes the shortest.
WAVES = slice(3, 11)
# Bits of 64 that a copy may differ in. Resized and compressed by half, real X-rays differed in at
# most 5; of 1,318 from elsewhere the nearest in 8.
NEAR = 6


def find_seen(xrays: Iterable[np.ndarray]) -> np.ndarray:
    """Return for each X-ray, uint8 (height, width), whether it is of the set learnt from: (N,).

    Either its pixels are the same, or its perceptual hash is nearly that of a training X-ray, as
    after resizing or compression. A copy that was cropped may not be found.

    Raises:
        CovidLungsError: the fingerprints cannot be read.
    """
    exact, near, usual = read_seen()
    found = []
    for xray in xrays:
        same = (exact == int(fingerprint(xray), 16)).any()
        alike = np.bitwise_count(near ^ _to_bits(measure_waves(xray) > usual)) <= NEAR
        found.append(bool(same or alike.any()))
    return np.array(found, bool)


def measure_waves(xray: np.ndarray) -> np.ndarray:
    """Return how strong 64 waves of light and dark are in an X-ray: float32, (64,).

    They are coefficients of its discrete cosine transform, at one brightness and contrast (Zauner
    2010). The hash is which of them are stronger than in half of the training X-rays.
    """
    small = cv2.resize(xray, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    return cv2.dct((small - small.mean()) / (small.std() + 1))[WAVES, WAVES].ravel()


def _to_bits(strong: np.ndarray) -> np.uint64:
    """Return 64 truth values as one number."""
    return np.packbits(strong).view(np.uint64)[0]


@cache
def read_seen() -> list[np.ndarray]:
    """Return the training X-rays' fingerprints and hashes, uint64 each, and their median waves.

    Raises:
        CovidLungsError: their file is missing or damaged.
    """
    return read_arrays(SEEN, ("exact", "near", "usual"), RESTORE)


def write_seen(xrays: Sequence[np.ndarray]) -> None:
    """Write the fingerprints of the training X-rays, in place of the package's."""
    waves = np.stack([measure_waves(xray) for xray in xrays])
    usual = np.median(waves, axis=0)
    exact = np.array([int(fingerprint(xray), 16) for xray in xrays], np.uint64)
    near = np.array([_to_bits(row) for row in waves > usual], np.uint64)
    write_arrays(SEEN, exact=exact, near=near, usual=usual)

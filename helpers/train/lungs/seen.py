"""Seen: which X-rays the lung network of the package was trained on, by their fingerprints."""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from helpers.data.images import fingerprint
from helpers.storage.files import replacing

SEEN = Path(__file__).parent / "seen.npz"
WIDTH, HEIGHT = 9, 8  # of the picture whose neighbouring columns are compared: 64 of them
NEAR = 6  # bits of 64 that a copy may differ in


def find_seen(xrays: Iterable[np.ndarray]) -> np.ndarray:
    """Return for each X-ray, uint8 (height, width), whether the network was trained on it: (N,).

    Either its pixels are the same, or its difference hash (Krawetz 2013) is nearly that of a
    training X-ray, as after resizing or another compression.
    """
    exact, near = read_seen()
    return np.array([_is_seen(xray, exact, near) for xray in xrays], bool)


def _is_seen(xray: np.ndarray, exact: np.ndarray, near: np.ndarray) -> bool:
    """Return whether an X-ray has one of the fingerprints."""
    if np.uint64(int(fingerprint(xray), 16)) in exact:
        return True
    return bool((np.bitwise_count(near ^ hash_differences(xray)) <= NEAR).any())


def hash_differences(xray: np.ndarray) -> np.uint64:
    """Return 64 bits of an X-ray: where the picture, at 8 rows of 9, gets brighter to the right."""
    small = cv2.resize(xray, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
    return np.packbits(small[:, 1:] > small[:, :-1]).view(np.uint64)[0]


@cache
def read_seen() -> tuple[np.ndarray, np.ndarray]:
    """Return the fingerprints of all training X-rays, exact and perceptual, uint64 each."""
    with np.load(SEEN, allow_pickle=False) as file:
        return file["exact"], file["near"]


def write_seen(xrays: Iterable[np.ndarray]) -> None:
    """Write the fingerprints of the training X-rays, in place of the package's."""
    pairs = [(int(fingerprint(xray), 16), hash_differences(xray)) for xray in xrays]
    exact, near = (np.array(values, np.uint64) for values in zip(*pairs, strict=True))
    with replacing(SEEN) as partial:
        np.savez_compressed(partial, exact=exact, near=near)

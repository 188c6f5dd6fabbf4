"""Novelty: how far a picture is from the X-rays that a run's networks were trained on.

A network predicts something for any picture. So each picture is described by the directions of its
edges, cell by cell (histograms of oriented gradients, Dalal and Triggs 2005), and compared with the
training split, which alone decides the limit.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from helpers.data.images import resize_image
from helpers.data.threads import in_blocks, in_lists
from helpers.storage.files import read_arrays, write_arrays

FILE = "likeness.npz"  # beside the segmenter
SIDE, CELLS, DIRECTIONS = 64, 8, 8  # pixels and cells a side; directions a cell distinguishes
FAINT = 160  # damps cells with faint edges: 0.3 grey levels a pixel, as Sobel weighs them
NEIGHBOURS = 5  # nearest training X-rays, whose mean distance counts
BLOCK = 256  # X-rays compared with the known ones at once
MOST = 4000  # known X-rays: more would hardly add nearer ones
USUAL = 0.995  # share of the training X-rays within the first limit


class Likeness(NamedTuple):
    """What the X-rays of a training split look like."""

    known: np.ndarray  # their descriptions, float16 (N, 512)
    unlike: float  # a distance that one in 200 of them exceeds


def learn_likeness(xrays: np.ndarray, groups: pd.Series) -> Likeness:
    """Return what the X-rays of the training split look like.

    Args:
        xrays: uint8, (N, height, width), with those of the training split among them.
        groups: of the training split, by row of `xrays`. Distances are measured to X-rays of other
            groups only, since copies and X-rays of one patient are too near.
    """
    rows = np.unique(np.linspace(0, len(groups) - 1, min(len(groups), MOST)).astype(int))
    groups = groups.iloc[rows]
    known = describe(xrays[row] for row in groups.index)
    group = pd.factorize(groups)[0]
    distances = np.empty(len(known), np.float32)
    for block in in_blocks(np.arange(len(known)), BLOCK):
        likeness = known[block] @ known.T
        likeness[group[block, None] == group] = -1  # the largest distance
        distances[block] = _distances(likeness)
    return Likeness(known.astype(np.float16), float(np.quantile(distances, USUAL)))


def describe(xrays: Iterable[np.ndarray]) -> np.ndarray:
    """Return the descriptions of X-rays, uint8 (height, width): float32 (N, 512).

    Each has mean 0 and length 1, or is all zeros for an X-ray without edges.
    """
    cells = np.stack([_describe(xray) for xray in xrays])
    cells -= cells.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(cells, axis=1, keepdims=True)
    return np.divide(cells, lengths, out=np.zeros_like(cells), where=lengths > 0)


def _describe(xray: np.ndarray) -> np.ndarray:
    """Return how strong each cell's edges are in each direction, (512,), roots of shares."""
    small = resize_image(xray, (SIDE, SIDE)).astype(np.float32)
    strength, angle = cv2.cartToPolar(cv2.Sobel(small, -1, 1, 0), cv2.Sobel(small, -1, 0, 1))
    turn = angle * (DIRECTIONS / (2 * np.pi)) - np.arange(DIRECTIONS)[:, None, None]
    apart = np.abs((turn + DIRECTIONS / 2) % DIRECTIONS - DIRECTIONS / 2)
    edges = strength * np.maximum(0, 1 - apart)  # shared by the two nearest directions
    width = SIDE // CELLS
    cells = edges.reshape(DIRECTIONS, CELLS, width, CELLS, width).sum(axis=(2, 4))
    return np.sqrt(cells / (np.linalg.norm(cells, axis=0) + FAINT)).ravel()


def measure_distances(likeness: Likeness, xrays: Iterable[np.ndarray]) -> np.ndarray:
    """Return how far X-rays are from the known ones: 0 is equal, 1 unrelated, (N,).

    The X-rays are uint8, (height, width) each, of the segmenter's size.
    """
    blocks = in_lists(xrays, BLOCK)
    return np.concatenate([find_distances(describe(block), likeness.known) for block in blocks])


def find_distances(descriptions: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Return how far descriptions are from the known ones: 0 is equal, 1 unrelated, (N,)."""
    return _distances(descriptions @ known.T.astype(np.float32))


def _distances(likeness: np.ndarray) -> np.ndarray:
    """Return the mean distance to the nearest neighbours, given the correlations with all."""
    near = min(NEIGHBOURS, likeness.shape[1])
    return 1 - np.partition(likeness, -near, axis=1)[:, -near:].mean(axis=1)


def find_unlike(likeness: Likeness, xrays: Iterable[np.ndarray]) -> np.ndarray:
    """Return for each X-ray, as `measure_distances` takes it, whether it is unlike the known ones.

    They are of one data set: a chest X-ray of another hospital may well be unlike them.
    """
    return measure_distances(likeness, xrays) > likeness.unlike


def write_likeness(folder: Path, likeness: Likeness) -> None:
    """Write a likeness into the segmenter's folder, for predictions."""
    write_arrays(folder / FILE, **likeness._asdict())


def read_likeness(folder: Path) -> Likeness | None:
    """Return what `write_likeness` wrote, or None if the run has no such file.

    Raises:
        CovidLungsError: it cannot be read.
    """
    path = folder / FILE
    if not path.is_file():
        return None
    known, unlike = read_arrays(
        path, Likeness._fields, "Run 04_segment_lungs again, which makes it."
    )
    return Likeness(known, float(unlike))

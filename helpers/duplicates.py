"""Duplicates: X-rays that show the same exposure, re-encoded, resized, brightened or cropped.

Three steps, each slower and stricter than the one before: a descriptor that a small crop hardly
changes is compared for all pairs at once; the most alike are laid over each other at 48 pixels;
the few that still agree are read again and compared at 96 pixels.
"""

from collections.abc import Callable
from itertools import chain, combinations

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from helpers.images import resize_image
from helpers.workers import read_all, share

THUMBNAIL_SIZE = 48
DESCRIPTOR_SIZE = THUMBNAIL_SIZE // 2
HALVED = 3  # times the thumbnail's size, above which an X-ray is halved first
DESCRIPTOR_LENGTH = 64
LARGEST_CROP = 0.05  # share of a side, at each edge
FEW = 40  # X-rays up to which all pairs are laid over each other: sooner done than learning
CROPS = 8000  # from which the descriptor learns what a crop changes
CHANNELS = 100  # of one image: evened out together they take a tenth of the time; OpenCV takes 128
BLOCK = 512  # rows compared with all others at a time, to bound the memory
# Measured on 1,605 real X-rays with 500 planted copies: tests/benchmark_duplicates.py.
SIMILAR_DESCRIPTORS = 0.85
SIMILAR_THUMBNAILS = 0.86
SAME_XRAY = 0.89

Pair = tuple[int, int]


def make_thumbnail(image: np.ndarray) -> np.ndarray:
    """Return what `find_copies` compares of an X-ray: uint8, (48, 48)."""
    while min(image.shape) > HALVED * THUMBNAIL_SIZE:  # several times as fast as at once
        image = cv2.pyrDown(image)
    return resize_image(image, (THUMBNAIL_SIZE, THUMBNAIL_SIZE))


def find_copies(thumbnails: np.ndarray, read: Callable[[int], np.ndarray]) -> list[Pair]:
    """Return the pairs of X-rays that are copies of each other.

    Args:
        thumbnails: uint8, (n, 48, 48), as `make_thumbnail` gives them.
        read: returns the X-ray of a row, uint8 (height, width); called for few rows.

    Returns:
        Pairs of rows, the smaller first, sorted. Pixel-for-pixel copies are pairs too.
    """
    if len(thumbnails) > FEW:
        # More threads of BLAS wait for one another on these small matrices, on a busy machine for
        # seconds; blocks of pairs are shared among ours.
        with threadpool_limits(1, "blas"):
            candidates = _similar_pairs(_describe(thumbnails))
    else:
        candidates = list(combinations(range(len(thumbnails)), 2))
    if not candidates:
        return []
    rows = np.unique(candidates)
    evened = dict(zip(rows, _even_out_all(thumbnails[rows], width=7), strict=True))

    def agree(pair: Pair) -> bool:
        first, second = (evened[row] for row in pair)
        return align(first, second) > SIMILAR_THUMBNAILS and _is_same(pair, read)

    found = read_all(agree, candidates, "comparing")
    return [pair for pair, same in zip(candidates, found, strict=True) if same]


def even_out(image: np.ndarray, width: int) -> np.ndarray:
    """Return an image less its surroundings' mean, over their spread: float32, same shape.

    The surroundings are a square of `width` pixels.

    What brightness, contrast and a soft shadow change is gone; edges and ribs stay.
    """
    grey = image.astype(np.float32)
    detail = grey - cv2.blur(grey, (width, width))
    spread = cv2.sqrt(cv2.blur(detail * detail, (width, width)))
    return detail / (spread + 4)  # 4 grey levels: less is noise


def _even_out_all(images: np.ndarray, width: int) -> np.ndarray:
    """Return images, (n, height, width), each evened out: float32, same shape."""
    stack = np.moveaxis(images, 0, -1)
    chunks = np.array_split(stack, -(-len(images) // CHANNELS), axis=-1)
    evened = [even_out(np.ascontiguousarray(chunk), width) for chunk in chunks]
    return np.ascontiguousarray(np.moveaxis(np.concatenate(evened, axis=-1), -1, 0))


def align(first: np.ndarray, second: np.ndarray, steps: int = 5, blur: int = 1) -> float:
    """Return the correlation (-1 to 1) of two evened-out images, the second moved onto the first.

    By an affine motion, found with the enhanced correlation coefficient (Evangelidis & Psarakis,
    IEEE TPAMI 30, 2008; OpenCV's findTransformECC).
    """
    stop = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, steps, 1e-3)
    start = np.eye(2, 3, dtype=np.float32)
    try:
        motion = cv2.MOTION_AFFINE
        return cv2.findTransformECC(first, second, start, motion, stop, None, blur)[0]
    except cv2.error:  # no motion was found: nothing in common, or nothing to see
        return -1.0


def _is_same(pair: Pair, read: Callable[[int], np.ndarray]) -> bool:
    """Return whether two X-rays agree at twice the thumbnails' size."""
    size = (2 * THUMBNAIL_SIZE, 2 * THUMBNAIL_SIZE)
    first, second = (even_out(resize_image(read(row), size), width=13) for row in pair)
    return align(first, second, steps=20, blur=3) > SAME_XRAY


def _describe(thumbnails: np.ndarray) -> np.ndarray:
    """Return descriptors of unit length, float32 (n, DESCRIPTOR_LENGTH).

    Their axes are Fisher's linear discriminants: those along which X-rays differ most and a
    random crop changes least, as learnt from these very X-rays.
    """
    vectors = _small_vectors(thumbnails)
    rng = np.random.default_rng(0)
    rows = rng.integers(len(thumbnails), size=CROPS)
    crops = _small_vectors(np.stack([_crop(thumbnails[row], rng) for row in rows]))
    # With mirror images, so that few X-rays, or copies alone, differ from something too.
    square = vectors[rows].reshape(-1, DESCRIPTOR_SIZE, DESCRIPTOR_SIZE)
    mirrored = square[..., ::-1].reshape(len(rows), -1)
    sample = np.concatenate([vectors[rows], mirrored])
    mean = sample.mean(axis=0)
    axes = _discriminants(sample - mean, crops - vectors[rows])
    descriptors = (vectors - mean) @ axes
    lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return descriptors / np.maximum(lengths, 1e-6)


def _discriminants(between: np.ndarray, within: np.ndarray) -> np.ndarray:
    """Return the axes, (pixels, DESCRIPTOR_LENGTH), of largest between- over within-variance."""
    scatter = (within.T @ within / len(within)).astype(np.float64)
    scatter += np.eye(len(scatter)) * (0.03 * np.trace(scatter) / len(scatter) + 1e-9)
    whiten = np.linalg.inv(np.linalg.cholesky(scatter))
    _, vectors = np.linalg.eigh(whiten @ (between.T @ between / len(between)) @ whiten.T)
    return (whiten.T @ vectors[:, -DESCRIPTOR_LENGTH:]).astype(np.float32)


def _small_vectors(thumbnails: np.ndarray) -> np.ndarray:
    """Return thumbnails halved, evened out, and as vectors of mean 0 and length 1."""
    quarters = [thumbnails[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    halved = sum(quarter.astype(np.float32) for quarter in quarters) / len(quarters)
    vectors = _even_out_all(halved, width=15).reshape(len(thumbnails), -1)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-6)


def _crop(thumbnail: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a thumbnail cropped at random by up to LARGEST_CROP an edge, at its own size."""
    near, far = rng.uniform(0, LARGEST_CROP, (2, 2))  # each for x and y
    scale = 1 - near - far
    offset = near * THUMBNAIL_SIZE + (scale - 1) / 2
    motion = np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    size = (THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    return cv2.warpAffine(thumbnail, motion, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)


def _similar_pairs(descriptors: np.ndarray) -> list[Pair]:
    """Return the pairs whose descriptors are alike, block by block."""

    def compare(start: int) -> list[Pair]:
        alike = descriptors[start : start + BLOCK] @ descriptors[start:].T > SIMILAR_DESCRIPTORS
        # Flat: numpy finds few among many several times as fast along one axis as along two.
        first, second = np.divmod(np.flatnonzero(alike), alike.shape[1]) + np.int64(start)
        later = first < second
        return list(zip(first[later].tolist(), second[later].tolist(), strict=True))

    return list(chain.from_iterable(share(compare, range(0, len(descriptors), BLOCK))))

"""Duplicates: X-rays that show the same exposure, re-encoded, resized, brightened or cropped.

In three steps, each slower and stricter than the one before: compare a descriptor that a small crop
hardly changes, for all pairs at once; lay the most similar over each other at 48 pixels; and the
few that still agree at 96 pixels.
"""

from collections.abc import Hashable, Iterable, Sequence
from itertools import chain, combinations

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from helpers.data.images import resize_image
from helpers.data.threads import in_blocks, read_all, share

THUMBNAIL_SIZE = 96
DESCRIPTOR_SIZE = THUMBNAIL_SIZE // 4
DESCRIPTOR_LENGTH = 64
LARGEST_CROP = 0.05  # share of a side, at each edge
FEW = 40  # X-rays up to which all pairs are laid over each other: quicker than learning
CROPS = 8000  # from which the descriptor learns what a crop changes
CHANNELS = 100  # of one image: evened out together they take a tenth of the time; OpenCV takes 128
BLOCK = 512  # X-rays that a thread works on at once
# Measured on 1,605 real X-rays with 500 planted copies: tests/benchmarks/duplicates.py.
SIMILAR_DESCRIPTORS = 0.86  # 0.85 finds 3 of 5,000 copies more, and compares half as many again
SIMILAR_THUMBNAILS = 0.86
SAME_XRAY = 0.89

Pair = tuple[int, int]


def make_thumbnail(image: np.ndarray) -> np.ndarray:
    """Return what `find_copies` compares of an X-ray: uint8, (96, 96)."""
    while min(image.shape) > 3 * THUMBNAIL_SIZE:  # several times as fast as at once
        image = cv2.pyrDown(image)
    return resize_image(image, (THUMBNAIL_SIZE, THUMBNAIL_SIZE))


def find_copies(
    thumbnails: Sequence[np.ndarray], others: Sequence[np.ndarray] | None = None
) -> list[Pair]:
    """Return the pairs of X-rays that are copies of each other.

    Args:
        thumbnails: what `make_thumbnail` returned.
        others: those of another data set; if given, only X-rays of one set and the other are
            compared.

    Returns:
        Pairs of rows, the smaller first, or that of `others` second; sorted. Pixel-for-pixel
        copies are pairs too.
    """
    first, both = len(thumbnails), [*thumbnails, *(() if others is None else others)]
    if len(both) < 2:
        return []
    side = THUMBNAIL_SIZE // 2
    halves = np.stack([resize_image(thumbnail, (side, side)) for thumbnail in both])
    candidates = _choose_candidates(halves)
    if others is not None:
        candidates = [(one, two) for one, two in candidates if one < first <= two]
    if not candidates:
        return []
    rows = np.unique(candidates)
    evened = dict(zip(rows, _even_out_all(halves[rows], width=7), strict=True))

    def agree(pair: Pair) -> bool:
        if not _are_same(*(evened[row] for row in pair), SIMILAR_THUMBNAILS):
            return False
        whole = (even_out(both[row], width=13) for row in pair)
        return _are_same(*whole, SAME_XRAY, steps=20, blur=3)

    found = read_all(agree, candidates, "comparing")
    pairs = [pair for pair, same in zip(candidates, found, strict=True) if same]
    return pairs if others is None else [(one, two - first) for one, two in pairs]


def join_pairs(pairs: Iterable[tuple]) -> dict:
    """Return for every node the smallest of those it is paired with, directly or through others."""
    parent = {}

    def find(node: Hashable) -> Hashable:
        parent.setdefault(node, node)
        while parent[node] != node:
            parent[node] = node = parent[parent[node]]  # halves the way for the next search
        return node

    for pair in pairs:
        small, large = sorted(map(find, pair))
        parent[large] = small
    return {node: find(node) for node in list(parent)}


def _choose_candidates(halves: np.ndarray) -> list[Pair]:
    """Return the pairs of thumbnails, uint8 (n, 48, 48), to lay over each other."""
    if len(halves) <= FEW:
        return list(combinations(range(len(halves)), 2))
    # On these small matrices several threads of BLAS take ten times as long on a busy machine.
    with threadpool_limits(limits=1, user_api="blas"):
        return _similar_pairs(_describe(halves))


def even_out(image: np.ndarray, width: int) -> np.ndarray:
    """Return an image less the mean around each pixel, over the spread there: float32, same shape.

    That removes brightness, contrast and soft shadows; edges and ribs stay. The mean and the
    spread are those of a square of `width` pixels.
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

    The motion is affine, found with the enhanced correlation coefficient (Evangelidis & Psarakis,
    IEEE TPAMI 30, 2008; OpenCV's findTransformECC).
    """
    stop = (cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS, steps, 1e-3)
    start, motion = np.eye(2, 3, dtype=np.float32), cv2.MOTION_AFFINE
    try:
        return cv2.findTransformECC(first, second, start, motion, stop, None, blur)[0]
    except cv2.error:  # no motion was found: nothing in common, or nothing to see
        return -1.0


def _are_same(first: np.ndarray, second: np.ndarray, least: float, **motion: int) -> bool:
    """Return whether two evened-out images correlate by more than `least`, moved or as they are."""
    as_they_are = np.vdot(first, second) > least * np.linalg.norm(first) * np.linalg.norm(second)
    return bool(as_they_are) or align(first, second, **motion) > least


def _describe(halves: np.ndarray) -> np.ndarray:
    """Return descriptors of halved thumbnails, of unit length, float32 (n, DESCRIPTOR_LENGTH).

    Their axes are Fisher's linear discriminants: X-rays differ most along them, and a random crop
    changes least, as measured on these X-rays.
    """
    vectors = np.concatenate(share(_small_vectors, in_blocks(halves, BLOCK)))
    rng = np.random.default_rng(0)
    rows = rng.integers(len(halves), size=CROPS)
    edges = rng.uniform(0, LARGEST_CROP, (CROPS, 2, 2))
    blocks = zip(in_blocks(halves[rows], BLOCK), in_blocks(edges, BLOCK), strict=True)
    crops = np.concatenate(share(lambda block: _small_vectors(_crop_all(*block)), blocks))
    mean, axes = _discriminants(vectors[rows], crops)
    descriptors = vectors @ axes - mean @ axes
    lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
    return descriptors / np.maximum(lengths, 1e-6)


def _discriminants(chosen: np.ndarray, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the X-rays' mean and the axes, (pixels, DESCRIPTOR_LENGTH), that separate them best.

    Along those axes the variance between X-rays is largest, compared with the variance between
    an X-ray and its crop. Mirror images count as X-rays, so that few X-rays, or copies alone, also
    differ from something. `chosen` are vectors of X-rays, float32 (n, pixels), and `crops` those of
    a crop of each.
    """
    within, between = share(lambda one: one.T @ one / len(one), (crops - chosen, chosen))
    mirror = np.arange(len(between)).reshape(DESCRIPTOR_SIZE, -1)[:, ::-1].ravel()
    mean = chosen.mean(axis=0)
    mean = (mean + mean[mirror]) / 2
    between = (between + between[mirror][:, mirror]) / 2 - np.outer(mean, mean)
    within = within.astype(np.float64)
    within += np.eye(len(within)) * (0.03 * np.trace(within) / len(within) + 1e-9)
    whiten = np.linalg.inv(np.linalg.cholesky(within))
    _, vectors = np.linalg.eigh(whiten @ between @ whiten.T)
    return mean, (whiten.T @ vectors[:, -DESCRIPTOR_LENGTH:]).astype(np.float32)


def _small_vectors(images: np.ndarray) -> np.ndarray:
    """Return images halved, evened out, and as vectors of mean 0 and length 1."""
    quarters = [images[:, row::2, column::2] for row in (0, 1) for column in (0, 1)]
    halved = sum(quarter.astype(np.float32) for quarter in quarters) / len(quarters)
    vectors = _even_out_all(halved, width=15).reshape(len(images), -1)
    vectors = vectors - vectors.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-6)


def _crop_all(images: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return square images, uint8 (n, size, size), cropped and enlarged to their size.

    `edges` are the shares cut off: (n, 2, 2), the near and the far edge of x and y.
    """
    size = images.shape[1]
    scales = 1 - edges.sum(axis=1)
    offsets = edges[:, 0] * size + (scales - 1) / 2
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    crops = np.empty_like(images)
    for image, scale, offset, crop in zip(images, scales, offsets, crops, strict=True):
        motion = np.array([[scale[0], 0, offset[0]], [0, scale[1], offset[1]]])
        cv2.warpAffine(image, motion, (size, size), crop, flags, cv2.BORDER_REPLICATE)
    return crops


def _similar_pairs(descriptors: np.ndarray) -> list[Pair]:
    """Return the pairs whose descriptors are alike, sorted, block by block."""

    def compare(start: int) -> list[Pair]:
        alike = descriptors[start : start + BLOCK] @ descriptors.T > SIMILAR_DESCRIPTORS
        # Flat: numpy finds few among many several times as fast along one axis as along two.
        rows, columns = np.divmod(np.flatnonzero(alike), len(descriptors))
        pairs = zip((rows + start).tolist(), columns.tolist(), strict=True)
        return [(one, two) for one, two in pairs if one < two]

    return list(chain.from_iterable(share(compare, range(0, len(descriptors), BLOCK))))

"""Duplicates: X-rays that show the same exposure, re-encoded, resized, brightened or cropped.

In three steps, each slower and stricter than the one before: compare a descriptor that a small crop
hardly changes, for all pairs at once; lay the most similar over each other at 48 pixels; and the
few that still agree at 96 pixels.
"""

from collections.abc import Hashable, Iterable, Sequence

import cv2
import numpy as np
from threadpoolctl import threadpool_limits

from helpers.data.images import resize_image
from helpers.data.threads import in_blocks, read_all, share

THUMBNAIL_SIZE = 96
DESCRIPTOR_SIZE = THUMBNAIL_SIZE // 4
DESCRIPTOR_LENGTH = 80
LARGEST_CROP = 0.05  # share of a side, at each edge
FEW = 64  # X-rays up to which all pairs are laid over each other: too few to learn axes from
CROPS = 8000  # from which the descriptor learns what a crop changes
CHANNELS = 100  # of one image: evened out together they take a tenth of the time; OpenCV takes 128
BLOCK = 512  # X-rays that a thread works on at once
CHANGES = 10  # variance of what copying changes besides cropping, in variances of a crop
# Measured on 1,605 real X-rays and 20 times 500 copies of them: tests/benchmarks/duplicates.py.
SIMILAR_DESCRIPTORS = 0.80  # 0.79 finds 7 of 10,000 copies more, and compares a fifth more others
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
    candidates = _choose_candidates(both)
    if others is not None:
        one, two = candidates.T
        candidates = candidates[(one < first) & (first <= two)]

    def agree(pair: np.ndarray) -> bool:
        """Halve and even out anew for each pair: for a million X-rays memory is too small."""
        images = [both[row] for row in pair]
        evened = (even_out(_halve(image), width=7) for image in images)
        if not _are_same(*evened, SIMILAR_THUMBNAILS):
            return False
        whole = (even_out(image, width=13) for image in images)
        return _are_same(*whole, SAME_XRAY, steps=20, blur=3)

    found = np.fromiter(read_all(agree, candidates, "comparing"), bool, len(candidates))
    pairs = candidates[found] - np.array([0, 0 if others is None else first])
    return sorted(map(tuple, pairs.tolist()))


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


def _halve(thumbnail: np.ndarray) -> np.ndarray:
    """Return a thumbnail at half its size: uint8, (48, 48)."""
    return resize_image(thumbnail, (THUMBNAIL_SIZE // 2, THUMBNAIL_SIZE // 2))


def _halve_all(thumbnails: Iterable[np.ndarray]) -> np.ndarray:
    """Return thumbnails at half their size: uint8, (n, 48, 48)."""
    return np.stack([_halve(thumbnail) for thumbnail in thumbnails])


def _choose_candidates(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """Return the pairs of thumbnails to lay over each other: whole numbers, (pairs, 2)."""
    if len(thumbnails) <= FEW:
        return np.column_stack(np.triu_indices(len(thumbnails), 1))
    # On these small matrices several threads of BLAS take ten times as long on a busy machine.
    with threadpool_limits(limits=1, user_api="blas"):
        return _similar_pairs(_describe(thumbnails))


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


def _describe(thumbnails: Sequence[np.ndarray]) -> np.ndarray:
    """Return descriptors of thumbnails, of unit length, float32 (n, DESCRIPTOR_LENGTH).

    Their axes are Fisher's linear discriminants: X-rays differ most along them, and a random crop
    changes least, as measured on these X-rays.
    """
    mean, axes = _learn(thumbnails)

    def describe(block: Sequence[np.ndarray]) -> np.ndarray:
        descriptors = (_small_vectors(_halve_all(block)) - mean) @ axes
        lengths = np.linalg.norm(descriptors, axis=1, keepdims=True)
        return descriptors / np.maximum(lengths, 1e-6)

    return np.concatenate(share(describe, in_blocks(thumbnails, BLOCK)))


def _learn(thumbnails: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and axes, as `_discriminants` does, learnt from crops of some thumbnails."""
    rng = np.random.default_rng(0)
    rows = rng.integers(len(thumbnails), size=CROPS)
    edges = rng.uniform(0, LARGEST_CROP, (CROPS, 2, 2))

    def crop(block: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        rows, edges = block
        halves = _halve_all([thumbnails[row] for row in rows])
        return _small_vectors(halves), _small_vectors(_crop_all(halves, edges))

    blocks = zip(in_blocks(rows, BLOCK), in_blocks(edges, BLOCK), strict=True)
    chosen, crops = map(np.concatenate, zip(*share(crop, blocks), strict=True))
    return _discriminants(chosen, crops)


def _discriminants(chosen: np.ndarray, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the X-rays' mean and the axes, (pixels, DESCRIPTOR_LENGTH), that separate them best.

    Along those axes the variance between X-rays is largest, compared with the variance between
    an X-ray and its crop. Their weights let X-rays vary by 1 along an axis that copying hardly
    changes, and by less along others; else the few axes that tell hospitals apart would outweigh
    all others. Mirror images count as X-rays, so that few X-rays, or copies alone, also differ from
    something. `chosen` are vectors of X-rays, float32 (n, pixels), and `crops` those of a crop of
    each.
    """
    within, between = share(lambda one: one.T @ one / len(one), (crops - chosen, chosen))
    mirror = np.arange(len(between)).reshape(DESCRIPTOR_SIZE, -1)[:, ::-1].ravel()
    mean = chosen.mean(axis=0)
    mean = (mean + mean[mirror]) / 2
    between = (between + between[mirror][:, mirror]) / 2 - np.outer(mean, mean)
    within = within.astype(np.float64)
    within += np.eye(len(within)) * (0.03 * np.trace(within) / len(within) + 1e-9)
    whiten = np.linalg.inv(np.linalg.cholesky(within))
    variances, vectors = np.linalg.eigh(whiten @ between @ whiten.T)
    variances = np.maximum(variances[-DESCRIPTOR_LENGTH:], 0)
    weights = np.sqrt(variances) / (variances + CHANGES)
    return mean, (whiten.T @ vectors[:, -DESCRIPTOR_LENGTH:] * weights).astype(np.float32)


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


def _similar_pairs(descriptors: np.ndarray) -> np.ndarray:
    """Return the pairs whose descriptors are alike, each once: whole numbers, (pairs, 2)."""
    starts = range(0, len(descriptors), BLOCK)

    def compare(start: int) -> np.ndarray:
        block, found = descriptors[start : start + BLOCK], []
        for other in starts[start // BLOCK :]:
            others = descriptors[other : other + BLOCK]
            # Flat: numpy finds few among many several times as fast along one axis as along two.
            alike = np.flatnonzero(block @ others.T > SIMILAR_DESCRIPTORS)
            rows, columns = np.divmod(alike, len(others))
            found.append(np.column_stack((start + rows, other + columns)))
        pairs = np.concatenate(found)
        return pairs[pairs[:, 0] < pairs[:, 1]]

    return np.concatenate([np.empty((0, 2), int), *read_all(compare, starts, "searching")])

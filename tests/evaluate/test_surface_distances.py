import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from helpers.evaluate.segmentation import DISTANCES, TOLERANCE, measure_distances

SHAPE = (24, 18)


def boxes(*corners: tuple[int, int, int, int]) -> np.ndarray:
    """Return a mask with boxes of top, bottom, left and right."""
    mask = np.zeros(SHAPE, np.uint8)
    for top, bottom, left, right in corners:
        mask[top:bottom, left:right] = 1
    return mask


EMPTY, FULL = boxes(), boxes((0, 24, 0, 18))
DOT, LUNG = boxes((5, 6, 7, 8)), boxes((4, 16, 3, 9))
HAND_MADE = {
    "equal": (LUNG, LUNG),
    "one pixel": (DOT, LUNG),
    "two pixels apart": (DOT, boxes((9, 10, 10, 11))),
    "disjoint": (LUNG, boxes((18, 23, 12, 17))),
    "nested": (boxes((2, 20, 2, 16)), LUNG),
    "full": (FULL, LUNG),
    "both full": (FULL, FULL),
    "at the edge": (boxes((0, 8, 0, 8)), boxes((0, 8, 2, 10))),
    "two lungs and one": (boxes((4, 16, 2, 7), (4, 16, 11, 16)), boxes((4, 16, 2, 7))),
}


def is_lung(mask: np.ndarray, row: int, column: int) -> bool:
    """Return whether a pixel is in the image, and lung."""
    inside = 0 <= row < mask.shape[0] and 0 <= column < mask.shape[1]
    return bool(inside and mask[row, column])


def outline(mask: np.ndarray) -> list[tuple[int, int]]:
    """Return the outline's pixels, one by one."""
    beside = ((-1, 0), (1, 0), (0, -1), (0, 1))
    return [
        (row, column)
        for row, column in np.ndindex(mask.shape)
        if mask[row, column] and not all(is_lung(mask, row + a, column + b) for a, b in beside)
    ]


def percentile_95(values: list[float]) -> float:
    """Return the 95th percentile, between the two nearest ranks in proportion."""
    ordered = sorted(values)
    rank = 0.95 * (len(ordered) - 1)
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    return low + (high - low) * (rank - math.floor(rank))


def by_brute_force(true: np.ndarray, predicted: np.ndarray) -> list[float]:
    """Return the distances, each pixel of one outline against each of the other."""
    one, other, diagonal = outline(true), outline(predicted), math.dist((0, 0), true.shape)
    there = [min(math.dist(a, b) for b in other) for a in one]
    back = [min(math.dist(a, b) for a in one) for b in other]
    far, mean = max(map(percentile_95, (there, back))), sum(there + back) / len(there + back)
    close = sum(distance <= TOLERANCE * diagonal for distance in there + back)
    return [far, mean, close / len(there + back), far / diagonal, mean / diagonal]


@pytest.mark.parametrize("name", HAND_MADE)
def test_hand_made_masks_are_as_far_apart_as_brute_force_finds(name):
    found = measure_distances(*HAND_MADE[name])
    assert list(found) == DISTANCES
    assert list(found.values()) == pytest.approx(by_brute_force(*HAND_MADE[name]), abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(
    pair=arrays(
        np.uint8,
        st.tuples(st.just(2), st.integers(1, 9), st.integers(1, 9)),
        elements=st.integers(0, 1),
    ).filter(lambda pair: pair.any(axis=(1, 2)).all())
)
def test_random_masks_are_as_far_apart_as_brute_force_finds(pair):
    found = measure_distances(*pair)
    assert list(found.values()) == pytest.approx(by_brute_force(*pair), abs=1e-6)
    assert measure_distances(*pair[::-1]) == pytest.approx(found, abs=1e-12)


def test_known_distances():
    # Two pixels, four rows and three columns apart; the diagonal is 30.
    found = measure_distances(*HAND_MADE["two pixels apart"])
    assert list(found.values()) == pytest.approx([5, 5, 0, 5 / 30, 5 / 30])


def test_outlines_within_the_tolerance_count_as_equal():
    mask = np.zeros((256, 256), np.uint8)
    mask[50:200, 40:100] = 1
    for shift, share in ((1, 1.0), (2, None)):  # the tolerance is 1.8 pixels
        moved = np.roll(mask, shift, axis=1)
        found = measure_distances(mask, moved)["surface_dice"]
        assert found == share if share else 0.2 < found < 0.5


@pytest.mark.parametrize("mask", [DOT, FULL])
def test_an_empty_mask_has_its_rule(mask):
    agree = dict(zip(DISTANCES, [0, 0, 1, 0, 0], strict=True))
    assert measure_distances(EMPTY, EMPTY) == agree
    nowhere = dict(zip(DISTANCES, [math.nan, math.nan, 0, math.nan, math.nan], strict=True))
    for pair in ((EMPTY, mask), (mask, EMPTY)):
        assert measure_distances(*pair) == pytest.approx(nowhere, nan_ok=True)

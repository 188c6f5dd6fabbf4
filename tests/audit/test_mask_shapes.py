import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from helpers.audit.mask_shapes import (
    BLOCK,
    SHAPE_SIZE,
    measure_masks,
    shrink_mask,
    tell_conventions,
    why_implausible,
)
from helpers.data.synthetic import CLASS_NAMES, draw_xray

LUNG = {"lung_share": 0.3, "regions": 2, "edge_share": 0.0, "lower_fill": 0.6}
few = settings(max_examples=50, deadline=None)


def draw_boxes(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Return a mask of 64 pixels a side with boxes of top, bottom, left and right."""
    mask = np.zeros((SHAPE_SIZE, SHAPE_SIZE), np.uint8)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = 1
    return mask


def measure_mask(mask: np.ndarray) -> dict[str, float]:
    """Return the measures of one mask of any size."""
    return measure_masks([shrink_mask(mask)]).iloc[0].to_dict()


TWO_LUNGS = draw_boxes((16, 48, 8, 24), (16, 48, 40, 56))


def test_two_boxes_measure_as_they_were_drawn():
    found = measure_mask(TWO_LUNGS)
    expected = {"lung_share": 0.25, "regions": 2, "edge_share": 0.0, "lower_fill": 32 / 48}
    assert found == pytest.approx(expected)


def test_the_lower_chest_is_from_half_to_seventeen_twentieths_of_the_lungs_height():
    # Lungs from row 10 to 50: the lower chest is rows 30 to 43, and nothing else counts.
    notched = draw_boxes((10, 50, 10, 50))
    notched[30:44, 20:40] = 0
    assert measure_mask(notched)["lower_fill"] == pytest.approx(0.5)
    notched[10:30, 20:40] = notched[44:50, 20:40] = 0
    assert measure_mask(notched)["lower_fill"] == pytest.approx(0.5)
    notched[30:37, 20:40] = 1
    assert measure_mask(notched)["lower_fill"] == pytest.approx(0.75)


def test_rows_of_the_lower_chest_count_alike_whatever_their_width():
    # Rows 32 to 53 of 64: eleven are full and narrow, eleven are wide and half empty.
    mask = draw_boxes((0, 43, 28, 36), (43, 64, 0, 16), (43, 64, 48, 64))
    assert measure_mask(mask)["lower_fill"] == pytest.approx((11 * 1 + 11 * 0.5) / 22)


@pytest.mark.parametrize(
    "mask",
    [
        draw_boxes((0, 4, 8, 56), (60, 64, 8, 56)),  # nothing in the lower chest
        draw_boxes((20, 21, 0, 64)),  # too low to have one
        np.pad(np.ones((1, 1), np.uint8), (0, 999)),  # a pixel that 64 pixels a side lose
    ],
)
def test_a_mask_without_a_lower_chest_has_no_fill(mask):
    assert math.isnan(measure_mask(mask)["lower_fill"])


@pytest.mark.parametrize(("height", "regions"), [(6, 2), (7, 3)])
def test_specks_are_no_regions(height, regions):
    # One in a hundred of 64 x 64 pixels is 41: 6 x 6 is a speck, 7 x 6 is none.
    speck = draw_boxes((2, 2 + height, 29, 35))
    assert measure_mask(TWO_LUNGS | speck)["regions"] == regions


@pytest.mark.parametrize("turns", range(4))
def test_the_edge_that_lung_lies_along_most_counts(turns):
    mask = np.rot90(draw_boxes((0, 48, 0, 10)), turns)  # 48 of one edge, 10 of another
    assert measure_mask(np.ascontiguousarray(mask))["edge_share"] == 48 / 64


def test_a_mask_measures_alike_among_others():
    # More than a thread measures at once; each a box of its own from edge to edge, and one empty.
    boxes = [draw_boxes((0, 64, 0, 1 + number % 63)) for number in range(BLOCK + 30)]
    boxes[7] = draw_boxes()
    found = measure_masks(boxes)
    assert len(found) == len(boxes)
    for number in (0, 7, BLOCK - 1, BLOCK, BLOCK + 29):
        alone = measure_masks([boxes[number]]).iloc[0].to_dict()
        assert found.iloc[number].to_dict() == pytest.approx(alone, nan_ok=True)


def test_no_masks_have_no_measures():
    assert measure_masks([]).shape == (0, 4)


@few
@given(
    mask=arrays(np.uint8, (8, 8), elements=st.integers(0, 1)).filter(np.any),
    size=st.tuples(st.sampled_from([8, 16, 40]), st.sampled_from([8, 24, 32])),
)
def test_neither_size_nor_mirroring_changes_a_measure(mask, size):
    drawn = np.kron(mask, np.ones((8, 8), np.uint8))
    again = np.kron(mask[:, ::-1], np.ones(size, np.uint8))
    assert measure_mask(again) == pytest.approx(measure_mask(drawn), nan_ok=True)


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({}, ""),
        ({"lung_share": 0.65}, ""),
        ({"lung_share": 0.651}, "larger than 65% of the X-ray"),
        ({"lung_share": 0.05}, ""),
        ({"lung_share": 0.049}, "smaller than 5% of the X-ray"),
        ({"regions": 3}, "not two regions"),
        ({"regions": 1}, "not two regions"),
        ({"regions": 0}, "not two regions"),
        ({"edge_share": 0.75}, ""),
        ({"edge_share": 0.76}, "along more than 75% of an edge"),
        ({"lower_fill": float("nan")}, ""),
        ({"lung_share": 0.9, "regions": 1, "edge_share": 1.0}, "larger than 65% of the X-ray"),
    ],
)
def test_a_mask_that_can_hardly_be_lungs_has_its_reason(changed, reason):
    measures = pd.DataFrame([LUNG, LUNG | changed], index=[7, 3])
    reasons = why_implausible(measures)
    assert reasons.to_dict() == {7: "", 3: reason}


@pytest.mark.parametrize(
    ("fills", "place"),
    [
        (20 * [0.8], "in"),
        (5 * [0.8] + 15 * [0.6], "out"),
        (6 * [0.8] + 14 * [0.6], "mixed"),
        (14 * [0.8] + 6 * [0.6], "mixed"),
        (15 * [0.8] + 5 * [0.6], "in"),
        (19 * [0.8], "unclear"),
        (19 * [0.8] + 9 * [float("nan")], "unclear"),
        (20 * [0.72], "unclear"),
        (20 * [0.68], "unclear"),
        ([], "unclear"),
    ],
)
def test_the_heart_s_place_is_told_from_the_lower_chest(fills, place):
    # Beside a class of its own that is clearly in, and one of which nothing is known.
    rows = [("A", 0.9)] * 20 + [("NA", fill) for fill in fills or [float("nan")]]
    measures = pd.DataFrame(rows, columns=["class", "lower_fill"]).sample(frac=1, random_state=0)
    assert tell_conventions(measures) == {"A": "in", "NA": place}


def test_drawn_masks_leave_the_heart_out_and_are_plausible():
    rows = [
        {"class": name, **measure_mask(draw_xray(name, seed)[1] // 255)}
        for seed, name in enumerate(CLASS_NAMES * 6)
    ]
    measures = pd.DataFrame(rows)
    assert set(why_implausible(measures)) == {""}
    assert tell_conventions(measures.assign(**{"class": "all"})) == {"all": "out"}

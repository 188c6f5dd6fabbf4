import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.evaluate.views import VIEWS, View
from tests.support.builders import Watched

few = settings(max_examples=40, deadline=None)


@st.composite
def stacks(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.random.Generator]:
    """X-rays of noise without black, their masks of boxes, and a generator for more noise."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(0, 3)), draw(st.integers(8, 60)), draw(st.integers(8, 60))
    masks = np.zeros(shape, np.uint8)
    for mask in masks:
        for _ in range(draw(st.integers(0, 2))):
            top, left = rng.integers(0, shape[1]), rng.integers(0, shape[2])
            mask[top : top + rng.integers(1, 20), left : left + rng.integers(1, 20)] = 1
    return rng.integers(1, 256, shape, np.uint8), masks, rng


def other_where(chosen: np.ndarray, xrays: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The X-rays with every chosen pixel another grey."""
    changed = xrays + rng.integers(1, 256, xrays.shape, np.uint8)
    return np.where(chosen, changed, xrays)


@few
@given(stack=stacks(), name=st.sampled_from(list(VIEWS)))
def test_a_view_is_new_and_leaves_its_arrays_as_they_are(stack, name):
    xrays, masks, _ = stack
    before = xrays.copy(), masks.copy()
    view = View(name, xrays, masks)[:]
    assert (view.shape, view.dtype) == (xrays.shape, np.uint8)
    view[:] = 7
    np.testing.assert_array_equal(xrays, before[0])
    np.testing.assert_array_equal(masks, before[1])


@few
@given(stack=stacks(), name=st.sampled_from(list(VIEWS)), data=st.data())
def test_some_rows_of_a_view_are_made_of_no_others(stack, name, data):
    xrays, masks, _ = stack
    count = len(xrays)
    rows = np.array(
        data.draw(st.lists(st.integers(0, count - 1), max_size=5) if count else st.just([])), int
    )
    watched = Watched(xrays), Watched(masks)
    view = View(name, *watched)
    assert (view.shape, len(view)) == (xrays.shape, count)
    np.testing.assert_array_equal(view[rows], View(name, xrays, masks)[:][rows])
    assert [array.most for array in watched] == [len(rows)] * 2


@few
@given(stack=stacks())
def test_the_lungs_alone_keep_each_lung_pixel_and_no_other(stack):
    xrays, masks, _ = stack
    np.testing.assert_array_equal(View("whole", xrays, masks)[:], xrays)
    np.testing.assert_array_equal(View("lungs_only", xrays, masks)[:], xrays * masks)


@few
@given(stack=stacks())
def test_removed_lungs_take_a_margin_of_a_24th_of_the_side_with_them(stack):
    xrays, masks, _ = stack
    margin = -(-min(xrays.shape[1:]) // 24)
    expected = xrays.copy()
    for number, row, column in np.argwhere(masks):
        top, left = max(row - margin, 0), max(column - margin, 0)
        expected[number, top : row + margin + 1, left : column + margin + 1] = 0
    np.testing.assert_array_equal(View("lungs_removed", xrays, masks)[:], expected)


@few
@given(stack=stacks())
def test_the_border_is_a_frame_of_a_16th_without_lungs(stack):
    xrays, masks, rng = stack
    width = -(-min(xrays.shape[1:]) // 16)
    inside = np.zeros(xrays.shape, bool)
    inside[:, width:-width, width:-width] = True
    view = View("border", xrays, masks)[:]
    removed = View("lungs_removed", xrays, masks)[:]
    np.testing.assert_array_equal(view, np.where(inside, 0, removed))
    changed = other_where(inside | (masks == 1), xrays, rng)
    np.testing.assert_array_equal(View("border", changed, masks)[:], view)


@few
@given(stack=stacks())
def test_the_shape_of_the_mask_tells_nothing_of_the_xray(stack):
    xrays, masks, _ = stack
    view = View("mask_shape", xrays, masks)[:]
    np.testing.assert_array_equal(view, np.where(masks == 1, 255, 0))
    np.testing.assert_array_equal(View("mask_shape", 255 - xrays, masks)[:], view)

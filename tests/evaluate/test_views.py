"""What each view shows, and what it must not let through."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.images import resize_image, resize_mask
from helpers.data.synthetic import draw_xray
from helpers.evaluate.shortcuts import VIEWS, View, draw_frame, make_view
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
    view = make_view(name, xrays, masks)
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
    np.testing.assert_array_equal(view[rows], make_view(name, xrays, masks)[rows])
    assert [array.most for array in watched] == [len(rows)] * 2


@few
@given(stack=stacks())
def test_the_lungs_alone_keep_each_lung_pixel_and_no_other(stack):
    xrays, masks, _ = stack
    np.testing.assert_array_equal(make_view("whole", xrays, masks), xrays)
    np.testing.assert_array_equal(make_view("lungs_only", xrays, masks), xrays * masks)


@few
@given(stack=stacks())
def test_removed_lungs_take_a_margin_of_a_24th_of_the_side_with_them(stack):
    xrays, masks, _ = stack
    margin = -(-min(xrays.shape[1:]) // 24)
    expected = xrays.copy()
    for number, row, column in np.argwhere(masks):
        top, left = max(row - margin, 0), max(column - margin, 0)
        expected[number, top : row + margin + 1, left : column + margin + 1] = 0
    np.testing.assert_array_equal(make_view("lungs_removed", xrays, masks), expected)


@few
@given(stack=stacks())
def test_the_border_is_a_frame_of_a_16th_without_lungs(stack):
    xrays, masks, rng = stack
    width = -(-min(xrays.shape[1:]) // 16)
    inside = np.zeros(xrays.shape, bool)
    inside[:, width:-width, width:-width] = True
    view = make_view("border", xrays, masks)
    removed = make_view("lungs_removed", xrays, masks)
    np.testing.assert_array_equal(view, np.where(inside, 0, removed))
    changed = other_where(inside | (masks == 1), xrays, rng)
    np.testing.assert_array_equal(make_view("border", changed, masks), view)


@few
@given(stack=stacks())
def test_the_shape_of_the_mask_tells_nothing_of_the_xray(stack):
    xrays, masks, _ = stack
    view = make_view("mask_shape", xrays, masks)
    np.testing.assert_array_equal(view, np.where(masks == 1, 255, 0))
    np.testing.assert_array_equal(make_view("mask_shape", 255 - xrays, masks), view)


def test_a_frame_of_96_pixels_is_six_wide():
    frame = draw_frame((96, 96))
    assert frame[48].tolist() == frame[:, 48].tolist() == 6 * [1] + 84 * [0] + 6 * [1]
    assert frame[:6].all() and frame[-6:].all()


@pytest.mark.parametrize("name", VIEWS)
def test_arrays_on_disk_are_read_and_not_written(name, tmp_path):
    rng = np.random.default_rng(1)
    stack = rng.integers(0, 256, (2, 24, 24), np.uint8), rng.integers(0, 2, (2, 24, 24), np.uint8)
    on_disk = []
    for number, array in enumerate(stack):
        np.save(tmp_path / f"{number}.npy", array)
        on_disk.append(np.load(tmp_path / f"{number}.npy", mmap_mode="r"))
    view = make_view(name, *on_disk)
    np.testing.assert_array_equal(view, make_view(name, *stack))
    assert type(view) is np.ndarray, "no view of a file"
    for number, array in enumerate(stack):
        np.testing.assert_array_equal(np.load(tmp_path / f"{number}.npy"), array)


@pytest.mark.parametrize("disease", ["COVID", "Lung_Opacity", "Viral Pneumonia"])
def test_no_finding_of_a_drawn_xray_is_seen_around_the_lungs(disease):
    for seed in range(6):
        pairs = [draw_xray(name, seed) for name in ("Normal", disease)]
        xrays = np.stack([resize_image(xray, (96, 96)) for xray, _ in pairs])
        masks = np.stack([resize_mask(mask // 255, (96, 96)) for _, mask in pairs])
        healthy, ill = make_view("lungs_removed", xrays, masks)
        np.testing.assert_array_equal(healthy, ill)
        healthy, ill = make_view("lungs_only", xrays, masks)
        assert (healthy != ill).any()

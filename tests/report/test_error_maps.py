"""Error maps: colours, the place of the largest error, and the share beside the outline."""

import cv2
import numpy as np
import pytest

from helpers.data.images import read_mask, read_xray, resize_image
from helpers.report import error_maps
from helpers.report.error_maps import EXTRA, MISSED, Case
from helpers.split.index import build_index
from tests.support.builders import make_qata

pytestmark = pytest.mark.usefixtures("figures")

GREY = np.full((80, 60), 90, np.uint8)


def box(top: int, bottom: int, left: int, right: int) -> np.ndarray:
    mask = np.zeros(GREY.shape, np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


SHIFTED = Case(GREY, box(20, 60, 10, 30), box(20, 60, 14, 34))


def test_missed_lung_is_orange_and_extra_pixels_are_blue():
    painted = error_maps.paint_errors(SHIFTED)
    assert (painted[20:60, 10:14] == MISSED).all()
    assert (painted[20:60, 30:34] == EXTRA).all()
    painted[20:60, 10:14] = painted[20:60, 30:34] = 90
    assert (painted == 90).all(), "and nothing else is coloured"


def test_the_place_of_the_largest_error_is_a_square_of_a_quarter():
    true, predicted = box(20, 60, 10, 30), box(20, 60, 10, 30)
    predicted[65:75, 45:58] = 1
    predicted[5, 5] = 1
    rows, columns = error_maps.find_largest_error(Case(GREY, true, predicted))
    assert (rows.stop - rows.start, columns.stop - columns.start) == (15, 15)
    wrong = predicted[rows, columns]
    assert wrong.sum() == 10 * 13, "all of the large error, and not the dot"


@pytest.mark.parametrize("corner", [(0, 0), (0, 59), (79, 0), (79, 59)])
def test_the_square_stays_within_the_image(corner):
    predicted = np.zeros_like(GREY)
    predicted[corner] = 1
    place = error_maps.find_largest_error(Case(GREY, box(0, 0, 0, 0), predicted))
    assert predicted[place].shape == (15, 15)
    assert predicted[place].sum() == 1


def test_the_wrong_pixels_beside_the_outline_by_hand():
    # One hundredth of the diagonal of 80 x 60 pixels is 1 pixel.
    predicted = SHIFTED.true.copy()
    predicted[20:60, 30:40] = 1  # ten columns too many, of which the first is near
    assert error_maps.count_near_outline(Case(GREY, SHIFTED.true, predicted)) == (40, 400)
    inner = SHIFTED.true.copy()
    inner[20:60, 10:14] = 0  # four columns missed; near are the outer one and the ends
    assert error_maps.count_near_outline(Case(GREY, SHIFTED.true, inner)) == (40 + 6, 160)
    assert error_maps.count_near_outline(Case(GREY, SHIFTED.true, SHIFTED.true)) == (0, 0)


def test_a_long_reason_is_broken_into_lines():
    caption = error_maps.write_caption("COVID", 0.9, "prediction: smaller than 5% of the X-ray")
    assert caption == "COVID\nDice 0.900\nprediction: smaller than 5%\nof the X-ray"


def test_cases_are_read_at_the_size_of_the_true_mask(data_set):
    rows = build_index(data_set)[0].iloc[[0, 6]]
    masks = [read_mask(data_set.root / file) for file in rows["mask"]]
    guesses = np.stack([cv2.resize(mask, (40, 48)) * np.float32(0.9) for mask in masks])
    cases = error_maps.read_cases(data_set, rows, guesses)
    for case, file, mask in zip(cases, rows["file"], masks, strict=True):
        expected = resize_image(read_xray(data_set.root / file), mask.shape)
        np.testing.assert_array_equal(case.image, expected)
        np.testing.assert_array_equal(case.true, mask)
        assert case.predicted.shape == mask.shape
        assert (case.predicted != mask).mean() < 0.05


def test_cases_of_infection_are_not_cleaned(tmp_path):
    data_set = make_qata(tmp_path)
    rows = build_index(data_set)[0].iloc[:2]
    masks = np.stack([read_mask(data_set.root / file) for file in rows["infection_mask"]])
    guesses = masks * np.float32(0.9)
    guesses[:, :8, :8] = 0.9  # a speck far from the infection
    cases = error_maps.read_infection(data_set, rows, guesses)
    for case, mask in zip(cases, masks, strict=True):
        np.testing.assert_array_equal(case.true, mask)
        assert case.predicted[:8, :8].all()
        np.testing.assert_array_equal(case.predicted[8:], mask[8:])
    figure = error_maps.draw_side_by_side(cases, ["one", "two"])
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["missed infection", "extra: no infection"]


def test_each_case_stands_above_its_enlarged_error():
    figure = error_maps.draw_whole_and_zoomed([SHIFTED, SHIFTED], ["best", "worst"])
    images = [axis.images[0].get_array() for axis in figure.axes]
    place = error_maps.find_largest_error(SHIFTED)
    np.testing.assert_array_equal(images[1], error_maps.paint_errors(SHIFTED))
    np.testing.assert_array_equal(images[3], error_maps.paint_errors(SHIFTED)[place])
    assert [axis.get_title() for axis in figure.axes[:2]] == ["best", "worst"]
    (square,) = figure.axes[0].patches
    assert square.get_bbox().bounds == (place[1].start - 0.5, place[0].start - 0.5, 15, 15)
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["missed lung", "extra: no lung"]


def test_each_error_map_stands_below_its_xray_as_it_is():
    other = SHIFTED._replace(image=SHIFTED.image // 2)
    figure = error_maps.draw_below_xrays([SHIFTED, other], ["best", "healthy"])
    images = [axis.images[0].get_array() for axis in figure.axes]
    for case, above, below in zip((SHIFTED, other), images[:2], images[2:], strict=True):
        np.testing.assert_array_equal(above, np.dstack([case.image] * 3))
        np.testing.assert_array_equal(below, error_maps.paint_errors(case))
    assert [axis.get_title() for axis in figure.axes[:2]] == ["best", "healthy"]


@pytest.mark.parametrize(("count", "shape"), [(1, (1, 1)), (4, (1, 4)), (6, (2, 4))])
def test_cases_stand_side_by_side_up_to_four_in_a_row(count, shape):
    captions = [str(number) for number in range(count)]
    figure = error_maps.draw_side_by_side([SHIFTED] * count, captions)
    assert figure.axes[0].get_gridspec().get_geometry() == shape
    assert [axis.get_title() for axis in figure.axes[:count]] == captions
    figure.canvas.draw()
    width = figure.axes[0].get_window_extent().height  # these X-rays are taller than wide
    assert width >= 220, "details can be seen"

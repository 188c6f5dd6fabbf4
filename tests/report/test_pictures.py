import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.images import read_mask, read_xray
from helpers.report import pictures
from helpers.split.index import build_index
from tests.support.builders import make_qata
from tests.support.figures import shown

pytestmark = pytest.mark.usefixtures("figures")


@settings(max_examples=30, deadline=None)
@given(per_class=st.integers(1, 4), seed=st.integers(0, 2**31 - 1))
def test_examples_are_chosen_by_the_seed_and_class_by_class(per_class, seed):
    names = ["A", "B", "A", "B", "B", "A", "B", "C"]
    table = pd.DataFrame({"class": names, "file": list("hgfedcba")})
    chosen = pictures.pick_examples(table, per_class, seed)
    expected = {name: min(per_class, names.count(name)) for name in "ABC"}
    assert chosen["class"].value_counts().to_dict() == expected
    assert list(chosen["class"]) == sorted(chosen["class"])
    assert chosen.index.is_unique
    pd.testing.assert_frame_equal(chosen, pictures.pick_examples(table, per_class, seed))
    others = {tuple(pictures.pick_examples(table, 1, other)["file"]) for other in range(9)}
    assert len(others) > 3


def test_xray_mask_and_outline_stand_in_a_column(data_set, rows):
    found = shown(pictures.draw_masks(data_set, rows))
    files = zip(rows["file"], rows["mask"], strict=True)
    for column, (file, mask) in enumerate(files):
        xray, lungs = read_xray(data_set.root / file), read_mask(data_set.root / mask)
        np.testing.assert_array_equal(found[column], xray)
        np.testing.assert_array_equal(found[3 + column], lungs * 255)
        assert found[6 + column].shape == (*xray.shape, 3)


def test_a_grid_with_a_gap_holds_every_xray_under_its_caption(data_set, rows):
    figure = pictures.draw_xrays(data_set, rows, ["one", "two", "three"], columns=2)
    assert [axis.get_title() for axis in figure.axes] == ["one", "two", "three", ""]
    assert len(shown(figure)) == 3


def test_the_two_xrays_of_a_pair_stand_one_above_the_other(data_set, rows):
    one, two, three = rows["file"]
    figure = pictures.draw_pairs(data_set, [(one, two), (three, one)], ["copied", "copy"])
    for found, file in zip(shown(figure), (one, three, two, one), strict=True):
        np.testing.assert_array_equal(found, read_xray(data_set.root / file))
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["COVID-1", "Normal-3", "COVID-2", "COVID-1"]
    assert [axis.get_ylabel() for axis in figure.axes] == ["copied", "", "copy", ""]


def test_predictions_are_thresholded_at_the_mask_s_size(data_set, rows):
    masks = [read_mask(data_set.root / file) for file in rows["mask"]]
    guesses = np.stack([mask * np.float32(0.6) for mask in masks])
    found = shown(pictures.draw_predictions(data_set, rows, guesses, ["a", "b", "c"]))
    for column, mask in enumerate(masks):
        np.testing.assert_array_equal(found[3 + column], mask * 255)
        np.testing.assert_array_equal(found[6 + column], mask * 255)


def test_true_and_predicted_infection_lie_in_their_lungs(tmp_path):
    data_set = make_qata(tmp_path)
    rows = build_index(data_set)[0].iloc[:2]
    masks = np.stack([read_mask(data_set.root / file) for file in rows["infection_mask"]])
    lungs = np.zeros((2, 56, 56), np.uint8)
    lungs[:, 2:50, 4:25] = 1
    guesses = np.roll(masks, 9, axis=1) * np.float32(0.6)
    given = rows, guesses, lungs, lungs[:, ::-1]
    figure = pictures.draw_infection(data_set, *given, ["a", "b"])
    found = shown(figure)
    for column, (file, true, guess) in enumerate(zip(rows["file"], masks, guesses, strict=True)):
        xray = read_xray(data_set.root / file)
        np.testing.assert_array_equal(found[column], xray)
        for row, mask, own, colour in (
            (2, true, lungs[column], pictures.TRUE_COLOUR),
            (4, guess > 0.5, lungs[column, ::-1], pictures.PREDICTED_COLOUR),
        ):
            expected = pictures.paint_infection(xray, mask, own, colour)
            np.testing.assert_array_equal(found[row + column], expected)
    names = [axis.get_ylabel().split(":")[0] for axis in figure.axes[::2]]
    assert names == ["X-ray", "true", "predicted"]


def test_an_infection_is_tinted_and_outlined_within_its_lungs():
    image = np.full((80, 60), 100, np.uint8)
    infection, lungs = np.zeros((2, 80, 60), np.uint8)
    infection[20:50, 12:30] = lungs[10:70, 6:54] = 1
    painted = pictures.paint_infection(image, infection, lungs, pictures.TRUE_COLOUR)
    red, green, blue = painted[35, 20].astype(int)
    assert green < 100 < min(red, blue), "pink, and what lies below is seen"
    assert (painted[35, 12] == pictures.INFECTION_COLOUR).all()
    assert (painted[10, 30] == pictures.TRUE_COLOUR).all()
    assert (painted[60, 40] == 100).all()
    assert (image == 100).all()


def test_a_lower_threshold_outlines_more():
    image, probability = np.full((40, 40), 90, np.uint8), np.zeros((40, 40), np.float32)
    probability[10:30, 10:30], probability[15:25, 15:25] = 0.3, 0.8
    figure = pictures.draw_thresholds(image, probability, (0.2, 0.5))
    for found, (low, high) in zip(shown(figure), [(10, 29), (15, 24)], strict=True):
        outline = np.argwhere((found == pictures.PREDICTED_COLOUR).all(-1))
        # Lines are two pixels wide or three.
        assert (outline.min(), outline.max()) == (
            pytest.approx(low, abs=1),
            pytest.approx(high, abs=1),
        )
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == ["above 0.2:\n25.0% of the image", "above 0.5:\n6.2% of the image"]


def test_each_view_has_a_column_and_each_xray_a_row():
    views = {
        "whole": np.full((3, 8, 8), 9),
        "lungs_only": np.arange(3)[:, None, None] * np.ones((8, 8)),
    }
    figure = pictures.draw_views(views, ["a", "b", "c"])
    assert [int(image[0, 0]) for image in shown(figure)] == [9, 0, 9, 1, 9, 2]
    assert [axis.get_title() for axis in figure.axes[:2]] == ["whole", "lungs only"]
    assert [axis.get_ylabel() for axis in figure.axes[::2]] == ["a", "b", "c"]


def test_a_filter_stands_with_its_numbers_beside_what_it_responds_to(data_set, rows):
    figure = pictures.draw_filters(data_set, rows.iloc[0])
    xray, vertical, upright, horizontal, level = shown(figure)
    np.testing.assert_array_equal(vertical, [[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
    np.testing.assert_array_equal(horizontal, vertical.T)
    image = xray.astype(float)
    for kernel, response in ((vertical, upright), (horizontal, level)):
        expected = max(0, sum((kernel * image[4:7, 8:11]).ravel()))
        assert response[5, 9] == pytest.approx(expected)
        assert response.shape == xray.shape
    numbers = [text.get_text() for text in figure.axes[1].texts]
    assert numbers == ["−1", "0", "1", "−2", "0", "2", "−1", "0", "1"]


def test_the_numbers_of_a_filter_have_two_digits_and_no_negative_zero():
    axis = plt.figure().add_subplot()
    pictures.draw_numbers(axis, np.array([[0.128, -0.004], [-1.5, 2]]))
    assert [text.get_text() for text in axis.texts] == ["0.13", "0.00", "−1.50", "2.00"]


def test_a_probability_is_enlarged_to_its_xray(data_set, rows):
    figure = pictures.draw_probability(data_set, rows.iloc[0], np.full((4, 4), 0.25, np.float32))
    xray, _, enlarged = shown(figure)[:3]
    assert enlarged.shape == xray.shape
    assert (enlarged == 0.25).all()


def test_lungs_and_infection_are_outlined_each_in_its_colour():
    image, mask, infection = np.full((40, 50), 90, np.uint8), *np.zeros((2, 40, 50), np.uint8)
    mask[5:30, 5:25], infection[12:20, 10:18] = 1, 1
    xray, outlined = shown(pictures.draw_infection_found(image, mask, infection))
    assert (xray == 90).all()
    assert (outlined[5, 10] == pictures.PREDICTED_COLOUR).all()
    assert (outlined[12, 14] == pictures.INFECTION_COLOUR).all()


def test_two_outlines_lie_on_the_xray_the_runs_own_alone_beside_them():
    image, mask, own = np.full((40, 50), 90, np.uint8), *np.zeros((2, 40, 50), np.uint8)
    mask[5:20, 5:20], own[22:38, 28:45] = 1, 1
    alone, both = shown(pictures.draw_two_found(image, mask, own))
    edge, own_edge = (5, 10), (22, 35)
    assert (alone[own_edge] == both[own_edge]).all()
    assert (both[own_edge] == pictures.OTHER_COLOUR).all()
    assert (both[edge] == pictures.PREDICTED_COLOUR).all()
    assert (alone[edge] == 90).all()

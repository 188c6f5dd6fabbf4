"""The playground: what a setting does to masks, errors and scores, and the slider that moves it."""

import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from helpers.report import playground
from helpers.report.error_maps import EXTRA, MISSED, Case, paint_errors
from helpers.train.postprocessing import draw_lungs

pytestmark = pytest.mark.usefixtures("figures")

TEST = pd.DataFrame(
    {
        "split": ["test"] * 5 + ["train"],
        "label": [1, 1, 1, 0, 0, 0],
        "probability": [0.9, 0.6, 0.2, 0.4, 0.1, 0.95],
    }
)


@pytest.fixture
def run(tmp_path):
    """A run with a detector's predictions."""
    (tmp_path / "detection").mkdir()
    TEST.to_csv(tmp_path / "detection" / "predictions.csv", index=False)
    return tmp_path


@pytest.mark.parametrize(
    ("shift", "shared"), [(0, 12), (3, 9), (12, 0), (playground.LARGEST_SHIFT, 0)]
)
def test_a_moved_box_by_hand(shift, shared):
    true, predicted = playground.place_boxes(shift)
    assert true.sum() == predicted.sum() == 144, "no part of it leaves the picture"
    scores = playground.score_pair(true, predicted)
    assert scores["IoU"] == pytest.approx(shared / (24 - shared))
    assert scores["Dice"] == pytest.approx(shared / 12)
    assert scores["Hausdorff"] == shift


def test_boxes_are_painted_like_errors_under_their_scores():
    figure = playground.draw_boxes([0, 6])
    same, moved = (axis.images[0].get_array() for axis in figure.axes)
    assert not (same == MISSED).all(axis=-1).any()
    for colour in (MISSED, EXTRA):
        assert (moved == colour).all(axis=-1).sum() == 6 * 12
    assert "IoU 0.33, Dice 0.50" in figure.axes[1].get_title()
    assert "Hausdorff 6 pixels" in figure.axes[1].get_title()


def test_only_the_test_split_of_a_detector_is_read(run):
    assert list(playground.read_test(run)["probability"]) == [0.9, 0.6, 0.2, 0.4, 0.1]


def test_without_a_detector_or_without_both_classes_nothing_is_read(run, tmp_path_factory):
    assert playground.read_test(tmp_path_factory.mktemp("empty")) is None
    TEST[TEST["label"] == 0].to_csv(run / "detection" / "predictions.csv", index=False)
    assert playground.read_test(run) is None


@pytest.mark.parametrize(
    ("threshold", "counts"),
    [(0.0, [[3, 0], [2, 0]]), (0.4, [[2, 1], [0, 2]]), (0.7, [[1, 2], [0, 2]])],
)
def test_the_confusion_matrix_by_hand(run, threshold, counts):
    assert playground.count_confusion(playground.read_test(run), threshold).tolist() == counts


def lung() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """An X-ray with a lung, whose probabilities fall from 1 to 0 around it in steps."""
    image, true = np.full((2, 40, 40), 80, np.uint8)
    true[:] = 0
    true[10:30, 10:30] = 1
    probability = np.zeros((40, 40), np.float32)
    for step in range(1, 10):
        probability[5 + step : 35 - step, 5 + step : 35 - step] = step / 10 + 0.05
    return image, true, probability


def test_a_row_for_each_threshold_with_mask_counts_and_point(run):
    image, true, probability = lung()
    figure = playground.draw_thresholds(
        image, true, probability, playground.read_test(run), [0.3, 0.5]
    )
    masks, tables, curves = (figure.axes[place::3] for place in range(3))
    for axis, threshold in zip(masks, (0.3, 0.5), strict=True):
        predicted = draw_lungs(probability, probability.shape, threshold)
        expected = paint_errors(Case(image, true, predicted))
        np.testing.assert_array_equal(axis.images[0].get_array(), expected)
    assert "Dice 1.000, IoU 1.000" in masks[1].get_title()
    assert "Dice 0.820" in masks[0].get_title(), "at 0.3 it is 24 pixels wide, not 20"
    written = [[text.get_text() for text in axis.texts] for axis in tables]
    assert written == [["2", "1", "1", "1"], ["2", "1", "0", "2"]]
    points = [axis.lines[-1].get_xydata().tolist()[0] for axis in curves]
    assert points == [pytest.approx([0.5, 2 / 3]), pytest.approx([0, 2 / 3])]


def test_without_a_detector_the_masks_stand_side_by_side():
    figure = playground.draw_thresholds(*lung(), None, [0.2, 0.5, 0.8])
    assert figure.axes[0].get_gridspec().get_geometry() == (1, 3)
    assert [axis.get_title()[:14] for axis in figure.axes] == [
        f"threshold {threshold}" for threshold in ("0.20", "0.50", "0.80")
    ]


def test_moving_the_slider_draws_its_value(monkeypatch):
    monkeypatch.setattr("IPython.display.display", lambda box: None)
    drawn = []

    def draw(value):
        drawn.append(value)
        return playground.draw_boxes([value])

    slider, picture = playground.offer_slider(draw, "moved by", range(9), 4).children
    before = bytes(picture.value)
    assert drawn == [4]
    assert before.startswith(b"\x89PNG")
    slider.value = 7
    assert drawn == [4, 7]
    after = bytes(picture.value)
    assert after.startswith(b"\x89PNG")
    assert after != before
    assert not plt.get_fignums(), "a figure left open would be shown below the cell"


def test_without_widgets_it_says_how_to_get_them(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert playground.offer_slider(playground.draw_boxes, "moved by", range(9), 4) is None
    assert "uv sync --extra jupyter" in capsys.readouterr().out
    assert not plt.get_fignums(), "nothing is drawn"

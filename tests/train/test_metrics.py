import math
from pathlib import Path

import nbformat
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

from helpers.train import metrics

# A batch of four in one shape, so that TensorFlow prepares its operations once.
SHAPE = (4, 3, 3, 1)
masks = arrays(np.uint8, SHAPE, elements=st.integers(0, 1))
probabilities = arrays(np.float32, SHAPE, elements=st.floats(0, 1, width=32))
few = settings(max_examples=60, deadline=None)


def nine(*rows: str) -> np.ndarray:
    """Return a mask of nine pixels as a batch of one; # is lung."""
    return np.array([[pixel == "#" for pixel in row] for row in rows], np.uint8)[None, ..., None]


def values(result) -> np.ndarray:
    return ops.convert_to_numpy(result)


def reference(true: np.ndarray, predicted: np.ndarray) -> tuple[float, float]:
    """Return IoU and Dice of one image from sets of pixels, in plain Python."""
    first = {place for place, value in np.ndenumerate(true) if value}
    second = {place for place, value in np.ndenumerate(predicted) if value}
    if not first and not second:
        return 1.0, 1.0
    shared = len(first & second)
    return shared / len(first | second), 2 * shared / (len(first) + len(second))


SQUARE = nine("##.", "##.", "...")
SHIFTED = nine(".##", ".##", "...")
CORNER = nine("...", "...", "..#")
FULL = nine("###", "###", "###")
EMPTY = nine("...", "...", "...")


@pytest.mark.parametrize(
    ("true", "predicted", "iou", "dice"),
    [
        (SQUARE, SQUARE, 1, 1),
        (SQUARE, SHIFTED, 2 / 6, 4 / 8),
        (SQUARE, FULL, 4 / 9, 8 / 13),
        (FULL, CORNER, 1 / 9, 2 / 10),
        (SQUARE, CORNER, 0, 0),
        (EMPTY, EMPTY, 1, 1),
        (EMPTY, CORNER, 0, 0),
        (CORNER, EMPTY, 0, 0),
    ],
)
def test_hand_made_masks(true, predicted, iou, dice):
    assert values(metrics.iou(true, predicted)) == pytest.approx([iou], abs=1e-6)
    assert values(metrics.dice(true, predicted)) == pytest.approx([dice], abs=1e-6)


@few
@given(true=masks, predicted=masks)
def test_scores_agree_with_sets_of_pixels(true, predicted):
    expected = [reference(*pair) for pair in zip(true, predicted, strict=True)]
    found = np.stack([values(metrics.iou(true, predicted)), values(metrics.dice(true, predicted))])
    np.testing.assert_allclose(found.T, expected, atol=1e-6)


def execute_cell(name: str) -> dict:
    """Return what a code cell of notebook 05 defines."""
    path = Path(__file__).parents[2] / "notebooks" / "05_evaluate.ipynb"
    (source,) = (cell.source for cell in nbformat.read(path, 4).cells if cell.id == name)
    defined = {"np": np}
    exec(source, defined)
    return defined


@few
@given(true=masks, predicted=masks)
def test_the_scores_in_the_notebook_are_these(true, predicted):
    true[0] = 0
    predicted[:2] = 0  # two empty masks, and one beside one that may hold something
    cell = execute_cell("05-functions")
    for name in ("iou", "dice"):
        found = [cell[name](*pair) for pair in zip(true, predicted, strict=True)]
        expected = values(getattr(metrics, name)(true, predicted))
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert found[0] == 1


@few
@given(true=masks, guess=probabilities)
def test_thresholded_scores_see_only_what_is_above_one_half(true, guess):
    cut = np.where(guess > 0.5, 1, 0)
    np.testing.assert_array_equal(values(metrics.threshold(guess)), cut)
    pairs = [(metrics.thresholded_iou, metrics.iou), (metrics.thresholded_dice, metrics.dice)]
    for thresholded, score in pairs:
        np.testing.assert_array_equal(values(thresholded(true, guess)), values(score(true, cut)))


def test_one_half_is_not_lung():
    half = np.array([0.5, np.nextafter(np.float32(0.5), np.float32(1))], np.float32)
    assert values(metrics.threshold(half)).tolist() == [0, 1]


@few
@given(true=masks, guess=probabilities)
def test_losses_by_hand(true, guess):
    guess = np.clip(guess, 0.001, 0.999)  # near 0 and 1 Keras cuts the logarithm off
    losses = values(metrics.dice_loss(true, guess))
    both = values(metrics.dice_and_cross_entropy(true, guess))
    for one, other, *found in zip(true, guess, losses, both, strict=True):
        pixels = zip(one.ravel().tolist(), other.ravel().tolist(), strict=True)
        crossed = [-math.log(p if t else 1 - p) for t, p in pixels]
        shared, total = float((one * other).sum()), float(one.sum() + other.sum())
        expected = 1 - (2 * shared + 1) / (total + 1)
        assert found[0] == pytest.approx(expected, abs=1e-6)
        assert found[1] == pytest.approx(expected + sum(crossed) / len(crossed), abs=1e-4)

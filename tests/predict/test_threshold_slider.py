import sys

import cv2
import numpy as np
import pytest

from helpers.predict.threshold_slider import LARGEST, offer_threshold
from helpers.report.pictures import PREDICTED_COLOUR

SHAPE = (100, 80)


@pytest.fixture
def probability() -> np.ndarray:
    """A quarter of the X-ray may be lung, a sixteenth is for sure."""
    probability = np.zeros(SHAPE, np.float32)
    probability[25:75, 20:60], probability[40:65, 30:50] = 0.3, 0.9
    return probability


def look(picture) -> np.ndarray:
    """Return a widget's picture, uint8 RGB (height, width, 3)."""
    pixels = cv2.imdecode(np.frombuffer(picture.value, np.uint8), cv2.IMREAD_COLOR)
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def find_orange(pixels: np.ndarray) -> np.ndarray:
    """Return the rows and columns of the outline, compressed as it is: (N, 2)."""
    return np.argwhere(np.abs(pixels.astype(int) - PREDICTED_COLOUR).max(axis=-1) < 60)


def test_the_outline_follows_the_slider(probability, capsys):
    slider, words, picture = offer_threshold(np.full(SHAPE, 90, np.uint8), probability).children
    capsys.readouterr()
    assert "Above 0.50, the lungs fill 6.2% of the image." in words.value
    before = find_orange(look(picture))
    slider.value = 0.2
    assert "Above 0.20, the lungs fill 25.0% of the image." in words.value
    after = find_orange(look(picture))
    np.testing.assert_allclose(before.min(axis=0), (40, 30), atol=2)
    np.testing.assert_allclose(after.min(axis=0), (25, 20), atol=2)
    assert capsys.readouterr() == ("", "")


def test_a_large_xray_is_shown_small(probability):
    *_, picture = offer_threshold(np.full((2000, 1000), 90, np.uint8), probability).children
    assert look(picture).shape == (LARGEST, LARGEST // 2, 3)


def test_without_widgets_the_figure_must_do(probability, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    assert offer_threshold(np.full(SHAPE, 90, np.uint8), probability) is None
    assert "--extra jupyter" in capsys.readouterr().out

"""The views that notebook 06 makes in a cell are those that its helpers make."""

import math
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pytest

from helpers.evaluate.views import VIEWS, View

NOTEBOOK = Path(__file__).parents[1] / "notebooks" / "06_audit_shortcuts.ipynb"


@pytest.fixture(scope="module")
def make_views():
    """The function of the notebook's cell."""
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    (source,) = [cell.source for cell in cells if "def make_views" in cell.source]
    names = {"cv2": cv2, "math": math, "np": np}
    exec(source, names)
    return names["make_views"]


@pytest.mark.parametrize("side", [48, 64, 96, 256, 299])
def test_the_views_of_the_cell_equal_the_helper_s(make_views, side):
    generator = np.random.default_rng(side)
    xray = generator.integers(1, 256, (side, side), dtype=np.uint8)
    mask = np.zeros_like(xray)
    mask[side // 5 : -side // 4, side // 6 : side // 2] = 1
    mask[: side // 2, -side // 3 : -side // 40] = 1  # a lung that reaches into the frame
    found = make_views(xray, mask)
    assert list(found) == list(VIEWS)
    for name, view in found.items():
        np.testing.assert_array_equal(view, View(name, xray[None], mask[None])[:][0], name)

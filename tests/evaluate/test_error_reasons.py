import numpy as np
import pytest

from helpers.data.images import read_mask
from helpers.evaluate.segmentation import likely_reason, likely_reasons
from helpers.split.index import build_index
from tests.support.builders import make_data_set


def lungs(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    """Return a mask of 128 pixels a side with boxes of top, bottom, left and right."""
    mask = np.zeros((128, 128), np.uint8)
    for top, bottom, left, right in boxes:
        mask[top:bottom, left:right] = 1
    return mask


LEFT, RIGHT = (20, 100, 15, 55), (20, 100, 75, 115)
TRUE = lungs(LEFT, RIGHT)
SHORT = lungs(LEFT, (20, 80, 75, 115))
LONG = lungs(LEFT, (20, 120, 75, 115))
MOVED = lungs((24, 104, 15, 55), (24, 104, 75, 115))
BLACK, DENSE = np.full((64, 64), 40, np.uint8), np.full((64, 64), 40, np.uint8)
DENSE[40:50] = 200  # where the right lung's base is


@pytest.mark.parametrize(
    ("image", "true", "predicted", "reason"),
    [
        (BLACK, TRUE, TRUE, "hardly any difference"),
        (BLACK, TRUE, lungs(), "prediction: no lung"),
        (BLACK, lungs(), TRUE, "true mask: no lung"),
        (BLACK, TRUE, lungs(LEFT), "prediction: not two regions"),
        (BLACK, lungs((0, 128, 0, 128)), TRUE, "true mask: larger than 65% of the X-ray"),
        (BLACK, TRUE, SHORT, "misses a part"),
        (DENSE, TRUE, SHORT, "misses a dense part: opacity, or heart?"),
        (BLACK, TRUE, LONG, "takes in what is no lung"),
        (BLACK, TRUE, MOVED, "the edges differ"),
    ],
)
def test_the_likely_reason(image, true, predicted, reason):
    assert likely_reason(image, true, predicted) == reason


def test_each_row_has_its_reason(tmp_path):
    data_set = make_data_set(tmp_path / "two", {"A": 2})
    rows = build_index(data_set)[0]
    masks = np.stack([read_mask(data_set.root / file) for file in rows["mask"]])
    probabilities = masks.astype(np.float32)
    probabilities[1] = 0
    first, second = likely_reasons(data_set, rows, probabilities)
    assert first != second == "prediction: no lung"

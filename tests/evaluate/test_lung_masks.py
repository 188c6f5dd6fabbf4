import numpy as np
import pytest

from helpers.data.arrays import prepare_masks
from helpers.data.sources import find_data
from helpers.evaluate import lung_masks
from helpers.evaluate.lung_masks import DRAWN, OWN, find_masks
from helpers.split.index import build_index
from helpers.storage.folders import cache_root


@pytest.fixture(scope="module")
def demo():
    """The demo and eight rows of its index, two of each class."""
    data_set = find_data("demo")
    return data_set, build_index(data_set)[0].iloc[5::50]


def test_masks_that_a_data_set_has_are_its_own(data_set, monkeypatch):
    monkeypatch.setattr(lung_masks.lungs, "load_network", None)
    index, _ = build_index(data_set)
    masks, whose = find_masks(data_set, index, 16)
    np.testing.assert_array_equal(masks, prepare_masks(data_set, index, 16))
    assert whose == OWN


def test_where_there_are_none_the_network_draws_them(demo):
    data_set, index = demo
    arrays = cache_root() / "arrays"
    true = prepare_masks(data_set, index, 64)
    masks, whose = find_masks(data_set, index.assign(mask="", mask_pixels=""), 64)
    assert whose == DRAWN
    assert (masks.shape, masks.dtype) == ((8, 64, 64), np.uint8)
    overlap = (masks & true).sum(axis=(1, 2)) / (masks | true).sum(axis=(1, 2))
    assert overlap.min() > 0.85, "each the lungs of its own X-ray"
    others = (masks & true[::-1]).sum(axis=(1, 2)) / (masks | true[::-1]).sum(axis=(1, 2))
    assert others.max() < 0.85, "those of another fit worse"
    assert isinstance(masks, np.memmap), "it may be more than the memory holds"
    with pytest.raises(ValueError, match="read-only"):
        masks[0] = 0
    assert {path.suffix for path in arrays.iterdir()} == {".npy"}, "nothing stays of them"

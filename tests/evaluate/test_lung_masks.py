import numpy as np
import pytest

from helpers.data.arrays import HASH, prepare_masks
from helpers.data.sources import find_data
from helpers.evaluate import lung_masks
from helpers.evaluate.lung_masks import DRAWN, OWN, find_masks, predict_masks
from helpers.split.index import build_index
from helpers.storage.folders import cache_root
from helpers.storage.layout import SEGMENTER
from helpers.train.backend import keras
from helpers.train.models import build_unet
from helpers.train.recipes import SegmentationSettings
from helpers.train.trained import replace_model


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
    assert {path.suffix for path in arrays.iterdir()} <= {".npy", HASH}, "nothing stays of them"


def test_without_a_network_of_its_own_a_run_has_the_package_s_lungs(demo, tmp_path):
    data_set, index = demo
    drawn, _ = find_masks(data_set, index.assign(mask="", mask_pixels=""), 64)
    np.testing.assert_array_equal(predict_masks(tmp_path, data_set, index, 64), drawn)


def test_a_run_s_own_network_draws_its_lungs(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(lung_masks.lungs, "load_network", None)
    data_set, index = demo
    settings = SegmentationSettings(
        image_size=32, filters=(2,), epochs=1, batch_size=4, learning_rate=1e-3
    )
    unet = build_unet(settings)
    for weight in unet.layers[-2].weights:
        weight.assign(keras.ops.ones_like(weight))
    path = tmp_path / SEGMENTER
    path.parent.mkdir()
    replace_model(unet, path.parent)
    masks = predict_masks(tmp_path, data_set, index, 64)
    assert (masks.shape, masks.dtype) == ((8, 64, 64), np.uint8)
    assert masks.all(), "this network calls every pixel lung"

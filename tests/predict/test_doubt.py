import numpy as np
import pandas as pd
import pytest

from helpers.data.images import resize_image
from helpers.data.synthetic import draw_xray
from helpers.predict.doubt import LEAST, REFUSAL, UNLIKE, find_doubts
from helpers.predict.novelty import learn_likeness
from helpers.train import lungs
from helpers.train.backend import keras
from helpers.train.inference import predict
from tests.support.strangers import make_strangers

SIZE = (256, 256)
SMALL = (64, 64)


def draw(size: tuple[int, int], seeds: range) -> np.ndarray:
    return np.stack([resize_image(draw_xray("Normal", seed)[0], size) for seed in seeds])


@pytest.fixture(scope="module")
def pages() -> np.ndarray:
    """Twenty pictures that are no chest X-rays."""
    return np.stack([resize_image(one, SIZE) for _, one in make_strangers(1)][::25])


@pytest.fixture(scope="module")
def likeness():
    return learn_likeness(draw(SMALL, range(60)), pd.Series(range(60)))


@pytest.fixture(scope="module")
def other() -> keras.Model:
    """A run's network, as far as doubts look at it."""
    inputs = keras.Input((*SMALL, 1))
    return keras.Model(inputs, inputs, name="unet")


def test_the_packages_network_refuses_other_pictures_and_expects_little_of_its_masks(pages):
    network = lungs.load_network()
    xrays = np.concatenate([draw(SIZE, range(100, 110)), pages])
    doubts = find_doubts(network, None, xrays, predict(network, xrays))
    assert [doubt.refusal for doubt in doubts[:10]] == [""] * 10
    assert np.mean([doubt.refusal == REFUSAL for doubt in doubts[10:]]) >= 0.95
    expected = np.array([doubt.expected_dice for doubt in doubts])
    assert ((expected >= 0) & (expected <= 1)).all()
    assert np.median(expected[:10]) > np.median(expected[10:]) + 0.1
    for doubt in doubts:
        assert (doubt.warning != "") == (doubt.expected_dice < LEAST)


def test_a_run_warns_of_what_it_does_not_know_and_denies_no_chest(other, likeness, pages):
    known = draw(SMALL, range(200, 210))
    turned = np.ascontiguousarray(np.rot90(draw(SMALL, range(300, 305)), axes=(1, 2)))
    xrays = np.concatenate([known, turned, [resize_image(page, SMALL) for page in pages]])
    doubts = find_doubts(other, likeness, xrays, np.zeros(xrays.shape, np.float32))
    assert sum(doubt.warning == UNLIKE for doubt in doubts[:10]) <= 1
    assert [doubt.warning for doubt in doubts[10:15]] == [UNLIKE] * 5
    assert np.mean([doubt.refusal == REFUSAL for doubt in doubts[15:]]) >= 0.9
    assert all(np.isnan(doubt.expected_dice) for doubt in doubts)


def test_without_known_xrays_the_packages_network_looks_at_all(other, pages):
    xrays = np.concatenate([draw(SMALL, range(3)), [resize_image(page, SMALL) for page in pages]])
    doubts = find_doubts(other, None, xrays, np.zeros(xrays.shape, np.float32))
    assert [doubt.refusal for doubt in doubts[:3]] == [""] * 3
    assert np.mean([doubt.refusal == REFUSAL for doubt in doubts[3:]]) >= 0.9
    assert {doubt.warning for doubt in doubts} == {""}

import math
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.images import resize_image, resize_mask
from helpers.data.synthetic import CLASS_NAMES, draw_xray
from helpers.train.augmentation import STRENGTHS, Changes, augment, draw_changes, draw_noise
from helpers.train.backend import steps_at_once
from helpers.train.batches import Batches
from helpers.train.checkpoint import read_progress
from helpers.train.gpu_augmentation import augment_batch
from helpers.train.inference import predict, predict_each
from helpers.train.training import train
from tests.support.builders import Watched
from tests.support.gpus import GPU, pretend_gpu
from tests.support.trainings import (
    EPOCHS,
    PREPARED,
    Stopped,
    let_in_the_classifier,
    outcome,
    stop_at,
)

SIZE, COUNT = 96, 24
PAIRS = [draw_xray(CLASS_NAMES[seed % len(CLASS_NAMES)], seed) for seed in range(COUNT)]
XRAYS = np.stack([resize_image(xray, (SIZE, SIZE)) for xray, _ in PAIRS])
MASKS = np.stack([resize_mask(mask // 255, (SIZE, SIZE)) for _, mask in PAIRS])
LABELS = np.arange(COUNT) % 2
WITH_TENSORFLOW = keras.backend.backend() == "tensorflow"


def by_opencv(xrays, masks, changes, noise) -> tuple[np.ndarray, np.ndarray]:
    """Return what `augment` makes of each X-ray and mask."""
    given = zip(xrays, masks, map(changes.of, range(len(xrays))), strict=True)
    both = [augment(xray, mask, change, noise) for xray, mask, change in given]
    return tuple(np.stack(part) for part in zip(*both, strict=True))


def on_gpu(xrays, masks, changes, noise) -> list[np.ndarray]:
    """Return what `augment_batch` makes of all of them."""
    tensors = Changes(*map(keras.ops.convert_to_tensor, changes))
    return list(map(keras.ops.convert_to_numpy, augment_batch(xrays, masks, tensors, noise)))


@pytest.mark.parametrize("name", sorted(STRENGTHS))
@pytest.mark.parametrize("seed", range(4))
def test_a_gpu_changes_xrays_as_a_processor_does(name, seed):
    changes = draw_changes(STRENGTHS[name], (seed, 1), COUNT, SIZE)
    given = XRAYS, MASKS, changes, draw_noise((seed, 2), SIZE)
    (xrays, masks), (found, found_masks) = by_opencv(*given), on_gpu(*given)
    assert (found.shape, found_masks.shape) == (xrays.shape, masks.shape)
    assert (np.abs(found - xrays) <= 2).mean() >= 0.999
    assert (found_masks != masks).mean() <= 0.001
    assert np.array_equal(found, np.round(found)), "an X-ray has 256 grey values"
    assert (xrays != XRAYS).mean() > 0.5, "nothing was changed"


def still(**changed) -> Changes:
    """Return changes that leave X-rays as they are, but for some."""
    none = np.zeros(COUNT, np.float32)
    changes = Changes(
        motion=np.tile(np.eye(2, 3, dtype=np.float32), (COUNT, 1, 1)),
        repeats=none > 0,
        patches=np.ones((COUNT, 3, 8), np.float32) * [1, 1, 1, 1, 1, 1, 0, 1],
        blur=none,
        noise=none,
        window=np.zeros((COUNT, 2), np.int32),
        clipped=none > 0,
        ends=np.tile(np.float32([0, 1]), (COUNT, 1)),
        exponent=none + 1,
        contrast=none + 1,
        brightness=none,
    )
    return changes._replace(patches=changes.patches.astype(np.float32))._replace(**changed)


DRAWN = draw_changes(
    STRENGTHS["strong"]._replace(blur=1, opacity=1, exposure=1), (5, 1), COUNT, SIZE
)


@pytest.mark.parametrize("kind", Changes._fields)
def test_each_kind_of_change_alone_is_the_same_on_a_gpu(kind):
    alone = {kind: getattr(DRAWN, kind)}
    # Some show only together with another.
    alone |= {"repeats": {"motion": DRAWN.motion}, "window": {"noise": DRAWN.noise}}.get(kind, {})
    alone |= {"clipped": {"ends": DRAWN.ends}, "ends": {"clipped": DRAWN.clipped}}.get(kind, {})
    given = XRAYS, MASKS, still(**alone), draw_noise((5, 2), SIZE)
    (xrays, masks), (found, found_masks) = by_opencv(*given), on_gpu(*given)
    assert (np.abs(found - xrays) <= 1).mean() >= 0.999
    np.testing.assert_array_equal(found_masks, masks)
    assert (xrays != XRAYS).mean() > 0.02, "nothing was changed"


def test_without_changes_an_xray_stays_on_a_gpu():
    found, masks = on_gpu(XRAYS, MASKS, still(), draw_noise((5, 2), SIZE))
    np.testing.assert_array_equal(found, XRAYS)
    np.testing.assert_array_equal(masks, MASKS)


@settings(max_examples=15, deadline=None)
@given(
    rows=st.permutations(range(COUNT)).flatmap(
        lambda order: st.integers(1, COUNT).map(lambda count: order[:count])
    ),
    size=st.sampled_from([4, 7]),
    epoch=st.integers(0, 3),
    fits=st.booleans(),
    augmentation=st.sampled_from(["none", "light", "strong"]),
    targets=st.sampled_from([MASKS, LABELS]),
)
def test_batches_on_a_gpu_are_those_of_a_processor(rows, size, epoch, fits, augmentation, targets):
    given = XRAYS, targets, rows, size, 3, augmentation
    host = Batches(*given)
    with pytest.MonkeyPatch.context() as patch:
        pretend_gpu(patch, memory=2**34 if fits else 0)
        gpu = Batches(*given)
    assert gpu.gpu.fits == fits
    for batches in (host, gpu):
        batches.start_epoch(epoch)
    assert gpu.seconds == 0
    for position in range(len(host)):
        for expected, tensor in zip(host[position], gpu[position], strict=True):
            assert isinstance(tensor, np.ndarray) == WITH_TENSORFLOW
            found = keras.ops.convert_to_numpy(tensor)
            assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
            assert (np.abs(found - expected) <= 2.01 / 255).mean() >= 0.99
    assert gpu.seconds > 0 if WITH_TENSORFLOW else math.isnan(gpu.seconds)


@pytest.mark.parametrize(("memory", "reads"), [(2**34, 1), (0, 6)])
def test_xrays_that_fit_travel_to_the_gpu_once(memory, reads, monkeypatch):
    pretend_gpu(monkeypatch, memory)
    xrays = Watched(XRAYS)
    batches = Batches(xrays, LABELS, np.arange(COUNT), 8, shuffle_seed=1)
    for epoch in range(2):
        batches.start_epoch(epoch)
        for position in range(len(batches)):
            _ = batches[position]
    assert xrays.reads == reads


@pytest.fixture
def on_a_gpu(monkeypatch):
    """Pretend a GPU, and let `load_model` read the classifier."""
    pretend_gpu(monkeypatch)
    let_in_the_classifier(monkeypatch)


def train_in(folder: Path, part: str):
    """Train one of the tests' networks and return its weights, history and record."""
    folder.mkdir(exist_ok=True)
    prepared = PREPARED[part]()
    assert prepared[1].gpu, "this tests nothing without"
    train(*prepared, EPOCHS, folder, say=False)
    return outcome(folder)


@pytest.mark.usefixtures("on_a_gpu")
@pytest.mark.parametrize("part", sorted(PREPARED))
def test_a_training_on_a_gpu_stops_and_resumes_with_the_same_bytes(part, tmp_path):
    whole = train_in(tmp_path / "whole", part)
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, epoch=2, step=1)
        with pytest.raises(Stopped):
            train_in(tmp_path / "stopped", part)
    assert read_progress(tmp_path / "stopped").rows == whole[2]["history"][:2]
    assert train_in(tmp_path / "stopped", part) == whole


@pytest.mark.usefixtures("on_a_gpu")
@pytest.mark.parametrize("steps", [2, 8, 11])  # an epoch: fewer than at once, as many, and more
def test_several_steps_at_once_learn_the_same(steps, tmp_path, monkeypatch):
    assert steps_at_once(GPU) == 8

    def train_in(name: str):
        model, prepared, _ = PREPARED["segmenter"]()
        given = prepared.images, prepared.targets
        learn = Batches(*given, np.arange(steps), 1, 3, "strong")
        folder = tmp_path / name
        folder.mkdir()
        # The last batch that is looked at is smaller.
        train(model, learn, Batches(*given, np.arange(11), 4), EPOCHS, folder, say=False)
        return outcome(folder)

    several = train_in("several")
    monkeypatch.setattr("helpers.train.training.steps_at_once", lambda machine: 1)
    assert train_in("single") == several


def test_a_gpu_predicts_what_a_processor_does(monkeypatch):
    model = PREPARED["segmenter"]()[0]
    xrays = np.stack([resize_image(xray, (32, 32)) for xray in XRAYS])
    expected = predict(model, xrays)
    pretend_gpu(monkeypatch)
    monkeypatch.setattr("helpers.train.inference.fit_batch", lambda model: 5)
    np.testing.assert_allclose(predict(model, xrays), expected, atol=1e-5)
    rows = np.array([7, 0, 7, 23, *range(10)])
    found = np.stack(list(predict_each(model, xrays, rows)))
    np.testing.assert_allclose(found, expected[rows], atol=1e-5)


def test_a_gpu_is_one_batch_ahead(monkeypatch):
    pretend_gpu(monkeypatch)
    monkeypatch.setattr("helpers.train.inference.fit_batch", lambda model: 2)
    model, xrays = PREPARED["segmenter"]()[0], Watched(np.zeros((40, 32, 32), np.uint8))
    found = predict_each(model, xrays)
    next(found)
    time.sleep(0.5)  # in which it could run on
    assert xrays.reads == 2
    found.close()

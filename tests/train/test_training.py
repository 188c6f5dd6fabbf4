import shutil
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest

from helpers.data.images import resize_image, resize_mask
from helpers.run.papermill_runner import EPOCH
from helpers.train.batches import Batches
from helpers.train.metrics import dice, dice_loss, iou, threshold
from helpers.train.models import build_detector, build_unet, look_twice
from helpers.train.recipes import DetectionSettings, SegmentationSettings
from helpers.train.trained import load_model, replace_model
from helpers.train.training import (
    compile_detector,
    compile_segmenter,
    describe_epoch,
    make_reproducible,
    train,
)
from tests.support.builders import lung_mask, refused, xray

SIZE, EPOCHS = 32, 2
DETECTION = DetectionSettings(
    SIZE, filters=(2, 4, 2), epochs=EPOCHS, batch_size=4, learning_rate=1e-2
)
SEGMENTATION = SegmentationSettings(
    SIZE, filters=(2,), epochs=EPOCHS, batch_size=4, learning_rate=1e-2
)
BEST = replace(
    SEGMENTATION,
    patch=2,
    standardised=True,
    augmentation="strong",
    cross_entropy=True,
    schedule="cosine",
)
XRAYS = np.stack([resize_image(xray(number), (SIZE, SIZE)) for number in range(12)])
MASKS = np.stack([resize_mask(lung_mask(number) // 255, (SIZE, SIZE)) for number in range(12)])
LABELS = np.arange(12) % 2
LEARN, CHECK = np.arange(8), np.arange(8, 12)


def train_detector(folder: Path, seed: int = 5, epochs: int = EPOCHS):
    """Train a tiny detector and return it with its history."""
    make_reproducible(seed)
    model = build_detector(DETECTION)
    compile_detector(model, DETECTION, steps=4)
    learn = Batches(XRAYS, LABELS, LEARN, 4, shuffle_seed=seed)
    return model, train(model, learn, Batches(XRAYS, LABELS, CHECK, 4), epochs, folder)


def train_segmenter(folder: Path, settings: SegmentationSettings = SEGMENTATION, seed: int = 5):
    """Train a tiny U-Net and return it with its history."""
    make_reproducible(seed)
    model = build_unet(settings)
    learn = Batches(XRAYS, MASKS, LEARN, 4, shuffle_seed=seed, augmentation=settings.augmentation)
    compile_segmenter(model, settings, len(learn))
    return model, train(model, learn, Batches(XRAYS, MASKS, CHECK, 4), EPOCHS, folder)


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    """A trained detector, its history and its folder."""
    folder = tmp_path_factory.mktemp("detection")
    return *train_detector(folder), folder


def train_best(folder: Path):
    """Train a tiny network of the kind of the recipe `best`."""
    return train_segmenter(folder, BEST)


@pytest.fixture(scope="module")
def best(tmp_path_factory):
    """A trained network of the best kind, its history and its folder."""
    folder = tmp_path_factory.mktemp("best")
    return *train_best(folder), folder


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory):
    """A trained U-Net, its history and its folder."""
    folder = tmp_path_factory.mktemp("segmentation")
    return *train_segmenter(folder), folder


TRAINERS = {"detector": train_detector, "segmenter": train_segmenter, "best": train_best}


@pytest.mark.parametrize("part", TRAINERS)
def test_equal_seeds_give_equal_histories_and_weights(part, request, tmp_path):
    first, history, folder = request.getfixturevalue(part)
    second, again = TRAINERS[part](tmp_path)
    pd.testing.assert_frame_equal(history, again, check_exact=True)
    assert (folder / "history.csv").read_bytes() == (tmp_path / "history.csv").read_bytes()
    for one, other in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_another_seed_gives_other_weights():
    weights = []
    for seed in (5, 6):
        make_reproducible(seed)
        weights.append(build_detector(DETECTION).get_weights()[0])
    assert not np.array_equal(*weights)


def test_the_detector_s_history(detector):
    _, history, folder = detector
    columns = ["epoch", "accuracy", "loss", "val_accuracy", "val_loss"]
    assert list(history.columns) == columns
    assert list(history["epoch"]) == [1, 2]
    pd.testing.assert_frame_equal(pd.read_csv(folder / "history.csv"), history)
    assert b"\r" not in (folder / "history.csv").read_bytes()


def test_the_segmenter_s_history(segmenter):
    _, history, folder = segmenter
    names = ["dice", "iou", "loss"]
    assert list(history.columns) == ["epoch", *names, *(f"val_{name}" for name in names)]
    assert history.drop(columns="epoch").stack().between(0, 1).all()
    pd.testing.assert_frame_equal(pd.read_csv(folder / "history.csv"), history)


def test_what_is_watched_is_the_mean_of_the_metrics(segmenter):
    model, history, _ = segmenter
    best = history.loc[history["val_loss"].idxmin()]
    true = MASKS[CHECK][..., None].astype("float32")
    found = keras.ops.convert_to_numpy(model(XRAYS[CHECK][..., None].astype("float32") / 255))
    expected = {
        "val_loss": dice_loss(true, found),
        "val_dice": dice(true, threshold(found)),
        "val_iou": iou(true, threshold(found)),
    }
    for name, values in expected.items():
        assert best[name] == pytest.approx(float(np.mean(values)), abs=1e-5)


class Noted(Batches):
    """Batches that note which X-rays were asked for in which epoch."""

    def __getitem__(self, position):
        batch = super().__getitem__(position)
        self.noted.append((self.epoch, batch[1][:, 0].tolist()))
        return batch


def test_each_epoch_learns_in_its_own_order(tmp_path):
    make_reproducible(5)
    model = build_detector(DETECTION)
    compile_detector(model, DETECTION, steps=4)
    learn = Noted(XRAYS, np.arange(12), LEARN, 4, shuffle_seed=5)
    learn.noted = []
    train(model, learn, Batches(XRAYS, LABELS, CHECK, 4), 3, tmp_path)
    expected = []
    for epoch in range(3):
        order = np.random.default_rng((5, epoch)).permutation(LEARN)
        expected += [(epoch, order[:4].tolist()), (epoch, order[4:].tolist())]
    used = [batch for number, batch in enumerate(learn.noted) if batch not in learn.noted[:number]]
    assert used == expected, "Keras looks at a batch more than once, but in this order"


def test_figures_of_an_earlier_model_go_with_it(tmp_path):
    for name in ("metrics.json", "scores.csv", "predictions.csv"):
        (tmp_path / name).write_text("of an earlier model")
    train_on_brightness(tmp_path, LABELS, 1)
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["history.csv", "model.keras", "training.json"]


def test_an_interrupted_training_leaves_the_earlier_model_and_its_figures(tmp_path, monkeypatch):
    for name in ("model.keras", "history.csv", "metrics.json"):
        (tmp_path / name).write_text("earlier")

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("helpers.train.training.describe_epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train_on_brightness(tmp_path, LABELS, 2)
    for name in ("model.keras", "history.csv", "metrics.json"):
        assert (tmp_path / name).read_text() == "earlier"


BRIGHT = (np.where(LABELS[:, None, None] == 1, 200, 30) + XRAYS // 16).astype(np.uint8)


def train_on_brightness(folder: Path, answers: np.ndarray, epochs: int):
    """Train to tell bright X-rays from dark ones, validated against `answers`."""
    make_reproducible(5)
    model = build_detector(DETECTION)
    compile_detector(model, DETECTION, steps=4)
    learn = Batches(BRIGHT, LABELS, LEARN, 4, shuffle_seed=5)
    return model, train(model, learn, Batches(BRIGHT, answers, CHECK, 4), epochs, folder)


def test_an_easy_task_is_learnt(tmp_path, capsys):
    _, history = train_on_brightness(tmp_path, LABELS, 8)
    assert history["val_accuracy"].iloc[-1] == 1
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] / 2
    lines = [describe_epoch(row, 8) for row in history.to_dict("records")]
    assert capsys.readouterr().out.splitlines() == lines, "a line an epoch"
    assert all(EPOCH.match(line) for line in lines), "the command shows them"


def test_the_best_epoch_s_weights_are_left_and_kept(tmp_path):
    # Wrong answers to check against: what is learnt makes the loss worse and worse.
    model, history = train_on_brightness(tmp_path, 1 - LABELS, 6)
    assert history["val_loss"].iloc[-1] > history["val_loss"].min() + 0.1
    loss = model.evaluate(Batches(BRIGHT, 1 - LABELS, CHECK, 4), verbose=0)[0]
    assert loss == pytest.approx(history["val_loss"].min(), abs=2e-6)
    kept = load_model(tmp_path / "model.keras")
    for one, other in zip(model.get_weights(), kept.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_loss_that_is_no_number_is_refused_and_no_older_model_used(runs):
    folder = runs / "a" / "detection"
    folder.mkdir(parents=True)
    (folder / "model.keras").write_text("of an earlier training")
    make_reproducible(5)
    model = build_detector(DETECTION)
    compile_detector(model, DETECTION, steps=4)
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    learn, check = (Batches(XRAYS, LABELS, rows, 4) for rows in (LEARN, CHECK))
    with refused("runs/a/detection/model.keras", "was not a number", "Try another `seed`"):
        train(model, learn, check, 1, folder)


def test_the_line_of_an_epoch():
    row = {"epoch": 3, "accuracy": 0.5, "loss": 0.69314, "val_accuracy": 0.75, "val_loss": 0.6}
    assert describe_epoch(row, 45) == (
        "epoch  3/45  accuracy 0.500  loss 0.693  validation accuracy 0.750  validation loss 0.600"
    )


def test_a_network_made_of_the_trained_one_takes_its_place(best, tmp_path):
    model, _, folder = best
    shutil.copy(folder / "model.keras", tmp_path)
    replace_model(look_twice(model), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    found = load_model(tmp_path / "model.keras")
    assert found.name == "unet_twice"
    xrays = XRAYS[CHECK][..., None].astype("float32") / 255
    expected, answer = (
        keras.ops.convert_to_numpy(net(xrays)) for net in (look_twice(model), found)
    )
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_the_schedule_rises_for_a_tenth_and_ends_at_nothing():
    settings = replace(BEST, learning_rate=1e-2, epochs=10)
    model = build_unet(settings)
    compile_segmenter(model, settings, 20)
    rate = [float(model.optimizer._learning_rate(step)) for step in range(201)]
    assert rate[20] == pytest.approx(1e-2) == max(rate)
    assert rate[:21] == sorted(rate[:21])
    assert rate[20:] == sorted(rate[20:], reverse=True)
    assert rate[0] == pytest.approx(5e-4)
    assert rate[-1] == pytest.approx(0, abs=1e-8)


def test_the_constant_schedule_is_the_learning_rate():
    model = build_unet(SEGMENTATION)
    compile_segmenter(model, SEGMENTATION, 20)
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-2)

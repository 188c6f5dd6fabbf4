import random
import shutil
from dataclasses import replace

import keras
import numpy as np
import pandas as pd
import pytest

from helpers.run.papermill_runner import EPOCH
from helpers.train import training
from helpers.train.backend import Machine
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
from tests.support.builders import refused
from tests.support.trainings import BRIGHT, CHECK, LABELS, LEARN, MASKS, SIZE, XRAYS
from tests.support.trainings import SETTINGS as BEST

EPOCHS = 2
DETECTION = DetectionSettings(
    SIZE, filters=(2, 4, 2), epochs=EPOCHS, batch_size=4, learning_rate=1e-2
)
SEGMENTATION = SegmentationSettings(
    SIZE, filters=(2,), epochs=EPOCHS, batch_size=4, learning_rate=1e-2
)


def prepare_detector(images=XRAYS, truth=LABELS, batches=Batches):
    """Return a tiny detector with batches to train and to validate it, the latter against truth."""
    make_reproducible(5)
    model = build_detector(DETECTION)
    compile_detector(model, DETECTION, steps=4)
    learn = batches(images, LABELS, LEARN, 4, shuffle_seed=5)
    return model, learn, Batches(images, truth, CHECK, 4)


def prepare_segmenter(settings=SEGMENTATION):
    """Return the same of a tiny U-Net."""
    make_reproducible(5)
    model = build_unet(settings)
    learn = Batches(XRAYS, MASKS, LEARN, 4, shuffle_seed=5, augmentation=settings.augmentation)
    compile_segmenter(model, settings, len(learn))
    return model, learn, Batches(XRAYS, MASKS, CHECK, 4)


PREPARED = {
    "detector": prepare_detector,
    "segmenter": prepare_segmenter,
    "best": lambda: prepare_segmenter(BEST),
}
COLUMNS = {"detector": ["accuracy", "loss"], "segmenter": ["dice", "iou", "loss"]}
COLUMNS["best"] = COLUMNS["segmenter"]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Of each part: a trained network, its history and its folder."""
    found = {}
    for part, prepare in PREPARED.items():
        prepared, folder = prepare(), tmp_path_factory.mktemp(part)
        found[part] = prepared[0], train(*prepared, EPOCHS, folder), folder
    return found


@pytest.mark.parametrize(
    ("deterministic", "capability", "switched"), [(True, 7.5, 1), (False, 7.5, 0), (True, None, 0)]
)
def test_operations_are_made_deterministic_only_on_a_gpu_and_if_asked(
    deterministic, capability, switched, monkeypatch
):
    machine, calls = Machine(capability, frozenset()), []
    monkeypatch.setattr(training, "look_at_machine", lambda: machine)
    switch = "tensorflow.config.experimental.enable_op_determinism"
    monkeypatch.setattr(switch, lambda: calls.append(1))
    drawn = []
    for _ in range(2):
        make_reproducible(5, deterministic)
        drawn.append((random.random(), float(keras.random.normal(()))))
    assert len(calls) == 2 * switched
    assert drawn[0] == drawn[1], "the seed counts in any case"


@pytest.mark.parametrize("part", PREPARED)
def test_equal_seeds_give_equal_histories_and_weights(part, done, tmp_path):
    first, history, folder = done[part]
    prepared = PREPARED[part]()
    pd.testing.assert_frame_equal(history, train(*prepared, EPOCHS, tmp_path), check_exact=True)
    assert (folder / "history.csv").read_bytes() == (tmp_path / "history.csv").read_bytes()
    for one, other in zip(first.get_weights(), prepared[0].get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("part", PREPARED)
def test_the_history(part, done):
    _, history, folder = done[part]
    names = COLUMNS[part]
    assert list(history.columns) == ["epoch", *names, *(f"val_{name}" for name in names)]
    assert list(history["epoch"]) == [1, 2]
    pd.testing.assert_frame_equal(pd.read_csv(folder / "history.csv"), history)
    assert b"\r" not in (folder / "history.csv").read_bytes()


def test_what_is_watched_is_the_mean_of_the_metrics(done):
    model, history, _ = done["segmenter"]
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
    """Batches that note in which epoch which of them were asked for."""

    def __getitem__(self, position):
        batch = super().__getitem__(position)
        self.noted.append((self.epoch, self.order[position * 4 : position * 4 + 4].tolist()))
        return batch


def test_each_epoch_learns_in_its_own_order(tmp_path):
    model, learn, check = prepare_detector(batches=Noted)
    learn.noted = []
    train(model, learn, check, 3, tmp_path)
    expected = []
    for epoch in range(3):
        order = np.random.default_rng((5, epoch)).permutation(LEARN)
        expected += [(epoch, order[:4].tolist()), (epoch, order[4:].tolist())]
    used = [batch for number, batch in enumerate(learn.noted) if batch not in learn.noted[:number]]
    assert used == expected, "Keras looks at a batch more than once, but in this order"


def test_an_interrupted_training_leaves_the_earlier_model_and_its_scores(tmp_path, monkeypatch):
    for name in ("model.keras", "history.csv", "metrics.json"):
        (tmp_path / name).write_text("earlier")

    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("helpers.train.training.describe_epoch", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(*prepare_detector(), 2, tmp_path)
    for name in ("model.keras", "history.csv", "metrics.json"):
        assert (tmp_path / name).read_text() == "earlier"


def test_an_easy_task_is_mastered(tmp_path, capsys):
    history = train(*prepare_detector(BRIGHT), 8, tmp_path)
    assert history["val_accuracy"].iloc[-1] == 1
    assert history["loss"].iloc[-1] < history["loss"].iloc[0] / 2
    lines = [describe_epoch(row, 8) for row in history.to_dict("records")]
    assert capsys.readouterr().out.splitlines() == lines, "a line an epoch"
    assert all(EPOCH.match(line) for line in lines), "the command shows them"


def test_the_best_epoch_s_weights_are_left_and_kept(tmp_path):
    # Validated against wrong labels: training makes the loss worse and worse.
    model, learn, check = prepare_detector(BRIGHT, 1 - LABELS)
    history = train(model, learn, check, 6, tmp_path)
    assert history["val_loss"].iloc[-1] > history["val_loss"].min() + 0.1
    loss = model.evaluate(check, verbose=0)[0]
    assert loss == pytest.approx(history["val_loss"].min(), abs=2e-6)
    kept = load_model(tmp_path / "model.keras")
    for one, other in zip(model.get_weights(), kept.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_loss_that_is_no_number_is_refused_and_no_older_model_used(runs):
    folder = runs / "a" / "detection"
    folder.mkdir(parents=True)
    (folder / "model.keras").write_text("of an earlier training")
    model, learn, check = prepare_detector()
    model.set_weights([np.full_like(weight, np.nan) for weight in model.get_weights()])
    with refused("runs/a/detection/model.keras", "was not a number", "Try another `seed`"):
        train(model, learn, check, 1, folder)


def test_the_line_of_an_epoch():
    row = {"epoch": 3, "accuracy": 0.5, "loss": 0.69314, "val_accuracy": 0.75, "val_loss": 0.6}
    assert describe_epoch(row, 45) == (
        "epoch  3/45  accuracy 0.500  loss 0.693  validation accuracy 0.750  validation loss 0.600"
    )


def test_a_network_made_of_the_trained_one_takes_its_place(done, tmp_path):
    model, _, folder = done["best"]
    shutil.copy(folder / "model.keras", tmp_path)
    replace_model(look_twice(model), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["model.keras"]
    found = load_model(tmp_path / "model.keras")
    assert found.name == "unet_twice"
    xrays = XRAYS[CHECK][..., None].astype("float32") / 255
    expected, kept = (keras.ops.convert_to_numpy(net(xrays)) for net in (look_twice(model), found))
    np.testing.assert_allclose(kept, expected, atol=1e-6)


def test_the_schedule_rises_for_a_tenth_and_falls_to_zero():
    settings = replace(BEST, learning_rate=1e-2, epochs=10)
    model = build_unet(settings)
    compile_segmenter(model, settings, 20)
    rate = [float(model.optimizer._learning_rate(step)) for step in range(201)]
    assert rate[20] == pytest.approx(1e-2) == max(rate)
    assert rate[:21] == sorted(rate[:21])
    assert rate[20:] == sorted(rate[20:], reverse=True)
    assert rate[0] == pytest.approx(5e-4)
    assert rate[-1] == pytest.approx(0, abs=1e-8)

    compile_segmenter(model, SEGMENTATION, 20)
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-2), "constant"

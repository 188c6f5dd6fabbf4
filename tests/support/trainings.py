"""Trainings of seconds, which tests stop, resume and compare."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from helpers.data.images import resize_image, resize_mask
from helpers.train import training
from helpers.train.batches import Batches
from helpers.train.models import build_unet
from helpers.train.recipes import SegmentationSettings
from helpers.train.trained import PARTS, load_model
from helpers.train.training import compile_segmenter, make_reproducible
from tests.support.builders import lung_mask, xray

SIZE, EPOCHS, SEED = 32, 4, 5
LEARN, CHECK = np.arange(8), np.arange(8, 12)
XRAYS = np.stack([resize_image(xray(number), (SIZE, SIZE)) for number in range(12)])
MASKS = np.stack([resize_mask(lung_mask(number) // 255, (SIZE, SIZE)) for number in range(12)])
LABELS = np.arange(12) % 2
BRIGHT = (np.where(LABELS[:, None, None] == 1, 200, 30) + XRAYS // 16).astype(np.uint8)
# All that a recipe can ask for: a schedule, augmentation, normalisation.
SETTINGS = SegmentationSettings(
    SIZE,
    filters=(2,),
    epochs=EPOCHS,
    batch_size=4,
    learning_rate=1e-2,
    patch=2,
    standardised=True,
    augmentation="strong",
    cross_entropy=True,
    schedule="cosine",
)


def prepare_segmenter(settings=SETTINGS, seed=SEED):
    """Return a tiny U-Net, ready to be trained, and its batches for training and validation."""
    make_reproducible(seed)
    model = build_unet(settings)
    batch_size, augmentation = settings.batch_size, settings.augmentation
    learn = Batches(XRAYS, MASKS, LEARN, batch_size, seed, augmentation)
    compile_segmenter(model, settings, len(learn))
    return model, learn, Batches(XRAYS, MASKS, CHECK, batch_size)


def prepare_classifier():
    """Return the same with a random layer; wrong validation labels make it worse by epoch 3."""
    make_reproducible(SEED)
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 1)),
            keras.layers.AveragePooling2D(8),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    return model, Batches(BRIGHT, LABELS, LEARN, 2, SEED), Batches(BRIGHT, 1 - LABELS, CHECK, 4)


PREPARED = {"segmenter": prepare_segmenter, "classifier": prepare_classifier}


def let_in_the_classifier(patch: pytest.MonkeyPatch) -> None:
    """Let `load_model` read the classifier, whose layers are in no recipe."""
    layers = PARTS["keras.layers"] | {"AveragePooling2D", "Dropout"}
    patch.setitem(PARTS, "keras.layers", layers)


class Stopped(BaseException):
    """Stands for a process that is killed."""


def stop(*arguments, **options):
    raise Stopped


def stop_at(patch: pytest.MonkeyPatch, epoch: int, step: int) -> None:
    """Stop the next training after a step of an epoch, both counted from 0.

    Where Keras takes several steps at once, that is after the last of them.
    """

    def look(recorder, number, logs=None):
        if recorder.batches.epoch == epoch and number >= step:
            raise Stopped

    patch.setattr(training.Recorder, "on_train_batch_end", look)


def outcome(folder: Path) -> tuple[list[bytes], bytes, dict]:
    """Return a training's weights, history and record, byte for byte."""
    weights = [weight.tobytes() for weight in load_model(folder / "model.keras").get_weights()]
    record = json.loads((folder / "training.json").read_text())
    return weights, (folder / "history.csv").read_bytes(), record

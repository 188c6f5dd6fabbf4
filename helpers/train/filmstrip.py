"""Filmstrip: what a network predicts for one X-ray, before it learns and after its epochs."""

from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers.storage.errors import CovidLungsError
from helpers.storage.files import make_folder, read_arrays, write_arrays
from helpers.storage.folders import shown
from helpers.storage.layout import FILMSTRIP, RECORD, UNFINISHED
from helpers.train.backend import keras
from helpers.train.inference import predict

MOST = 12  # frames


class Film(NamedTuple):
    """The frames of a filmstrip.

    Attributes:
        frames: probabilities, float32 (N, height, width).
        epochs: how many epochs the network had learnt before each frame, ascending, int (N,).
    """

    frames: np.ndarray
    epochs: np.ndarray


class Filmstrip(keras.callbacks.Callback):
    """Predict one X-ray before a training and after its epochs, and keep the frames.

    They are kept beside the state of the training, so that one that continues has those of its
    earlier epochs; `trained.keep_trained` puts them beside the network. A prediction draws no
    random number and changes no weight: the training is the same without it.
    """

    def __init__(self, xray: np.ndarray, folder: Path):
        """Take an X-ray, uint8 (height, width) of the network's size, and the training's folder."""
        super().__init__()
        self.xray, self.folder = xray, folder / UNFINISHED
        self.frames: dict[int, np.ndarray] = {}
        self.begun = False

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Wait for the first epoch: only its number says whether the training continues."""
        self.begun = False

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """At the first epoch take up the frames of earlier ones, and predict if the last lacks."""
        if not self.begun:
            self.begun, self.frames = True, {}
            with suppress(CovidLungsError):  # without the frames the training goes on all the same
                film = _read(self.folder / FILMSTRIP)
                kept = zip(film.epochs.tolist(), film.frames, strict=True)
                self.frames = {number: frame for number, frame in kept if number <= epoch and epoch}
            if epoch not in self.frames:
                self._add(epoch)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        """Predict after an epoch, counted from 0."""
        self._add(epoch + 1)

    def _add(self, epoch: int) -> None:
        """Add what the network predicts now to the frames, if the filmstrip is to have it."""
        chosen = choose_epochs(self.params["epochs"])
        if epoch in chosen:
            self.frames[epoch] = predict(self.model, self.xray[np.newaxis])[0]
            kept = sorted(chosen & self.frames.keys())
            frames = np.stack([self.frames[number] for number in kept]).astype("float16")
            write_arrays(make_folder(self.folder) / FILMSTRIP, frames=frames, epochs=kept)


def choose_epochs(epochs: int) -> set[int]:
    """Return after how many of a training's epochs a frame is kept: 0, 1, the last, MOST in all.

    The frames lie the closer the less was learnt before, since most is learnt at the beginning;
    of a short training each epoch has one.
    """
    if epochs < MOST:
        return set(range(epochs + 1))
    return {0, *np.geomspace(1, epochs, MOST - 1).round().astype(int).tolist()}


def read_filmstrip(folder: Path) -> Film:
    """Return the filmstrip of a finished training.

    Raises:
        CovidLungsError: it is missing or damaged.
    """
    return _read(folder / FILMSTRIP)


def _read(path: Path) -> Film:
    """Return the frames in a file."""
    remedy = f"To make it, delete {shown(path.with_name(RECORD))} and train again."
    frames, epochs = read_arrays(path, Film._fields, remedy)
    return Film(frames.astype("float32"), epochs)

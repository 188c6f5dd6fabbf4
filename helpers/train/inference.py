"""Inference: what a network predicts for many X-rays, and how the tables are written."""

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd

from helpers.data.threads import in_blocks
from helpers.storage.files import write_whole
from helpers.train.backend import keras
from helpers.train.batches import scale

# Keras on JAX keeps what it computes with on the model, so that threads must take turns.
_TURN = nullcontext() if keras.backend.backend() == "tensorflow" else Lock()
PIXELS_A_BATCH = 16 * 128 * 128  # bounds the memory of a prediction, whatever the image size


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return a model's probabilities for uint8 X-rays (N, height, width), the last axis dropped.

    All of them are in memory at once: for the masks of many X-rays use `predict_each`.
    """
    probabilities = np.empty((len(images), *model.output_shape[1:-1]), dtype="float32")
    for row, probability in enumerate(predict_each(model, images)):
        probabilities[row] = probability
    return probabilities


def predict_each(
    model: keras.Model, images: np.ndarray, rows: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Yield what `predict` returns, X-ray by X-ray; a batch is predicted when it is needed.

    `rows` says which X-rays to predict, in this order; None predicts all. The array may be larger
    than memory. Several threads may use one model.
    """
    rows = np.arange(len(images)) if rows is None else rows
    for batch in in_blocks(rows, fit_batch(images)):
        with _TURN:
            probabilities = model.predict_on_batch(scale(images[batch]))[..., 0]
        yield from probabilities.astype("float32", copy=False)


def fit_batch(images: np.ndarray) -> int:
    """Return how many of the X-rays (N, height, width) a network predicts together."""
    return max(1, PIXELS_A_BATCH // (images.shape[1] * images.shape[2]))


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write a table as CSV, byte for byte equal on every system; return the path."""
    return write_whole(path, table.to_csv(index=False, lineterminator="\n"))

"""Evaluation: what the networks answer on whole splits, and how that is kept."""

from contextlib import nullcontext
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd

from helpers.backend import keras
from helpers.batches import scale
from helpers.files import write_whole

# Keras on JAX keeps what it computes with on the model, so that threads must take turns.
_TURN = nullcontext() if keras.backend.backend() == "tensorflow" else Lock()
PIXELS_A_BATCH = 16 * 128 * 128  # bounds the memory of a prediction, whatever the image size


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return a model's probabilities for uint8 X-rays (N, height, width), the last axis dropped.

    Only one batch at a time is scaled to float32, the smaller the larger the X-rays are, so that
    the array may be larger than memory. Several threads may ask one model.
    """
    batch_size = max(1, PIXELS_A_BATCH // (images.shape[1] * images.shape[2]))
    probabilities = np.empty((len(images), *model.output_shape[1:-1]), dtype="float32")
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        with _TURN:
            probabilities[batch] = model.predict_on_batch(scale(images[batch]))[..., 0]
    return probabilities


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write predictions or scores as CSV, byte for byte equal on every system; return the path."""
    return write_whole(path, table.to_csv(index=False, lineterminator="\n"))

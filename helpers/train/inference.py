"""Inference: what a network predicts for many X-rays, and how the tables are written."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd

from helpers.data.threads import in_blocks, work_ahead
from helpers.storage.files import write_whole
from helpers.train.backend import keras, look_at_machine
from helpers.train.batches import scale
from helpers.train.gpu_batches import scale_on_gpu

# Keras on JAX keeps what it computes with on the model, so that threads must take turns.
_TURN = nullcontext() if keras.backend.backend() == "tensorflow" else Lock()
ROOM = 2**28  # bytes that the features of a batch may fill; on a GPU more
GPU_SHARE = 0.25  # of its memory
LARGEST = 256  # X-rays predicted together
# Asks the GPU for everyone, so that what threads ask for need not fit into its memory together,
# and works on the next batch while the last one's results are used.
_GPU_WORKER = ThreadPoolExecutor(1)


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return a model's probabilities for uint8 X-rays (N, height, width), the last axis dropped.

    All of them are in memory at once: for the masks of many X-rays use `predict_each`.
    """
    probabilities = np.empty((len(images), *model.output_shape[1:-1]), dtype="float32")
    done = 0
    for batch in _predict_batches(model, images, np.arange(len(images))):
        probabilities[done : done + len(batch)] = batch
        done += len(batch)
    return probabilities


def predict_each(
    model: keras.Model, images: np.ndarray, rows: np.ndarray | None = None
) -> Iterator[np.ndarray]:
    """Yield what `predict` returns, X-ray by X-ray; a batch is predicted when it is needed.

    `rows` says which X-rays to predict, in this order; None predicts all. The array may be larger
    than memory. Several threads may use one model. A GPU is one batch ahead.
    """
    rows = np.arange(len(images)) if rows is None else rows
    for batch in _predict_batches(model, images, rows):
        yield from batch


def _predict_batches(
    model: keras.Model, images: np.ndarray, rows: np.ndarray
) -> Iterator[np.ndarray]:
    """Yield a model's probabilities for these rows, a batch at a time."""
    blocks = in_blocks(rows, fit_batch(model))
    if not look_at_machine().has_gpu:
        yield from (_predict_batch(model, scale(images[block])) for block in blocks)
        return
    work = lambda block: _predict_batch(model, scale_on_gpu(images[block]))  # noqa: E731
    yield from work_ahead(_GPU_WORKER, work, blocks, ahead=1)


def _predict_batch(model: keras.Model, xrays) -> np.ndarray:
    """Return a model's probabilities for scaled X-rays, float32."""
    with _TURN:
        probabilities = model.predict_on_batch(xrays)[..., 0]
    return probabilities.astype("float32", copy=False)


def fit_batch(model: keras.Model) -> int:
    """Return how many X-rays a network predicts together: a power of two, as memory allows."""
    room = max(ROOM, GPU_SHARE * look_at_machine().memory)
    return 2 ** int(math.log2(min(max(1, room // count_bytes(model)), LARGEST)))


def count_bytes(model: keras.Model) -> int:
    """Return the bytes of all features that a network makes of an X-ray, if all were kept."""
    parts = [layer for layer in model.layers if isinstance(layer, keras.Model)]
    own = sum(math.prod(layer.output.shape[1:]) for layer in model.layers)
    return 4 * own + sum(map(count_bytes, parts))


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write a table as CSV, byte for byte equal on every system; return the path."""
    return write_whole(path, table.to_csv(index=False, lineterminator="\n"))

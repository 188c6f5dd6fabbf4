"""Batches: X-rays and targets to train on, in an order that seed and epoch decide."""

import math
import time

import numpy as np

from helpers.train.augmentation import STRENGTHS, augment, draw_changes, draw_noise
from helpers.train.backend import keras, look_at_machine
from helpers.train.gpu_batches import GpuBatches

CHANGES, NOISE = 1, 2  # drawn for an epoch, each from a seed of its own, as the order is


class Batches(keras.utils.PyDataset):
    """X-rays with their targets, as `Model.fit` takes them.

    A batch is a pair of float32 arrays: X-rays in 0..1, (batch, height, width, 1), and labels
    (batch, 1) or masks (batch, height, width, 1). On a GPU with JAX they are tensors there.

    Attributes:
        seconds: that making batches has taken so far; NaN once a GPU has made them by itself.
    """

    def __init__(
        self,
        images: np.ndarray,
        targets: np.ndarray,
        rows: np.ndarray,
        batch_size: int,
        shuffle_seed: int | None = None,
        augmentation: str = "none",
    ):
        """Take batches from arrays.

        Args:
            images: uint8, (N, height, width).
            targets: labels (N,) or masks (N, height, width), zeros and ones.
            rows: which of the N to use, in this order.
            batch_size: X-rays a batch; without `shuffle_seed` the last one may be smaller.
            shuffle_seed: draws a new order each epoch, and fills its last batch with the epoch's
                first X-rays, since a network compiled for one batch size is slow with another.
                None keeps the order of `rows`, each once.
            augmentation: a name in `augmentation.STRENGTHS`, or `none`; seed, epoch and row decide
                each change.
        """
        super().__init__()
        self.strength = STRENGTHS.get(augmentation)
        self.images, self.targets = images, targets
        self.rows, self.batch_size, self.shuffle_seed = np.asarray(rows), batch_size, shuffle_seed
        self.seconds = 0.0
        machine, self.gpu = look_at_machine(), None
        if machine.has_gpu:
            self.gpu = GpuBatches(images, targets, self.rows, machine.memory)
        self.start_epoch(0)

    def __len__(self) -> int:
        """Return the batches of an epoch."""
        return math.ceil(len(self.order) / self.batch_size)

    def __getitem__(self, position: int) -> tuple:
        """Return one batch."""
        begun = time.perf_counter()
        rows = self.order[position * self.batch_size : (position + 1) * self.batch_size]
        batch = self.gpu.make(rows) if self.gpu else self._make(rows)
        there = not isinstance(batch[0], np.ndarray)  # on the GPU, which is not done yet
        self.seconds += math.nan if there else time.perf_counter() - begun
        return batch

    def _make(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the batch of some rows, made by the processor."""
        images, targets = self.images[rows], self.targets[rows]
        if self.changes:
            masks = targets if targets.ndim > 1 else np.zeros_like(images)
            given = zip(images, masks, map(self.changes.of, rows), strict=True)
            changed = [augment(*pair, change, self.noise) for *pair, change in given]
            images, masks = map(np.stack, zip(*changed, strict=True))
            targets = masks if targets.ndim > 1 else targets
        return scale(images), targets.astype("float32")[..., None]

    def start_epoch(self, epoch: int) -> None:
        """Draw an epoch's order and changes from its number, so that training can be resumed.

        Keras' own `on_epoch_end` does not do: Keras calls it also before a new model's first epoch.
        """
        self.epoch, self.order, self.changes, self.noise = epoch, self.rows, None, None
        if self.shuffle_seed is not None:
            generator = np.random.default_rng((self.shuffle_seed, epoch))
            self.order = generator.permutation(self.rows)
            if len(self.order) > self.batch_size:
                self.order = np.resize(self.order, len(self) * self.batch_size)
        if self.strength:
            seed, count, size = (self.shuffle_seed, epoch), len(self.images), self.images.shape[1]
            self.changes = draw_changes(self.strength, (*seed, CHANGES), count, size)
            self.noise = draw_noise((*seed, NOISE), size)
        if self.gpu:
            self.gpu.start_epoch(self.changes, self.noise)


def scale(images: np.ndarray) -> np.ndarray:
    """Return uint8 X-rays (..., height, width) as float32 in 0..1, (..., height, width, 1)."""
    return images.astype("float32")[..., None] / 255

"""Batches: X-rays and targets to train on, in an order that seed and epoch decide."""

import math
import time

import numpy as np

from helpers.train.augmentation import STRENGTHS, augment, draw_changes, draw_noise
from helpers.train.backend import keras, look_at_machine
from helpers.train.devices import refuse_batch_size, refuse_too_few
from helpers.train.gpu_batches import GpuBatches

CHANGES, NOISE = 1, 2  # drawn for an epoch, each from a seed of its own, as the order is


class Batches(keras.utils.PyDataset):
    """X-rays with their targets, as `Model.fit` takes them.

    A batch is a pair of float32 arrays: X-rays in 0..1, (batch, height, width, 1), and labels
    (batch, 1) or masks (batch, height, width, 1). On a GPU with JAX they are tensors there. Where
    several devices share a batch, its size is a multiple of their number.

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
            batch_size: X-rays a batch; without `shuffle_seed` the last one may be smaller, and
                X-rays that would be no equal share of it for each device are left out.
            shuffle_seed: draws a new order each epoch, and fills its last batch with the epoch's
                first X-rays, since a network compiled for one batch size is slow with another. An
                only batch is filled until the devices have equal shares. None keeps the order of
                `rows`, each once.
            augmentation: a name in `augmentation.STRENGTHS`, or `none`; seed, epoch and row decide
                each change.

        Raises:
            CovidLungsError: the devices cannot have equal shares.
        """
        super().__init__()
        self.strength = STRENGTHS.get(augmentation)
        self.images, self.targets = images, targets
        self.rows, self.batch_size, self.shuffle_seed = np.asarray(rows), batch_size, shuffle_seed
        self.seconds = 0.0
        machine, self.gpu = look_at_machine(), None
        self.devices = machine.devices
        refuse_batch_size(batch_size, self.devices)
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
        self.epoch, self.changes, self.noise = epoch, None, None
        if self.shuffle_seed is None:
            refuse_too_few(len(self.rows), self.devices)
            self.order = self.rows[: len(self.rows) - len(self.rows) % self.devices]
        else:
            generator = np.random.default_rng((self.shuffle_seed, epoch))
            self.order = generator.permutation(self.rows)
            share = self.batch_size if len(self.rows) > self.batch_size else self.devices
            self.order = np.resize(self.order, math.ceil(len(self.rows) / share) * share)
        if self.strength:
            seed, count, size = (self.shuffle_seed, epoch), len(self.images), self.images.shape[1]
            self.changes = draw_changes(self.strength, (*seed, CHANGES), count, size)
            self.noise = draw_noise((*seed, NOISE), size)
        if self.gpu:
            self.gpu.start_epoch(self.changes, self.noise)

    def tell_left_out(self) -> str:
        """Return a line about X-rays that are in no batch, or "" if there are none."""
        count = len(self.rows) - len(self.order)
        shares = f"so that {self.devices} devices have equal shares"
        return f"validation X-rays left out, {shares}: {count}" if count > 0 else ""


def scale(images: np.ndarray) -> np.ndarray:
    """Return uint8 X-rays (..., height, width) as float32 in 0..1, (..., height, width, 1)."""
    return images.astype("float32")[..., None] / 255

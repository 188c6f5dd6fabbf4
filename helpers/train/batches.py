"""Batches: X-rays and targets to train on, in an order that seed and epoch decide."""

import math

import numpy as np

from helpers.train.augmentation import STRENGTHS, augment
from helpers.train.backend import keras


class Batches(keras.utils.PyDataset):
    """X-rays with their targets, as `Model.fit` takes them.

    A batch is a pair of float32 arrays: X-rays in 0..1, (batch, height, width, 1), and labels
    (batch, 1) or masks (batch, height, width, 1).
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
        self.start_epoch(0)

    def __len__(self) -> int:
        """Return the batches of an epoch."""
        return math.ceil(len(self.order) / self.batch_size)

    def __getitem__(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Return one batch."""
        rows = self.order[position * self.batch_size : (position + 1) * self.batch_size]
        images, targets = self.images[rows], self.targets[rows]
        if self.strength:
            changed = [self._augment(*given) for given in zip(rows, images, targets, strict=True)]
            images, targets = map(np.stack, zip(*changed, strict=True))
        return scale(images), targets.astype("float32")[..., None]

    def _augment(self, row: int, image: np.ndarray, target: np.ndarray) -> tuple:
        """Return an X-ray and its mask as this epoch shows them; a label stays the same."""
        generator = np.random.default_rng((self.shuffle_seed, self.epoch, row))
        if target.ndim == 0:
            return augment(image, np.zeros_like(image), self.strength, generator)[0], target
        return augment(image, target, self.strength, generator)

    def start_epoch(self, epoch: int) -> None:
        """Draw an epoch's order from its number, so that training can be resumed.

        Keras' own `on_epoch_end` does not do: Keras calls it also before a new model's first epoch.
        """
        self.epoch, self.order = epoch, self.rows
        if self.shuffle_seed is not None:
            generator = np.random.default_rng((self.shuffle_seed, epoch))
            self.order = generator.permutation(self.rows)
            if len(self.order) > self.batch_size:
                self.order = np.resize(self.order, len(self) * self.batch_size)


def scale(images: np.ndarray) -> np.ndarray:
    """Return uint8 X-rays (..., height, width) as float32 in 0..1, (..., height, width, 1)."""
    return images.astype("float32")[..., None] / 255

"""GPU batches: made and augmented on the GPU, where the X-rays lie, so that it need not wait."""

import numpy as np

from helpers.train.augmentation import Changes
from helpers.train.backend import compiled, keras
from helpers.train.gpu_augmentation import augment_batch

ops = keras.ops

KEPT = 0.25  # share of a GPU's memory that X-rays and targets may fill


class GpuBatches:
    """Makes batches on the GPU. Arrays that are too large for it travel there batch by batch."""

    def __init__(self, images: np.ndarray, targets: np.ndarray, rows: np.ndarray, memory: int):
        """Take what `Batches` takes, and the bytes of the GPU's memory."""
        self.images, self.targets, self.rows = images, targets, np.unique(rows)
        of_a_row = np.prod(images.shape[1:]) + np.prod(targets.shape[1:])
        self.fits = len(self.rows) * of_a_row <= KEPT * memory
        self.kept = None

    def start_epoch(self, changes: Changes | None, noise: np.ndarray | None) -> None:
        """Bring an epoch's changes of all N X-rays to the GPU."""
        self.changes = changes and Changes(*map(ops.convert_to_tensor, changes.of(self.rows)))
        self.noise = None if noise is None else ops.convert_to_tensor(noise)

    def make(self, rows: np.ndarray) -> tuple:
        """Return the batch of some rows as `Batches` does, with JAX as tensors on the GPU.

        Keras hands batches to TensorFlow through the processor's memory. Copying them here lets the
        clock count it.
        """
        places = np.searchsorted(self.rows, rows).astype("int32")
        if self.fits:
            batch = _make(*self._keep(), places, self.changes, places, self.noise)
        else:
            here = np.arange(len(rows), dtype="int32")
            images, targets = self.images[rows], self.targets[rows]
            batch = _make(images, targets, here, self.changes, places, self.noise)
        with_jax = keras.backend.backend() == "jax"
        return batch if with_jax else tuple(map(np.asarray, batch))

    def _keep(self) -> list:
        """Return the X-rays and targets of all rows on the GPU, brought there at the first call."""
        if self.kept is None:
            # One after the other: both together may be more than the processor's memory holds.
            given = self.images, self.targets
            self.kept = [ops.convert_to_tensor(part[self.rows]) for part in given]
        return self.kept


@compiled
def _make(images, targets, here, changes: Changes | None, places, noise) -> tuple:
    """Return a batch of the X-rays and targets `here`, changed by what is in `places`."""
    images, targets = (ops.take(part, here, axis=0) for part in (images, targets))
    if changes is not None:
        changes = Changes(*(ops.take(part, places, axis=0) for part in changes))
        masks = targets if len(targets.shape) > 1 else ops.zeros_like(images)
        images, masks = augment_batch(images, masks, changes, noise)
        targets = masks if len(targets.shape) > 1 else targets
    return _scale(images), ops.cast(targets, "float32")[..., None]


def _scale(images):
    """Return what `batches.scale` returns."""
    return ops.cast(images, "float32")[..., None] / 255


scale_on_gpu = compiled(_scale)  # X-rays travel to the GPU in 8 bits, not in 32

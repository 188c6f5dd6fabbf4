"""Cross-fitting: a lung mask for every X-ray, from a U-Net that has not seen it."""

import math
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from helpers.data import arrays
from helpers.data.images import resize_mask
from helpers.data.sources import DataSet
from helpers.evaluate.postprocessing import draw_lungs
from helpers.storage.files import make_folder, refusing
from helpers.storage.folders import cache_root
from helpers.train import backend, inference, models, training
from helpers.train.backend import keras
from helpers.train.batches import Batches
from helpers.train.recipes import SegmentationSettings

FOLDS = 3  # networks; each draws the lungs of a third, having learnt from the others
CHECKED = 8  # one of so many parts of what a network may see chooses its best epoch


def draw_masks(
    data_set: DataSet,
    split: pd.DataFrame,
    image_size: int,
    settings: SegmentationSettings,
    seed: int,
    folder: Path,
) -> np.ndarray:
    """Return the masks that `draw_unseen` draws of a data set, at another size than the U-Net's.

    Returns:
        zeros and ones, uint8, (rows of the split, image_size, image_size), read-only, in a file
        that vanishes with the array.

    Raises:
        CovidLungsError: the cache has no room for them.
    """
    xrays = arrays.prepare_images(data_set, split, settings.image_size)
    masks = arrays.prepare_masks(data_set, split, settings.image_size)
    size, place = (image_size, image_size), cache_root() / "arrays"
    with TemporaryFile(dir=place) as kept:
        for row, drawn in draw_unseen(xrays, masks, split, settings, seed, folder):
            with refusing(place, "COVID_LUNGS_CACHE"):
                kept.seek(row * math.prod(size))
                kept.write(resize_mask(drawn, size))
                kept.flush()
        return np.memmap(kept, np.uint8, "r", shape=(len(split), *size))


def draw_unseen(
    xrays: np.ndarray,
    masks: np.ndarray,
    split: pd.DataFrame,
    settings: SegmentationSettings,
    seed: int,
    folder: Path,
) -> Iterator[tuple[int, np.ndarray]]:
    """Train a U-Net for each fold and yield the masks that it draws of the others' X-rays.

    Groups are never divided, so that no network has seen a copy or the same patient either.

    Args:
        xrays: uint8, (N, image_size, image_size).
        masks: zeros and ones, uint8, of the same shape.
        split: the X-rays' rows, with `class` and `group`.
        settings: of the U-Net and its training.
        seed: of the folds, the weights and the order.
        folder: for the trained networks.

    Yields:
        each X-ray's row once, fold by fold, and its mask: zeros and ones, uint8, (image_size,
        image_size).
    """
    policy = keras.config.dtype_policy()
    try:
        for number, (seen, unseen) in enumerate(divide(split, FOLDS, seed), start=1):
            place = make_folder(make_folder(folder) / f"fold-{number}")
            model = _train_fold(xrays, masks, split, seen, settings, seed, place)
            answers = inference.predict_each(model, xrays, unseen)
            for row, probability in zip(unseen, answers, strict=True):
                yield int(row), draw_lungs(probability, masks.shape[1:])
    finally:
        keras.config.set_dtype_policy(policy)  # what follows may not be meant for 16 bits


def _train_fold(
    xrays: np.ndarray,
    masks: np.ndarray,
    split: pd.DataFrame,
    seen: np.ndarray,
    settings: SegmentationSettings,
    seed: int,
    folder: Path,
) -> keras.Model:
    """Return a U-Net trained on the rows of the X-rays that it may see."""
    training.make_reproducible(seed)
    backend.use_fastest(settings, backend.look_at_machine())
    learnt, checked = next(divide(split.iloc[seen], CHECKED, seed))
    learn = Batches(xrays, masks, seen[learnt], settings.batch_size, seed, settings.augmentation)
    check = Batches(xrays, masks, seen[checked], settings.batch_size)
    model = models.build_unet(settings)
    training.compile_segmenter(model, settings, len(learn))
    training.train(model, learn, check, settings.epochs, folder, say=False)
    return models.look_twice(model) if settings.look_twice else model


def divide(split: pd.DataFrame, parts: int, seed: int):
    """Yield the rows to keep and the rows to leave out, part by part; classes alike, groups whole.

    Args:
        split: a row an X-ray, with `class` and `group`.
        parts: how many; each row is left out in one.
        seed: of the parts.
    """
    folds = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    yield from folds.split(split, split["class"], split["group"])

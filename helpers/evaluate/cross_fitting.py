"""Cross-fitting: a lung mask for every X-ray, from a U-Net that has not seen it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from helpers.data import arrays
from helpers.data.sources import DataSet
from helpers.evaluate.lung_masks import keep_masks
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import make_folder
from helpers.train import backend, inference, models, training
from helpers.train.backend import keras
from helpers.train.batches import Batches
from helpers.train.postprocessing import draw_lungs
from helpers.train.recipes import SegmentationSettings

FOLDS = 3  # networks; each draws the lungs of a third of the X-rays, trained on the others
CHECKED = 8  # one of so many parts of what a network may see chooses its best epoch
DRAWN = "drawn by U-Nets that were trained on other X-rays of this data set"  # says whose they are


def draw_masks(
    data_set: DataSet,
    split: pd.DataFrame,
    image_size: int,
    settings: SegmentationSettings,
    seed: int,
    folder: Path,
) -> np.ndarray:
    """Return the masks of `draw_unseen` for a data set, resized to another size.

    They are kept as by `lung_masks.keep_masks`, and the trained networks in the folder.

    Raises:
        CovidLungsError: the cache has no room for them.
    """
    xrays = arrays.prepare_images(data_set, split, settings.image_size)
    masks = arrays.prepare_masks(data_set, split, settings.image_size)
    drawn = draw_unseen(xrays, masks, split, settings, seed, folder)
    return keep_masks(drawn, len(split), image_size)


def draw_unseen(
    xrays: np.ndarray,
    masks: np.ndarray,
    split: pd.DataFrame,
    settings: SegmentationSettings,
    seed: int,
    folder: Path,
) -> Iterator[tuple[int, np.ndarray]]:
    """Train a U-Net for each fold and yield row and mask of each X-ray that it has not seen.

    Groups are never divided: no network has seen a copy of an X-ray or another of its patient.
    X-rays and masks (zeros and ones) are uint8, (N, image_size, image_size), and so are the masks
    that are drawn. The split has their rows, with `class` and `group`.
    """
    policy = keras.config.dtype_policy()
    try:
        for number, (seen, unseen) in enumerate(divide(split, FOLDS, seed), start=1):
            trained, checked = next(divide(split.iloc[seen], CHECKED, seed))
            size, strength = settings.batch_size, settings.augmentation
            learn = Batches(xrays, masks, seen[trained], size, seed, strength)
            check = Batches(xrays, masks, seen[checked], size)
            place = make_folder(make_folder(folder) / f"fold-{number}")
            model = _train(learn, check, settings, seed, place)
            predicted = inference.predict_each(model, xrays, unseen)
            for row, probability in zip(unseen, predicted, strict=True):
                yield int(row), draw_lungs(probability, masks.shape[1:])
    finally:
        keras.config.set_dtype_policy(policy)  # the next networks may need other than 16 bits


def _train(
    learn: Batches, check: Batches, settings: SegmentationSettings, seed: int, folder: Path
) -> keras.Model:
    """Return a U-Net trained on these batches."""
    keras.utils.set_random_seed(seed)
    backend.use_fastest(settings, backend.look_at_machine())
    model = models.build_unet(settings)
    training.compile_segmenter(model, settings, len(learn))
    training.train(model, learn, check, settings.epochs, folder, say=False)
    return models.look_twice(model) if settings.look_twice else model


def divide(split: pd.DataFrame, parts: int, seed: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield for each part the rows outside it and those in it, classes alike, groups whole.

    There are fewer parts if there are fewer groups, or fewer X-rays in the largest class.

    Raises:
        CovidLungsError: there is only one group.
    """
    parts = min(parts, split["group"].nunique(), split["class"].value_counts().max())
    if parts < 2:
        raise CovidLungsError(
            "own_masks: too few groups of X-rays to train U-Nets on some and draw the others. "
            "Leave own_masks out, so that the data set's own masks are used."
        )
    folds = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    yield from folds.split(split, split["class"], split["group"])

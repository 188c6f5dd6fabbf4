"""Lung masks: those of a data set, or what a network draws."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.data import arrays
from helpers.data.images import resize_mask
from helpers.data.sources import DataSet
from helpers.split.index import has_masks
from helpers.storage.layout import SEGMENTER
from helpers.train import inference, lungs, trained
from helpers.train.backend import keras
from helpers.train.postprocessing import draw_lungs

# Whose the masks are, in the words of notebooks and report: no reader may take one for the other.
OWN = "the data set's own"
DRAWN = "drawn by the lung network of the package"


def find_masks(data_set: DataSet, index: pd.DataFrame, image_size: int) -> tuple[np.ndarray, str]:
    """Return the lung masks of the X-rays of an index, in its order, and whose they are.

    They are zeros and ones, uint8, (rows of the index, image_size, image_size), read-only, and
    OWN or DRAWN. Drawn masks tell where the lungs are. They are no truth to score a network by.

    Raises:
        CovidLungsError: an X-ray or mask has changed, or the cache has no room.
    """
    if has_masks(index):
        return arrays.prepare_masks(data_set, index, image_size), OWN
    return _draw_masks(lungs.load_network(), data_set, index, image_size), DRAWN


def predict_masks(
    run_folder: Path, data_set: DataSet, index: pd.DataFrame, image_size: int
) -> np.ndarray:
    """Return the lungs that `covid-lungs predict --run` would draw, as `find_masks` does.

    They are by the run's own U-Net, or by the package's if the run has none.

    Raises:
        CovidLungsError: a network cannot be read, an X-ray has changed, or the cache has no room.
    """
    own = run_folder / SEGMENTER
    network = trained.load_model(own) if own.is_file() else lungs.load_network()
    return _draw_masks(network, data_set, index, image_size)


def _draw_masks(
    network: keras.Model, data_set: DataSet, index: pd.DataFrame, image_size: int
) -> np.ndarray:
    """Return the lungs that a network draws in the X-rays of an index, as `keep_masks` does."""
    xrays = arrays.prepare_images(data_set, index, network.input_shape[1])
    probabilities = inference.predict_each(network, xrays)
    drawn = (draw_lungs(probability, xrays.shape[1:]) for probability in probabilities)
    return keep_masks(enumerate(drawn), len(index), image_size)


def keep_masks(drawn: Iterable[tuple[int, np.ndarray]], count: int, image_size: int) -> np.ndarray:
    """Return masks, each given with its row, resized, in a file that is removed with the array.

    They are zeros and ones, uint8, (count, image_size, image_size), read-only.

    Raises:
        CovidLungsError: the cache has no room for them.
    """
    size, pixels = (image_size, image_size), image_size**2
    resized = ((row * pixels, resize_mask(mask, size)) for row, mask in drawn)
    return arrays.keep_unnamed(resized, count * pixels).reshape(count, *size)

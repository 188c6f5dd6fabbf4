"""Arrays: X-rays and masks decoded and resized once, into files that every epoch reads."""

import hashlib
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from helpers.data_sets import DataSet
from helpers.errors import CovidLungsError
from helpers.folders import cache_root, make_partial
from helpers.images import fingerprint, read_mask, read_xray, resize_image, resize_mask


def prepare_images(data_set: DataSet, index: pd.DataFrame, image_size: int) -> np.ndarray:
    """Return the X-rays of the index as a read-only array on disk.

    Returns:
        uint8, (rows of the index, image_size, image_size), in the index's order.

    Raises:
        CovidLungsError: a file's pixels are not those that the index saw.
    """
    return _prepare(data_set, index, image_size, "file", "pixels", _small_image)


def prepare_masks(data_set: DataSet, index: pd.DataFrame, image_size: int) -> np.ndarray:
    """Return the masks of the index as `prepare_images` does; zeros and ones, one is lung."""
    return _prepare(data_set, index, image_size, "mask", "mask_pixels", _small_mask)


def _small_image(path: Path, size: int) -> tuple[np.ndarray, str]:
    image = read_xray(path)
    return resize_image(image, (size, size)), fingerprint(image)


def _small_mask(path: Path, size: int) -> tuple[np.ndarray, str]:
    mask = read_mask(path)
    return resize_mask(mask, (size, size)), fingerprint(mask)


def _prepare(
    data_set: DataSet,
    index: pd.DataFrame,
    image_size: int,
    file_column: str,
    pixels_column: str,
    read: Callable[[Path, int], tuple[np.ndarray, str]],
) -> np.ndarray:
    """Return the array, made if the cache does not hold one of just these pixels and this size."""
    content = hashlib.sha256("\n".join(index[pixels_column]).encode()).hexdigest()[:16]
    target = cache_root() / "arrays" / f"{pixels_column}-{content}-{image_size}.npy"
    if not target.is_file():
        paths = [data_set.root / file for file in index[file_column]]
        _write(target, paths, list(index[pixels_column]), partial(read, size=image_size))
    return np.load(target, mmap_mode="r")


def _write(
    target: Path,
    paths: list[Path],
    expected: list[str],
    read: Callable[[Path], tuple[np.ndarray, str]],
) -> None:
    """Decode every file into a new array under a temporary name, renamed when it is whole."""
    folder = make_partial(target)
    try:
        array = None
        with ThreadPoolExecutor() as pool:
            rows = tqdm(pool.map(read, paths), "resizing", len(paths), unit="file", disable=None)
            for row, (pixels, found) in enumerate(rows):
                if found != expected[row]:
                    raise CovidLungsError(
                        f"{paths[row].name}: its pixels are not those that index.csv saw. Give the "
                        "`data` of this run, or run 01_get_data again under another name."
                    )
                if array is None:
                    shape = (len(paths), *pixels.shape)
                    array = np.lib.format.open_memmap(folder / target.name, "w+", np.uint8, shape)
                array[row] = pixels
        (folder / target.name).replace(target)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""Scan: every file of a data set decoded once, and what an audit needs of it noted."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from helpers.audit.duplicates import make_thumbnail
from helpers.audit.mask_shapes import measure_masks, shrink_mask
from helpers.data.decoding import BadImageError, Picture, to_grey
from helpers.data.images import (
    LABEL_MAP,
    as_mask,
    brightest_channel,
    decode,
    fingerprint,
    is_label_map,
    join_halves,
    to_mask,
)
from helpers.data.layouts import IMAGES, MASKS
from helpers.data.listing import HALVES, Listing, Place
from helpers.data.sources import DataSet
from helpers.data.threads import read_all

NOISE_LEVEL = 8  # grey levels of 255: masks with no brighter pixel and several levels are black
FILE_COLUMNS = ["file", "class", "part", "stem", "split", "patient", "fault", "reason"]
FACTS = ["format", "channels", "bits", "width", "height", "pixels", "coloured", "binary"]


class Seen(NamedTuple):
    """What one file shows: the columns of FILE_COLUMNS and FACTS, and `small`.

    `small` is of a sound X-ray its thumbnail, of a sound mask what `masks.measure_masks` takes.
    """

    file: str
    class_name: str
    part: str
    stem: str
    split: str
    patient: str
    fault: str = ""
    reason: str = ""
    format: str | None = None
    channels: int | None = None
    bits: int | None = None
    width: int = 0
    height: int = 0
    pixels: str | None = None
    coloured: bool | None = None
    binary: bool | None = None
    small: np.ndarray | None = None


class Scan(NamedTuple):
    """What is in a data set.

    Attributes:
        files: a row a file: the columns of FILE_COLUMNS, FACTS and `masks.measure_masks`, sorted
            by `file`. `fault` is the name of the finding that makes the file unusable, or "".
        thumbnails: for each sound X-ray, by `file`, what `duplicates.find_copies` compares.
        listing: what is there at all, and by which layout.
    """

    files: pd.DataFrame
    thumbnails: dict[str, np.ndarray]
    listing: Listing


def scan(data_set: DataSet) -> Scan:
    """Decode every X-ray and mask of a data set once and return what was seen.

    Raises:
        CovidLungsError: the data set cannot be listed, as `listing.list_files` says.
    """
    listing = data_set.list_files()
    seen = read_all(partial(_read, data_set.root), listing.places, "reading X-rays")
    files = pd.DataFrame(seen, columns=[*FILE_COLUMNS, *FACTS, "small"])
    files = files.sort_values("file", ignore_index=True)
    small = files.pop("small").dropna()
    masks = small[files["part"] == MASKS]
    files = files.join(measure_masks(list(masks)).set_index(masks.index))
    xrays = small[files["part"] == IMAGES]
    thumbnails = dict(zip(files["file"][xrays.index], xrays, strict=True))
    return Scan(files, thumbnails, listing)


def _read(root: Path, place: Place) -> Seen:
    """Return what a file shows."""
    named = place[:-1]
    if not place.whole:
        return Seen(*named, fault="half_a_mask", reason="not one file for each lung")
    try:
        picture = _decode(root, place)
    except BadImageError as error:
        return Seen(*named, fault=error.finding, reason=error.reason)
    pixels = picture.pixels
    return Seen(
        *named,
        format=picture.format,
        channels=picture.channels,
        bits=pixels.dtype.itemsize * 8,
        width=pixels.shape[1],
        height=pixels.shape[0],
        **(_xray_facts(picture) if place.part == IMAGES else _mask_facts(pixels, place.part)),
    )


def _decode(root: Path, place: Place) -> Picture:
    """Return what `decode` returns of a file; of a mask in several, the union of all."""
    files = [f"{root}/{file}" for file in place.file.split(HALVES)]
    picture, *others = map(decode, files)
    if others:
        halves = [as_mask(*half) for half in zip([picture, *others], files, strict=True)]
        picture = picture._replace(pixels=255 * join_halves(halves, place.file))
    return picture


def _xray_facts(picture: Picture) -> dict:
    """Return the facts of an X-ray's picture, or the fault that makes it unusable."""
    image = to_grey(picture.pixels, picture.depth)
    thumbnail = make_thumbnail(image)  # of equal pixels only where all pixels may be equal
    if thumbnail.min() == thumbnail.max() and image.min() == image.max():
        return {"fault": "blank_xray", "reason": "all pixels are equal"}
    coloured = _is_coloured(picture.pixels)
    return {"coloured": coloured, "pixels": fingerprint(image), "small": thumbnail}


def _is_coloured(pixels: np.ndarray) -> bool:
    """Return whether the colour channels differ."""
    if pixels.ndim == 2:
        return False
    blue, *others = cv2.split(pixels)
    return any(not np.array_equal(blue, other) for other in others)


def _mask_facts(pixels: np.ndarray, part: str) -> dict:
    """Return the facts of a mask's pixels, or the fault that makes it unusable.

    A mask of the infection may well be black: then there is none.
    """
    brightest = brightest_channel(pixels)
    largest = int(brightest.max())
    lit, full = np.count_nonzero(brightest), np.count_nonzero(brightest == largest)
    if part == MASKS and (largest == 0 or (largest <= NOISE_LEVEL and lit != full)):
        shade = f"but black: no pixel is brighter than {largest} of 255" if largest else "black"
        return {"fault": "black_mask", "reason": f"the mask is all {shade}"}
    if largest and full == brightest.size:
        return {"fault": "white_mask", "reason": "the mask is all white"}
    if lit != full and is_label_map(brightest):
        return dict(zip(("fault", "reason"), LABEL_MAP, strict=True))
    mask = to_mask(brightest)
    return {"binary": lit == full, "pixels": fingerprint(mask), "small": shrink_mask(mask)}

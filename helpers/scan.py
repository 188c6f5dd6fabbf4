"""Scan: every file of a data set decoded once, and what an audit needs of it noted."""

import os
import re
from itertools import product
from posixpath import basename, splitext  # pathlib takes several times as long
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from helpers.data_sets import DataSet
from helpers.decoding import BadImageError, Picture, decode
from helpers.depths import to_grey
from helpers.duplicates import make_thumbnail
from helpers.errors import CovidLungsError
from helpers.images import LABEL_MAP, SUFFIXES, brightest_channel, fingerprint, to_mask
from helpers.labels import is_label_map
from helpers.masks import measure_masks, shrink_mask
from helpers.workers import read_all

PARTS = ("images", "masks")
NOISE_LEVEL = 8  # grey levels of 255: masks with no brighter pixel and several levels are black
# Control characters, and Python's stand-ins for bytes that are no UTF-8.
NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
FILE_COLUMNS = ["file", "class", "part", "stem", "fault", "reason"]
FACTS = ["format", "channels", "bits", "width", "height", "pixels", "coloured", "binary"]


class Place(NamedTuple):
    """Where a file is.

    Attributes:
        path: as the system writes it.
        file: POSIX path below the data set's root.
        class_name: of its folder.
        part: one of PARTS.
    """

    path: str
    file: str
    class_name: str
    part: str


class Seen(NamedTuple):
    """What one file shows: the columns of FILE_COLUMNS and FACTS, and `small`.

    `small` is of a sound X-ray its thumbnail, of a sound mask what `masks.measure_masks` takes.
    """

    file: str
    class_name: str
    part: str
    stem: str
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
        others: POSIX paths of the files that are no images by their ending.
    """

    files: pd.DataFrame
    thumbnails: dict[str, np.ndarray]
    others: list[str]


def scan(data_set: DataSet) -> Scan:
    """Decode every X-ray and mask of a data set once and return what was seen.

    Raises:
        CovidLungsError: a name has a character that no table can hold.
    """
    places = _list_files(data_set)
    images = [place for place in places if splitext(place.file)[1].lower() in SUFFIXES]
    seen = read_all(_read, images, "reading X-rays")
    files = pd.DataFrame(seen, columns=[*FILE_COLUMNS, *FACTS, "small"])
    files = files.sort_values("file", ignore_index=True)
    small = files.pop("small").dropna()
    masks = small[files["part"] == "masks"]
    files = files.join(measure_masks(list(masks)).set_index(masks.index))
    xrays = small.drop(masks.index)
    thumbnails = dict(zip(files["file"][xrays.index], xrays, strict=True))
    others = sorted({place.file for place in places} - {place.file for place in images})
    return Scan(files, thumbnails, others)


def _list_files(data_set: DataSet) -> list[Place]:
    """Return everything in the class folders that is not hidden."""
    found = []
    for class_name, part in product(data_set.classes, PARTS):
        folder = data_set.root / class_name / part
        if folder.is_dir():
            with os.scandir(folder) as entries:
                found += [
                    Place(entry.path, f"{class_name}/{part}/{entry.name}", class_name, part)
                    for entry in entries
                    if not entry.name.startswith(".")
                ]
    for name in (data_set.name, *data_set.classes, *(place.file for place in found)):
        if NO_TEXT.search(name):
            raise CovidLungsError(
                f"{name!r}: a name with a character that no table can hold. Rename it."
            )
    return found


def _read(place: Place) -> Seen:
    """Return what a file shows."""
    path, file, class_name, part = place
    named = (file, class_name, part, splitext(basename(file))[0])
    try:
        picture = decode(path)
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
        **(_mask_facts(pixels) if part == "masks" else _xray_facts(picture)),
    )


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


def _mask_facts(pixels: np.ndarray) -> dict:
    """Return the facts of a mask's pixels, or the fault that makes it unusable."""
    brightest = brightest_channel(pixels)
    largest = int(brightest.max())
    lit, full = np.count_nonzero(brightest), np.count_nonzero(brightest == largest)
    if largest == 0 or (largest <= NOISE_LEVEL and lit != full):
        shade = f"but black: no pixel is brighter than {largest} of 255" if largest else "black"
        return {"fault": "black_mask", "reason": f"the mask is all {shade}"}
    if full == brightest.size:
        return {"fault": "white_mask", "reason": "the mask is all white"}
    if lit != full and is_label_map(brightest):
        return dict(zip(("fault", "reason"), LABEL_MAP, strict=True))
    mask = to_mask(brightest)
    return {"binary": lit == full, "pixels": fingerprint(mask), "small": shrink_mask(mask)}

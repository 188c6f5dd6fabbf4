"""Scan: every file decoded once and what it shows noted.

A check that looks at pixels begins here, with a fact of each file; `findings` judges it.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd

from helpers.audit.duplicates import THUMBNAIL_SIZE, make_thumbnail
from helpers.audit.mask_shapes import SHAPE_SIZE, measure_masks, shrink_mask
from helpers.data.arrays import keep_unnamed
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
from helpers.data.layouts import IMAGES, INFECTION, MASKS
from helpers.data.listing import HALVES, Listing, Place
from helpers.data.sources import DataSet
from helpers.data.threads import read_all

NOISE_LEVEL = 8  # grey levels of 255: a mask of several levels, none brighter, is black
KEYS = ["split", "class", "stem"]  # what an X-ray and its masks have in common


class Seen(NamedTuple):
    """What one file shows.

    `fault` is the name of the finding that makes the file unusable, or "". `small` is the
    thumbnail of a sound X-ray, or what `measure_masks` takes of a sound mask.
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
        files: a row a file, sorted by `file`: the fields of `Seen` but `small`, `class` for
            `class_name`, and the measures of masks: those of `measure_masks` for lungs, and
            `outside` for an infection, the share of it that lies outside the lung mask.
        thumbnails: of each sound X-ray, by `file`, for `find_copies`.
        listing: what is there at all, and by which layout.
    """

    files: pd.DataFrame
    thumbnails: dict[str, np.ndarray]
    listing: Listing


def scan(data_set: DataSet) -> Scan:
    """Decode every X-ray and mask of a data set once and return what was seen.

    Raises:
        CovidLungsError: the data set cannot be listed, as `listing.list_files` says, or the cache
            has no room for the thumbnails.
    """
    listing = data_set.list_files()
    seen = read_all(partial(_read, data_set.root), listing.places, "reading X-rays")
    seen = _keep_small(seen, listing.places)
    files = pd.DataFrame(seen, columns=Seen._fields).rename(columns={"class_name": "class"})
    files = files.sort_values("file", ignore_index=True)
    small = files.pop("small").dropna()
    masks = small[files["part"] == MASKS]
    files = files.join(measure_masks(list(masks)).set_index(masks.index))
    files["outside"] = _share_outside(files, small)
    xrays = small[files["part"] == IMAGES]
    thumbnails = dict(zip(files["file"][xrays.index], xrays, strict=True))
    return Scan(files, thumbnails, listing)


def _keep_small(seen: Iterator[Seen], places: list[Place]) -> list[Seen]:
    """Return what was seen, with all `small` in a file: a million X-rays would fill the memory."""
    sides = [THUMBNAIL_SIZE if place.part == IMAGES else SHAPE_SIZE for place in places]
    *starts, size = np.cumsum([0, *(side**2 for side in sides)]).tolist()
    facts = []

    def take() -> Iterator[tuple[int, np.ndarray]]:
        """Yield what is sound with its place in the file, as it is read."""
        for start, one in zip(starts, seen, strict=True):
            facts.append(one._replace(small=None))
            if one.small is not None:
                yield start, one.small

    kept = np.asarray(keep_unnamed(take(), size))  # plain views: those of a memory map are large
    for row, (start, side) in enumerate(zip(starts, sides, strict=True)):
        if not facts[row].fault:
            small = kept[start : start + side**2].reshape(side, side)
            facts[row] = facts[row]._replace(small=small)
    return facts


def _share_outside(files: pd.DataFrame, small: pd.Series) -> pd.Series:
    """Return for each mask of an infection the share of it that lies outside the lung mask.

    It is NaN for other files, for a black mask, and without a lung mask of the same name. `small`
    are the masks as `shrink_mask` gives them.
    """
    sound = files.loc[small.index, [*KEYS, "part"]].assign(small=small)
    lungs, infection = (sound[sound["part"] == part] for part in (MASKS, INFECTION))
    lungs = lungs.drop_duplicates(KEYS).set_index(KEYS)["small"]
    paired = infection.join(lungs.rename("lungs"), on=KEYS).dropna(subset="lungs")
    shares = {
        row.Index: float(np.mean(row.lungs[row.small == 1] == 0)) if row.small.any() else np.nan
        for row in paired.itertuples()
    }
    return pd.Series(shares, index=files.index, dtype=float)


def _read(root: Path, place: Place) -> Seen:
    """Return what a file shows."""
    named = place[:-1]
    try:
        if not place.whole:
            raise BadImageError("half_a_mask", "not one file for each lung")
        picture = _decode(root, place)
        facts = _xray_facts(picture) if place.part == IMAGES else _mask_facts(picture, place.part)
    except BadImageError as error:
        return Seen(*named, fault=error.finding, reason=error.reason)
    height, width = picture.pixels.shape[:2]
    bits = picture.pixels.dtype.itemsize * 8
    return Seen(*named, format=picture.format, bits=bits, width=width, height=height, **facts)


def _decode(root: Path, place: Place) -> Picture:
    """Return what `decode` returns of a file; of a mask in several, the union of all."""
    files = [f"{root}/{file}" for file in place.file.split(HALVES)]
    picture, *others = map(decode, files)
    if others:
        halves = [as_mask(*half) for half in zip([picture, *others], files, strict=True)]
        picture = picture._replace(pixels=255 * join_halves(halves, place.file))
    return picture


def _xray_facts(picture: Picture) -> dict:
    """Return the facts of an X-ray's picture, or refuse it as unusable."""
    image = to_grey(picture.pixels, picture.depth)
    thumbnail = make_thumbnail(image)  # of equal pixels only where all pixels may be equal
    if thumbnail.min() == thumbnail.max() and image.min() == image.max():
        raise BadImageError("blank_xray", "all pixels are equal")
    blue, *others = cv2.split(picture.pixels)  # a third of the time that numpy takes
    coloured = not all(np.array_equal(blue, other) for other in others)
    return {"coloured": coloured, "pixels": fingerprint(image), "small": thumbnail}


def _mask_facts(picture: Picture, part: str) -> dict:
    """Return the facts of a mask's picture, or refuse it as unusable.

    A mask of the infection may be black: then there is none.
    """
    brightest = brightest_channel(picture.pixels)
    largest = int(brightest.max())
    full = np.count_nonzero(brightest == largest)
    binary = np.count_nonzero(brightest) in (full, 0)  # all of one brightness, or none at all
    blank = full == brightest.size or (largest <= NOISE_LEVEL and not binary)
    if blank and (largest or part == MASKS):
        raise BadImageError("blank_mask", "the mask is all black or all white")
    if is_label_map(brightest):
        raise BadImageError(*LABEL_MAP)
    mask = to_mask(brightest)
    return {"binary": binary, "pixels": fingerprint(mask), "small": shrink_mask(mask)}

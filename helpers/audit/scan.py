"""Scan: every file of a data set decoded once, and each X-ray paired with its masks."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers.audit.duplicates import make_thumbnail
from helpers.audit.mask_shapes import MEASURES, measure_masks, shrink_mask
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

NOISE_LEVEL = 8  # grey levels of 255: masks with no brighter pixel and several levels are black
KEYS = ["split", "class", "stem"]  # what an X-ray and its masks have in common
# What the pairs keep of an X-ray, of its lung mask, and of its mask of the infection.
XRAY_COLUMNS = ["file", "width", "height", "pixels", "coloured", "bits", "patient"]
MASK_COLUMNS = {
    "file": "mask",
    "width": "mask_width",
    "height": "mask_height",
    "pixels": "mask_pixels",
    "binary": "binary",
    **{name: name for name in MEASURES},
}
INFECTION_COLUMNS = {"file": "infection_mask", "pixels": "infection_pixels"}
TEXTS = ["mask", "mask_pixels", *INFECTION_COLUMNS.values()]
WHOLE_NUMBERS = ["width", "height", "mask_width", "mask_height", "bits", "regions"]
LEFT_OUT_COLUMNS = ["file", "class", "finding", "fault"]


class Seen(NamedTuple):
    """What one file shows; the columns of a scan, and `small`.

    `fault` is the name of the finding that makes the file unusable, or "". `small` is the
    thumbnail of a sound X-ray, or what `mask_shapes.measure_masks` takes of a sound mask.
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
        files: a row a file, sorted by `file`: the fields of `Seen`, `class` for `class_name`, and
            the measures of masks.
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
    files = pd.DataFrame(seen, columns=Seen._fields).rename(columns={"class_name": "class"})
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
    coloured = picture.pixels.ndim == 3 and bool((picture.pixels != picture.pixels[..., :1]).any())
    return {"coloured": coloured, "pixels": fingerprint(image), "small": thumbnail}


def _mask_facts(pixels: np.ndarray, part: str) -> dict:
    """Return the facts of a mask's pixels, or the fault that makes it unusable.

    A mask of the infection may be black: then there is none.
    """
    brightest = brightest_channel(pixels)
    largest = int(brightest.max())
    lit, full = np.count_nonzero(brightest), np.count_nonzero(brightest == largest)
    if part == MASKS and (largest == 0 or (largest <= NOISE_LEVEL and lit != full)):
        shade = f"but black: no pixel is brighter than {largest} of 255" if largest else "black"
        return {"fault": "blank_mask", "reason": f"the mask is all {shade}"}
    if largest and full == brightest.size:
        return {"fault": "blank_mask", "reason": "the mask is all white"}
    if lit != full and is_label_map(brightest):
        return dict(zip(("fault", "reason"), LABEL_MAP, strict=True))
    mask = to_mask(brightest)
    return {"binary": lit == full, "pixels": fingerprint(mask), "small": shrink_mask(mask)}


def pair_files(files: pd.DataFrame, has_masks: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the pairs of a sound X-ray and a sound mask of one name, and the unusable files.

    A mask of the infection is noted where it is sound; X-rays are used without one.

    Args:
        files: those of a scan.
        has_masks: whether X-rays should have lung masks; if not, they are used without one.

    Returns:
        Pairs, sorted by `file`: the columns `class` and `published_split`, XRAY_COLUMNS, and the
        values of MASK_COLUMNS and INFECTION_COLUMNS; "" and 0 stand for what an X-ray does not
        have. And the LEFT_OUT_COLUMNS of every file that is damaged or has no single partner,
        sorted likewise.
    """
    counts = files.groupby([*KEYS, "part"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=[IMAGES, MASKS, INFECTION], fill_value=0)
    placed = files.join(counts, on=KEYS)
    matched = (placed[MASKS] == int(has_masks)).where(
        placed["part"] != INFECTION, placed[INFECTION] == 1
    )
    alone, damaged = (placed[IMAGES] != 1) | ~matched, placed["fault"] != ""
    left_out = [
        (row["file"], row["class"], row["fault"], row["reason"])
        if row["fault"]
        else (row["file"], row["class"], *_why_unpaired(row, has_masks))
        for row in placed[alone | damaged].to_dict("records")
    ]
    left_out = pd.DataFrame(left_out, columns=LEFT_OUT_COLUMNS)
    left_out = left_out.sort_values("file", ignore_index=True)
    return _join_parts(placed[~alone & ~damaged], has_masks), left_out


def _join_parts(sound: pd.DataFrame, has_masks: bool) -> pd.DataFrame:
    """Return the pairs of sound X-rays and masks; no two of one kind have the same name."""
    images, masks, infection = (sound[sound["part"] == part] for part in (IMAGES, MASKS, INFECTION))
    masks = masks[[*KEYS, *MASK_COLUMNS]].rename(columns=MASK_COLUMNS)
    infection = infection[[*KEYS, *INFECTION_COLUMNS]].rename(columns=INFECTION_COLUMNS)
    pairs = images[[*KEYS, *XRAY_COLUMNS]].merge(masks, "inner" if has_masks else "left", on=KEYS)
    pairs = pairs.merge(infection, "left", on=KEYS).rename(columns={"split": "published_split"})
    pairs = pairs.drop(columns="stem").sort_values("file", ignore_index=True)
    pairs[TEXTS] = pairs[TEXTS].astype(object).where(pairs[TEXTS].notna(), "").astype(str)
    pairs[WHOLE_NUMBERS] = pairs[WHOLE_NUMBERS].fillna(0).astype(int)
    pairs[["coloured", "binary"]] = pairs[["coloured", "binary"]].astype(bool)
    return pairs


def _why_unpaired(row: dict, has_masks: bool) -> tuple[str, str]:
    """Return finding and fault of a file that has no single partner.

    The row has the numbers of X-rays and masks of its name under IMAGES, MASKS and INFECTION.
    """
    kind = INFECTION if row["part"] == INFECTION else MASKS
    if row[IMAGES] and kind == MASKS and not has_masks:
        return "name_twice", f"{row[IMAGES]} images of the same name"
    if row[IMAGES] and row[kind]:
        return "name_twice", f"{row[IMAGES]} images and {row[kind]} {kind} of the same name"
    missing, present = ("image", "mask") if row[kind] else ("mask", "image")
    return f"{present}_without_{missing}", f"no {missing} of the same name"

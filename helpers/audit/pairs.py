"""Pairs: each X-ray with its masks, and the files that are of no use."""

import pandas as pd

from helpers.audit.mask_shapes import MEASURES
from helpers.audit.scan import KEYS
from helpers.data.layouts import IMAGES, INFECTION, MASKS

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
INFECTION_COLUMNS = {
    "file": "infection_mask",
    "width": "infection_width",
    "height": "infection_height",
    "pixels": "infection_pixels",
    "binary": "infection_binary",
    "outside": "infection_outside",
}
TEXTS = ["mask", "mask_pixels", "infection_mask", "infection_pixels"]
WHOLE_NUMBERS = [
    *("width", "height", "mask_width", "mask_height", "bits", "regions"),
    *("infection_width", "infection_height"),
]
BOOLS = ["coloured", "binary", "infection_binary"]


def pair_files(files: pd.DataFrame, has_masks: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the pairs of a sound X-ray and a sound mask of one name, and the unusable files.

    A mask of the infection is noted where it is sound; X-rays are used without one, and unless
    `has_masks` without a lung mask, too.

    Returns:
        Pairs, sorted by `file`: `class`, `published_split`, XRAY_COLUMNS, and the values of
        MASK_COLUMNS and INFECTION_COLUMNS; "" and 0 stand for what an X-ray does not have. And the
        columns `file`, `class`, `finding` and `fault` of every file that is damaged or has no
        single partner, sorted likewise.
    """
    counts = files.groupby([*KEYS, "part"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=[IMAGES, MASKS, INFECTION], fill_value=0)
    known = files.join(counts, on=KEYS)[["part", "fault", "reason", *counts.columns]]
    faults = [_find_fault(*row, has_masks) for row in known.itertuples(index=False)]
    found = pd.DataFrame(faults, columns=["finding", "fault"], index=files.index, dtype=str)
    unusable = found["finding"] != ""
    left_out = files[["file", "class"]].join(found)[unusable]
    left_out = left_out.sort_values("file", ignore_index=True)
    return _join_parts(files[~unusable], has_masks), left_out


def _find_fault(
    part: str, fault: str, reason: str, images: int, masks: int, infections: int, has_masks: bool
) -> tuple[str, str]:
    """Return finding and fault of a file, given how many files have its name; "" if it is fine."""
    if fault:
        return fault, reason
    if part == INFECTION:
        masks, has_masks = infections, True
    if images == 1 and masks == int(has_masks):
        return "", ""
    if images and (masks or not has_masks):
        return "name_twice", "several files of the same name"
    if images:
        return "image_without_mask", "no mask of the same name"
    return "mask_without_image", "no image of the same name"


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
    pairs[BOOLS] = pairs[BOOLS].astype(bool)
    return pairs

"""Pairs: each X-ray with its masks, and the files that cannot be used."""

import pandas as pd

from helpers.data.layouts import IMAGES, INFECTION, MASKS

KEYS = ["split", "class", "stem"]  # what an X-ray and its masks have in common
PAIR_COLUMNS = {
    "file_image": "file",
    "class": "class",
    "file_mask": "mask",
    "width_image": "width",
    "height_image": "height",
    "width_mask": "mask_width",
    "height_mask": "mask_height",
    "pixels_image": "pixels",
    "pixels_mask": "mask_pixels",
    "coloured_image": "coloured",
    "bits_image": "bits",
    "channels_image": "channels",
    "binary_mask": "binary",
    "lung_share_mask": "lung_share",
    "regions_mask": "regions",
    "edge_share_mask": "edge_share",
    "lower_fill_mask": "lower_fill",
    "split": "published_split",
    "patient_image": "patient",
}
INFECTION_COLUMNS = {"file": "infection_mask", "pixels": "infection_pixels"}
WHOLE_NUMBERS = ["width", "height", "mask_width", "mask_height", "bits", "channels", "regions"]
LEFT_OUT_COLUMNS = ["file", "class", "finding", "fault"]


def pair_files(files: pd.DataFrame, has_masks: bool = True) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the pairs of a sound X-ray and a sound mask of one name, and the unusable files.

    A mask of the infection is noted where it is sound, and X-rays are used without one.

    Args:
        files: as `scan.scan` returns them.
        has_masks: whether X-rays should have lung masks; if not, they are used without one.

    Returns:
        Pairs, with the columns that PAIR_COLUMNS and INFECTION_COLUMNS name, sorted by `file`; ""
        and 0 stand for what an X-ray does not have. And the LEFT_OUT_COLUMNS of every file that is
        damaged or has no single partner, sorted likewise.
    """
    counts = files.groupby([*KEYS, "part"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=[IMAGES, MASKS, INFECTION], fill_value=0)
    placed = files.join(counts, on=KEYS)
    wanted = (placed[MASKS] == int(has_masks)).where(
        placed["part"] != INFECTION, placed[INFECTION] == 1
    )
    alone = (placed[IMAGES] != 1) | ~wanted
    damaged = placed[placed["fault"] != ""].rename(columns={"fault": "finding", "reason": "fault"})
    unpaired = placed[alone & (placed["fault"] == "")].to_dict("records")
    rows = [_why_unpaired(row, has_masks) for row in unpaired]
    unpaired = pd.DataFrame(rows, columns=LEFT_OUT_COLUMNS)
    left_out = pd.concat([damaged, unpaired])[LEFT_OUT_COLUMNS].sort_values("file")
    sound = placed[~alone & (placed["fault"] == "")]
    return _join_parts(sound, has_masks), left_out.reset_index(drop=True)


def _join_parts(sound: pd.DataFrame, has_masks: bool) -> pd.DataFrame:
    """Return the pairs of the sound X-rays and masks, of which no two of a kind have one name."""
    images, masks, infection = (sound[sound["part"] == part] for part in (IMAGES, MASKS, INFECTION))
    how = "inner" if has_masks else "left"
    pairs = images.merge(masks, how, on=KEYS, suffixes=("_image", "_mask"))
    infection = infection[[*KEYS, *INFECTION_COLUMNS]].rename(columns=INFECTION_COLUMNS)
    pairs = pairs.merge(infection, "left", on=KEYS).rename(columns=PAIR_COLUMNS)
    columns = [*PAIR_COLUMNS.values(), *INFECTION_COLUMNS.values()]
    pairs = pairs[columns].sort_values("file", ignore_index=True)
    texts = ["mask", "mask_pixels", *INFECTION_COLUMNS.values()]
    pairs[texts] = pairs[texts].astype(object).where(pairs[texts].notna(), "").astype(str)
    pairs[WHOLE_NUMBERS] = pairs[WHOLE_NUMBERS].fillna(0).astype(int)
    pairs[["coloured", "binary"]] = pairs[["coloured", "binary"]].astype(bool)
    return pairs


def _why_unpaired(row: dict, has_masks: bool) -> tuple[str, str, str, str]:
    """Return file, class, finding and fault of a file with so many files of its name.

    Args:
        row: with the numbers of X-rays and masks of that name under IMAGES, MASKS and INFECTION.
        has_masks: as in `pair_files`.
    """
    named = row["file"], row["class"]
    kind = INFECTION if row["part"] == INFECTION else MASKS
    if row[IMAGES] and kind == MASKS and not has_masks:
        return *named, "name_twice", f"{row[IMAGES]} images of the same name"
    if row[IMAGES] and row[kind]:
        fault = f"{row[IMAGES]} images and {row[kind]} {kind} of the same name"
        return *named, "name_twice", fault
    missing, present = ("image", "mask") if row[kind] else ("mask", "image")
    return *named, f"{present}_without_{missing}", f"no {missing} of the same name"

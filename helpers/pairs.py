"""Pairs: each X-ray with its mask, and the files that cannot be used."""

import pandas as pd

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
}
WHOLE_NUMBERS = ["width", "height", "mask_width", "mask_height", "bits", "channels", "regions"]
LEFT_OUT_COLUMNS = ["file", "finding", "fault"]


def pair_files(files: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the pairs of a sound X-ray and a sound mask of one name, and the unusable files.

    Args:
        files: as `scan.scan` returns them.

    Returns:
        Pairs, with the columns that PAIR_COLUMNS names, sorted by `file`; and `file`, `finding`
        and `fault` of every file that is damaged or has no single partner, sorted likewise.
    """
    keys = ["class", "stem"]
    counts = files.groupby([*keys, "part"]).size().unstack(fill_value=0)
    counts = counts.reindex(columns=["images", "masks"], fill_value=0)
    placed = files.join(counts, on=keys)
    alone = (placed["images"] != 1) | (placed["masks"] != 1)
    damaged = placed[placed["fault"] != ""].rename(columns={"fault": "finding", "reason": "fault"})
    unpaired = placed[alone & (placed["fault"] == "")]
    unpaired = pd.DataFrame(map(_why_unpaired, unpaired.itertuples()), columns=LEFT_OUT_COLUMNS)
    left_out = pd.concat([damaged, unpaired])[LEFT_OUT_COLUMNS].sort_values("file")
    sound = placed[~alone & (placed["fault"] == "")]
    images, masks = (sound[sound["part"] == part] for part in ("images", "masks"))
    pairs = images.merge(masks, on=keys, suffixes=("_image", "_mask")).rename(columns=PAIR_COLUMNS)
    pairs = pairs[list(PAIR_COLUMNS.values())].sort_values("file", ignore_index=True)
    pairs[WHOLE_NUMBERS] = pairs[WHOLE_NUMBERS].astype(int)
    pairs[["coloured", "binary"]] = pairs[["coloured", "binary"]].astype(bool)
    return pairs, left_out.reset_index(drop=True)


def _why_unpaired(row: tuple) -> tuple[str, str, str]:
    """Return file, finding and fault of a file with so many images and masks of its name."""
    if row.images and row.masks:
        return row.file, "name_twice", f"{row.images} images and {row.masks} masks of the same name"
    missing, present = ("image", "mask") if row.masks else ("mask", "image")
    return row.file, f"{present}_without_{missing}", f"no {missing} of the same name"

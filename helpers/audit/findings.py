"""Findings: what an audit may find in a data set, how bad each is, and what to do about it.

A new finding needs a line in ERRORS, WARNINGS or NOTES, and a `Found` with the files it is true of.
"""

from collections.abc import Iterable, Sequence
from posixpath import splitext
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers.audit.mask_shapes import why_implausible
from helpers.audit.scan import Scan
from helpers.data.images import FORMATS
from helpers.data.layouts import IMAGES, POSITIVE_CLASS
from helpers.data.listing import class_key
from helpers.data.sources import PUBLISHED_COUNTS, DataSet

EXAMPLES = 3  # files shown of each finding
SMALLEST_SIDE = 64  # pixels
LARGEST_STRETCH = 0.05  # by which the proportions of an X-ray and of its mask may differ
MOST_OUTSIDE = 0.5  # of an infection
MOST = 0.5  # of the X-rays: where more are unusable, this is probably the wrong data set

# Of each finding: what was found, and what to do about it. {} stands for details.
# Files that no run can use.
ERRORS = {
    "class_without_xrays": ("class folders without a usable X-ray", "restore or remove them"),
    "mostly_unusable": (
        "pictures that cannot be used, most of all: perhaps this is another data set",
        "see the other errors",
    ),
    "unreadable_file": ("files that cannot be read", "mend their permissions, or restore them"),
    "empty_file": ("empty files", "restore them from the archive"),
    "truncated_file": ("files cut short", "restore them from the archive"),
    "undecodable_file": ("files that are no images", "restore them from the archive"),
    "unclear_file": (
        "pictures that viewers show differently, or that cannot be read here",
        "save them as PNG, grey, of 8 bits; DICOM files need pydicom",
    ),
    "oversized_file": ("files larger than any X-ray", "save them smaller"),
    "blank_xray": ("X-rays whose pixels are all equal", "restore them, or remove the pairs"),
    "blank_mask": ("masks all black or all white", "draw them again, or remove the pairs"),
    "label_map_mask": (
        "masks of several labels",
        "save the lungs, or what is infected, as 255 and all else as 0",
    ),
    "image_without_mask": ("X-rays without a mask", "restore the masks, or remove these files"),
    "mask_without_image": ("masks without an X-ray", "restore the X-rays, or remove these files"),
    "half_a_mask": ("masks of one lung without the other's", "restore the missing files"),
    "unused_picture": ("pictures outside the folders of this layout", "move or remove them"),
    "name_twice": ("several files of one name", "keep one X-ray and its mask"),
    "label_conflict": ("copies of an X-ray in several classes", "keep the one in the right class"),
}
# Used, and may mislead.
WARNINGS = {
    "covid_in_other_class": (
        f"classes named after COVID that are not taken for {POSITIVE_CLASS}",
        f"rename the folder to {POSITIVE_CLASS} if its X-rays are of patients with COVID-19",
    ),
    "wrong_extension": ("files with a wrong ending", "rename them; they were read by content"),
    "unused_folders": ("folders without pictures, passed over", "look what they should hold"),
    "coloured_xrays": ("X-rays in colour, read as grey", "look whether they are X-rays at all"),
    "small_xrays": (f"X-rays of less than {SMALLEST_SIDE} pixels a side", "find larger ones"),
    "implausible_mask": ("masks that can hardly be lungs ({})", "look, and redraw the wrong ones"),
    "mask_of_other_shape": ("masks of other proportions than the X-ray", "check that they match"),
    "mask_not_binary": (
        "masks of more than two levels",
        "save them as PNG; pixels above half of the brightest count as lung, or as infected",
    ),
    "infection_outside_lungs": (
        "infection masks that lie mostly outside the lung mask",
        "look whether they are of this X-ray; severity counts only what is inside the lungs",
    ),
    "mixed_mask_conventions": (
        "classes whose masks differ in whether the heart is in or out",
        "never mix the two: a network learns whichever a class has",
    ),
    "exact_copies": ("X-rays with equal pixels", "nothing: copies stay together in one split"),
    "near_copies": (
        "X-rays that show the same exposure, re-encoded, resized, brightened or cropped",
        "nothing: copies stay together in one split",
    ),
    "metadata_unreadable": (
        "tables that cannot be read ({})",
        "restore them, or save them as .xlsx or .csv with the columns FILE NAME and URL",
    ),
    "source_unknown": (
        "X-rays whose source the metadata do not name",
        "add their rows and URLs if you know them: a source may tell a detector the class",
    ),
    "source_tells_class": (
        "{}, so a detector can learn the source in place of the disease",
        "test the detector on X-rays of another hospital, and see the notebook on shortcuts",
    ),
    "published_missing": (
        f"X-rays of the {sum(PUBLISHED_COUNTS.values()):,} published ones are not here",
        "download the database again, or say that you used a part of it",
    ),
    "published_added": ("X-rays that the published database lacks", "say where they come from"),
}
# Good to know.
NOTES = {
    "class_spelling": ("class folders spelled otherwise", "nothing: they are read as that class"),
    "other_files": ("files that are no images by their ending", "remove or convert them"),
    "no_lung_masks": (
        "X-rays without a lung mask, as no folder of lung masks was found",
        "nothing: the package's lung network draws them for 03, 06 and 08; 04 and 05 are skipped",
    ),
    "no_infection_mask": (
        "X-rays without an infection mask, where others have one",
        "nothing: notebook 08 leaves them out; a healthy X-ray with a black mask would count",
    ),
    "deep_xrays": (
        "X-rays of 16 bits, scaled to 8",
        "nothing, unless few have them: then compare their contrast with the others'",
    ),
    "several_sizes": (
        "sizes of X-rays in pixels, the most frequent first",
        "nothing: all are resized; where a class has a size of its own, it tells the class",
    ),
    "mask_convention": (
        "classes whose masks tell whether the heart is in or out",
        "compare scores only with those of the same convention",
    ),
}
LEVELS = {"error": ERRORS, "warning": WARNINGS, "note": NOTES}  # the worst first


class Found(NamedTuple):
    """A finding by name, the files or other names that it was found in, and what {} stands for."""

    name: str
    files: Sequence[str]
    details: str = ""


def list_findings(found: Iterable[Found]) -> list[dict]:
    """Return what `audit.json` holds of each finding that has files, the worst first."""
    found = {one.name: one for one in found if len(one.files)}
    return [
        {
            "name": name,
            "level": level,
            "text": text.format(found[name].details),
            "count": len(found[name].files),
            "examples": list(found[name].files[:EXAMPLES]),
            "remedy": remedy,
        }
        for level, kinds in LEVELS.items()
        for name, (text, remedy) in kinds.items()
        if name in found
    ]


def about_use(scanned: Scan, pairs: pd.DataFrame, left_out: pd.DataFrame) -> list[Found]:
    """Return what stops a run, and the files that are left out of it."""
    images = scanned.files.loc[scanned.files["part"] == IMAGES, "file"]
    unused = left_out.loc[left_out["finding"] == "unused_picture", "file"]
    lost = sorted({*images, *unused} - set(pairs["file"]))
    most_are_lost = len(lost) > MOST * (len(images) + len(unused))
    return [
        Found("class_without_xrays", sorted(set(scanned.listing.spellings) - set(pairs["class"]))),
        Found("mostly_unusable", lost if most_are_lost else []),
        *(Found(name, list(rows["file"])) for name, rows in left_out.groupby("finding")),
    ]


def about_names(scanned: Scan) -> list[Found]:
    """Return what the names of files and folders show."""
    listing = scanned.listing
    spelled = {name: spelling for name, spelling in listing.spellings.items() if spelling}
    keys = {name: class_key(name) for name in spelled if name != POSITIVE_CLASS}
    covid = class_key(POSITIVE_CLASS)
    sound = scanned.files[scanned.files["fault"] == ""]
    kinds = zip(sound["file"].to_list(), sound["format"].to_list(), strict=True)
    return [
        Found(
            "covid_in_other_class",
            [name for name, key in keys.items() if covid in key and not key.startswith("no")],
        ),
        Found(
            "class_spelling",
            [f"{spelling} for {name}" for name, spelling in spelled.items() if name != spelling],
        ),
        Found(
            "wrong_extension",
            [file for file, kind in kinds if FORMATS.get(splitext(file)[1].lower(), kind) != kind],
        ),
        Found("other_files", listing.others),
        Found("unused_folders", listing.idle),
    ]


def about_pairs(pairs: pd.DataFrame, near: set[str]) -> list[Found]:
    """Return what the usable X-rays and masks show; `near` are files of near-copies."""
    files = pairs["file"]
    smallest = pairs[["width", "height"]].min(axis=1)
    sizes = (pairs["width"].astype(str) + " × " + pairs["height"].astype(str)).value_counts()
    masked = pairs[pairs["mask"] != ""]
    masks, reasons = masked["mask"], why_implausible(masked)
    return [
        Found("exact_copies", files[pairs.duplicated("pixels", keep=False)]),
        Found("near_copies", files[files.isin(near)]),
        Found("no_lung_masks", files[pairs["mask"] == ""]),
        Found("coloured_xrays", files[pairs["coloured"]]),
        Found("deep_xrays", files[pairs["bits"] > 8]),
        Found("small_xrays", files[smallest < SMALLEST_SIDE]),
        Found("several_sizes", sizes.index if len(sizes) > 1 else []),
        Found("implausible_mask", masks[reasons != ""], ", ".join(sorted(set(reasons) - {""}))),
        *about_masks(pairs),
    ]


def about_masks(pairs: pd.DataFrame) -> list[Found]:
    """Return what the usable X-rays' masks of lungs and of infection show."""
    masked, infected = pairs[pairs["mask"] != ""], pairs[pairs["infection_mask"] != ""]
    masks, infections = masked["mask"], infected["infection_mask"]
    stretched = masks[_stretch(masked, "mask") > LARGEST_STRETCH]
    stretched_too = infections[_stretch(infected, "infection") > LARGEST_STRETCH]
    outside = infections[infected["infection_outside"] > MOST_OUTSIDE]
    without = pairs.loc[pairs["infection_mask"] == "", "file"]
    return [
        Found("mask_of_other_shape", sorted([*stretched, *stretched_too])),
        Found(
            "mask_not_binary",
            sorted([*masks[~masked["binary"]], *infections[~infected["infection_binary"]]]),
        ),
        Found("infection_outside_lungs", outside),
        Found("no_infection_mask", without if len(infected) else []),
    ]


def _stretch(pairs: pd.DataFrame, part: str) -> pd.Series:
    """Return how much the proportions of X-rays and of a kind of masks differ, as a logarithm."""
    proportions = pairs[f"{part}_width"] / pairs[f"{part}_height"]
    return np.log(pairs["width"] / pairs["height"] / proportions).abs()


def about_conventions(conventions: dict[str, str]) -> Found:
    """Return whether the masks count the heart as lung, by `mask_shapes.tell_conventions`."""
    clear = {name: place for name, place in conventions.items() if place != "unclear"}
    mixed = len(set(clear.values())) > 1 or "mixed" in clear.values()
    kind = "mixed_mask_conventions" if mixed else "mask_convention"
    return Found(kind, [f"{name}: {place}" for name, place in clear.items()])


def about_published(data_set: DataSet, scanned: Scan) -> list[Found]:
    """Return what is missing from the published database, or added to it, by file name."""
    if data_set.synthetic or set(scanned.listing.spellings) != set(PUBLISHED_COUNTS):
        return []
    images = scanned.files[scanned.files["part"] == IMAGES]
    here = images["class"] + "/" + images["stem"]
    published = [
        f"{name}/{name}-{number}"
        for name, count in PUBLISHED_COUNTS.items()
        for number in range(1, count + 1)
    ]
    missing = set(published) - set(here)
    return [
        Found("published_missing", [name.split("/")[1] for name in published if name in missing]),
        Found("published_added", images["file"][~here.isin(published)]),
    ]

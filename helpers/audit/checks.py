"""Checks: what the files of a data set tell, each answer a finding."""

from collections.abc import Iterable
from posixpath import dirname, splitext

import numpy as np
import pandas as pd

from helpers.audit.findings import Finding, find
from helpers.audit.mask_shapes import why_implausible
from helpers.audit.scan import Scan
from helpers.data.images import FORMATS
from helpers.data.layouts import POSITIVE_CLASS
from helpers.data.listing import Listing, class_key
from helpers.data.sources import PUBLISHED_COUNTS, DataSet

SMALLEST_SIDE = 64  # pixels
LARGEST_STRETCH = 0.05  # by which an X-ray's proportions and its mask's may differ
FEWEST_USABLE = 0.5  # share of the X-rays, below which a data set is rather the wrong one
# What makes a file unusable: what it is called in the table, and what to do.
FAULTS = {
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
    "black_mask": (
        "masks that are black, or nearly",
        "save them as 0 and 255, draw them again, or remove the pairs",
    ),
    "white_mask": ("masks that are all white", "draw them again, or remove the pairs"),
    "label_map_mask": (
        "masks of several labels, of which any may be lung",
        "save the lungs as 255 and all else as 0",
    ),
    "image_without_mask": ("X-rays without a mask", "restore the masks, or remove these files"),
    "mask_without_image": ("masks without an X-ray", "restore the X-rays, or remove these files"),
    "half_a_mask": ("masks of one lung without the other's", "restore the missing files"),
    "unused_picture": (
        "pictures where this layout has no X-rays or masks",
        "rename their folders or files as the layout has them, or remove them",
    ),
    "name_twice": ("several files of one name", "keep one X-ray and its mask"),
    "label_conflict": (
        "copies of one X-ray under several classes",
        "find out which class is right, and remove the others",
    ),
}


def about_usability(scanned: Scan, pairs: pd.DataFrame, left_out: pd.DataFrame) -> list[Finding]:
    """Return what stops a run, and what is left out of it."""
    empty = sorted(set(scanned.listing.spellings) - set(pairs["class"]))
    text = "class folders without a usable X-ray"
    found = find("class_without_xrays", "error", text, empty, "restore or remove them")
    images = scanned.files.loc[scanned.files["part"] == "images", "file"]
    unused = left_out.loc[left_out["finding"] == "unused_picture", "file"]
    lost = sorted({*images, *unused} - set(pairs["file"]))
    if len(lost) > (1 - FEWEST_USABLE) * (len(images) + len(unused)):
        text = "pictures that cannot be used, most of all: perhaps this is another data set"
        found += find("mostly_unusable", "error", text, lost, "see the other errors")
    for name, members in left_out.groupby("finding"):
        text, remedy = FAULTS[name]
        found += find(name, "error", text, _spread(members["file"]), remedy)
    return found


def _end(file: str) -> str:
    """Return a file's ending, in lower case."""
    return splitext(file)[1].lower()


def _spread(files: Iterable[str]) -> list[str]:
    """Return files so that the first ones, which are shown, are of several folders."""
    seen: dict[str, int] = {}
    turns = []
    for file in files:
        turns.append(seen.setdefault(dirname(file), 0))
        seen[dirname(file)] += 1
    return [file for _, file in sorted(zip(turns, files, strict=True))]


def about_classes(listing: Listing) -> list[Finding]:
    """Return what the names of the class folders tell."""
    spelled = {name: spelling for name, spelling in listing.spellings.items() if spelling}
    covid = class_key(POSITIVE_CLASS)
    others = [name for name in spelled if name != POSITIVE_CLASS and covid in class_key(name)]
    return [
        *find(
            "covid_in_other_class",
            "warning",
            f"classes named after COVID that are not taken for {POSITIVE_CLASS}",
            [name for name in others if not class_key(name).startswith("no")],
            f"rename the folder to {POSITIVE_CLASS} if its X-rays are of patients with COVID-19",
        ),
        *find(
            "class_spelling",
            "note",
            "class folders that are spelled otherwise",
            [f"{spelling} for {name}" for name, spelling in spelled.items() if name != spelling],
            "nothing: they are read as that class",
        ),
    ]


def about_parts(pairs: pd.DataFrame) -> list[Finding]:
    """Return which masks the X-rays have."""
    file = pairs["file"]
    return [
        *find(
            "no_lung_masks",
            "note",
            "X-rays without a lung mask, as no folder of lung masks was found",
            file[pairs["mask"] == ""],
            "nothing: what needs lung masks is skipped",
        ),
        *find(
            "infection_masks",
            "note",
            "X-rays with a mask of the infection",
            file[pairs["infection_mask"] != ""],
            "nothing: they are noted in the index",
        ),
    ]


def about_files(scanned: Scan, beside: Iterable[str] = ()) -> list[Finding]:
    """Return what the files' names and kinds tell; `beside` are folders beside the data set."""
    sound = scanned.files[scanned.files["fault"] == ""]
    kinds = zip(sound["file"].to_list(), sound["format"].to_list(), strict=True)
    wrong = [file for file, found in kinds if FORMATS.get(_end(file), found) != found]
    text = "files of another kind than their ending says"
    found = find("wrong_extension", "warning", text, wrong, "rename them; they were read as is")
    text = "files that are no images by their ending, passed over"
    found += find("other_files", "note", text, scanned.listing.others, "remove or convert them")
    text, remedy = "folders without pictures, passed over", "look what they should hold"
    idle = [*scanned.listing.idle, *beside]
    return found + find("unused_folders", "warning", text, idle, remedy)


def about_colours(pairs: pd.DataFrame) -> list[Finding]:
    """Return what the X-rays' colours and depths tell."""
    file, several = pairs["file"], pairs["channels"] > 1
    return [
        *find(
            "coloured_xrays",
            "warning",
            "X-rays in colour, read as grey",
            file[pairs["coloured"]],
            "look at them: drawings, arrows or photographs of a screen are no X-rays",
        ),
        *find(
            "grey_as_colour",
            "note",
            "grey X-rays stored in several channels",
            file[several & ~pairs["coloured"]],
            "nothing: they are read as grey",
        ),
        *find(
            "deep_xrays",
            "note",
            "X-rays of 16 bits, scaled to 8",
            file[pairs["bits"] > 8],
            "nothing, unless few have them: then compare their contrast with the others'",
        ),
    ]


def about_sizes(pairs: pd.DataFrame) -> list[Finding]:
    """Return what the X-rays' sizes tell."""
    file = pairs["file"]
    smallest = pairs[["width", "height"]].min(axis=1)
    sizes = (pairs["width"].astype(str) + " × " + pairs["height"].astype(str)).value_counts()
    small = f"X-rays of less than {SMALLEST_SIDE} pixels a side"
    return [
        *find("small_xrays", "warning", small, file[smallest < SMALLEST_SIDE], "find larger ones"),
        *find(
            "several_sizes",
            "note",
            "sizes of X-rays in pixels, the most frequent first",
            sizes.index if len(sizes) > 1 else [],
            "nothing: all are resized; where a class has a size of its own, it tells the class",
        ),
        *find(
            "not_square",
            "note",
            "X-rays that are not square",
            file[pairs["width"] != pairs["height"]],
            "nothing: they are stretched to a square on their way into a network",
        ),
    ]


def about_masks(pairs: pd.DataFrame) -> list[Finding]:
    """Return what the masks' levels, shapes and conventions tell."""
    pairs = pairs[pairs["mask"] != ""]
    reasons = why_implausible(pairs)
    stretch = np.log(
        pairs["width"] / pairs["height"] / (pairs["mask_width"] / pairs["mask_height"])
    )
    masks = pairs["mask"]
    return [
        *find(
            "implausible_mask",
            "warning",
            f"masks that can hardly be lungs ({', '.join(sorted(set(reasons) - {''}))})",
            masks[reasons != ""],
            "look at them, and draw the wrong ones again; they are used as they are",
        ),
        *find(
            "mask_of_other_shape",
            "warning",
            "masks of other proportions than their X-ray",
            masks[stretch.abs() > LARGEST_STRETCH],
            "check that they belong to these X-rays",
        ),
        *find(
            "mask_not_binary",
            "warning",
            "masks of more than two levels",
            masks[~pairs["binary"]],
            "save them as PNG; pixels above half of the brightest count as lung",
        ),
    ]


def about_conventions(conventions: dict[str, str]) -> list[Finding]:
    """Return whether the masks count the heart as lung, as far as their shapes tell."""
    told = {name: place for name, place in conventions.items() if place != "unclear"}
    shown = [f"{name}: {place}" for name, place in told.items()]
    if len(set(told.values())) > 1 or "mixed" in told.values():
        return find(
            "mixed_mask_conventions",
            "warning",
            "classes whose masks differ in whether the heart is in or out",
            shown,
            "never mix the two: a network learns whichever a class has",
        )
    return find(
        "mask_convention",
        "note",
        "classes whose masks tell whether the heart is in or out",
        shown,
        "compare figures only with those of the same convention",
    )


def about_copies(pairs: pd.DataFrame, near: set[str]) -> list[Finding]:
    """Return the copies within a class; they stay in, and in one split."""
    exact = pairs["file"][pairs.duplicated("pixels", keep=False)]
    remedy = "nothing: copies stay together in one split"
    return [
        *find("exact_copies", "warning", "X-rays with equal pixels", exact, remedy),
        *find(
            "near_copies",
            "warning",
            "X-rays that show the same exposure, re-encoded, resized, brightened or cropped",
            pairs["file"][pairs["file"].isin(near)],
            remedy,
        ),
    ]


def about_published(data_set: DataSet, scanned: Scan) -> list[Finding]:
    """Return what is missing from the published database, or added to it, by file name."""
    if data_set.synthetic or set(scanned.listing.spellings) != set(PUBLISHED_COUNTS):
        return []
    images = scanned.files[scanned.files["part"] == "images"]
    here = dict(zip(zip(images["class"], images["stem"], strict=True), images["file"], strict=True))
    published = {
        (name, f"{name}-{number}"): f"{name}-{number}"
        for name, count in PUBLISHED_COUNTS.items()
        for number in range(1, count + 1)
    }
    missing = [name for place, name in published.items() if place not in here]
    added = [file for place, file in here.items() if place not in published]
    return [
        *find(
            "published_missing",
            "warning",
            f"X-rays of the {len(published):,} published ones are not here",
            missing,
            "download the database again, or say that you used a part of it",
        ),
        *find(
            "published_added",
            "warning",
            "X-rays that the published database does not have",
            added,
            "say where they come from",
        ),
    ]

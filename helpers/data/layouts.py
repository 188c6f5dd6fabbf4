"""Layouts: how the public sets of chest X-rays are laid out in folders. A new one is a new row."""

import re
from collections.abc import Iterator
from typing import NamedTuple

POSITIVE_CLASS = "COVID"
IMAGES, MASKS, INFECTION = "images", "masks", "infection masks"  # the kinds of files
SPLITS = {  # folders' names, and the splits that they hold
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
FINDINGS = {"0": "Normal", "1": "Tuberculosis"}  # at the end of the names of the NLM's X-rays
# The words in braces. What is in brackets may be missing, and a space may be an underscore or a
# hyphen. Folders of images, masks or splits are never classes.
WORDS = {
    "{class}": "(?P<class>(?!(?:(?:[^/]*[ _-])?(?:images?|imgs?|masks?|ground[ _-]?truths?)"
    f"|{'|'.join(SPLITS)})(?:/|$))[^/]+)",
    "{split}": f"(?P<split>{'|'.join(SPLITS)})",
    "{name}": "(?P<stem>.*?)",
    "{name_0/1}": "(?P<stem>.*_(?P<finding>[01]))",
    "{patient}": r"(?P<stem>cxr_(?P<patient>s\d+)-e.*|.*)",
}


Pictures = dict[str, list[str]]  # their names, by the POSIX path of their folder


class Part(NamedTuple):
    """Where the files of one kind are.

    Attributes:
        kind: IMAGES, MASKS or INFECTION.
        folder: the folder's path, in the words of WORDS; upper and lower case are the same.
        file: a file's name without its ending, likewise.
    """

    kind: str
    folder: str
    file: str = "{name}"


class Layout(NamedTuple):
    """How the folders of a data set are laid out.

    Attributes:
        name: what people call it.
        form: the folders, for people.
        parts: where everything is. A mask is the union of the files of its name in all parts of
            its kind.
        class_name: of every X-ray, where neither folder nor name has it; "" for the data set's
            own name.
    """

    name: str
    form: str
    parts: tuple[Part, ...]
    class_name: str = ""

    @property
    def has_no_masks(self) -> bool:
        """Return whether it consists of X-rays alone."""
        return all(part.kind == IMAGES for part in self.parts)


def _beside(folder: str, masks: str) -> tuple[Part, ...]:
    """Return the parts of a folder of images with those of masks and infection masks in it."""
    kinds = {IMAGES: "images", MASKS: masks, INFECTION: "infection masks"}
    return tuple(Part(kind, f"{folder}{name}") for kind, name in kinds.items())


# The layout with a place for most pictures is taken, of equals the first.
LAYOUTS = (
    Layout(
        "COVID-QU-Ex",
        "Train, Val and Test, each with <class>/images, <class>/lung masks or <class>/masks, and "
        "<class>/infection masks",
        _beside("{split}/{class}/", "[lung ]masks"),
    ),
    Layout(
        "QaTa-COV19",
        "Train Set and Test Set, each with Images/<name> and Ground-truths/mask_<name>",
        (
            Part(IMAGES, "{split} set/images", "{patient}"),
            Part(INFECTION, "{split} set/ground-truths", "mask_{name}"),
        ),
        POSITIVE_CLASS,
    ),
    Layout(
        "Montgomery",
        "CXR_png/<name>_0 or <name>_1, ManualMask/leftMask and ManualMask/rightMask",
        (
            Part(IMAGES, "CXR_png", "{name_0/1}"),
            Part(MASKS, "ManualMask/leftMask", "{name_0/1}"),
            Part(MASKS, "ManualMask/rightMask", "{name_0/1}"),
        ),
    ),
    Layout(
        "Shenzhen",
        "CXR_png/<name>_0 or <name>_1, mask/<name>_0_mask or <name>_1_mask",
        (
            Part(IMAGES, "CXR_png", "{name_0/1}"),
            Part(MASKS, "mask[s]", "{name_0/1}[_mask]"),
        ),
    ),
    Layout(
        "COVID-19 Radiography Database",
        "<class>/images, <class>/masks and perhaps <class>/infection masks",
        _beside("{class}/", "masks"),
    ),
    Layout(
        "one class in split folders",
        "train, val and test, each with images and masks",
        _beside("{split}/", "[lung ]masks"),
    ),
    Layout("one class without a folder", "images and masks", _beside("", "[lung ]masks")),
    Layout(
        "no masks",
        "CXR_png/<name>_0 or <name>_1",
        (Part(IMAGES, "CXR_png", "{name_0/1}"),),
    ),
    *(
        Layout("no masks", form, (Part(IMAGES, folder),))
        for form, folder in {
            "train, val and test, each with <class>/images": "{split}/{class}/images",
            "<class>/images": "{class}/images",
            "train, val and test, each with <class>": "{split}/{class}",
            "<class>": "{class}",
        }.items()
    ),
)


class Match(NamedTuple):
    """A folder of a data set that a part of a layout describes.

    Attributes:
        place: as the walk found it.
        part: of the layout.
        root: the POSIX path of the data set's root, "" or with a slash at its end.
        words: what `class` and `split` are here, where the part's folder has them.
        pictures: the names of the pictures directly in it.
    """

    place: str
    part: Part
    root: str
    words: dict[str, str]
    pictures: list[str]


def as_pattern(words: str, before: str = "") -> re.Pattern:
    """Return the regular expression of a part's folder or file, after the one of `before`."""
    pattern = re.sub(r"\[(.*?)\]", r"(?:\1)?", words).replace(" ", "[ _-]")
    for word, meaning in WORDS.items():
        pattern = pattern.replace(word, meaning)
    return re.compile(before + pattern, re.IGNORECASE)


def find_layout(pictures: Pictures) -> tuple[Layout | None, dict[str, list[Match]]]:
    """Return the layout with a place for most pictures, and the matches of each root it fits.

    Without a known layout it is None.
    """
    best, most = (None, {}), -1
    for layout in LAYOUTS:
        roots: dict[str, list[Match]] = {}
        for match in _match(layout, pictures):
            roots.setdefault(match.root, []).append(match)
        roots = {root: found for root, found in roots.items() if _fits(layout, found)}
        count = max((count_pictures(found) for found in roots.values()), default=-1)
        if count > most:  # of equals the first
            best, most = (layout, roots), count
    return best


def _match(layout: Layout, pictures: Pictures) -> Iterator[Match]:
    """Yield the folders that are a part of a layout, below whatever root."""
    for part in layout.parts:
        pattern = as_pattern(part.folder, before="(?P<root>(?:.*/)?)")
        for place, names in pictures.items():
            found = pattern.fullmatch(place)
            # Without masks, any empty folder could else be a class.
            if found and (names or not layout.has_no_masks):
                words = found.groupdict()
                yield Match(place, part, words.pop("root"), words, names)


def _fits(layout: Layout, matches: list[Match]) -> bool:
    """Return whether the folders of one root make a data set.

    Unless the layout has none, there must be a folder of masks, with masks or beside one of
    X-rays; and a folder of X-rays, unless the folders name the class that lacks them.
    """
    images = [match for match in matches if match.part.kind == IMAGES]
    masks = [match for match in matches if match not in images]
    meant = any(mask.pictures or mask.words in [one.words for one in images] for mask in masks)
    named = any("class" in match.words for match in matches)
    return layout.has_no_masks or (meant and (bool(images) or named))


def count_pictures(matches: list[Match]) -> int:
    """Return how many pictures are directly in the folders."""
    return sum(len(match.pictures) for match in matches)

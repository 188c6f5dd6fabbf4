"""Layouts: how the public sets of chest X-rays are laid out in folders, and which one this is."""

import re
from collections.abc import Iterator
from typing import NamedTuple

from helpers.images import SUFFIXES
from helpers.tree import Folder

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
# What the words in braces stand for; what is in brackets may be missing. No class is called as the
# folder of a part is.
WORDS = {
    "{class}": r"(?P<class>(?!(?:images?|(?:[^/]* )?masks?|ground-truths)(?:/|$))[^/]+)",
    "{split}": f"(?P<split>{'|'.join(SPLITS)})",
    "{name}": "(?P<stem>.*?)",
    "{name_0/1}": "(?P<stem>.*_(?P<finding>[01]))",
    "{patient}": r"(?P<stem>cxr_(?P<patient>s\d+)-e.*|.*)",
}


class Part(NamedTuple):
    """Where the files of one kind are.

    Attributes:
        kind: IMAGES, MASKS or INFECTION.
        folder: the folder's path, in the words of WORDS; case plays no part.
        file: a file's name without its ending, likewise.
    """

    kind: str
    folder: str
    file: str = "{name}"


class Layout(NamedTuple):
    """A way of laying out a data set.

    Attributes:
        name: what people call it.
        parts: where everything is. A mask is the union of the files of its name in all parts of
            its kind.
        class_name: of every X-ray, where neither folder nor name tells it; "" for the data set's
            own name.
    """

    name: str
    parts: tuple[Part, ...]
    class_name: str = ""

    @property
    def form(self) -> str:
        """The folders, for people, with the names of masks that are not the X-rays' own."""
        places = [f"{part.folder}/{part.file.partition('{')[0]}".rstrip("/") for part in self.parts]
        return ", ".join(places).replace("{", "<").replace("}", ">")

    @property
    def has_no_masks(self) -> bool:
        """Whether it consists of X-rays alone."""
        return all(part.kind == IMAGES for part in self.parts)


# The first that fits a data set is taken, so that those without masks come last.
LAYOUTS = (
    Layout(
        "COVID-QU-Ex",
        (
            Part(IMAGES, "{split}/{class}/images"),
            Part(MASKS, "{split}/{class}/[lung ]masks"),
            Part(INFECTION, "{split}/{class}/infection masks"),
        ),
    ),
    Layout(
        "QaTa-COV19",
        (
            Part(IMAGES, "{split} set/images", "{patient}"),
            Part(INFECTION, "{split} set/ground-truths", "mask_{name}"),
        ),
        POSITIVE_CLASS,
    ),
    Layout(
        "Montgomery",
        (
            Part(IMAGES, "CXR_png", "{name_0/1}"),
            Part(MASKS, "ManualMask/leftMask", "{name_0/1}"),
            Part(MASKS, "ManualMask/rightMask", "{name_0/1}"),
        ),
    ),
    Layout(
        "Shenzhen",
        (
            Part(IMAGES, "CXR_png", "{name_0/1}"),
            Part(MASKS, "mask[s]", "{name_0/1}[_mask]"),
        ),
    ),
    Layout(
        "COVID-19 Radiography Database",
        (
            Part(IMAGES, "{class}/images"),
            Part(MASKS, "{class}/masks"),
            Part(INFECTION, "{class}/infection masks"),
        ),
    ),
    Layout("one class without a folder", (Part(IMAGES, "images"), Part(MASKS, "masks"))),
    Layout("no masks", (Part(IMAGES, "{split}/{class}/images"),)),
    Layout("no masks", (Part(IMAGES, "{class}/images"),)),
    Layout("no masks", (Part(IMAGES, "{split}/{class}"),)),
    Layout("no masks", (Part(IMAGES, "{class}"),)),
)


class Match(NamedTuple):
    """A folder of a data set that a part of a layout describes.

    Attributes:
        folder: as the walk found it.
        number: the part's, in its layout.
        root: the POSIX path of the data set's root, "" or with a slash at its end.
        words: what `class` and `split` are here, where the part's folder has them.
    """

    folder: Folder
    number: int
    root: str
    words: dict[str, str]

    @property
    def pictures(self) -> int:
        """How many pictures are directly in the folder."""
        return sum(map(is_picture, self.folder.names))


def is_picture(name: str) -> bool:
    """Return whether a file is a picture by its ending."""
    return name[name.rfind(".") :].lower() in SUFFIXES


def as_pattern(words: str, before: str = "") -> re.Pattern:
    """Return the regular expression of a part's folder or file; `before` is one already."""
    pattern = re.sub(r"\[(.*?)\]", r"(?:\1)?", words)
    for word, meaning in WORDS.items():
        pattern = pattern.replace(word, meaning)
    return re.compile(before + pattern, re.IGNORECASE)


def fit(folders: list[Folder]) -> tuple[Layout, dict[str, list[Match]]]:
    """Return the layout of some folders, and the matches of each root that it fits.

    Raises:
        LookupError: they have no known layout.
    """
    for layout in LAYOUTS:
        roots: dict[str, list[Match]] = {}
        for match in _match(layout, folders):
            roots.setdefault(match.root, []).append(match)
        fitting = {root: found for root, found in roots.items() if _fits(layout, found)}
        if fitting:
            return layout, fitting
    raise LookupError


def _match(layout: Layout, folders: list[Folder]) -> Iterator[Match]:
    """Yield the folders that are a part of a layout, below whatever root."""
    bare = layout.has_no_masks
    for number, part in enumerate(layout.parts):
        pattern = as_pattern(part.folder, before="(?P<root>(?:.*/)?)")
        for folder in folders:
            if found := pattern.fullmatch(folder.place):
                words = found.groupdict()
                match = Match(folder, number, words.pop("root"), words)
                if match.pictures or not bare:  # any empty folder could be a class else
                    yield match


def _fits(layout: Layout, matches: list[Match]) -> bool:
    """Return whether the folders of one root make a data set.

    A folder of masks must be there, unless the layout has none, and one of X-rays, unless the
    folders name the class that lacks them.
    """
    kinds = {layout.parts[match.number].kind for match in matches}
    named = any("class" in match.words for match in matches)
    return layout.has_no_masks or (kinds != {IMAGES} and (IMAGES in kinds or named))

"""Layouts: how the public sets of chest X-rays are laid out in folders. A new one is a new row."""

import re
from typing import NamedTuple

from helpers.storage.errors import CovidLungsError

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
# The words in angle brackets. What is in square brackets may be missing, and a space may be an
# underscore or a hyphen. Folders of images, masks or splits are never classes.
WORDS = {
    "<class>": "(?P<class>(?!(?:(?:[^/]*[ _-])?(?:images?|imgs?|masks?|ground[ _-]?truths?)"
    f"|{'|'.join(SPLITS)})(?:/|$))[^/]+)",
    "<split>": f"(?P<split>{'|'.join(SPLITS)})",
    "<name>": "(?P<stem>.*?)",
    "<name_0/1>": "(?P<stem>.*_(?P<finding>[01]))",
    "<patient>": r"(?P<stem>cxr_(?P<patient>s\d+)-e.*|.*)",
}
FEW = 8  # names in a message


class Part(NamedTuple):
    """Where the files of one kind are.

    Attributes:
        kind: IMAGES, MASKS or INFECTION.
        folder: the folder's path, in the words of WORDS; upper and lower case are the same.
        file: a file's name without its ending, likewise.
    """

    kind: str
    folder: str
    file: str = "<name>"


class Layout(NamedTuple):
    """How the folders of a data set are laid out.

    Attributes:
        name: what people call it.
        parts: where everything is. A mask is the union of the files of its name in all parts of
            its kind.
        class_name: of every X-ray, where neither folder nor name has it; "" for the data set's
            own name.
    """

    name: str
    parts: tuple[Part, ...]
    class_name: str = ""

    @property
    def form(self) -> str:
        """Return its folders, for people."""
        return ", ".join(part.folder for part in self.parts)

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
    Layout("COVID-QU-Ex", _beside("<split>/<class>/", "[lung ]masks")),
    Layout(
        "QaTa-COV19",
        (
            Part(IMAGES, "<split> set/images", "<patient>"),
            Part(INFECTION, "<split> set/ground-truths", "mask_<name>"),
        ),
        POSITIVE_CLASS,
    ),
    Layout(
        "Montgomery",
        (
            Part(IMAGES, "CXR_png", "<name_0/1>"),
            Part(MASKS, "ManualMask/leftMask", "<name_0/1>"),
            Part(MASKS, "ManualMask/rightMask", "<name_0/1>"),
        ),
    ),
    Layout(
        "Shenzhen",
        (
            Part(IMAGES, "CXR_png", "<name_0/1>"),
            Part(MASKS, "mask[s]", "<name_0/1>[_mask]"),
        ),
    ),
    Layout("COVID-19 Radiography Database", _beside("<class>/", "masks")),
    Layout("one class in split folders", _beside("<split>/", "[lung ]masks")),
    Layout("one class without a folder", _beside("", "[lung ]masks")),
    Layout("no masks", (Part(IMAGES, "CXR_png", "<name_0/1>"),)),
    *(
        Layout("no masks", (Part(IMAGES, folder),))
        for folder in ("<split>/<class>/images", "<class>/images", "<split>/<class>", "<class>")
    ),
)


class Match(NamedTuple):
    """A folder of a data set that a part of a layout describes.

    Attributes:
        place: its POSIX path.
        part: of the layout.
        words: what `class` and `split` are here, where the part's folder has them.
        pictures: the names of the pictures directly in it.
    """

    place: str
    part: Part
    words: dict[str, str]
    pictures: list[str]


def find_layout(name: str, pictures: dict[str, list[str]]) -> tuple[Layout, str, list[Match]]:
    """Return the layout with a place for most pictures, the data set's root, and its folders.

    `pictures` are names by the POSIX path of their folder; `name` is the data set's, for messages.
    The root is "", or a POSIX path with a slash at its end.

    Raises:
        CovidLungsError: no layout has a place for a picture, or several folders could be the root.
    """
    found = {
        (layout, root): matches
        for layout in LAYOUTS
        for root, matches in sorted(_match(layout, pictures).items())
        if _fits(layout, matches)
    }
    if not found:
        raise CovidLungsError(_describe_stranger(name, pictures))
    counts = {key: sum(len(match.pictures) for match in found[key]) for key in found}
    layout, root = max(counts, key=counts.__getitem__)  # of equals the first
    beside = [
        other
        for (kind, other), count in counts.items()
        if kind is layout and count and not (other.startswith(root) or root.startswith(other))
    ]
    if beside:
        several = _list([folder.rstrip("/") for folder in sorted([root, *beside])])
        raise CovidLungsError(
            f"{name}: several folders could be the data set, each of the layout {layout.name}: "
            f"{several}. Give one of them; of an archive, unpack it first."
        )
    return layout, root, found[layout, root]


def as_pattern(words: str) -> str:
    """Return the regular expression of a part's folder or file."""
    pattern = re.sub(r"\[(.*?)\]", r"(?:\1)?", words).replace(" ", "[ _-]")
    for word, meaning in WORDS.items():
        pattern = pattern.replace(word, meaning)
    return pattern


def _match(layout: Layout, pictures: dict[str, list[str]]) -> dict[str, list[Match]]:
    """Return the folders that are a part of a layout, by the root that they are below."""
    roots: dict[str, list[Match]] = {}
    for part in layout.parts:
        pattern = re.compile(f"(?P<root>(?:.*/)?){as_pattern(part.folder)}", re.IGNORECASE)
        for place, names in pictures.items():
            found = pattern.fullmatch(place)
            # Without masks, any empty folder could else be a class.
            if found and (names or not layout.has_no_masks):
                words = found.groupdict()
                roots.setdefault(words.pop("root"), []).append(Match(place, part, words, names))
    return roots


def _fits(layout: Layout, matches: list[Match]) -> bool:
    """Return whether folders make a data set: X-rays, and masks unless the layout has none.

    An empty folder of masks counts only beside one of X-rays. A folder that names a class counts
    as one of X-rays: then the class lacks them.
    """
    images = [match.words for match in matches if match.part.kind == IMAGES]
    masks = [match for match in matches if match.part.kind != IMAGES]
    meant = any(mask.pictures or mask.words in images for mask in masks)
    named = any("class" in mask.words for mask in masks)
    return bool(images or named) and (meant or layout.has_no_masks)


def _describe_stranger(name: str, pictures: dict[str, list[str]]) -> str:
    """Return what was found in a folder of no known layout, and what was expected."""
    found = [place or "the folder itself" for place, names in pictures.items() if names]
    folders = [place for place in pictures if place and "/" not in place]
    where = f"pictures in {_list(found)}" if found else f"{_list(folders)}, no pictures"
    known = ", ".join(dict.fromkeys(layout.name for layout in LAYOUTS))
    return (
        f"{name}: found {where}, in no layout that is known here ({known}). Give the folder that "
        "holds the class folders, or lay the files out as <class>/images with <class>/masks; "
        "“Other data sets” in docs/using.md has all layouts."
    )


def _list(names: list[str]) -> str:
    """Return some names in one line."""
    return ", ".join(names[:FEW]) + ", …" * (len(names) > FEW) or "nothing"

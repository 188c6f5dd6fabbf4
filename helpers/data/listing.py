"""Listing: every file of a data set, what it is by its layout, and what has no place there."""

import re
import unicodedata
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from helpers.data.images import find_stem, is_picture
from helpers.data.layouts import (
    FINDINGS,
    LAYOUTS,
    MASKS,
    POSITIVE_CLASS,
    SPLITS,
    Layout,
    Match,
    as_pattern,
    fit,
)
from helpers.data.tree import Folder, walk
from helpers.storage.errors import CovidLungsError

COVID_SPELLINGS = {"covid", "covid19"}  # as `class_key` gives them
HALVES = " // "  # between the files of one mask; no path holds two slashes in a row
# Control characters, and Python's stand-ins for bytes that are no UTF-8.
NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
FEW = 8  # names in a message


class Place(NamedTuple):
    """An X-ray or a mask: where it is, and what its place tells of it.

    Attributes:
        file: POSIX path below the data set's root; of a mask in several files all, between HALVES.
        class_name: as the index calls it.
        part: IMAGES, MASKS or INFECTION.
        stem: what an X-ray and its masks have in common, letters composed.
        split: `train`, `validation` or `test` where the data set brings its own split, else "".
        patient: where the name tells, else "".
        whole: whether the mask has one file of each part that it should have.
    """

    file: str
    class_name: str
    part: str
    stem: str
    split: str = ""
    patient: str = ""
    whole: bool = True


class Listing(NamedTuple):
    """What is in a folder.

    Attributes:
        layout: that of the data set in it.
        root: the data set's POSIX path below the folder, "" for the folder itself.
        has_masks: whether there are folders for lung masks.
        spellings: the classes' names, each with how its folder spells it, "" without a folder.
        places: every X-ray and mask.
        others: POSIX paths of files among them that are no pictures by their ending.
        unused: POSIX paths, below the folder, of the pictures that the layout has no place for.
        idle: likewise, the folders without any picture that it has no place for.
    """

    layout: Layout
    root: str
    has_masks: bool
    spellings: dict[str, str]
    places: list[Place]
    others: list[str]
    unused: list[str]
    idle: list[str]


def list_files(folder: Path, name: str) -> Listing:
    """Return what is in a folder of X-rays.

    Args:
        folder: to be looked through, links to folders included.
        name: of the data set, for messages and for X-rays without a class.

    Raises:
        CovidLungsError: it has no known layout, holds several data sets, spells a class in two
            ways, has a name that no table can hold, or cannot be listed.
    """
    folders = list(walk(folder))
    _refuse_no_text(name, folders)
    try:
        layout, roots = fit(folders)
    except LookupError:
        raise CovidLungsError(_describe_stranger(name, folders)) from None
    root = _choose_root(name, layout, roots)
    contents = [_read_folder(layout, match, name) for match in roots[root]]
    found, others, unused = (list(chain(*part)) for part in zip(*contents, strict=True))
    strangers, idle = _find_strangers(folders, {match.folder.place for match in roots[root]})
    told = sorted({place.class_name for _, place in found})
    spellings = _spell_classes(name, roots[root]) or dict.fromkeys(told, "")
    places = _join_halves(layout, found)
    unused = sorted([*unused, *strangers])
    has_masks = any(layout.parts[match.number].kind == MASKS for match in roots[root])
    return Listing(layout, root.rstrip("/"), has_masks, spellings, places, others, unused, idle)


def _refuse_no_text(name: str, folders: list[Folder]) -> None:
    """Refuse names that no table can hold."""
    paths = (f"{folder.place}/{one}".lstrip("/") for folder in folders for one in folder.names)
    for text in (name, *(folder.place for folder in folders), *paths):
        if NO_TEXT.search(text):
            raise CovidLungsError(
                f"{text!r}: a name with a character that no table can hold. Rename it."
            )


def _describe_stranger(name: str, folders: list[Folder]) -> str:
    """Return what was found in a folder of no known layout, and what was expected."""
    found = [
        folder.place or "the folder itself"
        for folder in folders
        if any(is_picture(file.path) for file in folder.files)
    ]
    where = f"pictures in {_list(found)}" if found else f"{_list(folders[0].folders)}, no pictures"
    known = ", ".join(dict.fromkeys(layout.name for layout in LAYOUTS))
    return (
        f"{name}: found {where}, in no layout that is known here ({known}). Give the folder that "
        "holds the class folders, or lay the files out as <class>/images with <class>/masks; "
        "“Other data sets” in the README has all layouts."
    )


def _list(names: list[str]) -> str:
    """Return some names in one line."""
    return ", ".join(names[:FEW]) + ", …" * (len(names) > FEW) or "nothing"


def _choose_root(name: str, layout: Layout, roots: dict[str, list[Match]]) -> str:
    """Return the root with most pictures; refuse others beside it, of which one is meant."""
    counts = {root: sum(m.pictures for m in matches) for root, matches in roots.items()}
    best = max(sorted(counts), key=lambda root: counts[root])
    beside = [
        root
        for root, count in counts.items()
        if count and not (root.startswith(best) or best.startswith(root))
    ]
    if beside:
        several = _list([root.rstrip("/") for root in sorted([best, *beside])])
        deeper = ", or put the pictures directly into the class folders"
        raise CovidLungsError(
            f"{name}: several folders could be the data set, each of the layout {layout.name}: "
            f"{several}. Give one of them{deeper if layout.has_no_masks else ''}; of an archive, "
            "unpack it first."
        )
    return best


def class_of(spelling: str) -> str:
    """Return the class that a folder's name means: COVID has several spellings."""
    return POSITIVE_CLASS if class_key(spelling) == class_key(POSITIVE_CLASS) else spelling


def class_key(spelling: str) -> str:
    """Return a class's name without what people spell at will: case, spaces, hyphens, the year."""
    key = re.sub(r"[\s_-]", "", unicodedata.normalize("NFC", spelling).casefold())
    return key.removesuffix("19") if key in COVID_SPELLINGS else key


def _spell_classes(name: str, matches: list[Match]) -> dict[str, str]:
    """Return the classes that folders name, with how they spell them; refuse two spellings of one.

    They are sorted by their names.
    """
    spelled: dict[str, str] = {}
    for spelling in sorted({match.words["class"] for match in matches if "class" in match.words}):
        other = spelled.setdefault(class_key(spelling), spelling)
        if other != spelling:
            raise CovidLungsError(
                f"{name}: {other} and {spelling} are two spellings of one class. Rename one of "
                "the folders, or put their files into one."
            )
    return dict(sorted((class_of(spelling), spelling) for spelling in spelled.values()))


def _read_folder(
    layout: Layout, match: Match, name: str
) -> tuple[list[tuple[int, Place]], list[str], list[str]]:
    """Return a folder's X-rays or masks, each with the number of its part, and what is neither.

    The latter are the files that are no pictures, and the pictures of names that are no X-ray's
    or mask's here.
    """
    part = layout.parts[match.number]
    pattern = as_pattern(part.file)
    split = SPLITS[match.words["split"].lower()] if "split" in match.words else ""
    class_name = class_of(match.words.get("class") or layout.class_name or name)
    places, others, unused = [], [], []
    for file in match.folder.files:
        path = f"{match.folder.place}/{file.name}"
        if not is_picture(file.path):
            others.append(path[len(match.root) :])
        elif found := pattern.fullmatch(find_stem(file.name)):
            words = found.groupdict("")
            stem = unicodedata.normalize("NFC", words["stem"])  # a Mac may take letters apart
            told = FINDINGS.get(words.get("finding"), class_name)
            place = Place(
                path[len(match.root) :], told, part.kind, stem, split, words.get("patient", "")
            )
            places.append((match.number, place))
        else:
            unused.append(path)
    return places, others, unused


def _join_halves(layout: Layout, found: list[tuple[int, Place]]) -> list[Place]:
    """Return X-rays and masks, the files of one mask put together where it has several."""
    halves = [number for number, part in enumerate(layout.parts) if part.kind == MASKS]
    if len(halves) < 2:
        return [place for _, place in found]
    masks: dict[tuple[str, str], list[tuple[int, Place]]] = {}
    for number, place in found:
        if place.part == MASKS:
            masks.setdefault((place.split, place.stem), []).append((number, place))
    joined = [place for _, place in found if place.part != MASKS]
    for parts in masks.values():
        if sorted(number for number, _ in parts) == halves:
            files = HALVES.join(place.file for _, place in sorted(parts))
            joined.append(parts[0][1]._replace(file=files))
        else:
            joined += [place._replace(whole=False) for _, place in parts]
    return joined


def _find_strangers(folders: list[Folder], used: set[str]) -> tuple[list[str], list[str]]:
    """Return the pictures outside the folders that are used, and the folders without any picture.

    Of the latter only the outermost; one in which something is used, or a picture is, is none.
    """
    pictures = {
        folder.place: [file.name for file in folder.files if is_picture(file.path)]
        for folder in folders
    }
    busy = {""}
    for place, names in pictures.items():
        if names or place in used:
            while place:
                busy.add(place)
                place = place.rpartition("/")[0]
    idle = [place for place in pictures if place not in busy and place.rpartition("/")[0] in busy]
    strangers = [
        f"{place}/{name}".lstrip("/")
        for place, names in pictures.items()
        if place not in used
        for name in names
    ]
    return strangers, idle

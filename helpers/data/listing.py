"""Listing: every file of a data set, what it is by its layout, and what has no place there."""

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, relpath
from typing import NamedTuple

from helpers.data.images import find_stem, is_picture
from helpers.data.layouts import (
    FINDINGS,
    MASKS,
    POSITIVE_CLASS,
    SPLITS,
    Layout,
    Match,
    as_pattern,
    find_layout,
)
from helpers.storage.errors import CovidLungsError

# What systems and programs leave for themselves: hidden files, thumbnails, open documents' locks.
LITTER = re.compile(
    r"\..*|~\$.*|__MACOSX|(?:eh)?thumbs\.db|desktop\.ini|@eadir|\$recycle\.bin"
    r"|system volume information",
    re.IGNORECASE,
)
COVID_SPELLINGS = {"covid", "covid19"}  # as `class_key` gives them
HALVES = " // "  # between the files of one mask; no path holds two slashes in a row
# Control characters, and Python's stand-ins for bytes that are no UTF-8.
NO_TEXT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Place(NamedTuple):
    """An X-ray or a mask: where it is, and what its path says of it.

    Attributes:
        file: POSIX path below the data set's root; of a mask in several files all, between HALVES.
        class_name: as the index calls it.
        part: IMAGES, MASKS or INFECTION.
        stem: what an X-ray and its masks have in common, letters composed.
        split: `train`, `validation` or `test` where the data set brings its own split, else "".
        patient: where the name has one, else "".
        whole: whether the mask has one file of each part that it should have.
    """

    file: str
    class_name: str
    part: str
    stem: str
    split: str = ""
    patient: str = ""
    whole: bool = True


class Folder(NamedTuple):
    """A folder, and the files directly in it.

    Attributes:
        place: its POSIX path below the folder that the visit began with, which is "" itself.
        real: its path without links, as the system spells it.
        names: of its files, sorted.
        links: the names of the links directly in it, to files or folders.
    """

    place: str
    real: str
    names: list[str]
    links: set[str]


class Listing(NamedTuple):
    """What is in a folder.

    Attributes:
        layout: that of the data set in it.
        root: the data set's POSIX path below the folder, "" for the folder itself. All other paths
            count from there.
        has_masks: whether there are folders for lung masks.
        spellings: the classes' names, each with how its folder spells it, "" without a folder.
        places: every X-ray and mask.
        others: POSIX paths of files among them that are no pictures by their ending.
        unused: POSIX paths of the pictures in the folder that the layout has no place for.
        idle: likewise, the outermost folders that have no place and no picture.
    """

    layout: Layout
    root: str
    has_masks: bool
    spellings: dict[str, str]
    places: list[Place]
    others: list[str]
    unused: list[str]
    idle: list[str]


def walk(root: Path) -> Iterator[tuple[str, list[str]]]:
    """Yield the folders that `visit` yields, each as its place and the names of its files."""
    return ((folder.place, folder.names) for folder in visit(root))


def visit(root: Path) -> Iterator[Folder]:
    """Yield a folder and every folder in it or deeper, each before those in it, sorted.

    Litter is left out; links to nowhere and pipes are files. Links are followed, but never in a
    circle.

    Raises:
        CovidLungsError: a folder cannot be listed: its files would be missing without a word.
    """
    nothing: frozenset[str] = frozenset()
    waiting = [("", os.path.realpath(root), nothing)]  # the last comes next
    while waiting:
        place, real, around = waiting.pop()
        if real in around:
            continue
        folder = f"{root}/{place}"
        folders, names, links = _list_names(folder)
        yield Folder(place, real, names, links)
        around |= {real}
        for name in reversed(folders):
            # Only a link can lead elsewhere, on Windows a junction, too. Asking takes long.
            asked = name in links or os.name == "nt"
            inside = os.path.realpath(f"{folder}/{name}") if asked else f"{real}{os.sep}{name}"
            waiting.append((_join(place, name), inside, around))


def _list_names(folder: str) -> tuple[list[str], list[str], set[str]]:
    """Return the names of the folders and of the files in a folder, sorted, and of all links."""
    folders: list[str] = []
    names: list[str] = []
    links: set[str] = set()
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if LITTER.fullmatch(entry.name):
                    continue
                (folders if _is_folder(entry) else names).append(entry.name)
                if entry.is_symlink():
                    links.add(entry.name)
    except OSError as error:
        raise CovidLungsError(
            f"{folder}: cannot be listed ({error.strerror}). Mend its permissions, "
            "reconnect the drive that it is on, or leave it out."
        ) from error
    return sorted(folders), sorted(names), links


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def list_files(folder: Path, name: str) -> Listing:
    """Return what is in a folder of X-rays; `name` is for messages and X-rays without a class.

    Raises:
        CovidLungsError: it has no known layout, holds several data sets, spells a class in two
            ways, has a name that no table can hold, or cannot be listed.
    """
    files = dict(walk(folder))
    paths = [_join(place, one) for place, names in files.items() for one in names]
    for text in (name, *files, *paths):
        if NO_TEXT.search(text):
            raise CovidLungsError(
                f"{text!r}: a name with a character that no table can hold. Rename it."
            )
    pictures = {
        place: [one for one in names if is_picture(f"{folder}/{place}/{one}")]
        for place, names in files.items()
    }
    layout, root, matches = find_layout(name, pictures)
    used = {match.place: match for match in matches}
    default = layout.class_name or name
    found = [place for match in used.values() for place in _read_folder(match, root, default)]
    inside = {_join(place, one) for place in used for one in files[place]}
    pictured = {_join(place, one) for place, names in pictures.items() for one in names}
    unused = pictured - {root + place.file for place in found}
    return Listing(
        layout,
        root.rstrip("/"),
        has_masks=any(match.part.kind == MASKS for match in used.values()),
        spellings=_spell_classes(name, matches, found),
        places=_join_halves(layout, found),
        others=sorted(path.removeprefix(root) for path in inside - pictured),
        unused=sorted(relpath(path, root) for path in unused),
        idle=sorted(relpath(place, root) for place in _find_idle(pictures, used)),
    )


def _join(place: str, name: str) -> str:
    """Return the POSIX path of what lies in a folder."""
    return f"{place}/{name}" if place else name


def class_of(spelling: str) -> str:
    """Return the class that a folder's name means: COVID has several spellings."""
    return POSITIVE_CLASS if class_key(spelling) == class_key(POSITIVE_CLASS) else spelling


def class_key(spelling: str) -> str:
    """Return a class's name without what people spell at will: case, spaces, hyphens, the year."""
    key = re.sub(r"[\s_-]", "", unicodedata.normalize("NFC", spelling).casefold())
    return key.removesuffix("19") if key in COVID_SPELLINGS else key


def _spell_classes(name: str, matches: list[Match], places: list[Place]) -> dict[str, str]:
    """Return the classes, sorted, each with how its folder spells it; refuse two spellings."""
    spelled: dict[str, str] = {}
    for spelling in sorted({match.words["class"] for match in matches if "class" in match.words}):
        other = spelled.setdefault(class_key(spelling), spelling)
        if other != spelling:
            raise CovidLungsError(
                f"{name}: {other} and {spelling} are two spellings of one class. Rename one of "
                "the folders, or put their files into one."
            )
    if not spelled:  # the classes are in the files' names
        return dict.fromkeys(sorted({place.class_name for place in places}), "")
    return dict(sorted((class_of(spelling), spelling) for spelling in spelled.values()))


def _read_folder(match: Match, root: str, class_name: str) -> Iterator[Place]:
    """Yield a folder's X-rays or masks, of the given class where neither folder nor name has it."""
    pattern = re.compile(as_pattern(match.part.file), re.IGNORECASE)
    split = SPLITS[match.words["split"].lower()] if "split" in match.words else ""
    class_name = class_of(match.words.get("class", class_name))
    for file in match.pictures:
        if found := pattern.fullmatch(find_stem(file)):
            words = found.groupdict("")
            yield Place(
                _join(match.place, file).removeprefix(root),
                FINDINGS.get(words.get("finding"), class_name),
                match.part.kind,
                unicodedata.normalize("NFC", words["stem"]),  # a Mac may take letters apart
                split,
                words.get("patient", ""),
            )


def _join_halves(layout: Layout, found: list[Place]) -> list[Place]:
    """Return X-rays and masks, the files of one mask put together where it has several."""
    count = sum(part.kind == MASKS for part in layout.parts)
    if count < 2:
        return found
    joined = [place for place in found if place.part != MASKS]
    masks: dict[tuple[str, str], list[Place]] = {}
    for place in found:
        if place.part == MASKS:
            masks.setdefault((place.split, place.stem), []).append(place)
    for halves in masks.values():
        files = [half.file for half in halves]
        whole = len(files) == len({dirname(file) for file in files}) == count
        joined.append(halves[0]._replace(file=HALVES.join(files), whole=whole))
    return joined


def _find_idle(pictures: dict[str, list[str]], used: dict[str, Match]) -> list[str]:
    """Return the outermost folders in which no folder is used or has a picture."""
    busy = {""}
    for place, names in pictures.items():
        if names or place in used:
            while place not in busy:
                busy.add(place)
                place = dirname(place)
    return [place for place in pictures if place not in busy and dirname(place) in busy]


def describe_files(folder: Path) -> Iterator[str]:
    """Yield a line for every folder in a folder, and for every file, with its size and time."""
    for place, names in walk(folder):
        yield f"{place}/\n"  # an empty class folder counts, too
        inside = folder / place
        for name in names:
            try:
                status = os.stat(f"{inside}/{name}")  # noqa: PTH116 (pathlib takes twice as long)
            except OSError:  # a link to nowhere, which the scan names
                yield f"{place}/{name}|missing\n"
            else:
                yield f"{place}/{name}|{status.st_size}|{status.st_mtime_ns}\n"

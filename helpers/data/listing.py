"""Listing: every file of a data set, what it is by its layout, and what has no place there."""

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname, relpath
from typing import NamedTuple, NoReturn

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
    """Yield a folder and every folder in it or deeper, each with the names of its files, sorted.

    A folder is given by its POSIX path below the first, which is "" itself. Litter is left out;
    links to nowhere and pipes are files. Links are followed, but never in a circle.

    Raises:
        CovidLungsError: a folder cannot be listed: its files would be missing without a word.
    """
    above: dict[Path, set[str]] = {root: set()}  # the real paths of the folders around each
    for path, folders, files in os.walk(root, onerror=_refuse_unlisted, followlinks=True):
        folder = Path(path)
        around, real = above.pop(folder), os.path.realpath(path)
        if real in around:
            folders.clear()
            continue
        folders[:] = sorted(name for name in folders if not LITTER.fullmatch(name))
        above |= {folder / name: {*around, real} for name in folders}
        place = folder.relative_to(root).as_posix()
        names = sorted(name for name in files if not LITTER.fullmatch(name))
        yield "" if place == "." else place, names


def _refuse_unlisted(error: OSError) -> NoReturn:
    """Refuse a folder that cannot be listed."""
    raise CovidLungsError(
        f"{error.filename}: cannot be listed ({error.strerror}). Mend its permissions, "
        "reconnect the drive that it is on, or leave it out."
    ) from error


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
                status = (inside / name).stat()
            except OSError:  # a link to nowhere, which the scan names
                yield f"{place}/{name}|missing\n"
            else:
                yield f"{place}/{name}|{status.st_size}|{status.st_mtime_ns}\n"

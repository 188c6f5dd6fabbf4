"""Listing: every file of a data set, what it is by its layout, and what has no place there."""

import os
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from posixpath import dirname
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
    Pictures,
    as_pattern,
    count_pictures,
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
FEW = 8  # names in a message


class Folder(NamedTuple):
    """A folder and what lies directly in it, litter left out, sorted by name.

    Attributes:
        place: its POSIX path below the folder where the walk began; "" for that one itself.
        folders: the names of its folders.
        files: all else: files, links to nowhere, pipes.
    """

    place: str
    folders: list[str]
    files: list[os.DirEntry]

    @property
    def names(self) -> list[str]:
        """Return the names of its files."""
        return [entry.name for entry in self.files]


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


def walk(root: Path) -> Iterator[Folder]:
    """Yield a folder and every folder in it or deeper; links are followed, but never in a circle.

    Raises:
        CovidLungsError: a folder cannot be listed: its files would be missing without a word.
    """
    yield from _walk(str(root), "", ())


def _walk(path: str, place: str, above: tuple[tuple[int, int], ...]) -> Iterator[Folder]:
    """Yield a folder, unless it is one of those above it, and those below."""
    try:
        status = Path(path).stat()
        identity = (status.st_dev, status.st_ino)
        if identity in above:
            return
        with os.scandir(path) as opened:
            entries = [entry for entry in opened if not LITTER.fullmatch(entry.name)]
        folders = sorted(entry.name for entry in entries if _is_folder(entry))
    except OSError as error:
        raise CovidLungsError(
            f"{error.filename}: cannot be listed ({error.strerror}). Mend its permissions, "
            "reconnect the drive that it is on, or leave it out."
        ) from error
    inner = set(folders)
    files = sorted((one for one in entries if one.name not in inner), key=lambda one: one.name)
    yield Folder(place, folders, files)
    for name in folders:
        yield from _walk(f"{path}/{name}", _join(place, name), (*above, identity))


def _is_folder(entry: os.DirEntry) -> bool:
    """Return whether a folder is there; a link to itself is none, like one to nowhere."""
    try:
        return entry.is_dir()
    except OSError:
        return False


def _join(place: str, name: str) -> str:
    """Return the POSIX path of what lies in a folder."""
    return f"{place}/{name}" if place else name


def list_files(folder: Path, name: str) -> Listing:
    """Return what is in a folder of X-rays.

    Args:
        folder: to be looked through, links to folders included.
        name: of the data set, for messages and for X-rays without a class.

    Raises:
        CovidLungsError: it has no known layout, holds several data sets, spells a class in two
            ways, has a name that no table can hold, or cannot be listed.
    """
    folders = {one.place: one for one in walk(folder)}
    _refuse_no_text(name, folders)
    pictures = {
        place: [entry.name for entry in one.files if is_picture(entry.path)]
        for place, one in folders.items()
    }
    layout, roots = find_layout(pictures)
    if layout is None:
        raise CovidLungsError(_describe_stranger(name, folders[""], pictures))
    root = _choose_root(name, layout, roots)
    used = {match.place: match for match in roots[root]}
    found, others = [], []
    unused = [_join(at, one) for at, names in pictures.items() if at not in used for one in names]
    for match in used.values():
        places, strangers = _read_folder(layout, match, name)
        found += places
        unused += strangers
        pictured = set(match.pictures)
        names = [one for one in folders[match.place].names if one not in pictured]
        others += [_join(match.place, one).removeprefix(root) for one in names]
    return Listing(
        layout,
        root.rstrip("/"),
        has_masks=any(match.part.kind == MASKS for match in used.values()),
        spellings=_spell_classes(name, roots[root], found),
        places=_join_halves(layout, found),
        others=others,
        unused=sorted(unused),
        idle=_find_idle(pictures, used),
    )


def _refuse_no_text(name: str, folders: dict[str, Folder]) -> None:
    """Refuse names that no table can hold."""
    paths = [_join(folder.place, one) for folder in folders.values() for one in folder.names]
    for text in (name, *folders, *paths):
        if NO_TEXT.search(text):
            raise CovidLungsError(
                f"{text!r}: a name with a character that no table can hold. Rename it."
            )


def _describe_stranger(name: str, top: Folder, pictures: Pictures) -> str:
    """Return what was found in a folder of no known layout, and what was expected."""
    found = [place or "the folder itself" for place, names in pictures.items() if names]
    where = f"pictures in {_list(found)}" if found else f"{_list(top.folders)}, no pictures"
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
    """Return the root with most pictures; refuse if it lies beside another one with pictures."""
    counts = {root: count_pictures(matches) for root, matches in roots.items()}
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


def _read_folder(layout: Layout, match: Match, name: str) -> tuple[list[Place], list[str]]:
    """Return a folder's X-rays or masks, and its pictures with names of no X-ray or mask here."""
    pattern = as_pattern(match.part.file)
    split = SPLITS[match.words["split"].lower()] if "split" in match.words else ""
    class_name = class_of(match.words.get("class") or layout.class_name or name)
    places, unused = [], []
    for file in match.pictures:
        path = _join(match.place, file)
        found = pattern.fullmatch(find_stem(file))
        if not found:
            unused.append(path)
            continue
        words = found.groupdict("")
        places.append(
            Place(
                path.removeprefix(match.root),
                FINDINGS.get(words.get("finding"), class_name),
                match.part.kind,
                unicodedata.normalize("NFC", words["stem"]),  # a Mac may take letters apart
                split,
                words.get("patient", ""),
            )
        )
    return places, unused


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
        if len(files) == len({dirname(file) for file in files}) == count:
            joined.append(halves[0]._replace(file=HALVES.join(files)))
        else:
            joined += [half._replace(whole=False) for half in halves]
    return joined


def _find_idle(pictures: Pictures, used: dict[str, Match]) -> list[str]:
    """Return the outermost folders in which no folder is used or has a picture."""
    busy = {""}
    for place, names in pictures.items():
        while (names or place in used) and place not in busy:
            busy.add(place)
            place = dirname(place)
    return [place for place in pictures if place not in busy and dirname(place) in busy]


def describe_files(folder: Path) -> Iterator[str]:
    """Yield the path of every folder in a folder or deeper, and path, size and time of every file.

    Litter is left out: it changes without the X-rays.
    """
    for place, _, files in walk(folder):
        yield f"{place}/\n"  # an empty class folder counts, too
        for entry in files:
            yield f"{place}/{entry.name}|{_size_and_time(entry)}\n"


def _size_and_time(entry: os.DirEntry) -> str:
    """Return what changes with a file; a link to nowhere has neither, and the scan names it."""
    try:
        status = entry.stat()
    except OSError:
        return "missing"
    return f"{status.st_size}|{status.st_mtime_ns}"

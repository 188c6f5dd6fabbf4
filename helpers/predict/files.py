"""Files: the X-rays that a prediction reads, and the masks and tables that it writes."""

import os
from collections.abc import Collection, Iterable, Iterator
from functools import cache
from pathlib import Path
from posixpath import basename, dirname, islink
from typing import NamedTuple
from uuid import uuid4

from helpers.data.images import FORMATS, find_stem, is_picture
from helpers.data.listing import NO_TEXT, visit, walk
from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import PARTIAL, refusing

MASKS, INFECTION, OVERLAYS, TABLE = "masks", "infection", "overlays", "predictions.csv"
MADE = (MASKS, INFECTION, OVERLAYS)  # folders in which nothing but predictions is
UNFINISHED = "unfinished.jsonl"  # what a prediction has done, until it has ended
CHOICE = "--out"  # chooses another folder


class XrayFile(NamedTuple):
    """An X-ray to predict.

    Attributes:
        path: in POSIX form.
        place: where its masks and its overlay go: the POSIX path below the folder of each,
            without the ending.
    """

    path: str
    place: str


def find_xrays(paths: Iterable[str | Path]) -> list[XrayFile]:
    """Return the X-rays among files and folders, in the order given; those of a folder sorted.

    A folder's X-rays are the files in it or deeper that end as images do, or are DICOM by their
    content; links are followed, and what earlier predictions made is left out. Their places keep
    the sub-folders; a file given by itself has its name as its place. A file that is found twice
    counts once, where it was found first.

    Raises:
        CovidLungsError: a path is missing or cannot be listed, a folder holds no X-ray, two
            X-rays have one place, or a table cannot hold a name.
    """
    files: list[XrayFile] = []
    seen: set[str] = set()
    for path in paths:
        files += sorted(_leave_out_seen(_list_xrays(Path(path)), seen))
    _refuse_unfit_names(files)
    return files


def _leave_out_seen(found: Iterable[tuple[str, XrayFile]], seen: set[str]) -> Iterator[XrayFile]:
    """Yield the X-rays, each of which comes after its path without links, that are not seen yet."""
    for real, file in found:
        key = f"{real}//{basename(file.place)}"  # a link of another name gets a mask of that name
        if key not in seen:
            seen.add(key)
            yield file


def _list_xrays(path: Path) -> Iterator[tuple[str, XrayFile]]:
    """Yield a file as it is, or a folder's X-rays, each after its path without links."""
    try:
        path.stat()
        is_folder = path.is_dir()
    except (OSError, ValueError) as error:  # ValueError: not a path at all
        reason = getattr(error, "strerror", None) or error
        raise CovidLungsError(
            f"{str(path)!r}: cannot be read ({reason}). Give X-rays, or folders of them."
        ) from error
    if not is_folder:
        yield os.path.realpath(path), XrayFile(path.as_posix(), find_stem(path.name))
        return
    found = _visit_xrays(path)
    first = next(found, None)
    if first is None:
        raise CovidLungsError(
            f"{path}: no X-ray is in this folder. Give one with files that end in "
            f"{', '.join(sorted(FORMATS))}."
        )
    yield first
    yield from found


def _visit_xrays(root: Path) -> Iterator[tuple[str, XrayFile]]:
    """Yield the X-rays in a folder or deeper, each after its path without links."""
    made: tuple[str, ...] = ()  # the places of what earlier predictions made
    start = (root / "_").as_posix()[:-1]  # a Path a file would take several times as long
    for place, real, names, links in visit(root):
        below = f"{place}/" if place else ""
        if below.startswith(made):
            continue
        if TABLE in names or UNFINISHED in names:
            made += tuple(f"{below}{name}/" for name in MADE)
        for name in names:
            if is_picture(path := f"{start}{below}{name}"):
                whole = os.path.realpath(path) if name in links else f"{real}{os.sep}{name}"
                yield whole, XrayFile(path, below + find_stem(name))


def _refuse_unfit_names(files: list[XrayFile]) -> None:
    """Refuse names that a table cannot hold, and two X-rays whose masks would be one file."""
    places: dict[str, XrayFile] = {}
    folders = {parent for file in files for parent in _find_parents(dirname(file.place).casefold())}
    for file in files:
        if NO_TEXT.search(file.path):
            raise CovidLungsError(
                f"{file.path!r}: a table cannot hold a character of this name. Rename it."
            )
        # On many file systems a.png and A.png are one file.
        other = places.setdefault(file.place.casefold(), file)
        if other is not file:
            raise CovidLungsError(
                f"{other.path} and {file.path}: the masks of both would be {file.place}.png. "
                "Rename one, or predict them into two folders with --out."
            )
        for made in (f"{file.place}.png", f"{file.place}.jpg"):
            if made.casefold() in folders:
                raise CovidLungsError(
                    f"{file.path}: {made} would be both a folder and a mask or overlay. Rename it, "
                    "or predict it into another folder with --out."
                )


@cache
def _find_parents(folder: str) -> tuple[str, ...]:
    """Return a folder's path and those of all folders that it is in, without the empty one."""
    return (*_find_parents(dirname(folder)), folder) if folder else ()


def make_outputs(folder: Path, files: list[XrayFile], parts: Collection[str]) -> None:
    """Make the folders for what is predicted of these X-rays: those of MADE that are in `parts`.

    No other may be a link, since what it holds of earlier predictions is removed.

    Raises:
        CovidLungsError: one cannot be made, is a link, an X-ray would be overwritten, or a file is
            where a folder goes, or the other way round.
    """
    _refuse_overwriting(folder, files)
    _refuse_obstacles(folder, files, parts)
    for place in sorted({dirname(file.place) for file in files}):
        for name in MADE:
            path = Path(os.path.realpath(folder), name, place)
            if Path(os.path.realpath(path)) != path:
                raise CovidLungsError(
                    f"{folder / name / place}: is reached by a link, and could be anywhere. "
                    f"Remove the link, or choose another folder with {CHOICE}."
                )
            if name in parts:
                with refusing(folder, CHOICE):
                    path.mkdir(parents=True, exist_ok=True)


def _refuse_overwriting(folder: Path, files: list[XrayFile]) -> None:
    """Refuse X-rays that are where masks and overlays go, or would go with another network."""
    written = {name: str(Path(os.path.realpath(folder), name)) for name in MADE}
    find_real = cache(os.path.realpath)  # many X-rays share a folder
    for file in files:
        path = file.path if islink(file.path) else dirname(file.path)
        for name, outputs in written.items():
            if f"{find_real(path)}{os.sep}".startswith(f"{outputs}{os.sep}"):
                raise CovidLungsError(
                    f"{file.path}: predictions are written into its folder, {name}. Choose another "
                    f"with {CHOICE}."
                )


def _refuse_obstacles(folder: Path, files: list[XrayFile], parts: Collection[str]) -> None:
    """Refuse a file that is where a folder goes, and a folder that is where a file goes."""
    for name in parts:
        inner = {dirname(f"{name}/{file.place}") for file in files}
        for place in sorted({parent for deep in inner for parent in _find_parents(deep)}):
            if (folder / place).is_file():
                raise CovidLungsError(
                    f"{folder / place}: is a file, and a folder for predictions would be there. "
                    f"Rename it, or choose another folder with {CHOICE}."
                )
        for file in files:
            path = find_output(folder, name, file)
            if path.is_dir() and not path.is_symlink():
                raise CovidLungsError(
                    f"{path}: is a folder, and a file of predictions would be there. Rename it, "
                    f"or choose another folder with {CHOICE}."
                )


def find_output(folder: Path, name: str, file: XrayFile) -> Path:
    """Return where an X-ray's file goes in one of the folders of MADE."""
    return folder / name / f"{file.place}.{find_ending(name)}"


def remove_output(folder: Path, name: str, file: XrayFile) -> None:
    """Remove what an earlier prediction left in one of the folders of MADE."""
    path = find_output(folder, name, file)
    with refusing(path, CHOICE):
        path.unlink(missing_ok=True)


def list_parts(draws_infection: bool) -> list[str]:
    """Return the folders of MADE that a prediction fills, with masks of infection or without."""
    return [name for name in MADE if name != INFECTION or draws_infection]


def find_ending(name: str) -> str:
    """Return how the files in one of the folders of MADE end."""
    return "jpg" if name == OVERLAYS else "png"


def find_places(folder: Path, earlier: Iterable[str], files: list[XrayFile]) -> list[str]:
    """Return the places of the masks of earlier X-rays, given by their paths; "" of no mask.

    They are not written down: a mask is taken for the one whose place is the longest end of the
    X-ray's path, of those that no X-ray before it has. Those of `files` are places, with or
    without a mask.
    """
    taken = {file.place for file in files}
    masks = {
        f"{place}/{name}".removeprefix("/").removesuffix(".png")
        for place, names in walk(folder / MASKS)
        for name in names
    }
    places = []
    for path in earlier:
        *folders, name = path.split("/")
        parts = [*folders, find_stem(name)]
        ends = ("/".join(parts[start:]) for start in range(len(parts)))
        place = next((end for end in ends if end in taken or end in masks), "")
        masks.discard(place)
        places.append(place)
    return places


def write_output(path: Path, content: bytes) -> None:
    """Write a file whole, in place of an older one.

    Unlike `storage.files.write_whole` it does not wait for the disk, since there are many.

    Raises:
        CovidLungsError: it cannot be written; an older one stays as it was.
    """
    # A name of its own, also among threads and machines that write into one folder.
    partial = path.with_name(f"{PARTIAL}{uuid4().hex}")
    with refusing(path, CHOICE):
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

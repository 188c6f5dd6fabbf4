"""Inputs: the X-rays that a prediction is asked for, from files and folders."""

import os
from pathlib import Path

from helpers.data.images import SUFFIXES, find_stem, is_picture
from helpers.data.listing import NO_TEXT, walk
from helpers.storage.errors import CovidLungsError


def find_xrays(paths: list[str]) -> list[Path]:
    """Return the X-rays among files and folders, in the order given; those of a folder sorted.

    A folder's X-rays are the files in it or deeper that end as images do, or are DICOM by their
    content; links are followed, and litter is left out. A file given twice counts once.

    Raises:
        CovidLungsError: a path is missing or cannot be listed, a folder holds no X-ray, two
            X-rays have one stem, or a name has a character that no table can hold.
    """
    found = {}
    for path in paths:
        for file in _list_xrays(Path(path)):
            # A link of another name is an X-ray of its own: it gets a mask of that name.
            found.setdefault((os.path.realpath(file), find_stem(file.name)), file)
    _refuse_unfit_names(list(found.values()))
    return list(found.values())


def _list_xrays(path: Path) -> list[Path]:
    """Return a file as it is, or a folder's X-rays."""
    try:
        path.stat()
        is_folder = path.is_dir()
    except (OSError, ValueError) as error:  # the latter: no path at all
        reason = getattr(error, "strerror", None) or error
        raise CovidLungsError(
            f"{str(path)!r}: cannot be read ({reason}). Give X-rays, or folders of them."
        ) from error
    if not is_folder:
        return [path]
    found = (path / folder.place / name for folder in walk(path) for name in folder.names)
    files = sorted(filter(is_picture, found), key=Path.as_posix)
    if not files:
        raise CovidLungsError(
            f"{path}: no X-ray is in this folder. Give one with files that end in "
            f"{', '.join(sorted(SUFFIXES))}."
        )
    return files


def _refuse_unfit_names(files: list[Path]) -> None:
    """Refuse names that no table can hold, and two X-rays whose masks would be one file."""
    stems: dict[str, Path] = {}
    for file in files:
        if NO_TEXT.search(file.as_posix()):
            raise CovidLungsError(
                f"{file.as_posix()!r}: a name with a character that no table can hold. Rename it."
            )
        # Many file systems take a.png and A.png for one file.
        other = stems.setdefault(find_stem(file.name).casefold(), file)
        if other is not file:
            raise CovidLungsError(
                f"{other.as_posix()} and {file.as_posix()}: the masks of both would be "
                f"{find_stem(file.name)}.png. Rename one, or predict them into two folders with "
                "--out."
            )


def refuse_overwriting(files: list[Path], written: list[Path]) -> None:
    """Refuse X-rays that lie directly in a folder that will be written to.

    Raises:
        CovidLungsError: one does.
    """
    folders = {os.path.realpath(folder) for folder in written}
    for file in files:
        if os.path.realpath(file.parent) in folders:
            raise CovidLungsError(
                f"{file.as_posix()}: masks or overlays would be written into its folder. "
                "Choose another with --out."
            )

"""Files: the X-rays that a prediction reads, and the masks and tables that it writes."""

import os
from pathlib import Path
from threading import get_ident

from helpers.data.images import FORMATS, find_stem, is_picture
from helpers.data.listing import NO_TEXT, walk
from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import PARTIAL, refusing

MASKS, OVERLAYS, TABLE = "masks", "overlays", "predictions.csv"
CHOICE = "--out"  # chooses another folder


def find_xrays(paths: list[str]) -> list[Path]:
    """Return the X-rays among files and folders, in the order given; those of a folder sorted.

    A folder's X-rays are the files in it or deeper that end as images do, or are DICOM by their
    content; links are followed. A file that is found twice counts once.

    Raises:
        CovidLungsError: a path is missing or cannot be listed, a folder holds no X-ray, two
            X-rays have one stem, or a table cannot hold a name.
    """
    found: dict[tuple[str, str], Path] = {}
    for file in (file for path in paths for file in _list_xrays(Path(path))):
        # A link of another name gets a mask of that name.
        found.setdefault((os.path.realpath(file), find_stem(file.name)), file)
    _refuse_unfit_names(list(found.values()))
    return list(found.values())


def _list_xrays(path: Path) -> list[Path]:
    """Return a file as it is, or a folder's X-rays."""
    try:
        path.stat()
        is_folder = path.is_dir()
    except (OSError, ValueError) as error:  # ValueError: not a path at all
        reason = getattr(error, "strerror", None) or error
        raise CovidLungsError(
            f"{str(path)!r}: cannot be read ({reason}). Give X-rays, or folders of them."
        ) from error
    if not is_folder:
        return [path]
    found = (path / place / name for place, names in walk(path) for name in names)
    files = sorted(filter(is_picture, found), key=Path.as_posix)
    if not files:
        raise CovidLungsError(
            f"{path}: no X-ray is in this folder. Give one with files that end in "
            f"{', '.join(sorted(FORMATS))}."
        )
    return files


def _refuse_unfit_names(files: list[Path]) -> None:
    """Refuse names that a table cannot hold, and two X-rays whose masks would be one file."""
    stems: dict[str, Path] = {}
    for file in files:
        if NO_TEXT.search(file.as_posix()):
            raise CovidLungsError(
                f"{file.as_posix()!r}: a table cannot hold a character of this name. Rename it."
            )
        # On many file systems a.png and A.png are one file.
        other = stems.setdefault(find_stem(file.name).casefold(), file)
        if other is not file:
            raise CovidLungsError(
                f"{other.as_posix()} and {file.as_posix()}: the masks of both would be "
                f"{find_stem(file.name)}.png. Rename one, or predict them into two folders with "
                "--out."
            )


def make_outputs(folder: Path, files: list[Path]) -> None:
    """Make the folders for the masks and overlays of these files.

    Raises:
        CovidLungsError: one cannot be made, or an X-ray would be overwritten.
    """
    for name in (MASKS, OVERLAYS):
        written = os.path.realpath(folder / name)
        for file in files:
            if os.path.realpath(file.parent) == written:
                raise CovidLungsError(
                    f"{file.as_posix()}: {name} would be written into its folder. Choose another "
                    "with --out."
                )
        with refusing(folder, CHOICE):
            (folder / name).mkdir(parents=True, exist_ok=True)


def write_output(path: Path, content: bytes) -> None:
    """Write a file whole, in place of an older one.

    Unlike `storage.files.write_whole` it does not wait for the disk, since there are many.

    Raises:
        CovidLungsError: it cannot be written; an older one stays as it was.
    """
    partial = path.with_name(f"{PARTIAL}{get_ident()}")  # each thread has its own
    with refusing(path, CHOICE):
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)

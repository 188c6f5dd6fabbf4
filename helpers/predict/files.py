"""Files: the X-rays that a prediction reads, and the masks and tables that it writes."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import get_ident

from helpers.data.images import FORMATS, find_stem, is_picture
from helpers.data.listing import NO_TEXT, walk
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import partial_folder, refusing

MASKS, OVERLAYS, TABLE = "masks", "overlays", "predictions.csv"
CHOICE = "--out"  # chooses another folder


def find_xrays(paths: list[str]) -> list[Path]:
    """Return the X-rays among files and folders, in the order given; those of a folder sorted.

    A folder's X-rays are the files in it or deeper that end as images do, or are DICOM by their
    content; links are followed. A file given twice counts once.

    Raises:
        CovidLungsError: a path is missing or cannot be listed, a folder holds no X-ray, two
            X-rays have one stem, or a table cannot hold a name.
    """
    found = {}
    for path in paths:
        for file in _list_xrays(Path(path)):
            # A link of another name is an X-ray of its own, with a mask of that name.
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


class Outputs:
    """A folder of predictions, each file written whole; several threads may write into it."""

    def __init__(self, folder: Path, partial: Path):
        """Write into a folder; `partial` is a folder in it for unfinished files."""
        self.folder, self.partial = folder, partial

    def write(self, name: str, content: bytes) -> None:
        """Write a file, given by its path below the folder, in place of an older one.

        Raises:
            CovidLungsError: it cannot be written.
        """
        path = self.partial / str(get_ident())
        with refusing(self.folder / name, CHOICE):
            path.write_bytes(content)
            path.replace(self.folder / name)

    def remove(self, name: str) -> None:
        """Remove a file that an earlier prediction may have left.

        Raises:
            CovidLungsError: it cannot be removed.
        """
        with refusing(self.folder / name, CHOICE):
            (self.folder / name).unlink(missing_ok=True)


@contextmanager
def open_outputs(folder: Path, files: list[Path]) -> Iterator[Outputs]:
    """Make a folder for the predictions of files, and remove unfinished files at the end.

    Raises:
        CovidLungsError: it cannot be made or written to, or an X-ray would be overwritten.
    """
    _refuse_overwriting(folder, files)
    with ExitStack() as stack:
        with refusing(folder, CHOICE):
            for name in (MASKS, OVERLAYS):
                (folder / name).mkdir(parents=True, exist_ok=True)
            partial = stack.enter_context(partial_folder(folder))
        yield Outputs(folder, partial)


def _refuse_overwriting(folder: Path, files: list[Path]) -> None:
    """Refuse X-rays that lie where masks or overlays will be written."""
    written = {os.path.realpath(folder / name) for name in (MASKS, OVERLAYS)}
    for file in files:
        if os.path.realpath(file.parent) in written:
            raise CovidLungsError(
                f"{file.as_posix()}: masks or overlays would be written into its folder. "
                "Choose another with --out."
            )

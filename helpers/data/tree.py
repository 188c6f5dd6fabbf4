"""Tree: all that lies in a folder and deeper, as a person would count it."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from helpers.storage.errors import CovidLungsError

# What systems and programs leave for themselves: hidden files, thumbnails, open documents' locks.
LITTER = re.compile(
    r"\..*|~\$.*|__MACOSX|(?:eh)?thumbs\.db|desktop\.ini|@eadir|\$recycle\.bin"
    r"|system volume information",
    re.IGNORECASE,
)
Identity = tuple[int, int]


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
        """The names of its files."""
        return [entry.name for entry in self.files]


def walk(root: Path) -> Iterator[Folder]:
    """Yield a folder and every folder in it or deeper; links are followed, but never in a circle.

    Raises:
        CovidLungsError: a folder cannot be listed: what is in it would be missing without a word.
    """
    yield from _walk(str(root), "", ())


def _walk(path: str, place: str, above: tuple[Identity, ...]) -> Iterator[Folder]:
    """Yield a folder, unless it is one of those above it, and what is below."""
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
        below = f"{place}/{name}" if place else name
        yield from _walk(os.path.join(path, name), below, (*above, identity))  # noqa: PTH118


def _is_folder(entry: os.DirEntry) -> bool:
    """Return whether a folder is there; a link to itself is none, like one to nowhere."""
    try:
        return entry.is_dir()
    except OSError:
        return False

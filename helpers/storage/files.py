"""Files: each is written whole or not at all, even if the writer is killed."""

import os
import shutil
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import PARTIAL, refusing, shown

# What numpy raises for a damaged .npz file; RuntimeError of a way of packing that it does not know.
DAMAGE = (
    *(OSError, EOFError, ValueError, LookupError, TypeError, MemoryError),
    *(BadZipFile, zlib.error, RuntimeError),
)
LEFT_BEHIND = 3600  # seconds without a change: whoever fills a hidden folder has ended


def write_whole(path: Path, content: str | bytes) -> Path:
    """Write a file in place of an older one and return its path; text is written as UTF-8.

    A reader finds the old content or the new, never a part, even after a kill or a power cut.

    Raises:
        CovidLungsError: it cannot be written; an older one stays as it was.
    """
    with replacing(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read_arrays(path: Path, names: Iterable[str] | None, remedy: str) -> list[np.ndarray]:
    """Return the arrays of these names in an .npz file, or all (None); no code in it is run.

    Raises:
        CovidLungsError: the file is missing or damaged, or has no such array.
    """
    try:
        # Opened here, since numpy leaves open what proves to be no archive.
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return [file[name] for name in (file.files if names is None else names)]
    except DAMAGE as error:
        raise CovidLungsError(f"{shown(path)}: missing or damaged. {remedy}") from error


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    """Write arrays of these names as an .npz file, in place of an older one.

    Raises:
        CovidLungsError: it cannot be written; an older one stays as it was.
    """
    with replacing(path) as partial:
        np.savez_compressed(partial, **arrays)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; the file takes the place of `path` when the block ends well.

    Its ending is that of `path`, by which some writers choose the format. Only write in the block:
    any error of the system there counts as one of writing. The folder of `path` must exist; one
    that vanished with its drive must not be made anew.

    Raises:
        CovidLungsError: it cannot be written; an older one stays as it was.
    """
    with refusing(path), partial_folder(path.parent) as folder:
        partial = folder / path.name
        yield partial
        with partial.open("rb+") as written:
            os.fsync(written.fileno())  # else a power cut may leave the name without the content
        partial.replace(path)


@contextmanager
def caching(target: Path) -> Iterator[Path]:
    """Give a path to write to; the file or folder becomes `target`, in the cache, at the end.

    Another process may make the same meanwhile: then the first stays.

    Raises:
        CovidLungsError: it cannot be written.
    """
    with refusing(target, "COVID_LUNGS_CACHE"):
        target.parent.mkdir(parents=True, exist_ok=True)
        with partial_folder(target.parent) as folder:
            yield folder / target.name
            try:
                (folder / target.name).replace(target)
            except OSError:
                if not target.is_dir():
                    raise


@contextmanager
def partial_folder(folder: Path) -> Iterator[Path]:
    """Give a new hidden folder in `folder`, on the same disk, and remove it at the end."""
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=folder))
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def make_folder(folder: Path) -> Path:
    """Return a folder, made if it is missing, or raise a CovidLungsError; its parent must exist."""
    with refusing(folder):
        folder.mkdir(exist_ok=True)
    return folder


def remove(*paths: Path) -> None:
    """Remove files that may be there, or raise a CovidLungsError."""
    for path in paths:
        with refusing(path):
            path.unlink(missing_ok=True)


def clear_partial(root: Path) -> None:
    """Remove the hidden folders that killed writers left in a run folder, or the cache.

    Those that changed lately stay: their writers may be alive.
    """
    for pattern in (f"{PARTIAL}*", f"*/{PARTIAL}*"):
        for folder in root.glob(pattern):
            with suppress(OSError):  # its writer may be ending just now
                if is_left_behind(folder):
                    shutil.rmtree(folder, ignore_errors=True)


def is_left_behind(folder: Path) -> bool:
    """Return whether a hidden folder's writer must have ended: nothing in it changed lately."""
    changed = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
    return time.time() - changed > LEFT_BEHIND

"""Unfinished: the batches that a stopped prediction has done, so that the next one goes on."""

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from helpers.predict.files import CHOICE, MADE, MASKS, TABLE, UNFINISHED, XrayFile
from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import PARTIAL, refusing, shown
from helpers.storage.locks import try_to_lock


class Unfinished:
    """What is done of a prediction: a line a batch, after one that says what was asked."""

    def __init__(self, file: BinaryIO, asked: str):
        """Take a file that is open to read and append, and what decides all but the X-rays.

        A line that a kill cut short is cut off; what another prediction left, or what is damaged,
        is forgotten.
        """
        self.file, self.done = file, {}
        file.seek(0)
        lines = file.read().split(b"\n")[:-1]
        with suppress(ValueError, TypeError):
            if json.loads(lines[0] if lines else b"null") == asked:
                self.done = dict(map(json.loads, lines[1:]))
        file.truncate(sum(len(line) + 1 for line in lines) if self.done else 0)
        if not self.done:
            file.write(json.dumps(asked).encode() + b"\n")

    def find(self, files: list[XrayFile]) -> list | None:
        """Return the rows of a batch if it is done, and its X-rays are as they were."""
        return self.done.get(_describe(files)) if self.done else None

    def add(self, files: list[XrayFile], rows: list) -> None:
        """Keep the rows of a batch."""
        key = _describe(files)
        self.file.write(json.dumps([key, rows]).encode() + b"\n")
        self.done[key] = rows


@contextmanager
def go_on(folder: Path, asked: str) -> Iterator[Unfinished]:
    """Give what a folder's stopped prediction has done; it is forgotten when the block ends well.

    Half-written files of the stopped one are removed.

    Raises:
        CovidLungsError: another process predicts into the folder, or it cannot be written to.
    """
    path, ended = folder / UNFINISHED, True
    with refusing(path, CHOICE):
        if path.is_symlink():  # what it leads to is not ours
            path.unlink()
        file = path.open("a+b", buffering=0)
    with file:
        if not try_to_lock(file.fileno()):
            raise CovidLungsError(
                f"{shown(folder)}: another prediction is writing there. Let it end or stop it, or "
                f"choose another folder with {CHOICE}."
            )
        with refusing(path, CHOICE):
            clear_partial(folder)
            unfinished = Unfinished(file, asked)
        if count := sum(map(len, unfinished.done.values())):
            print(f"covid-lungs: {shown(path)}: going on after {count:,} X-rays.", file=sys.stderr)
        try:
            yield unfinished
        except BaseException:
            # By this file or the table the masks are known as made here, and not taken for X-rays.
            known = (folder / TABLE).is_file() or not any((folder / MASKS).rglob("*.png"))
            ended = not unfinished.done and known
            raise
        finally:
            file.close()  # Windows removes no open file
            if ended:
                path.unlink(missing_ok=True)


def clear_partial(folder: Path) -> None:
    """Remove the half-written files of those who were killed while they predicted into a folder."""
    for part in (f"{PARTIAL}*", *(f"{name}/**/{PARTIAL}*" for name in MADE)):
        for partial in folder.glob(part):
            partial.unlink(missing_ok=True)


def _describe(files: list[XrayFile]) -> str:
    """Return what changes with the X-rays of a batch: their paths, places, sizes and times."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.path}\n{file.place}\n".encode())
        with suppress(OSError):  # it cannot be read, which its row says
            found = Path(file.path).stat()
            digest.update(f"{found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()

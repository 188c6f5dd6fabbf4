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
    """What is done of a prediction: a line a batch, after one that says what was asked.

    Further lines have null for a batch, and the places where infection was about to be drawn.

    Attributes:
        done: the rows of each batch.
        infected: places where this prediction, or one that was stopped, may have drawn infection.
    """

    def __init__(self, file: BinaryIO, asked: str):
        """Take a file that is open to read and append, and what decides all but the X-rays.

        A line that a kill cut short is cut off; what is damaged is forgotten, and so are the rows
        that another prediction left.
        """
        self.file, self.done, self.infected = file, {}, set()
        file.seek(0)
        lines = file.read().split(b"\n")[:-1]
        with suppress(ValueError, TypeError):
            first, *others = map(json.loads, lines)
            self.infected = {place for key, places in others if key is None for place in places}
            if first == asked:
                self.done = {key: rows for key, rows in others if key is not None}
        file.truncate(sum(len(line) + 1 for line in lines) if self.done else 0)
        if not self.done:
            drawn = [[None, sorted(self.infected)]] if self.infected else []
            self._write(asked, *drawn)

    def find(self, files: list[XrayFile]) -> list | None:
        """Return the rows of a batch if it is done, and its X-rays are as they were."""
        return self.done.get(_describe(files)) if self.done else None

    def add(self, files: list[XrayFile], rows: list) -> None:
        """Keep the rows of a batch."""
        key = _describe(files)
        self._write([key, rows])
        self.done[key] = rows

    def add_infected(self, places: list[str]) -> None:
        """Keep where infection is about to be drawn, until the table says so."""
        self._write([None, places])
        self.infected.update(places)

    def _write(self, *lines: object) -> None:
        """Write lines at the end, at once."""
        self.file.write(b"".join(json.dumps(line).encode() + b"\n" for line in lines))


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
            ended = known and not unfinished.done and not unfinished.infected
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

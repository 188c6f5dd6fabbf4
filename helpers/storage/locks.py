"""Locks: one run at a time in a run folder, one training at a time in a training's folder.

The system holds the lock on a hidden file, which says who has it, and frees it when the process
ends, even by a kill. Not kept apart are two machines that share a drive, and processes on a drive
that knows no locks.
"""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from filelock import lock_descriptor

from helpers.storage.errors import CovidLungsError
from helpers.storage.files import clear_partial, make_folder
from helpers.storage.folders import refusing, shown
from helpers.storage.layout import LOCK

PATIENCE = 10  # seconds: the notebook of a command that was killed ends a moment after it
_held: set[int] = set()  # open lock files that the notebooks' processes are to hold, too


@contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Hold a run folder while a chain writes into it; another run there is refused meanwhile.

    Raises:
        CovidLungsError: another run holds the folder, or a notebook that an earlier one has left;
            or the folder cannot be written to.
    """
    with _hold(folder, PATIENCE) as descriptor:
        clear_partial(folder)
        _held.add(descriptor)
        try:
            yield
        finally:
            _held.discard(descriptor)


@contextmanager
def hold_training(folder: Path) -> Iterator[None]:
    """Hold the folder of an unfinished training, made if need be.

    A notebook that is run by hand holds no run folder, so that a command may begin beside it.

    Raises:
        CovidLungsError: another process trains there, or the folder cannot be written to.
    """
    with _hold(make_folder(folder), patience=0):
        clear_partial(folder)
        yield


def for_notebooks() -> dict[str, tuple[int, ...]]:
    """Return what `subprocess.Popen` needs to let a notebook's process hold the folder, too.

    So a notebook that outlives its command, which was killed, keeps the next command out.
    """
    return {"pass_fds": tuple(_held)} if os.name == "posix" and _held else {}


def is_held(folder: Path) -> bool:
    """Return whether a run holds a folder just now."""
    path = folder / LOCK
    if not path.is_file():
        return False
    with refusing(path), path.open("ab") as file:
        return not try_to_lock(file.fileno())


@contextmanager
def _hold(folder: Path, patience: float) -> Iterator[int]:
    """Lock a folder's lock file and give it, open; refuse if another process keeps it."""
    path = folder / LOCK
    with refusing(path):
        file = path.open("ab", buffering=0)
    with file:
        end = time.monotonic() + patience
        while not try_to_lock(file.fileno()):
            if time.monotonic() > end:
                holder = ""
                with suppress(OSError, ValueError):  # Windows lets nobody read a locked file
                    holder = path.read_text(encoding="utf-8")
                raise CovidLungsError(
                    f"{shown(folder)}: in use by {holder or 'another process'}, or by a notebook "
                    "that it has left running. Let it end or stop it, or choose another folder "
                    "with `run`."
                )
            time.sleep(0.1)
        start = datetime.now().astimezone().isoformat(" ", "seconds")
        with refusing(path):
            file.truncate(0)
            file.write(f"process {os.getpid()} on {platform.node()}, since {start}".encode())
        yield file.fileno()  # closed at the end, which frees the lock


def try_to_lock(descriptor: int) -> bool:
    """Return whether nobody else has the lock of an open file, which is then ours."""
    try:
        # A training that ends removes its folder, with the file that another one may wait for.
        return lock_descriptor(descriptor, blocking=False) and os.fstat(descriptor).st_nlink > 0
    except OSError:  # some drives know no locks
        return True

"""Locks: one run or training at a time on a folder, and none while a notebook still writes."""

import json
import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from threading import Event, Thread

from helpers.storage.errors import CovidLungsError
from helpers.storage.files import clear_partial, make_folder, refusing, write_whole
from helpers.storage.folders import shown

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None

# Hidden files of a run folder: two that the system locks, and who holds them, to be read.
RUNNING, WRITING, RECORD = ".running.lock", ".writing.lock", ".running.json"
TRAINING = ".training.lock"  # a hidden file of a training's folder
BEAT, STALE, PATIENCE = 20, 120, 60  # seconds
_held: set[int] = set()  # open files, whose locks the notebooks' processes are to hold, too


@contextmanager
def hold_run(folder: Path) -> Iterator[None]:
    """Hold a run folder while a chain writes into it; another run there is refused meanwhile.

    The system frees the locks of a process that ends, however it ends. A notebook's process that
    outlives its run holds the folder with it (see `for_notebooks`), and the next run waits for it.

    Between machines that share a drive, and on Windows, a record tells of the run, whose time is
    renewed every BEAT seconds and which counts for nothing after STALE. What that cannot do: two
    runs that begin before the drive has shown each other's record are not refused; a machine that
    slept longer than STALE may find its folder taken, and goes on writing; clocks must agree.

    Raises:
        CovidLungsError: another run holds the folder, an earlier one's notebook does not end, or
            the folder cannot be written to.
    """
    with _opened(folder / RUNNING) as running, _opened(folder / WRITING) as writing:
        _refuse_second(folder, _lock(running))
        with _beating(folder / RECORD):
            _wait_for_notebook(folder, writing)
            clear_partial(folder)
            _held.add(writing)
            try:
                yield
            finally:
                _held.discard(writing)


@contextmanager
def hold_training(folder: Path) -> Iterator[None]:
    """Hold the folder of an unfinished training, made if need be, against a second process.

    A notebook that is run by hand holds no run folder, so that a command may begin beside it.

    Raises:
        CovidLungsError: another process trains there, or the folder cannot be written to.
    """
    with _opened(make_folder(folder) / TRAINING) as training:
        if _lock(training) is False:
            raise CovidLungsError(
                f"{shown(folder)}: another notebook or command goes on with this training just "
                "now. Let it end or stop it, or choose another folder with `run`."
            )
        yield


def for_notebooks() -> dict[str, tuple[int, ...]]:
    """Return what `subprocess.Popen` needs to let a notebook's process hold the folder, too."""
    return {"pass_fds": tuple(_held)} if fcntl and _held else {}


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open a file to be locked; it stays, since removing it would let two lock one name."""
    with refusing(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # frees the lock, unless a notebook's process has it, too


def _lock(descriptor: int) -> bool | None:
    """Return whether the system locked an open file; None where it has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # the two ways to say: another process has it
        return False
    except (AttributeError, OSError):  # Windows, and some drives
        return None
    return True


def _refuse_second(folder: Path, locked: bool | None) -> None:
    """Stop if another run holds the folder: by its lock, or by its record if on its own machine."""
    if _is_free(folder, locked):
        return
    record = _read(folder / RECORD)
    gone = "" if locked is False else f" If it is gone, try again in {STALE // 60} minutes."
    raise CovidLungsError(
        f"{shown(folder)}: in use by process {record.get('process', '(unknown)')} on "
        f"{record.get('host', 'this machine')}, since {record.get('start', 'a moment ago')}. "
        f"Let it end or stop it, or choose another folder with `run`.{gone}"
    )


def is_held(folder: Path) -> bool:
    """Return whether a run holds a folder just now.

    Raises:
        CovidLungsError: the folder cannot be written to.
    """
    if not _is_fresh(folder / RECORD):  # without a look at the lock, which a run may just take
        return False
    with _opened(folder / RUNNING) as running:
        return not _is_free(folder, _lock(running))


def _is_free(folder: Path, locked: bool | None) -> bool:
    """Return whether no run holds a folder, given whether its lock could be had."""
    here = locked and _read(folder / RECORD).get("host") == platform.node()
    return locked is not False and (bool(here) or not _is_fresh(folder / RECORD))


def _read(path: Path) -> dict:
    """Return the record of a run; an empty one where there is none that can be read."""
    with suppress(OSError, ValueError):
        record = json.loads(path.read_text(encoding="utf-8"))
        return record if isinstance(record, dict) else {}
    return {}


def _is_fresh(path: Path) -> bool:
    """Return whether a record was renewed lately."""
    try:
        return time.time() - path.stat().st_mtime < STALE
    except OSError:
        return False


def _wait_for_notebook(folder: Path, descriptor: int) -> None:
    """Wait until the last notebook of a run that was killed has ended, too.

    Raises:
        CovidLungsError: it does not end in time.
    """
    if _lock(descriptor) is not False:
        return
    print(f"{shown(folder)}: a notebook of a run that was stopped still writes: waiting for it.")
    end = time.monotonic() + PATIENCE
    while _lock(descriptor) is False:
        if time.monotonic() > end:
            raise CovidLungsError(
                f"{shown(folder)}: a notebook of a run that was stopped still writes there. Try "
                f"again later, or end its process (`lsof {folder / WRITING}` shows which it is)."
            )
        time.sleep(0.1)


@contextmanager
def _beating(path: Path) -> Iterator[None]:
    """Keep a record of this process in a file, and its time fresh."""
    start = datetime.now().astimezone().isoformat(" ", "seconds")
    record = {"process": os.getpid(), "host": platform.node(), "start": start}
    write_whole(path, json.dumps(record) + "\n")
    ended = Event()
    Thread(target=_beat, args=(path, record, ended), daemon=True).start()
    try:
        yield
    finally:
        ended.set()
        if _read(path) == record:
            with suppress(OSError):  # its drive may be gone
                path.unlink()


def _beat(path: Path, record: dict, ended: Event) -> None:
    """Renew the time of a record until the run ends, or another machine has written its own."""
    while not ended.wait(BEAT):
        if _read(path) == record:
            with suppress(OSError):  # a drive may be away for a while
                os.utime(path)

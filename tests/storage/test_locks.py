import os
import platform
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from helpers.storage import locks
from helpers.storage.layout import LOCK
from helpers.storage.locks import for_notebooks, hold_run, hold_training, is_held
from tests.support.builders import refused

NOTHING_ELSE = "choose another folder with `run`."
# A run whose notebook, a process of its own, outlives it; it prints that one's number.
RUN = """
import subprocess, sys
from pathlib import Path
from helpers.storage.locks import for_notebooks, hold_run

with hold_run(Path(sys.argv[1])):
    print(subprocess.Popen(["sleep", "60"], **for_notebooks()).pid, flush=True)
    sys.stdin.readline()
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs the locks of Linux and macOS")


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.2)


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen, Callable[[], None]]]:
    """Give a run in another process, and what ends its notebook."""
    command = [sys.executable, "-c", RUN, str(folder)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    notebook = int(process.stdout.readline())

    def end_notebook() -> None:
        with suppress(ProcessLookupError):
            os.kill(notebook, signal.SIGKILL)

    try:
        yield process, end_notebook
    finally:
        end_notebook()
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def end(process: subprocess.Popen) -> None:
    """Let a run end by itself."""
    process.stdin.close()
    process.wait()


@posix
def test_a_second_run_is_refused_with_the_process_host_and_start_of_the_first(tmp_path):
    with running(tmp_path) as (first, end_notebook):
        name = f"in use by process {first.pid} on {platform.node()}, since 20"
        for _ in range(2):
            with refused(str(tmp_path), name, NOTHING_ELSE), hold_run(tmp_path):
                pass
        assert is_held(tmp_path)
        end_notebook()
        end(first)
        assert not is_held(tmp_path)


@posix
@pytest.mark.parametrize("ending", [subprocess.Popen.kill, end])
def test_a_run_waits_for_the_notebook_of_the_last(ending, tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 30)
    with running(tmp_path) as (first, end_notebook):
        ending(first)
        ended = []
        timer = threading.Timer(0.6, lambda: (ended.append(time.monotonic()), end_notebook()))
        timer.start()
        with hold_run(tmp_path):
            assert ended and time.monotonic() > ended[0]
            assert f"process {os.getpid()} " in (tmp_path / LOCK).read_text()
        timer.join()


@posix
def test_a_notebook_that_does_not_end_keeps_the_next_run_out(tmp_path):
    with running(tmp_path) as (first, _):
        first.kill()
        name = f"in use by process {first.pid} "
        with refused(name, "or by a notebook that it has left", NOTHING_ELSE), hold_run(tmp_path):
            pass


def test_a_drive_without_locks_is_written_to_all_the_same(tmp_path, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(locks, "lock_descriptor", fail)
    with hold_run(tmp_path):
        assert not is_held(tmp_path)


def test_windows_has_no_open_files_to_hand_on(tmp_path, monkeypatch):
    with hold_run(tmp_path):
        monkeypatch.setattr(locks.os, "name", "nt")
        assert for_notebooks() == {}
        monkeypatch.undo()


@posix
def test_a_training_that_waits_for_a_lock_file_that_is_removed_is_refused(tmp_path, monkeypatch):
    lock = locks.lock_descriptor

    def remove_first(*given: object, **named: object) -> bool:
        (tmp_path / LOCK).unlink()
        return lock(*given, **named)

    monkeypatch.setattr(locks, "lock_descriptor", remove_first)
    with refused(str(tmp_path), "in use by", NOTHING_ELSE), hold_training(tmp_path):
        pass


@posix
@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00"])
def test_a_holder_that_cannot_be_read_is_another_process(tmp_path, content):
    with hold_run(tmp_path):
        (tmp_path / LOCK).write_bytes(content)
        with refused(str(tmp_path), "in use by another process", NOTHING_ELSE), hold_run(tmp_path):
            pass


def test_a_folder_is_free_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), hold_run(tmp_path):
        raise ZeroDivisionError
    assert for_notebooks() == {}
    with hold_run(tmp_path):
        assert (tmp_path / LOCK).read_text().count("process") == 1, "the former holder is gone"


def test_a_folder_that_is_gone_is_named(tmp_path):
    with refused("gone/.lock", "cannot be written", "reconnect"), hold_run(tmp_path / "gone"):
        pass

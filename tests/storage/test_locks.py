import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.storage import locks
from helpers.storage.errors import CovidLungsError
from helpers.storage.locks import RECORD, hold_run
from tests.support.builders import refused

NOTHING_ELSE = "choose another folder with `run`."
# A run with a notebook, each in a process of its own that ends when its input does.
RUN = """
import subprocess, sys
from pathlib import Path
from helpers.storage.locks import for_notebooks, hold_run

with hold_run(Path(sys.argv[1])):
    wait = "import os; os.read(int({!r}), 1)".format(sys.argv[2])
    passed = {"pass_fds": (int(sys.argv[2]), *for_notebooks()["pass_fds"])}
    subprocess.Popen([sys.executable, "-c", wait], **passed)
    print("held", flush=True)
    sys.stdin.readline()
"""
RACER = """
import sys
from pathlib import Path
from helpers.storage.errors import CovidLungsError
from helpers.storage.locks import hold_run

input()
try:
    with hold_run(Path(sys.argv[1])):
        print("held", flush=True)
        input()
except CovidLungsError:
    print("refused", flush=True)
"""
posix = pytest.mark.skipif(sys.platform == "win32", reason="needs the locks of Linux and macOS")


class Run:
    """A run in another process; `end_notebook` ends its notebook."""

    def __init__(self, folder: Path):
        reading, self.writing = os.pipe()
        self.process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(folder), str(reading)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=(reading,),
        )
        os.close(reading)
        assert self.process.stdout.readline() == b"held\n"

    def end_notebook(self) -> None:
        if self.writing is not None:
            os.close(self.writing)
            self.writing = None

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def wait_for_notebook(self) -> None:
        self.process.stdout.read()  # which the notebook shares, and so keeps open


@contextmanager
def running(folder: Path) -> Iterator[Run]:
    run = Run(folder)
    try:
        yield run
    finally:
        run.end_notebook()
        run.kill()
        run.wait_for_notebook()
        run.process.stdin.close()
        run.process.stdout.close()


def write_record(folder: Path, host: str, age: float = 0) -> Path:
    path = folder / RECORD
    record = {"process": 12, "host": host, "start": "2026-11-20 23:00:00+01:00"}
    path.write_text(json.dumps(record), encoding="utf-8")
    os.utime(path, (time.time() - age,) * 2)
    return path


@posix
def test_a_second_run_is_refused_with_the_process_host_and_start_of_the_first(tmp_path):
    with running(tmp_path) as first:
        record = json.loads((tmp_path / RECORD).read_text(encoding="utf-8"))
        name = f"process {first.process.pid} on {platform.node()}, since {record['start']}"
        for _ in range(2):
            with refused(str(tmp_path), name, NOTHING_ELSE), hold_run(tmp_path):
                pass
        first.end_notebook()
        first.end()
        assert not (tmp_path / RECORD).exists()
        with hold_run(tmp_path):
            pass


@posix
def test_a_killed_run_is_followed_without_a_word(tmp_path, capfd):
    with running(tmp_path) as first:
        first.end_notebook()
        first.kill()
        first.wait_for_notebook()
    with hold_run(tmp_path):
        record = json.loads((tmp_path / RECORD).read_text(encoding="utf-8"))
        assert record["process"] == os.getpid()
    assert capfd.readouterr() == ("", "")


@posix
@pytest.mark.parametrize("ending", ["kill", "end"])
def test_a_run_waits_for_the_notebook_of_the_last(ending, tmp_path, capsys):
    with running(tmp_path) as first:
        getattr(first, ending)()
        ended = []

        def end_notebook() -> None:
            ended.append(time.monotonic())
            first.end_notebook()

        timer = threading.Timer(0.6, end_notebook)
        timer.start()
        with hold_run(tmp_path):
            assert ended and time.monotonic() > ended[0]
        timer.join()
    assert "a notebook of a run that was stopped still writes: waiting" in capsys.readouterr().out


@posix
def test_a_notebook_that_does_not_end_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.2)
    with running(tmp_path) as first:
        first.kill()
        fault = "a notebook of a run that was stopped still writes there"
        with (
            refused(str(tmp_path), fault, f"`lsof {tmp_path / locks.WRITING}`"),
            hold_run(tmp_path),
        ):
            pass
    assert not (tmp_path / RECORD).exists()


@posix
def test_a_run_that_waits_is_named_to_a_third(tmp_path):
    with running(tmp_path) as first:
        first.kill()
        waiting = threading.Thread(target=lambda: hold_run(tmp_path).__enter__(), daemon=True)
        waiting.start()
        end = time.monotonic() + 10
        while locks._read(tmp_path / RECORD)["process"] != os.getpid() and time.monotonic() < end:
            time.sleep(0.01)
        with refused(str(tmp_path), f"process {os.getpid()} ", NOTHING_ELSE), hold_run(tmp_path):
            pass
        first.end_notebook()
        waiting.join()


@posix
def test_of_runs_that_begin_together_one_holds_the_folder(tmp_path):
    command = [sys.executable, "-c", RACER, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    racers = [subprocess.Popen(command, **pipes) for _ in range(4)]
    for racer in racers:
        racer.stdin.write("\n")
        racer.stdin.flush()
    answers = sorted(racer.stdout.readline().strip() for racer in racers)
    for racer in racers:
        racer.communicate("\n")
    assert answers == ["held", "refused", "refused", "refused"]


def test_a_run_on_another_machine_is_refused_while_its_record_is_fresh(tmp_path):
    write_record(tmp_path, "colab-7", age=locks.STALE - 10)
    remedy = f"{NOTHING_ELSE} If it is gone, try again in 2 minutes."
    name = "process 12 on colab-7, since 2026-11-20 23:00:00+01:00"
    with refused(str(tmp_path), name, remedy), hold_run(tmp_path):
        pass
    assert json.loads((tmp_path / RECORD).read_text())["host"] == "colab-7"


def test_a_run_on_another_machine_is_followed_when_its_record_is_stale(tmp_path):
    path = write_record(tmp_path, "colab-7", age=locks.STALE + 1)
    with hold_run(tmp_path):
        assert json.loads(path.read_text(encoding="utf-8"))["host"] == platform.node()


@posix
def test_a_fresh_record_of_a_dead_run_on_this_machine_counts_for_nothing(tmp_path):
    write_record(tmp_path, platform.node())
    with hold_run(tmp_path):
        pass


@pytest.fixture(params=["on Windows", "on some drives"])
def no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(38, "Function not implemented")

    if request.param == "on Windows":
        monkeypatch.setattr(locks, "fcntl", None)
    else:
        monkeypatch.setattr("fcntl.flock", fail)


@pytest.mark.usefixtures("no_locks")
def test_where_the_system_has_no_locks_the_record_decides(tmp_path):
    with hold_run(tmp_path):
        name = f"process {os.getpid()} on {platform.node()}"
        with refused(str(tmp_path), name, "If it is gone, try again in 2"), hold_run(tmp_path):
            pass
    write_record(tmp_path, platform.node(), age=locks.STALE + 1)
    with hold_run(tmp_path):
        pass


def test_windows_has_no_open_files_to_hand_on(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    with hold_run(tmp_path):
        assert locks.for_notebooks() == {}


def test_the_record_stays_fresh(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT", 0.02)
    with hold_run(tmp_path):
        os.utime(tmp_path / RECORD, (0, 0))
        end = time.monotonic() + 10
        while (tmp_path / RECORD).stat().st_mtime == 0 and time.monotonic() < end:
            time.sleep(0.01)
        assert time.time() - (tmp_path / RECORD).stat().st_mtime < 20


def test_the_record_of_a_run_that_took_over_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "BEAT", 0.02)
    with hold_run(tmp_path):
        path = write_record(tmp_path, "colab-7", age=50)
        before = path.read_bytes(), path.stat().st_mtime
        time.sleep(0.2)
    assert (path.read_bytes(), path.stat().st_mtime) == before


@posix
@settings(deadline=None)
@given(content=st.binary() | st.sampled_from([b"[]", b"{}", b"7", b'{"host": []}']))
def test_any_record_is_survived(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("run")
    with hold_run(folder):
        (folder / RECORD).write_bytes(content)
        with refused(str(folder), "in use by process", NOTHING_ELSE), hold_run(folder):
            pass


def test_a_folder_is_free_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), hold_run(tmp_path):
        raise ZeroDivisionError
    assert not (tmp_path / RECORD).exists()
    assert locks.for_notebooks() == {}
    with hold_run(tmp_path):
        pass


def test_what_killed_writers_left_is_cleared(tmp_path):
    left = tmp_path / "figures" / ".partial-x"
    left.mkdir(parents=True)
    (left / "05_dice.png").touch()
    for path in (left / "05_dice.png", left):
        os.utime(path, (0, 0))
    with hold_run(tmp_path):
        assert not left.exists()


def test_a_folder_that_is_gone_is_named(tmp_path):
    with (
        refused("gone/.running.lock", "cannot be written", "reconnect"),
        hold_run(tmp_path / "gone"),
    ):
        pass


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(CovidLungsError, match="Make room"), hold_run(tmp_path):
        pass

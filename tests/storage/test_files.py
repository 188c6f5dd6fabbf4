import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers.evaluate.intervals import Estimate
from helpers.evaluate.metrics_file import write_metrics
from helpers.report.plots import finish
from helpers.split.index import build_index, write_index
from helpers.split.splits import assign_splits, write_split
from helpers.storage.files import caching, clear_partial, replacing, write_whole
from helpers.train.inference import write_table
from tests.support.builders import make_run, refused

FULL = ("cannot be written (No space left on device)", "Make room, ")
LIMITED = ("cannot be written (File too large)", "choose another folder with `run`")
STOPPED_WRITER = """
import sys
from pathlib import Path
from helpers.storage.files import replacing

with replacing(Path(sys.argv[1])) as partial:
    partial.write_text("half")
    print("writing", flush=True)
    input()
"""


def files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder; a hidden folder counts, too."""
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB with an old file on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("needs the right to mount a disk, which root has on Linux")
    (folder / "scores.csv").write_text("old")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], capture_output=True)


@contextmanager
def files_limited(size: int) -> Iterator[None]:
    """Let the system refuse files above a size, as it does where the disk is full."""
    resource = pytest.importorskip("resource", reason="needs the limits that Windows does not have")
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@settings(max_examples=20, deadline=None)
@given(st.lists(st.text(), min_size=2, max_size=5), st.integers(1, 20_000))
def test_a_reader_sees_a_whole_text_at_any_time(tmp_path_factory, texts, times):
    path = tmp_path_factory.mktemp("whole") / "scores.csv"
    contents = [(text * times).encode() for text in texts]
    write_whole(path, contents[0])
    ended, seen = threading.Event(), set()

    def read() -> None:
        while not ended.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(5):
        for content in contents:
            write_whole(path, content)
    ended.set()
    reader.join()
    assert seen <= set(contents)
    assert files(path.parent) == {str(path): contents[-1]}


@settings(deadline=None)  # a busy disk may be slow
@given(text=st.text())
@example("a\r\nb\n")
def test_a_text_keeps_its_characters_and_line_ends(tmp_path_factory, text):
    path = write_whole(tmp_path_factory.getbasetemp() / "text.csv", text)
    assert path.read_bytes().decode() == text


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path, monkeypatch):
    path, flushed = tmp_path / "scores.csv", []
    flush = os.fsync

    def see(descriptor: int) -> None:
        flush(descriptor)
        flushed.append((os.fstat(descriptor).st_ino, path.exists()))

    monkeypatch.setattr("os.fsync", see)
    write_whole(path, "new")
    assert flushed == [(path.stat().st_ino, False)]


def test_a_killed_writer_leaves_the_old_file_and_nothing_that_is_taken_for_a_result(tmp_path):
    path = tmp_path / "figures" / "05_dice.png"
    path.parent.mkdir()
    path.write_text("old")
    command = [sys.executable, "-c", STOPPED_WRITER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"writing\n"
        writer.kill()
    assert path.read_text() == "old"
    for pattern in ("figures/*.png", "*/*.png", "*.png"):
        assert list(tmp_path.glob(pattern)) == ([path] if "/" in pattern else [])
    (left,) = path.parent.glob(".*")
    os.utime(left, (0, 0))
    clear_partial(tmp_path)
    assert left.is_dir(), "what is in it changed lately: its writer may be alive"
    for half in left.iterdir():
        os.utime(half, (0, 0))
    os.utime(left, (0, 0))
    clear_partial(tmp_path)
    assert files(tmp_path) == {str(path.parent): b"", str(path): b"old"}


def test_an_error_of_the_writer_leaves_the_old_file(tmp_path):
    path = write_whole(tmp_path / "report.html", "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert files(tmp_path) == {str(path): b"old"}


def test_what_is_made_for_the_cache_appears_whole_and_the_first_of_two_stays(tmp_path):
    target = tmp_path / "cache" / "set"
    with caching(target) as first, caching(target) as second:
        for number, folder in enumerate((first, second)):
            folder.mkdir()
            (folder / "a").write_text(str(number))
        assert not target.exists()
    assert files(tmp_path / "cache") == {str(target): b"", str(target / "a"): b"1"}


def test_a_cache_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "cache").write_text("in the way")
    target = tmp_path / "cache" / "set"
    with refused("cache/set", "cannot be written", "COVID_LUNGS_CACHE"), caching(target):
        pass


def test_a_full_disk_keeps_the_old_file(disk):
    with refused("disk/scores.csv", *FULL):
        write_whole(disk / "scores.csv", bytes(100_000))
    assert files(disk) == {str(disk / "scores.csv"): b"old"}
    write_whole(disk / "scores.csv", "new")
    assert files(disk) == {str(disk / "scores.csv"): b"new"}


def test_a_read_only_disk_keeps_the_old_file(disk):
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with refused("disk/scores.csv", "(Read-only file system)", "mend the permissions"):
        write_whole(disk / "scores.csv", "new")
    assert files(disk) == {str(disk / "scores.csv"): b"old"}


def test_a_disk_that_goes_away_meanwhile_is_named(disk):
    with (
        refused("disk/scores.csv", "(No such file or directory)", "reconnect the drive"),
        replacing(disk / "scores.csv") as partial,
    ):
        partial.write_text("new")
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
    assert files(disk) == {}, "nothing is written below the place where the drive was"


def test_a_drive_that_went_away_says_what_to_click(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.storage.colab.MOUNT_POINT", tmp_path)
    with refused("scores.csv", "Google Drive is full or went away", "press “Connect"):
        write_whole(tmp_path / "gone" / "scores.csv", "new")


@pytest.fixture
def write(tmp_path: Path, data_set, figures) -> Callable[[str], None]:
    """Return what writes a file of a run folder, given by its name, as the notebooks do."""
    folder = tmp_path / "run"
    index, audit = build_index(data_set)
    make_run(folder, data_set)
    writers = {
        "audit.json": lambda: write_index(folder, index, audit),
        "split.csv": lambda: write_split(folder, assign_splits(index, 7)),
        "scores.csv": lambda: write_table(folder / "scores.csv", index),
        "metrics.json": lambda: write_metrics(folder, {"dice": Estimate(0.9, 0.8, 1.0, 60)}),
        "figures/05_dice.png": lambda: finish(plt.figure(), folder, "05_dice", data_set),
    }
    return lambda name: writers[name]()


@pytest.mark.parametrize(
    "name",
    ["audit.json", "split.csv", "scores.csv", "metrics.json", "figures/05_dice.png"],
)
def test_every_writer_of_a_run_keeps_what_a_full_disk_would_cut(name, write, tmp_path):
    write(name)
    before = files(tmp_path / "run")
    with refused(f"run/{name}", *LIMITED), files_limited(50):
        write(name)
    assert files(tmp_path / "run") == before

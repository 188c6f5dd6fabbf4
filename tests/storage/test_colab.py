import errno
import os
import sys
import types
from pathlib import Path

import nbformat
import pytest

from helpers.storage import colab
from tests.support.builders import refused

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
TIMEOUT = ValueError("mount failed: timeout during initial read of root folder; for more info: …")
PEXPECT_TIMEOUT = type("TIMEOUT", (Exception,), {})("<pexpect.popen_spawn.PopenSpawn object>")


@pytest.fixture
def drive(tmp_path, monkeypatch):
    """A stand-in for Colab's runtime, which alone has `google.colab`; it notes its mounts.

    `errors` are raised one after the other, before a mount succeeds.
    """
    module = types.ModuleType("google.colab.drive")
    module.mounted, module.errors = [], []

    def mount(mountpoint: str, force_remount: bool = False) -> None:
        module.mounted.append((mountpoint, force_remount))
        if module.errors:
            raise module.errors.pop(0)
        (tmp_path / "drive" / "MyDrive").mkdir(parents=True, exist_ok=True)

    module.mount = mount
    package = types.ModuleType("google.colab")
    package.drive = module
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setattr(colab, "MOUNT_POINT", tmp_path / "drive")
    return module


def test_elsewhere_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.setattr(colab, "MOUNT_POINT", tmp_path / "drive")
    assert not colab.in_colab()
    assert "Not in Colab" in colab.mount_drive()
    assert list(tmp_path.iterdir()) == []


def test_in_colab_drive_is_mounted(drive, tmp_path):
    assert colab.in_colab()
    for _ in range(2):
        assert "MyDrive/covid-lungs" in colab.mount_drive()
        assert colab.is_mounted()
    assert drive.mounted == [(str(tmp_path / "drive"), True)], "once"


def test_the_notebook_s_own_call_is_what_mounts_drive(drive, tmp_path, capsys):
    """The cell of 01 that shows the call: it passes on what it is told, and is tried again."""
    notebook = nbformat.read(NOTEBOOKS / "01_get_data.ipynb", as_version=4)
    codes = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    (cell,) = [code for code in codes if "drive.mount(" in code]
    drive.errors = [TIMEOUT]
    exec(cell, {"mount_drive": lambda mount: colab.mount_drive(mount)})
    assert drive.mounted == [(str(tmp_path / "drive"), True)] * 2
    assert "Google Drive is mounted" in capsys.readouterr().out


def test_where_nobody_can_answer_nobody_is_asked(drive, monkeypatch):
    monkeypatch.setenv(colab.UNATTENDED, "1")
    assert "not asked for" in colab.mount_drive()
    assert drive.mounted == []


def test_a_mount_that_fails_says_what_that_means_and_what_to_do(drive):
    drive.errors = [ValueError("mount failed: invalid oauth code\nmore")] * 4
    message = colab.mount_drive()
    for part in ("mount failed: invalid oauth code)", "is lost", "run this cell again and press"):
        assert part in message
    assert len(drive.mounted) == 3
    assert not colab.is_mounted()


def test_a_refusal_is_not_asked_for_again(drive, capsys):
    drive.errors = [ValueError("Error: credential propagation was unsuccessful")] * 2
    assert "Drive was not mounted (Colab was not allowed to use it)" in colab.mount_drive()
    assert len(drive.mounted) == 1
    assert capsys.readouterr().out == ""


def test_a_mount_that_is_late_is_tried_again_and_says_what_to_click(drive, capsys):
    drive.errors = [TIMEOUT, PEXPECT_TIMEOUT]
    assert "Google Drive is mounted" in colab.mount_drive()
    assert len(drive.mounted) == 3
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("press “Connect to Google Drive” and choose your account" in line for line in lines)


def test_a_mount_without_my_drive_is_a_mount_that_fails(drive):
    drive.mount = lambda mountpoint, force_remount: None
    assert "Drive was not mounted" in colab.mount_drive()


def test_a_mount_that_lost_its_connection_is_mounted_again_by_force(drive, tmp_path, monkeypatch):
    def lose(path, **_) -> None:
        raise OSError(errno.ENOTCONN, os.strerror(errno.ENOTCONN))

    def mount_again(*given, **options) -> None:
        monkeypatch.setattr(Path, "stat", stat)
        mount(*given, **options)

    stat, mount = Path.stat, drive.mount
    colab.mount_drive()
    monkeypatch.setattr(Path, "stat", lose)
    assert not colab.is_mounted()
    drive.mount = mount_again
    assert "Google Drive is mounted" in colab.mount_drive()
    assert drive.mounted[1:] == [(str(tmp_path / "drive"), True)]


def test_what_lies_on_drive_is_told_by_its_path(drive):
    assert colab.on_drive(colab.MOUNT_POINT / "MyDrive" / "xrays.zip")
    assert colab.on_drive(colab.MOUNT_POINT / "Shareddrives" / "ours" / "xrays.zip")
    assert not colab.on_drive(colab.MOUNT_POINT.parent / "drives" / "xrays.zip")


def test_a_drive_that_goes_away_is_named_but_no_other_disk(drive, tmp_path):
    gone = OSError(errno.EIO, "Input/output error")
    path = colab.MOUNT_POINT / "xrays.zip"
    fault = f"while {path} was read (Input/output error)"
    with refused("Google Drive went away", fault, "press “Connect"), colab.reading(path):
        raise gone
    with pytest.raises(OSError), colab.reading(tmp_path / "xrays.zip"):
        raise gone

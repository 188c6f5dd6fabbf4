import sys
import types

import pytest

from helpers import colab


@pytest.fixture
def drive(tmp_path, monkeypatch):
    """A stand-in for Colab's runtime, which alone has `google.colab`; it notes its mounts."""
    module = types.ModuleType("google.colab.drive")
    module.mounted = []

    def mount(mountpoint: str) -> None:
        module.mounted.append(mountpoint)
        (tmp_path / "drive" / "MyDrive").mkdir(parents=True)

    module.mount = mount
    package = types.ModuleType("google.colab")
    package.drive = module
    monkeypatch.setitem(sys.modules, "google.colab", package)
    monkeypatch.setattr(colab, "MOUNT_POINT", tmp_path / "drive")
    monkeypatch.setattr(colab, "DRIVE_FOLDER", tmp_path / "drive" / "MyDrive" / "covid-lungs")
    return module


def test_elsewhere_nothing_happens(tmp_path, monkeypatch):
    monkeypatch.setattr(colab, "DRIVE_FOLDER", tmp_path / "covid-lungs")
    assert not colab.in_colab()
    assert "Not in Colab" in colab.mount_drive()
    assert list(tmp_path.iterdir()) == []


def test_in_colab_drive_is_mounted_and_the_folder_made(drive, tmp_path):
    assert colab.in_colab()
    assert "MyDrive/covid-lungs" in colab.mount_drive()
    assert drive.mounted == [str(tmp_path / "drive")]
    assert colab.DRIVE_FOLDER.is_dir()


def test_drive_is_mounted_once(drive):
    first, second = colab.mount_drive(), colab.mount_drive()
    assert first == second
    assert len(drive.mounted) == 1


def test_a_mount_that_fails_says_what_that_means_and_what_to_do(drive):
    def fail(mountpoint: str) -> None:
        raise ValueError("mount failed")

    drive.mount = fail
    message = colab.mount_drive()
    for part in ("Drive was not mounted (mount failed)", "is lost", "run this cell again"):
        assert part in message
    assert not colab.DRIVE_FOLDER.exists()


def test_a_mount_without_my_drive_is_a_mount_that_fails(drive):
    drive.mount = lambda mountpoint: None
    assert "Drive was not mounted" in colab.mount_drive()

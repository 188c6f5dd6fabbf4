import zipfile
from pathlib import Path

import pytest
from builders import refused

from helpers.archives import unpack
from helpers.data_sets import find_data

pytestmark = pytest.mark.usefixtures("cache")
FILES = {"set/COVID/images/a.png": bytes(range(256)) * 40, "set/COVID/masks/a.png": b"mask" * 99}


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A sound archive of two files."""
    path = tmp_path / "xrays.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in FILES.items():
            opened.writestr(name, content)
    return path


def flip_bits(archive: Path, header: bytes, offset: int, bits: int) -> None:
    """Change a byte behind every header of a kind: PK12 is the directory's, PK34 a file's."""
    content = bytearray(archive.read_bytes())
    start = content.find(header)
    while start >= 0:
        content[start + offset] ^= bits
        start = content.find(header, start + 4)
    archive.write_bytes(content)


def names_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_file_is_unpacked(archive, tmp_path):
    folder = unpack(archive, tmp_path / "out" / "xrays")
    found = {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
    assert found == FILES
    assert names_below(tmp_path / "out") == ["xrays"]


def test_what_was_unpacked_before_is_kept(archive, tmp_path):
    folder = unpack(archive, tmp_path / "out")
    (folder / "mine.txt").write_text("kept")
    assert unpack(archive, folder) == folder
    assert (folder / "mine.txt").read_text() == "kept"


def assert_refused(archive: Path, tmp_path: Path, fault: str, remedy: str) -> None:
    """The message is whole, and nothing half-unpacked is left."""
    (tmp_path / "out").mkdir()
    with refused(archive.name, fault, remedy):
        unpack(archive, tmp_path / "out" / "xrays")
    assert names_below(tmp_path / "out") == []


def test_another_kind_of_file_is_refused(tmp_path):
    path = tmp_path / "xrays.zip"
    path.write_text("<html>Sign in to download</html>")
    assert_refused(path, tmp_path, "not a .zip archive", "Download it again")


def test_an_empty_file_is_refused(tmp_path):
    path = tmp_path / "xrays.zip"
    path.touch()
    assert_refused(path, tmp_path, "not a .zip archive", "Download it again")


@pytest.mark.parametrize("kept", [0.2, 0.6, 0.95])
def test_a_truncated_archive_is_refused(archive, tmp_path, kept):
    content = archive.read_bytes()
    archive.write_bytes(content[: int(kept * len(content))])
    assert_refused(archive, tmp_path, "not a .zip archive, or a damaged one", "Download it again")


@pytest.mark.parametrize("position", range(52, 82, 3))
def test_a_damaged_member_is_refused(archive, tmp_path, position):
    content = bytearray(archive.read_bytes())
    content[position] ^= 0xFF  # the compressed bytes of the first file begin at 52
    archive.write_bytes(content)
    assert_refused(archive, tmp_path, "a damaged one", "Download it again")


def test_an_encrypted_member_is_refused(archive, tmp_path):
    flip_bits(archive, b"PK\1\2", 8, 0x1)
    flip_bits(archive, b"PK\3\4", 6, 0x1)
    assert_refused(archive, tmp_path, "encrypted", "Unpack it with another program")


def test_an_unknown_compression_is_refused(archive, tmp_path):
    flip_bits(archive, b"PK\1\2", 10, 0x40)
    flip_bits(archive, b"PK\3\4", 8, 0x40)
    assert_refused(archive, tmp_path, "compression", "Unpack it with another program")


def test_a_file_and_a_folder_of_one_name_are_refused(tmp_path):
    path = tmp_path / "xrays.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("COVID", "a file")
        opened.writestr("COVID/images/a.png", "below it")
    assert_refused(path, tmp_path, "cannot be unpacked", "another folder with COVID_LUNGS_CACHE")


def test_members_cannot_leave_the_folder(tmp_path):
    path = tmp_path / "xrays.zip"
    with zipfile.ZipFile(path, "w") as opened:
        opened.writestr("../../escaped.txt", "out")
        opened.writestr("/rooted.txt", "out")
    folder = unpack(path, tmp_path / "deep" / "er" / "xrays")
    assert sorted(found.name for found in tmp_path.rglob("*.txt")) == ["escaped.txt", "rooted.txt"]
    assert names_below(folder) == ["escaped.txt", "rooted.txt"]


def test_a_cache_that_cannot_be_made_is_named(archive, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COVID_LUNGS_CACHE", str(tmp_path / "file"))
    with refused(str(tmp_path / "file" / "data"), "cannot be made", "COVID_LUNGS_CACHE"):
        find_data(str(archive))

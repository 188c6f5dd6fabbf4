import errno
import io
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
import types
import zipfile
from pathlib import Path

import pytest
from filelock import Timeout
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers.data.archives import UNPACKED, alone, unpack
from helpers.storage import colab
from helpers.storage.errors import CovidLungsError
from tests.support.builders import refused

pytestmark = pytest.mark.usefixtures("cache")
ROOT = Path(__file__).resolve().parents[2]
FILES = {"set/COVID/images/a.png": bytes(range(256)) * 40, "set/COVID/masks/a.png": b"mask" * 99}
MANY = {f"set/COVID/images/{number}.png": b"%d" % number * 99 for number in range(200)}

# Where a number stands in a member's entry of the directory, and how it is packed.
FLAGS, METHOD, CHECKSUM, SIZE = (8, "<H"), (10, "<H"), (16, "<L"), (24, "<L")
KIND, OFFSET = (40, "<H"), (42, "<L")


def write_archive(path: Path, files: dict[str, bytes], method=zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as opened:
        for name, content in files.items():
            opened.writestr(zipfile.ZipInfo(name), content, method)
    return path


def change_entries(archive: Path, field: tuple[int, str], value: int, part: str = "") -> None:
    """Set a number in the directory entry of each member whose name has `part` in it."""
    content, (offset, kind) = bytearray(archive.read_bytes()), field
    start = content.find(b"PK\1\2")
    while start >= 0:
        length = struct.unpack_from("<H", content, start + 28)[0]
        if part in content[start + 46 : start + 46 + length].decode():
            struct.pack_into(kind, content, start + offset, value)
        start = content.find(b"PK\1\2", start + 46)
    archive.write_bytes(content)


def files_below(folder: Path) -> dict[str, bytes]:
    """Map the path of every file below a folder to its content."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (UNPACKED, "xrays.lock")
    }


def names_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A sound archive of two files."""
    return write_archive(tmp_path / "xrays.zip", FILES)


@pytest.fixture
def many(tmp_path: Path) -> Path:
    """A sound archive of 200 files."""
    return write_archive(tmp_path / "many.zip", MANY)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """The folder to unpack into, as it lies in a cache; its parent is there and empty."""
    (tmp_path / "cache" / "data").mkdir(parents=True)
    return tmp_path / "cache" / "data" / "xrays v1.5"


def test_every_file_is_unpacked(archive, target):
    assert unpack(archive, target) == target
    assert files_below(target) == FILES
    assert names_below(target.parent) == [target.name]


def test_an_earlier_folder_is_kept(archive, target):
    unpack(archive, target)
    (target / "mine.txt").write_text("kept")
    with alone(target):
        assert unpack(archive, target) == target, "without waiting for anybody"
    assert (target / "mine.txt").read_text() == "kept"


def test_folders_without_files_and_archives_without_members_are_unpacked(tmp_path, target):
    archive = write_archive(tmp_path / "a.zip", {"COVID/masks/": b"", "./": b""})
    assert (unpack(archive, target) / "COVID" / "masks").is_dir()
    empty = write_archive(tmp_path / "b.zip", {})
    assert files_below(unpack(empty, target.with_name("empty"))) == {}


def test_the_backslashes_of_old_windows_tools_are_slashes(tmp_path, target):
    files = {"set\\COVID\\images\\": b"", "set\\COVID\\masks\\a.png": b"mask", ".\\b.png": b"b"}
    unpack(write_archive(tmp_path / "a.zip", files), target)
    assert files_below(target) == {"set/COVID/masks/a.png": b"mask", "b.png": b"b"}
    assert (target / "set/COVID/images").is_dir()


# Hostile and broken archives


def kind_changed(kind: int):
    def build(path: Path) -> None:
        change_entries(write_archive(path, {**FILES, "odd": b"/etc/passwd"}), KIND, kind, "odd")

    return build


def named(*names: str):
    return lambda path: write_archive(path, {**FILES, **dict.fromkeys(names, b"out")})


def changed(field: tuple[int, str], value: int, part: str = "masks", method=zipfile.ZIP_DEFLATED):
    return lambda path: change_entries(write_archive(path, FILES, method), field, value, part)


def cut_to(share: float):
    def build(path: Path) -> None:
        content = write_archive(path, FILES).read_bytes()
        path.write_bytes(content[: int(share * len(content))])

    return build


PUBLISHER, AGAIN, OTHER = "from its publisher", "Download it again", "Unpack it with another"
NO_ZIP = "not a .zip archive, or a damaged one"
REFUSED = [
    ("a path that escapes", named("set/../../x"), "'set/../../x' leads out", PUBLISHER),
    ("one as Windows reads it", named("set/.. /.. /x"), "leads out of the archive", PUBLISHER),
    ("dots that Windows drops", named("set/.. ./x"), "leads out of the archive", PUBLISHER),
    ("an absolute path", named("/tmp/x"), "'/tmp/x' leads out", PUBLISHER),
    ("one on Windows", named("C:\\x\\a.png"), "leads out of the archive", PUBLISHER),
    ("one beside it", named("C:a.png"), "'C:a.png' leads out", PUBLISHER),
    ("a file that is a folder, too", named("set", "set/a.png"), "'set' is damaged", AGAIN),
    ("a link", kind_changed(stat.S_IFLNK | 0o777), "is neither a file nor a folder", PUBLISHER),
    ("an encrypted member", changed(FLAGS, 0x1), "masks/a.png' is encrypted, or", OTHER),
    ("an unknown compression", changed(METHOD, 9), "or of a rare compression", OTHER),
    ("two of one name on a Mac", named("É.png", "e\u0301.PNG"), "is there twice", PUBLISHER),
    ("an overlap", changed(OFFSET, 9), "masks/a.png' is damaged", AGAIN),
    ("a bomb", changed(SIZE, 2**31), "unpacks to 2.1 GB from 0.0 MB", PUBLISHER),
    ("a checksum", changed(CHECKSUM, 7), "masks/a.png' is damaged (Bad CRC-32", AGAIN),
    ("a size too small", changed(SIZE, 9), "masks/a.png' is damaged", AGAIN),
    ("another kind of file", lambda path: path.write_text("<html>"), NO_ZIP, AGAIN),
    *((f"{share} of a file", cut_to(share), NO_ZIP, AGAIN) for share in (0.2, 0.6, 0.95)),
]


@pytest.mark.parametrize(
    ("build", "reason", "remedy"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_hostile_or_broken_archive_is_refused_and_nothing_left(build, reason, remedy, target):
    archive = target.parents[2] / "xrays.zip"
    build(archive)
    with refused(str(archive), reason, remedy):
        unpack(archive, target)
    assert names_below(target.parent) == []
    assert names_below(archive.parent) == ["cache", "xrays.zip"]


def test_masks_that_shrink_well_are_no_bomb(tmp_path, target):
    archive = write_archive(tmp_path / "masks.zip", {"black.bmp": bytes(2**21)})
    assert unpack(archive, target).is_dir()


def test_an_archive_that_may_not_be_read_is_no_damaged_one(archive, target, monkeypatch):
    def fail(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(zipfile, "ZipFile", fail)
    with refused("xrays.zip", "Permission denied", "mend the permissions"):
        unpack(archive, target)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@given(
    names=st.lists(
        st.one_of(
            st.text("aA./\\: ~é\n", min_size=1, max_size=12),
            st.lists(st.sampled_from(["..", ".", "a", "A", "b ", "", "C:"]), min_size=1).map(
                "/".join
            ),
        ).filter(bool),
        min_size=1,
        max_size=4,
    )
)
@example(names=["../../x"])
@settings(max_examples=100, deadline=None)
def test_whatever_the_names_nothing_leaves_the_folder(names):
    with tempfile.TemporaryDirectory() as name:
        outer = Path(name)
        deeper = outer / "cache" / "data"
        archive = outer / "xrays.zip"
        with zipfile.ZipFile(archive, "w") as opened:
            for member in names:
                opened.writestr(zipfile.ZipInfo(member), "" if member.endswith("/") else member)
        before = files_below(outer)
        try:
            folder = unpack(archive, deeper / "xrays")
        except CovidLungsError:
            assert files_below(outer) == before
        else:
            contents = sorted(files_below(folder).values())
            wanted = sorted(n.encode() for n in names if not n.endswith(("/", "\\")))
            assert contents == wanted
            shutil.rmtree(folder)
            assert files_below(outer) == before


SOUND = io.BytesIO()
write_archive(SOUND, FILES)
SOUND = SOUND.getvalue()
POSITIONS, BYTES = st.integers(0, len(SOUND) - 1), st.integers(0, 255)


@given(changes=st.dictionaries(POSITIONS, BYTES, min_size=1, max_size=3))
@settings(max_examples=100, deadline=None)
def test_whatever_the_damage_no_wrong_file_is_unpacked(changes):
    content = bytearray(SOUND)
    for position, byte in changes.items():
        content[position] = byte
    with tempfile.TemporaryDirectory() as name:
        archive = Path(name) / "xrays.zip"
        archive.write_bytes(content)
        try:
            folder = unpack(archive, Path(name) / "data" / "out")
        except CovidLungsError:
            assert names_below(Path(name) / "data") == []
        else:
            assert set(files_below(folder).values()) <= set(FILES.values())


# Interruptions


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")]
)
def test_an_interrupt_drops_the_files_that_wait_and_leaves_nothing(
    many, target, monkeypatch, error
):
    started = []

    def fail(opened, member, folder) -> None:
        started.append(member)
        (folder / member.filename).write_bytes(b"half")
        if len(started) > 15:
            raise error
        time.sleep(0.01)

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "extract", fail)
        with pytest.raises((KeyboardInterrupt, CovidLungsError)):
            unpack(many, target)
    assert len(started) < len(MANY)
    assert names_below(target.parent) == []


SLOW_UNPACKING = """
import sys, time, zipfile
from pathlib import Path
from helpers.data.archives import unpack

extract = zipfile.ZipFile.extract
def extract_slowly(*arguments):
    extract(*arguments)
    time.sleep(0.05)
zipfile.ZipFile.extract = extract_slowly
unpack(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def wait_until(is_so, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_what_a_killed_process_left_is_unpacked_anew(many, target):
    command = [sys.executable, "-c", SLOW_UNPACKING, str(many), str(target)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        wait_until(lambda: len(files_below(target.parent)) > 10)
        process.kill()
    assert not target.exists()
    (target.with_name(f"{target.name}.partial") / "of another archive.png").touch()
    assert files_below(unpack(many, target)) == MANY
    assert names_below(target.parent) == [target.name]


# Two at once


def test_a_second_process_waits_and_takes_what_the_first_unpacked(archive, target, capsys):
    with alone(target):
        second = threading.Thread(target=unpack, args=(archive, target))
        second.start()
        second.join(0.3)
        assert second.is_alive() and names_below(target.parent) == []
        (target / "mine").mkdir(parents=True)
    second.join(20)
    assert not second.is_alive()
    assert f"{target.name} is being unpacked by another process: waiting" in capsys.readouterr().out
    assert names_below(target) == ["mine"]


def test_the_lock_file_stays_for_those_who_wait_for_it(target):
    with alone(target):
        (lock,) = (target.parents[1] / "locks").iterdir()
        with pytest.raises(Timeout), alone(target, wait=False):
            pass
    assert lock.is_file()
    with alone(target, wait=False), alone(target.with_name("another"), wait=False):
        pass


# Room on the disk


def give_room(monkeypatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=free))


def test_a_disk_without_room_is_named_before_anything_is_written(archive, target, monkeypatch):
    give_room(monkeypatch, 10_240 + 395)
    with refused("xrays.zip", "needs 0.00 GB in", "another folder with COVID_LUNGS_CACHE"):
        unpack(archive, target)
    assert names_below(target.parent) == []
    give_room(monkeypatch, 10_240 + 396)
    assert unpack(archive, target).is_dir()


# Google Drive


@pytest.fixture
def on_drive(archive, tmp_path, monkeypatch) -> Path:
    """The archive of two files, on a Drive that is mounted below `tmp_path`."""
    (tmp_path / "drive" / "MyDrive").mkdir(parents=True)
    monkeypatch.setattr(colab, "MOUNT_POINT", tmp_path / "drive")
    return archive.rename(tmp_path / "drive" / "MyDrive" / "xrays.zip")


def test_an_archive_on_drive_is_copied_and_the_copy_removed(on_drive, target, monkeypatch, capsys):
    opened, open_archive = [], zipfile.ZipFile
    monkeypatch.setattr(zipfile, "ZipFile", lambda path: opened.append(path) or open_archive(path))
    assert files_below(unpack(on_drive, target)) == FILES
    assert opened == [target.with_name(f"{target.name}.copy")]
    assert names_below(target.parent) == [target.name]
    assert capsys.readouterr().out == "xrays.zip is being copied from Google Drive.\n"


def test_a_drive_that_goes_away_says_so_and_leaves_nothing(on_drive, target, monkeypatch):
    def fail(archive, copy):
        copy.write_bytes(archive.read_bytes()[:64])
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", fail)
        with refused(f"Google Drive went away while {on_drive}", "Transport", "mounts Drive"):
            unpack(on_drive, target)
    assert names_below(target.parent) == []
    assert files_below(unpack(on_drive, target)) == FILES


def test_the_copy_from_drive_needs_room(on_drive, target, monkeypatch):
    give_room(monkeypatch, on_drive.stat().st_size - 1)
    with refused(str(on_drive), "needs 0.00 GB", "Make room"):
        unpack(on_drive, target)
    assert names_below(target.parent) == []

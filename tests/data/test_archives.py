import errno
import io
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
import types
import zipfile
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers.data import archives, zip_members
from helpers.data.archives import UNPACKED, unpack
from helpers.data.sources import find_data
from helpers.storage import colab
from helpers.storage.errors import CovidLungsError
from tests.support.builders import refused

pytestmark = pytest.mark.usefixtures("cache")
ROOT = Path(__file__).resolve().parents[2]
FILES = {"set/COVID/images/a.png": bytes(range(256)) * 40, "set/COVID/masks/a.png": b"mask" * 99}
MANY = {f"set/COVID/images/{number}.png": b"%d" % number * 99 for number in range(40)}

# Where a number stands in a member's entry of the directory, and how it is packed.
VERSION, FLAGS, METHOD, CHECKSUM = (6, "<H"), (8, "<H"), (10, "<H"), (16, "<L")
PACKED, SIZE, KIND, OFFSET = (20, "<L"), (24, "<L"), (40, "<H"), (42, "<L")


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


def snapshot(folder: Path) -> dict[str, bytes | None]:
    """Map every path below a folder to its content, folders to None."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
        if path.name != UNPACKED
    }


def files_below(folder: Path) -> dict[str, bytes]:
    return {name: content for name, content in snapshot(folder).items() if content is not None}


def names_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """A sound archive of two files."""
    return write_archive(tmp_path / "xrays.zip", FILES)


@pytest.fixture
def many(tmp_path: Path, monkeypatch) -> Path:
    """A sound archive of forty files, that are handed to the threads one by one."""
    monkeypatch.setattr(archives, "BATCH_BYTES", 1)
    return write_archive(tmp_path / "many.zip", MANY)


@pytest.fixture
def written(monkeypatch) -> list[str]:
    """The names of the members that were written to their end, in order."""
    names, write = [], archives._write

    def note(opened, entry, path) -> None:
        write(opened, entry, path)
        names.append(entry.filename)

    monkeypatch.setattr(archives, "_write", note)
    return names


def test_every_file_is_unpacked(archive, tmp_path):
    folder = unpack(archive, tmp_path / "out" / "xrays")
    assert files_below(folder) == FILES
    assert names_below(tmp_path / "out") == ["xrays"]


def test_what_was_unpacked_before_is_kept(archive, tmp_path, monkeypatch):
    folder = unpack(archive, tmp_path / "out")
    (folder / "mine.txt").write_text("kept")
    monkeypatch.setattr(archives, "FileLock", None)  # waiting for nobody
    assert unpack(archive, folder) == folder
    assert (folder / "mine.txt").read_text() == "kept"


def test_files_are_unpacked_at_the_same_time(archive, tmp_path, monkeypatch):
    both = threading.Barrier(2, timeout=10)
    monkeypatch.setattr(archives, "BATCH_BYTES", 1)
    monkeypatch.setattr(archives, "_write", lambda *arguments: both.wait())
    assert unpack(archive, tmp_path / "out").is_dir()


def test_small_files_go_to_a_thread_together_and_large_ones_alone(tmp_path, monkeypatch):
    files = {str(number): bytes(size) for number, size in enumerate([4, 4, 4, 20, 1, 1])}
    monkeypatch.setattr(archives, "BATCH_BYTES", 10)
    members = zip_members.read_members(write_archive(tmp_path / "a.zip", files))
    assert [len(batch) for batch in archives._batches(members)] == [3, 1, 2]


def test_folders_without_files_and_archives_without_members_are_unpacked(tmp_path):
    archive = write_archive(tmp_path / "a.zip", {"COVID/masks/": b"", "./": b""})
    assert snapshot(unpack(archive, tmp_path / "a")) == {"COVID": None, "COVID/masks": None}
    assert snapshot(unpack(write_archive(tmp_path / "b.zip", {}), tmp_path / "b")) == {}


def test_the_backslashes_of_old_windows_tools_are_slashes(tmp_path):
    files = {"set\\COVID\\images\\": b"", "set\\COVID\\masks\\a.png": b"mask", ".\\b.png": b"b"}
    folder = unpack(write_archive(tmp_path / "a.zip", files), tmp_path / "a")
    assert files_below(folder) == {"set/COVID/masks/a.png": b"mask", "b.png": b"b"}
    assert (folder / "set/COVID/images").is_dir()


def test_what_a_mac_adds_is_passed_over(tmp_path):
    files = {"__MACOSX/set/._a.png": b"fork", "set/.DS_Store": b"view", "set/a.png": b"a"}
    folder = unpack(write_archive(tmp_path / "a.zip", files), tmp_path / "a")
    assert snapshot(folder) == {"set": None, "set/a.png": b"a"}


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


def byte_changed(position: int):
    def build(path: Path) -> None:
        content = bytearray(write_archive(path, FILES).read_bytes())
        content[position] ^= 0xFF
        path.write_bytes(content)

    return build


def two_of_one_name(path: Path) -> None:
    write_archive(path, {**FILES, "set/1.png": b"one", "set/2.png": b"two"})
    path.write_bytes(path.read_bytes().replace(b"set/2.png", b"set/1.png"))


def name_that_is_no_text(path: Path) -> None:
    write_archive(path, {**FILES, "é": b""})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xfe"))


def many_members_of_4_gb(path: Path) -> None:
    write_archive(path, {f"{number}.png": b"" for number in range(480)})
    change_entries(path, SIZE, 2**32 - 2)


def bomb_among_xrays(path: Path) -> None:
    change_entries(write_archive(path, FILES), SIZE, 2**31, "masks")
    change_entries(path, PACKED, 2**24, "images")


def three_members_of_900_mb(path: Path) -> None:
    write_archive(path, {**FILES, "1.png": b"", "2.png": b"", "3.png": b""})
    for number in "123":
        change_entries(path, SIZE, 900_000_000, f"{number}.png")


PUBLISHER, AGAIN, OTHER = (
    "from its publisher",
    "Download it again",
    "Unpack it with another program",
)
NO_ZIP = "not a .zip archive, or a damaged one"
REFUSED = [
    ("a path that escapes", named("set/../../x"), "'set/../../x' leads out", PUBLISHER),
    ("one with backslashes", named("set\\..\\..\\x"), "leads out of the archive", PUBLISHER),
    ("one as Windows reads it", named("set/.. /.. /x"), "leads out of the archive", PUBLISHER),
    ("an absolute path", named("/tmp/x"), "'/tmp/x' is an absolute path", PUBLISHER),
    ("a path on a drive", named("C:\\x"), "is an absolute path", PUBLISHER),
    ("a path on a server", named("\\\\server\\share\\x"), "is an absolute path", PUBLISHER),
    ("a file without a name", named("./."), "'./.' is a file without a name", PUBLISHER),
    ("a long name", named("x" * 256), "x'… is longer than a disk takes", PUBLISHER),
    ("a long path", named("x/" * 600 + "x"), "is longer than a disk takes", PUBLISHER),
    ("a link", kind_changed(stat.S_IFLNK | 0o777), "'odd' is a symbolic link", PUBLISHER),
    ("a pipe", kind_changed(stat.S_IFIFO | 0o666), "'odd' is a pipe", PUBLISHER),
    ("a device", kind_changed(stat.S_IFBLK | 0o666), "'odd' is a device", PUBLISHER),
    ("an encrypted member", changed(FLAGS, 0x1), "masks/a.png' is encrypted", OTHER),
    ("an unknown compression", changed(METHOD, 9), "not supported (method 9)", OTHER),
    ("two members of one name", two_of_one_name, "'set/1.png' is there twice", PUBLISHER),
    ("two of one name on a Mac", named("É.png", "e\u0301.PNG"), "is there twice", PUBLISHER),
    ("a file and a folder", named("set/covid"), "'set/covid' is a file and a folder", PUBLISHER),
    ("an overlap", changed(OFFSET, 9), "masks/a.png' shares bytes with another", PUBLISHER),
    ("a cut member", changed(PACKED, 2**20), "masks/a.png' is cut off", AGAIN),
    ("a bomb", changed(SIZE, 2**31), "masks/a.png' unpacks to 2.1 GB from 0.0 MB", PUBLISHER),
    ("a bomb among X-rays", bomb_among_xrays, "masks/a.png' unpacks to 2.1 GB", PUBLISHER),
    ("a bomb in parts", three_members_of_900_mb, "the archive unpacks to 2.7 GB", PUBLISHER),
    ("too many bytes", many_members_of_4_gb, "2,062 GB, more than 2,000 GB", OTHER),
    ("a checksum", changed(CHECKSUM, 7), "masks/a.png' is damaged (Bad CRC-32", AGAIN),
    ("a size too small", changed(SIZE, 9), "masks/a.png' is damaged", AGAIN),
    ("a size too large", changed(SIZE, 999), "is damaged (396 bytes, not 999)", AGAIN),
    ("a name that is no text", name_that_is_no_text, NO_ZIP, AGAIN),
    ("a version to come", changed(VERSION, 99), NO_ZIP, AGAIN),
    ("another kind of file", lambda path: path.write_text("<html>"), NO_ZIP, AGAIN),
    ("an empty file", lambda path: path.touch(), NO_ZIP, AGAIN),
    *((f"{share} of a file", cut_to(share), NO_ZIP, AGAIN) for share in (0.2, 0.6, 0.95)),
    *((f"byte {at}", byte_changed(at), "images/a.png' is damaged", AGAIN) for at in (52, 64, 79)),
]


@pytest.mark.parametrize(
    ("build", "reason", "remedy"), [row[1:] for row in REFUSED], ids=[row[0] for row in REFUSED]
)
def test_a_hostile_or_broken_archive_is_refused_and_nothing_left(build, reason, remedy, tmp_path):
    (tmp_path / "out").mkdir()
    build(tmp_path / "xrays.zip")
    before = snapshot(tmp_path)
    with refused(str(tmp_path / "xrays.zip"), reason, remedy):
        unpack(tmp_path / "xrays.zip", tmp_path / "out" / "xrays")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("ending", ["tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_another_kind_of_archive_is_to_be_unpacked_elsewhere(ending, tmp_path):
    path, mode = tmp_path / f"xrays.{ending}", ending.partition(".")[2]
    (tmp_path / "a.png").touch()
    with tarfile.open(path, f"w:{mode}") as opened:
        opened.add(tmp_path / "a.png")
    with refused(path.name, f".{ending} archive, and only .zip is unpacked here", OTHER):
        find_data(str(path))


@pytest.mark.parametrize(("ending", "start"), [("rar", b"Rar!\x1a"), ("7z", b"7z\xbc\xaf'\x1c")])
def test_an_archive_is_told_by_its_content(ending, start, tmp_path):
    (tmp_path / "xrays.zip").write_bytes(start + bytes(600))
    with refused("xrays.zip", f"a .{ending} archive, and only .zip is unpacked here", OTHER):
        find_data(str(tmp_path / "xrays.zip"))


def test_too_many_members_are_refused(archive, tmp_path, monkeypatch):
    monkeypatch.setattr(zip_members, "MOST_MEMBERS", 2)
    unpack(archive, tmp_path / "enough")
    monkeypatch.setattr(zip_members, "MOST_MEMBERS", 1)
    with refused("xrays.zip", "2 members, more than 1", OTHER):
        unpack(archive, tmp_path / "more")


def test_masks_that_shrink_well_are_no_bomb(tmp_path):
    archive = write_archive(tmp_path / "masks.zip", {"black.bmp": bytes(2**21)})
    assert unpack(archive, tmp_path / "masks").is_dir()


def test_the_limits_leave_room_for_the_largest_open_data_sets():
    assert zip_members.MOST_MEMBERS > 2 * 380_000
    assert zip_members.MOST_BYTES > 1.1e12


def test_an_archive_that_may_not_be_read_is_no_damaged_one(archive, tmp_path, monkeypatch):
    def fail(path):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(archives, "read_members", fail)
    with refused("xrays.zip", "Permission denied", "mend the permissions"):
        unpack(archive, tmp_path / "out")


def test_a_cache_that_cannot_be_made_is_named(archive, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("COVID_LUNGS_CACHE", str(tmp_path / "file"))
    with refused(str(tmp_path / "file" / "data"), "cannot be unpacked into", "COVID_LUNGS_CACHE"):
        find_data(str(archive))


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
        (outer / "deep" / "er").mkdir(parents=True)
        archive = outer / "xrays.zip"
        with zipfile.ZipFile(archive, "w") as opened:
            for member in names:
                opened.writestr(zipfile.ZipInfo(member), "" if member.endswith("/") else member)
        before = snapshot(outer)
        try:
            folder = unpack(archive, outer / "deep" / "er" / "xrays")
        except CovidLungsError:
            assert snapshot(outer) == before
        else:
            contents = sorted(files_below(folder).values())
            wanted = sorted(n.encode() for n in names if not n.endswith(("/", "\\")))
            assert contents == wanted
            shutil.rmtree(folder)
            assert snapshot(outer) == before


def archive_bytes() -> bytes:
    stream = io.BytesIO()
    write_archive(stream, FILES)
    return stream.getvalue()


SOUND = archive_bytes()
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
            folder = unpack(archive, Path(name) / "out")
        except CovidLungsError:
            assert names_below(Path(name)) == ["xrays.zip"]
        else:
            assert set(files_below(folder).values()) <= set(FILES.values())


# Interruptions


def interrupt_after(count: int, error: BaseException, monkeypatch) -> None:
    """Let so many members be written, then fail."""
    write, started = archives._write, []

    def fail(opened, entry, path) -> None:
        started.append(path)
        if len(started) > count:
            path.write_bytes(b"half")
            raise error
        write(opened, entry, path)

    monkeypatch.setattr(archives, "_write", fail)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.ENOSPC, "disk full")])
def test_the_next_call_unpacks_only_what_is_missing(many, tmp_path, written, monkeypatch, error):
    with monkeypatch.context() as patch:
        interrupt_after(15, error, patch)
        with pytest.raises((KeyboardInterrupt, CovidLungsError)):
            unpack(many, tmp_path / "out" / "many v1.5")
    first = list(written)
    assert len(first) == 15
    assert names_below(tmp_path / "out") == ["many v1.5.partial"]
    folder = unpack(many, tmp_path / "out" / "many v1.5")
    assert sorted(written) == sorted(MANY)
    assert files_below(folder) == MANY
    assert names_below(tmp_path / "out") == ["many v1.5"]


def test_an_interrupt_drops_the_files_that_wait(many, tmp_path, monkeypatch):
    started = []

    def write(opened, entry, path) -> None:
        started.append(path)
        if len(started) == 3:
            raise KeyboardInterrupt
        time.sleep(0.01)

    monkeypatch.setattr(archives, "_write", write)
    with pytest.raises(KeyboardInterrupt):
        unpack(many, tmp_path / "many")
    assert len(started) < len(MANY)


def test_a_full_disk_says_that_the_next_call_goes_on(many, tmp_path, monkeypatch):
    interrupt_after(5, OSError(errno.ENOSPC, "No space left on device"), monkeypatch)
    with refused(str(many), "(No space left on device)", "the next call goes on from there"):
        unpack(many, tmp_path / "many")


def test_a_half_written_member_and_one_of_other_content_are_unpacked_again(many, tmp_path, written):
    content = MANY["set/COVID/images/2.png"]
    folder = tmp_path / "out.partial" / "set" / "COVID" / "images"
    folder.mkdir(parents=True)
    (folder / "1.png").write_bytes(b"1" * 50)
    (folder / "2.png").write_bytes(content)
    (folder / "3.png").write_bytes(bytes(99))
    assert files_below(unpack(many, tmp_path / "out")) == MANY
    assert sorted(set(MANY) - set(written)) == ["set/COVID/images/2.png"]


@pytest.mark.parametrize(
    "left", ["set/COVID/images/other.png", "set/Normal/", "set/COVID/images/1.png/"]
)
def test_what_another_archive_left_does_not_mingle(many, tmp_path, left):
    (tmp_path / "out.partial" / left).parent.mkdir(parents=True)
    if left.endswith("/"):
        (tmp_path / "out.partial" / left).mkdir()
    else:
        (tmp_path / "out.partial" / left).touch()
    folder = unpack(many, tmp_path / "out")
    assert files_below(folder) == MANY
    assert names_below(folder / "set") == ["COVID"]


def test_a_damaged_archive_takes_the_work_of_earlier_calls_with_it(many, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_after(15, KeyboardInterrupt(), patch)
        with pytest.raises(KeyboardInterrupt):
            unpack(many, tmp_path / "out" / "many")
    change_entries(many, CHECKSUM, 7, "/39.png")
    with refused("many.zip", "'set/COVID/images/39.png' is damaged", AGAIN):
        unpack(many, tmp_path / "out" / "many")
    assert names_below(tmp_path / "out") == []


SLOW_UNPACKING = """
import sys, time
from pathlib import Path
from helpers.data import archives

write = archives._write
def write_slowly(*arguments):
    write(*arguments)
    time.sleep(0.05)
archives._write = write_slowly
archives.unpack(Path(sys.argv[1]), Path(sys.argv[2]))
"""


def wait_until(is_so, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_a_killed_process_leaves_its_work_to_the_next_one(many, tmp_path, written):
    target = tmp_path / "out" / "many"
    command = [sys.executable, "-c", SLOW_UNPACKING, str(many), str(target)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        wait_until(lambda: len(files_below(tmp_path / "out")) > 10)
        process.kill()
    assert not target.exists()
    assert files_below(unpack(many, target)) == MANY
    assert len(written) < len(MANY) - 5
    assert names_below(tmp_path / "out") == ["many"]


# Two at once


def test_two_that_unpack_one_archive_do_the_work_once(many, tmp_path, written):
    target, start = tmp_path / "out" / "many", threading.Barrier(2, timeout=10)

    def run() -> None:
        start.wait()
        unpack(many, target)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(written) == sorted(MANY)
    assert files_below(target) == MANY
    assert names_below(tmp_path / "out") == ["many"]


def test_a_second_process_waits_and_takes_what_the_first_unpacked(archive, tmp_path, capsys):
    target = tmp_path / "out"
    with FileLock(tmp_path / "out.lock"):
        second = threading.Thread(target=unpack, args=(archive, target))
        second.start()
        second.join(0.3)
        assert second.is_alive() and names_below(tmp_path) == ["out.lock", "xrays.zip"]
        (target / "mine").mkdir(parents=True)
    second.join(20)
    assert not second.is_alive()
    assert "out is being unpacked by another process: waiting" in capsys.readouterr().out
    assert names_below(target) == ["mine"]
    assert names_below(tmp_path) == ["out", "xrays.zip"]


# Room on the disk


def give_room(monkeypatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=free))


def test_a_disk_without_room_is_named_before_anything_is_written(archive, tmp_path, monkeypatch):
    (tmp_path / "out").mkdir()
    give_room(monkeypatch, 4 * 4096 - 1)  # 10,240 and 396 bytes fill three blocks and one
    before = snapshot(tmp_path)
    with refused("xrays.zip", "needs 0.00 GB in", "another folder with COVID_LUNGS_CACHE"):
        unpack(archive, tmp_path / "out" / "xrays")
    assert snapshot(tmp_path) == before
    give_room(monkeypatch, 4 * 4096)
    assert unpack(archive, tmp_path / "out" / "xrays").is_dir()


def test_what_was_unpacked_before_needs_no_more_room(archive, tmp_path, monkeypatch):
    name, content = next(iter(FILES.items()))
    (tmp_path / "out.partial" / name).parent.mkdir(parents=True)
    (tmp_path / "out.partial" / name).write_bytes(content)
    give_room(monkeypatch, 4096)
    assert files_below(unpack(archive, tmp_path / "out")) == FILES


# Google Drive


class FlakyDrive:
    """Google Drive as its mount shows it: notes what is read, and may go away in the middle."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.read: list[tuple[int, int]] = []  # from, to
        self.ends_at: int | None = None
        self.error: OSError | None = OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    def open(self, path: Path, *arguments):
        opened = io.FileIO(path, "r")
        drive = self

        class Stream(io.RawIOBase):
            def seek(self, position: int) -> int:
                return opened.seek(position)

            def read(self, size: int) -> bytes:
                start = opened.tell()
                if drive.ends_at is not None and start >= drive.ends_at:
                    if drive.error is None:
                        return b""
                    raise drive.error
                content = opened.read(size)
                drive.read.append((start, start + len(content)))
                return content

            def close(self) -> None:
                opened.close()
                super().close()

        return Stream()


@pytest.fixture
def drive(tmp_path, monkeypatch) -> FlakyDrive:
    """Drive, mounted below `tmp_path`, and read in chunks of 64 bytes."""
    (tmp_path / "drive" / "MyDrive").mkdir(parents=True)
    monkeypatch.setattr(colab, "MOUNT_POINT", tmp_path / "drive")
    monkeypatch.setattr(archives, "CHUNK", 64)
    stand_in, really_open = FlakyDrive(tmp_path / "drive" / "MyDrive"), Path.open

    def open_path(path, *arguments, **options):
        is_there = path.is_relative_to(stand_in.folder)
        return (stand_in.open if is_there else really_open)(path, *arguments, **options)

    monkeypatch.setattr(Path, "open", open_path)
    return stand_in


@pytest.fixture
def on_drive(drive, archive) -> Path:
    """The archive of two files, on Drive; `drive` notes how it is read."""
    return archive.rename(drive.folder / "xrays.zip")


def test_an_archive_on_drive_is_copied_once_and_the_copy_removed(on_drive, drive, tmp_path, capfd):
    assert files_below(unpack(on_drive, tmp_path / "out" / "xrays")) == FILES
    size = on_drive.stat().st_size
    assert drive.read == [(start, min(start + 64, size)) for start in range(0, size, 64)] + [
        (size, size)
    ]
    assert names_below(tmp_path / "out") == ["xrays"]
    assert capfd.readouterr().err == "", "no bar where nobody looks"


def test_a_drive_that_goes_away_says_so_and_the_copy_goes_on(on_drive, drive, tmp_path):
    drive.ends_at = 128
    with refused(
        f"Google Drive went away while {on_drive}", "Transport endpoint", "goes on from there"
    ):
        unpack(on_drive, tmp_path / "out" / "xrays")
    assert names_below(tmp_path / "out") == ["xrays.copy"]
    assert (tmp_path / "out" / "xrays.copy").stat().st_size == 128
    drive.ends_at, drive.read = None, []
    assert files_below(unpack(on_drive, tmp_path / "out" / "xrays")) == FILES
    assert drive.read[0] == (128, 192)
    assert names_below(tmp_path / "out") == ["xrays"]


def test_a_drive_that_gives_too_little_is_named(on_drive, drive, tmp_path):
    drive.ends_at, drive.error = 128, None
    with refused(str(on_drive), "gave 128 bytes of", "what was copied is kept"):
        unpack(on_drive, tmp_path / "xrays")


def test_an_archive_that_changed_on_drive_is_copied_anew(on_drive, tmp_path):
    (tmp_path / "xrays.copy").write_bytes(bytes(9999))
    with refused(str(on_drive), "changed while it was copied", "Run this again"):
        unpack(on_drive, tmp_path / "xrays")
    assert files_below(unpack(on_drive, tmp_path / "xrays")) == FILES


def test_the_copy_from_drive_needs_room(on_drive, drive, tmp_path, monkeypatch):
    give_room(monkeypatch, on_drive.stat().st_size - 1)
    with refused(str(on_drive), "needs 0.00 GB", "Make room"):
        unpack(on_drive, tmp_path / "out" / "xrays")
    assert drive.read == [] and names_below(tmp_path / "out") == []


def test_a_fault_of_the_local_disk_is_not_taken_for_drive_s(on_drive, tmp_path):
    (tmp_path / "xrays.copy").mkdir()
    with refused(str(on_drive), "cannot be unpacked into", "mend the permissions"):
        unpack(on_drive, tmp_path / "xrays")


def test_a_refused_archive_on_drive_leaves_no_copy(drive, archive, tmp_path):
    change_entries(archive, CHECKSUM, 7)
    on_drive = archive.rename(drive.folder / "xrays.zip")
    with refused(str(on_drive), "is damaged", AGAIN):
        unpack(on_drive, tmp_path / "out" / "xrays")
    assert names_below(tmp_path / "out") == []


def test_what_was_unpacked_from_drive_is_found_again_by_its_size_and_date(drive, data_set, cache):
    archive = drive.folder / "real.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        for path in data_set.root.rglob("*.png"):
            opened.write(path, path.relative_to(data_set.root).as_posix())
    first = find_data(str(archive))
    count = len(drive.read)
    assert find_data(str(archive)) == first and len(drive.read) == count
    assert names_below(cache / "data") == [first.root.name]

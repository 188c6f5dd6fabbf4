"""Archives: unpack a .zip to the local disk, whole or not at all."""

import shutil
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PureWindowsPath
from posixpath import normpath

from filelock import FileLock, Timeout

from helpers.data.threads import read_all
from helpers.storage.colab import on_drive, reading
from helpers.storage.errors import CovidLungsError

UNPACKED = ".unpacked-by-covid-lungs"  # marks a folder that is ours, and so may be removed
LOCKS = "locks"  # the folder of the lock files, beside the one that archives are unpacked into
METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # those that every tool writes by default
ENCRYPTED = 1  # a bit of a member's flags
# Masks as BMP shrink 240-fold (measured), a bomb up to 1,032-fold, the most that this compression
# can. What unpacks to less than a GiB does no harm.
MOST_SHRINKAGE = 300
HARMLESS_BYTES = 2**30
# What zipfile raises at damage, which may be in an archive's names and numbers, too.
DAMAGE = (
    *(zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError),
    IsADirectoryError,  # one name for a file and a folder
)
DISTRUST = "Nothing was unpacked: download the archive from its publisher, or pack it anew."


class ArchiveError(Exception):
    """A fault of an archive with its remedy, without the archive's name."""


def unpack(archive: Path, target: Path) -> Path:
    """Unpack a .zip into the folder `target` and return it; an earlier one is kept.

    The work is done in `<target>.partial`, which is renamed at the end. An archive on Google Drive
    is first copied beside it. While one process unpacks, others that want the same wait for it.

    Raises:
        CovidLungsError: the file is no .zip, is damaged, or must not be unpacked; or the disk is
            full or Drive went away. Nothing is left of it.
    """
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with alone(target):
            if not target.is_dir():  # it may have come while this process waited
                _unpack(archive, target)
    except ArchiveError as error:
        raise CovidLungsError(f"{archive}: {error}") from error
    except OSError as error:
        raise CovidLungsError(
            f"{archive}: cannot be unpacked into {target.parent} ({error.strerror or error}). Make "
            "room or mend the permissions, or choose another folder with COVID_LUNGS_CACHE."
        ) from error
    return target


@contextmanager
def alone(target: Path, wait: bool = True) -> Iterator[None]:
    """Keep other processes from unpacking into `target` or removing it.

    A lock file that was removed meanwhile counts for nothing: filelock then takes a new one.

    Raises:
        Timeout: another process has it, and `wait` is false.
    """
    locks = target.parent.with_name(LOCKS)
    locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(locks / f"{target.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        if not wait:
            raise
        print(f"{target.name} is being unpacked by another process: waiting for it.")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _unpack(archive: Path, target: Path) -> None:
    """Copy, check and unpack an archive, and leave the folder `target` or nothing."""
    partial = target.with_name(f"{target.name}.partial")
    copy = target.with_name(f"{target.name}.copy")
    shutil.rmtree(partial, ignore_errors=True)  # a killed process left it
    try:
        local = _copy(archive, copy) if on_drive(archive) else archive
        with _open(local) as opened:
            unpacked = _check(opened.infolist(), local.stat().st_size)
            require_room(archive, target.parent, unpacked)
            _extract(opened, partial, f"unpacking {archive.name}")
        (partial / UNPACKED).touch()
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        copy.unlink(missing_ok=True)


def _copy(archive: Path, copy: Path) -> Path:
    """Copy an archive from Drive, where small reads are slow."""
    with reading(archive):
        require_room(archive, copy.parent, archive.stat().st_size)
        print(f"{archive.name} is being copied from Google Drive.")
        shutil.copyfile(archive, copy)
    return copy


def require_room(name: str | Path, folder: Path, needed: int) -> None:
    """Refuse to write so many bytes for `name` if the disk of a folder has less room.

    Raises:
        CovidLungsError: it has less.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CovidLungsError(
            f"{name}: needs {needed / 1e9:.2f} GB in {folder}, which has {free / 1e9:.2f} GB "
            "free. Make room, or choose another folder with COVID_LUNGS_CACHE."
        )


def _open(archive: Path) -> zipfile.ZipFile:
    """Open an archive."""
    try:
        return zipfile.ZipFile(archive)
    except DAMAGE as error:
        raise ArchiveError(
            f"not a .zip archive, or a damaged one ({error}). Download it again. An archive of "
            "another kind, such as .rar or .tar, you have to unpack yourself: give the folder."
        ) from error


def _check(members: Sequence[zipfile.ZipInfo], size: int) -> int:
    """Return the bytes that an archive of `size` bytes unpacks to; refuse a dangerous one."""
    unpacked = sum(member.file_size for member in members)
    if unpacked > max(HARMLESS_BYTES, MOST_SHRINKAGE * size):
        sizes = f"{unpacked / 1e9:,.1f} GB from {size / 1e6:,.1f} MB"
        raise ArchiveError(f"unpacks to {sizes}, as no X-rays do. {DISTRUST}")
    files = set()
    for member in members:
        _check_member(member)
        # Some disks take names for one, whatever their case or accents.
        path = normpath(unicodedata.normalize("NFC", member.filename).casefold())
        if path in files and not member.is_dir():
            raise ArchiveError(f"{path!r} is there twice. {DISTRUST}")
        files.add(path)
    return unpacked


def _check_member(member: zipfile.ZipInfo) -> None:
    """Refuse a member that leads out of the folder, or is no file or folder that can be read."""
    name = f"{member.filename[:80]!r}"
    # Old Windows tools write a backslash for a slash.
    member.filename = member.filename.replace("\\", "/")
    first, *others = member.filename.split("/")
    # Windows drops dots and spaces at the end of a name: it takes ".. " for "..".
    dots = any(part.strip(" .") == "" for part in (first, *others) if part not in ("", "."))
    if first == "" or dots or PureWindowsPath(member.filename).drive:
        raise ArchiveError(f"{name} leads out of the archive. {DISTRUST}")
    if stat.S_IFMT(member.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveError(f"{name} is neither a file nor a folder, but such as a link. {DISTRUST}")
    if member.flag_bits & ENCRYPTED or member.compress_type not in METHODS:
        raise ArchiveError(
            f"{name} is encrypted, or of a rare compression. Unpack it with another program and "
            "give the folder."
        )


def _extract(opened: zipfile.ZipFile, folder: Path, description: str) -> None:
    """Write all members below `folder`, in threads, since zlib works outside Python's lock."""
    folder.mkdir()
    places = {member.filename.rpartition("/")[0] for member in opened.infolist()}
    for place in sorted(places):  # so that no thread need
        (folder / place).mkdir(parents=True, exist_ok=True)

    def write(member: zipfile.ZipInfo) -> None:
        try:
            opened.extract(member, folder)  # which compares the checksum
        except DAMAGE as error:
            raise ArchiveError(
                f"{member.filename!r} is damaged ({error}). Download it again."
            ) from error

    for _ in read_all(write, opened.infolist(), description):
        pass

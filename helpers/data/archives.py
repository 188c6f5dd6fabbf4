"""Archives: unpack a .zip to the local disk, whole or not at all, going on where a call stopped."""

import shutil
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath

from filelock import FileLock, Timeout
from tqdm import tqdm

from helpers.data.threads import read_all
from helpers.data.zip_members import DAMAGE, DOWNLOAD_AGAIN, ArchiveError, Member, read_members
from helpers.storage.colab import on_drive, reading
from helpers.storage.errors import CovidLungsError

CHUNK = 2**20  # bytes read at once
BATCH_BYTES = 2**20  # a thread's work at a time, some forty X-rays
UNPACKED = ".unpacked-by-covid-lungs"  # in a folder that is ours, and so may be removed
DISK_BLOCK = 4096  # bytes: a file takes whole blocks


def unpack(archive: Path, target: Path) -> Path:
    """Unpack a .zip into the folder `target` and return it; one unpacked before is kept.

    The work is done in `<target>.partial`, which is renamed at the end and which an interrupted
    call leaves to the next one. An archive on Google Drive is first copied beside it. While one
    process unpacks, others that want the same wait for it.

    Raises:
        CovidLungsError: the file is no .zip, is damaged, or must not be unpacked, and nothing is
            left; or the disk is full or Drive went away, and the next call goes on from there.
    """
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with alone(target):
            if not target.is_dir():  # it may have come while this process waited
                _unpack(archive, target)
    except OSError as error:
        raise CovidLungsError(
            f"{archive}: cannot be unpacked into {target.parent} ({error.strerror}). Make room or "
            "mend the permissions, or choose another folder with COVID_LUNGS_CACHE. What was "
            "unpacked is kept, and the next call goes on from there."
        ) from error
    return target


@contextmanager
def alone(target: Path, wait: bool = True) -> Iterator[None]:
    """Keep other processes from `target` meanwhile.

    Raises:
        Timeout: another one unpacks it, and that is not waited for.
    """
    path = _beside(target, "lock")
    lock = FileLock(path)
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
        with suppress(OSError):  # Windows removes no open file
            path.unlink()  # while it is held: whoever waits for it notices, and makes a new one
        lock.release()


def _unpack(archive: Path, target: Path) -> None:
    """Copy, judge and unpack an archive; what an error leaves stays, unless it is the archive's."""
    partial, copy = _beside(target, "partial"), _beside(target, "copy")
    try:
        local = _copy(archive, copy) if on_drive(archive) else archive
        members = read_members(local)
        _clear_others(partial, members)
        missing = _missing(partial, members)
        _require_room(archive, target.parent, _bytes_on_disk(missing))
        _make_folders(partial, members)
        _extract(local, missing, partial, f"unpacking {archive.name}")
    except ArchiveError as error:
        shutil.rmtree(partial, ignore_errors=True)
        copy.unlink(missing_ok=True)
        raise CovidLungsError(f"{archive}: {error}") from error
    (partial / UNPACKED).touch()
    partial.rename(target)
    copy.unlink(missing_ok=True)


def _beside(target: Path, ending: str) -> Path:
    """Return a path of the same name with one more ending."""
    return target.with_name(f"{target.name}.{ending}")


def _copy(archive: Path, copy: Path) -> Path:
    """Copy an archive from Drive, where small reads are slow; go on from what was copied before."""
    with reading(archive):
        size = archive.stat().st_size
    done = copy.stat().st_size if copy.exists() else 0
    _require_room(archive, copy.parent, size - done)
    name, unit = f"copying {archive.name}", {"unit": "B", "unit_scale": True}
    bar = tqdm(desc=name, total=size, initial=done, disable=None, **unit)
    with bar, copy.open("ab") as target:
        for chunk in _read_chunks(archive, done):
            target.write(chunk)
            bar.update(len(chunk))
    copied = copy.stat().st_size
    if copied > size:
        raise ArchiveError("changed while it was copied", "Run this again.")
    if copied < size:
        raise CovidLungsError(
            f"{archive}: Google Drive gave {copied:,} bytes of {size:,}. Run this again: what was "
            "copied is kept, and the next call goes on from there."
        )
    return copy


def _read_chunks(archive: Path, start: int) -> Iterator[bytes]:
    """Yield the bytes of a file on Drive from `start` on."""
    with reading(archive), archive.open("rb") as source:
        source.seek(start)
        while chunk := source.read(CHUNK):
            yield chunk


def _require_room(archive: Path, folder: Path, needed: int) -> None:
    """Stop before the disk is full, which would harm whatever else writes to it."""
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise CovidLungsError(
            f"{archive}: needs {needed / 1e9:.2f} GB in {folder}, which has {free / 1e9:.2f} GB "
            "free. Make room, or choose another folder with COVID_LUNGS_CACHE."
        )


def _bytes_on_disk(members: Sequence[Member]) -> int:
    """Return how much disk the members take."""
    return sum(-(-member.info.file_size // DISK_BLOCK) * DISK_BLOCK for member in members)


def _clear_others(folder: Path, members: Sequence[Member]) -> None:
    """Remove a folder that another archive was being unpacked into: its files must not mingle."""
    folders, files = _folders(members), {member.path for member in members if not member.is_folder}
    for path in folder.rglob("*"):
        expected = folders if path.is_dir() else {*files, UNPACKED}
        if path.relative_to(folder).as_posix() not in expected:
            shutil.rmtree(folder)
            return


def _folders(members: Sequence[Member]) -> set[str]:
    """Return the POSIX paths of all folders that the members lie in, "." for the outermost."""
    direct = {m.path if m.is_folder else m.path.rpartition("/")[0] for m in members}
    paths = [PurePosixPath(path) for path in direct]
    return {".", *(str(folder) for path in paths for folder in (path, *path.parents))}


def _make_folders(folder: Path, members: Sequence[Member]) -> None:
    """Make every folder, so that the threads need not."""
    for path in _folders(members):
        (folder / path).mkdir(parents=True, exist_ok=True)


def _missing(folder: Path, members: Sequence[Member]) -> list[Member]:
    """Return the files that are not below `folder` in full: a killed call leaves half a file."""
    files = [member for member in members if not member.is_folder]
    if not folder.is_dir():
        return files
    whole = read_all(lambda member: _is_whole(folder / member.path, member.info), files, "checking")
    return [member for member, is_whole in zip(files, whole, strict=True) if not is_whole]


def _extract(archive: Path, files: Sequence[Member], folder: Path, description: str) -> None:
    """Write files below `folder`, in threads, since zlib and the disk work outside Python's lock.

    At an error or interrupt the batches still waiting are dropped.
    """
    bar = tqdm(desc=description, total=len(files), unit="file", disable=None)
    # The threads share one open archive, which locks its own reads; each would read its list anew.
    with bar, zipfile.ZipFile(archive) as opened, ThreadPoolExecutor() as pool:

        def write(batch: list[Member]) -> int:
            for member in batch:
                _write(opened, member.info, folder / member.path)
            return len(batch)

        for count in pool.map(write, _batches(files)):
            bar.update(count)


def _batches(files: Sequence[Member]) -> Iterator[list[Member]]:
    """Yield files that are small together: to hand over each alone takes as long as to write it."""
    batch, size = [], 0
    for member in files:
        batch.append(member)
        size += member.info.file_size
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def _is_whole(path: Path, entry: zipfile.ZipInfo) -> bool:
    """Return whether an earlier call unpacked a member in full: a killed one leaves half a file."""
    if not path.is_file() or path.stat().st_size != entry.file_size:
        return False
    checksum = 0
    with path.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            checksum = zlib.crc32(chunk, checksum)
    return checksum == entry.CRC


def _write(opened: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    """Write a member; zipfile itself compares the checksum, and writes no more than was said."""
    try:
        with opened.open(entry) as source, path.open("wb") as target:
            shutil.copyfileobj(source, target, CHUNK)
            written = target.tell()
    except DAMAGE as error:
        raise ArchiveError(f"{entry.filename!r} is damaged ({error})", DOWNLOAD_AGAIN) from error
    if written != entry.file_size:
        fault = f"{entry.filename!r} is damaged ({written:,} bytes, not {entry.file_size:,})"
        raise ArchiveError(fault, DOWNLOAD_AGAIN)

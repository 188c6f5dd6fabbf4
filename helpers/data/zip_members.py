"""Zip members: what an archive would unpack, judged before anything is written."""

import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

# The database has 42,330 files in 0.8 GB. The largest open sets of X-rays have 160,000 (PadChest,
# 1 TB) to 380,000 (MIMIC-CXR, 0.6 TB). zipfile takes 0.6 GB of memory for a million members.
MOST_MEMBERS = 1_000_000
MOST_BYTES = 2 * 10**12
# X-rays as BMP shrink 2-fold, masks as BMP 240-fold (measured), a bomb nearly 1,032-fold, which is
# the most that this compression can. What unpacks to less than a GiB does no harm.
MOST_SHRINKAGE = 300
HARMLESS_BYTES = 2**30
LONGEST_NAME, LONGEST_PATH = 255, 1024  # bytes, on common disks; macOS takes 1,024 for a path

METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}  # those that every tool writes by default
ENCRYPTED, PATCHED = 0x41, 0x20  # bits of a member's flags
# How archives of other kinds begin: the bytes, where they stand, and the ending.
OTHER_ARCHIVES = (
    (b"Rar!", 0, ".rar"),
    (b"7z\xbc\xaf\x27\x1c", 0, ".7z"),
    (b"\x1f\x8b", 0, ".gz or .tar.gz"),
    (b"BZh", 0, ".bz2 or .tar.bz2"),
    (b"\xfd7zXZ", 0, ".xz or .tar.xz"),
    (b"(\xb5/\xfd", 0, ".zst or .tar.zst"),
    (b"ustar", 257, ".tar"),
)
KINDS = {
    stat.S_IFLNK: "a symbolic link",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a device",
    stat.S_IFCHR: "a device",
}
LOCAL_HEADER = 30  # bytes before a member's content, at the least
# What zipfile raises at damage: the text of its names and its numbers may be damaged, too.
DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, ValueError, NotImplementedError)

DOWNLOAD_AGAIN = "Download it again."
DISTRUST = "Nothing was unpacked: download the archive from its publisher, or pack it anew."
UNPACK_ELSEWHERE = "Unpack it with another program and give the folder."


class ArchiveError(Exception):
    """What is wrong with an archive, and the remedy; the archive's name is for others to add."""

    def __init__(self, fault: str, remedy: str):
        super().__init__(f"{fault}. {remedy}")


@dataclass(frozen=True, slots=True)
class Member:
    """A file or folder of an archive.

    Attributes:
        info: its entry in the archive's directory.
        path: its POSIX path below the folder that the archive is unpacked into.
    """

    info: zipfile.ZipInfo
    path: str

    @property
    def is_folder(self) -> bool:
        """Whether the name ends in a slash, of either kind."""
        return self.info.filename.endswith(("/", "\\"))


def read_members(archive: Path) -> list[Member]:
    """Return what is to be unpacked: every member but those that a Mac adds for itself.

    Raises:
        ArchiveError: the file is no .zip, is damaged, or is one that must not be unpacked.
        OSError: the file cannot be read.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            entries = opened.infolist()
    except DAMAGE as error:
        if other := _name_other_kind(archive):
            fault = f"a {other} archive, and only .zip is unpacked here"
            raise ArchiveError(fault, UNPACK_ELSEWHERE) from error
        fault = f"not a .zip archive, or a damaged one ({error})"
        raise ArchiveError(fault, DOWNLOAD_AGAIN) from error
    _refuse_bombs(entries)
    _refuse_overlaps(entries, archive.stat().st_size)
    members = [Member(entry, _path(entry.filename)) for entry in entries]
    members = [member for member in members if not _is_litter(member)]
    for member in members:
        _refuse_odd_kinds(member)
    _refuse_collisions(members)
    return members


def _name_other_kind(archive: Path) -> str:
    """Return the ending of another kind of archive that a file is by its content, or ""."""
    with archive.open("rb") as opened:
        start = opened.read(512)
    return next((end for mark, at, end in OTHER_ARCHIVES if start.startswith(mark, at)), "")


def _path(name: str) -> str:
    """Return a member's POSIX path; old Windows tools write a backslash for a slash."""
    path = name.replace("\\", "/")
    if path.startswith("/") or re.match("[A-Za-z]:", path):
        raise ArchiveError(f"{name!r} is an absolute path", DISTRUST)
    parts = [part for part in path.split("/") if part not in ("", ".")]
    if any(not part.strip(" .") for part in parts):  # Windows takes ".. " for ".."
        raise ArchiveError(f"{name!r} leads out of the archive's own folder", DISTRUST)
    path = "/".join(parts)
    longest = max((len(part.encode()) for part in parts), default=0)
    if longest > LONGEST_NAME or len(path.encode()) > LONGEST_PATH:
        raise ArchiveError(f"{name[:80]!r}… is longer than a disk takes", DISTRUST)
    return path


def _is_litter(member: Member) -> bool:
    """Return whether a Mac added it for itself, or it is the folder that all is unpacked into."""
    parts = member.path.split("/")
    is_whole_folder = member.is_folder and not member.path
    return parts[0] == "__MACOSX" or parts[-1] == ".DS_Store" or is_whole_folder


def _refuse_odd_kinds(member: Member) -> None:
    """Refuse links, devices, and what is encrypted or compressed in a way unknown here."""
    entry, name = member.info, repr(member.info.filename)
    kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 where the tool was not made for Unix
    if not member.path:
        raise ArchiveError(f"{name} is a file without a name", DISTRUST)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ArchiveError(f"{name} is {KINDS.get(kind, 'no file')}", DISTRUST)
    if entry.flag_bits & ENCRYPTED:
        raise ArchiveError(f"{name} is encrypted", UNPACK_ELSEWHERE)
    if entry.compress_type not in METHODS or entry.flag_bits & PATCHED:
        fault = f"{name} has a compression that is not supported (method {entry.compress_type})"
        raise ArchiveError(fault, UNPACK_ELSEWHERE)


def _refuse_collisions(members: Iterable[Member]) -> None:
    """Refuse two members that some disk would take for one, whatever their case or accents."""
    files: set[str] = set()
    folders: dict[str, str] = {}
    for member in members:
        key = unicodedata.normalize("NFC", member.path).casefold()
        if member.is_folder:
            folders[key] = member.path
        elif key in files:
            raise ArchiveError(f"{member.path!r} is there twice", DISTRUST)
        else:
            files.add(key)
        while key := key.rpartition("/")[0]:
            folders.setdefault(key, member.path)
    for key in sorted(files & folders.keys()):
        raise ArchiveError(f"{key!r} is a file and a folder, too", DISTRUST)


def _refuse_overlaps(entries: Iterable[zipfile.ZipInfo], size: int) -> None:
    """Refuse members that share bytes, as bombs do, or that go on behind the archive's end."""
    end = 0
    for entry in sorted(entries, key=lambda entry: entry.header_offset):
        if entry.header_offset < end:
            raise ArchiveError(f"{entry.filename!r} shares bytes with another member", DISTRUST)
        end = entry.header_offset + LOCAL_HEADER + entry.compress_size
        if end > size:
            raise ArchiveError(f"{entry.filename!r} is cut off: damaged", DOWNLOAD_AGAIN)


def _refuse_bombs(entries: list[zipfile.ZipInfo]) -> None:
    """Refuse what is too much for a set of X-rays, by count, by size or by what it shrank to."""
    total = sum(entry.file_size for entry in entries)
    packed = sum(entry.compress_size for entry in entries)
    if len(entries) > MOST_MEMBERS:
        fault = f"{len(entries):,} members, more than {MOST_MEMBERS:,}"
        raise ArchiveError(fault, UNPACK_ELSEWHERE)
    if total > MOST_BYTES:
        fault = f"unpacks to {total / 1e9:,.0f} GB, more than {MOST_BYTES / 1e9:,.0f} GB"
        raise ArchiveError(fault, UNPACK_ELSEWHERE)
    sizes = [(repr(entry.filename), entry.file_size, entry.compress_size) for entry in entries]
    for name, unpacked, compressed in [*sizes, ("the archive", total, packed)]:
        if unpacked > max(HARMLESS_BYTES, MOST_SHRINKAGE * compressed):
            fault = f"{name} unpacks to {unpacked / 1e9:,.1f} GB from {compressed / 1e6:,.1f} MB"
            raise ArchiveError(f"{fault}, as no X-ray or mask does", DISTRUST)

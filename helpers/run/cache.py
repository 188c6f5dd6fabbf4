"""Cache: what is kept to save work, how large it is, and how it is emptied."""

import os
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

from filelock import Timeout

from helpers.data.archives import UNPACKED, alone
from helpers.data.synthetic import SYNTHETIC_MARKER
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import LEFT_BEHIND, is_left_behind
from helpers.storage.folders import PARTIAL, cache_root, runs_root, shown
from helpers.storage.locks import is_held

FOLDERS = ("arrays", "audits", "data")
HASH, LONG_HASH = "[0-9a-f]{12}", "[0-9a-f]{16}"
BESIDE = re.compile("[.](partial|copy|lock)$")  # what `archives.unpack` keeps beside its target
UNFINISHED, FOREIGN = "begun and not finished", "not of this project, left alone"
# By their place in the cache; whatever has another name was not put there by this project.
KINDS = {
    "demo X-rays": f"data/demo-{HASH}",
    "unpacked archives": f"data/.+-{HASH}",
    "audits": f"audits/{LONG_HASH}-{LONG_HASH}",
    "resized X-rays and masks": f"arrays/(mask_)?pixels-{LONG_HASH}-[0-9]+(-{LONG_HASH})?[.]npy",
    UNFINISHED: f"({'|'.join(FOLDERS)})/{re.escape(PARTIAL)}.+|data/.+-{HASH}{BESIDE.pattern}",
}
# What is in the folders of these kinds.
MARKS = {"demo X-rays": SYNTHETIC_MARKER, "unpacked archives": UNPACKED}


class Entry(NamedTuple):
    """A file or folder in one of the cache's folders.

    Attributes:
        path: where it is.
        kind: a name in KINDS, or FOREIGN.
        size: of its files, in bytes.
    """

    path: Path
    kind: str
    size: int


def find_entries() -> list[Entry]:
    """Return what is in the cache's folders, sorted by path. Links count as foreign.

    Raises:
        CovidLungsError: a folder cannot be listed.
    """
    root, found = cache_root(), []
    for folder in (root / name for name in FOLDERS):
        try:
            inside = [folder] if folder.is_symlink() else sorted(folder.iterdir())
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CovidLungsError(
                f"{shown(folder)}: cannot be listed ({error.strerror}). Mend its permissions, or "
                "choose another cache with COVID_LUNGS_CACHE."
            ) from error
        found += [Entry(path, _tell(path, root), _measure(path)) for path in inside]
    return found


def _tell(path: Path, root: Path) -> str:
    """Return the kind of what is at a path."""
    place = path.relative_to(root).as_posix()
    fits = (kind for kind, pattern in KINDS.items() if re.fullmatch(pattern, place))
    kind = FOREIGN if path.is_symlink() else next(fits, FOREIGN)
    # A user's own folder may be called so, too, with a date for the hash.
    unmarked = kind in MARKS and not (path / MARKS[kind]).is_file()
    return FOREIGN if unmarked else kind


def _measure(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; links are not followed."""
    files = [path]
    if path.is_dir() and not path.is_symlink():
        files = [Path(folder, name) for folder, _, names in os.walk(path) for name in names]
    size = 0
    for file in files:
        with suppress(FileNotFoundError):  # another process may be writing there
            size += file.lstat().st_size
    return size


def describe_cache() -> str:
    """Return where the cache is and what it holds, for a terminal."""
    entries = find_entries()
    total = sum(entry.size for entry in entries if entry.kind != FOREIGN)
    lines = [f"{cache_root()}: {_show(total)}"]
    for kind in (*KINDS, FOREIGN):
        of_kind = [entry for entry in entries if entry.kind == kind]
        if of_kind:
            size = _show(sum(entry.size for entry in of_kind))
            lines.append(f"{len(of_kind):>7,}  {kind:<32}{size:>10}")
    if total:
        lines.append("All of it can be made again: `covid-lungs cache --clear` empties it.")
    return "\n".join(lines)


def clear_cache() -> tuple[list[Entry], dict[Path, str]]:
    """Remove what this project keeps in the cache, but for what another process is writing.

    Nothing is removed that is not ours, and no link is followed.

    Returns:
        What was removed, and what had to stay, each with the reason.

    Raises:
        CovidLungsError: a run is under way, which may need the cache; or it cannot be listed.
    """
    for folder in sorted(runs_root().glob("*/")):
        if is_held(folder):
            raise CovidLungsError(
                f"{shown(folder)}: a run is under way there, which needs the cache. Let it end or "
                "stop it, and clear the cache then."
            )
    removed, stayed = [], {}
    for entry in find_entries():
        if entry.kind == FOREIGN:
            continue
        if reason := _try_to_remove(entry.path):
            stayed[entry.path] = reason
        else:
            removed.append(entry)
    return removed, stayed


def _try_to_remove(path: Path) -> str:
    """Remove an entry and return "", or return why it has to stay."""
    try:
        if path.name.startswith(PARTIAL):
            if not is_left_behind(path):
                return f"it changed within the last {LEFT_BEHIND // 60} minutes"
            _remove(path)
        elif path.parent.name == "data":
            with alone(path.with_name(BESIDE.sub("", path.name)), wait=False):
                _remove(path)
        else:
            _remove(path)
    except Timeout:
        return "another process unpacks it"
    except OSError as error:
        return f"it cannot be removed ({error.strerror})"
    return ""


def _remove(path: Path) -> None:
    """Remove a file or folder; a folder vanishes at once, so that nobody reads half of it."""
    if path.is_dir():
        hidden = path.with_name(f"{PARTIAL}{token_hex(4)}")
        path.rename(hidden)
        shutil.rmtree(hidden)
    else:
        path.unlink(missing_ok=True)


def describe_cleared(removed: Sequence[Entry], stayed: dict[Path, str]) -> str:
    """Return what `clear_cache` did, for a terminal."""
    size = _show(sum(entry.size for entry in removed))
    lines = [f"{cache_root()}: {size} removed"]
    counts = Counter(entry.kind for entry in removed)
    lines += [f"{counts[kind]:>7,}  {kind}" for kind in KINDS if counts[kind]]
    lines += [f"{shown(path)} stays: {reason}." for path, reason in stayed.items()]
    return "\n".join(lines)


def _show(size: int) -> str:
    """Return a number of bytes as text."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"

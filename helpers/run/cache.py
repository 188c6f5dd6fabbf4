"""Cache: what is kept to save work, how large it is, and how it is emptied."""

import re
import shutil
from contextlib import nullcontext, suppress
from pathlib import Path
from secrets import token_hex

from filelock import FileLock, Timeout

from helpers.data.archives import LOCKS, UNPACKED, alone
from helpers.data.synthetic import SYNTHETIC_MARKER
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import is_left_behind
from helpers.storage.folders import PARTIAL, cache_root, runs_root, shown
from helpers.storage.locks import is_held

# What this project puts into each folder of the cache. Nothing of another name is touched.
NAMES = {
    "data": "(.+-[0-9a-f]{12})([.](partial|copy))?",
    "audits": "[0-9a-f]{16}-[0-9a-f]{16}",
    "arrays": "(mask_)?pixels-[0-9a-f]{16}-[0-9]+(-[0-9a-f]{16})?[.]npy([.]sha256)?",
}


def find_entries() -> list[Path]:
    """Return what this project keeps in the folders of the cache; links are left alone."""
    paths = [path for folder in NAMES for path in sorted((cache_root() / folder).glob("*"))]
    return [path for path in paths if _is_ours(path)]


def _is_ours(path: Path) -> bool:
    """Return whether this project made a file or folder in a folder of the cache."""
    if path.is_symlink() or path.parent.is_symlink():
        return False
    if path.name.startswith(PARTIAL):
        return True
    found = re.fullmatch(NAMES[path.parent.name], path.name)
    if found and path.parent.name == "data" and not found[2]:
        # A user's own folder may be called so, too, with a date in place of the hash.
        return (path / UNPACKED).is_file() or (path / SYNTHETIC_MARKER).is_file()
    return bool(found)


def _measure(path: Path) -> int:
    """Return the bytes of a file, or of all files below a folder; links are not followed."""
    size = 0
    for file in [path, *path.rglob("*")]:
        with suppress(OSError):  # another process may be writing there
            size += 0 if file.is_dir() else file.lstat().st_size
    return size


def describe_cache() -> str:
    """Return where the cache is and what it holds, for a terminal."""
    sizes = {path: _measure(path) for path in find_entries()}
    lines = [f"{cache_root()}: {sum(sizes.values()) / 1e6:,.1f} MB"]
    for folder in NAMES:
        inside = [size for path, size in sizes.items() if path.parent.name == folder]
        lines.append(f"{folder:<8}{len(inside):>7,} kept {sum(inside) / 1e6:>12,.1f} MB")
    return "\n".join([*lines, "All can be made again: `covid-lungs cache --clear` removes it."])


def clear_cache() -> tuple[int, dict[Path, str]]:
    """Remove what this project keeps in the cache, but for what another process is writing.

    Returns:
        How much was removed, and what had to stay, with the reason.

    Raises:
        CovidLungsError: a run is under way, which may need the cache.
    """
    for folder in sorted(runs_root().glob("*/")):
        if is_held(folder):
            raise CovidLungsError(
                f"{shown(folder)}: a run is under way there, which needs the cache. Let it end or "
                "stop it, and clear the cache then."
            )
    reasons = {path: _try_to_remove(path) for path in find_entries()}
    for lock in (cache_root() / LOCKS).glob(f"*-{'[0-9a-f]' * 12}.lock"):
        with suppress(OSError), FileLock(lock, timeout=0):  # what waits for it takes a new one
            lock.unlink()
    stayed = {path: reason for path, reason in reasons.items() if reason}
    return len(reasons) - len(stayed), stayed


def _try_to_remove(path: Path) -> str:
    """Remove an entry and return "", or return why it has to stay.

    A folder vanishes at once, so that nobody reads half of it.
    """
    name = re.fullmatch(NAMES["data"], path.name)
    try:
        if path.name.startswith(PARTIAL) and not is_left_behind(path):
            return "it changed within the last hour"
        with alone(path.with_name(name[1]), wait=False) if name else nullcontext():
            if path.is_dir():
                shutil.rmtree(path.rename(path.with_name(f"{PARTIAL}{token_hex(4)}")))
            else:
                path.unlink(missing_ok=True)
    except Timeout:
        return "another process unpacks it"
    except OSError as error:
        return f"it cannot be removed ({error.strerror})"
    return ""

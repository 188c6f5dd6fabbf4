"""Arrays: X-rays and masks decoded and resized once, into files that every epoch reads."""

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pandas as pd

from helpers.data.archives import require_room
from helpers.data.images import fingerprint, resize_image, resize_mask
from helpers.data.sources import DataSet
from helpers.data.threads import in_blocks, read_all
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import caching, write_whole
from helpers.storage.folders import cache_root, refusing
from helpers.storage.versions import code_version

BLOCK = 256  # X-rays hashed together: all of them may be larger than memory
HASH = ".sha256"  # ends the name of the file beside an array that keeps its hash


def prepare_images(data_set: DataSet, index: pd.DataFrame, image_size: int) -> np.ndarray:
    """Return the X-rays of the index, in its order, as a read-only array on disk.

    It is uint8, (rows of the index, image_size, image_size).

    Raises:
        CovidLungsError: a file's pixels differ from those recorded in the index.
    """
    rows = zip(index["file"], index["pixels"], strict=True)
    return _prepare("pixels", list(rows), image_size, data_set.read_xray, resize_image)


def prepare_masks(data_set: DataSet, index: pd.DataFrame, image_size: int) -> np.ndarray:
    """Return the lung masks of the index as `prepare_images` does; zeros and ones, one is lung.

    Raises:
        CovidLungsError: the X-rays have none, or a file's pixels differ from the index.
    """
    if (index["mask"] == "").any():
        raise CovidLungsError(
            f"{data_set.name}: its X-rays have no lung masks, which this needs. Give X-rays with "
            "lung masks. 03_detect_covid and, without own_masks, 06_audit_shortcuts need none."
        )
    return _prepare_masks(data_set, index["mask"], index["mask_pixels"], image_size)


def prepare_infection(data_set: DataSet, index: pd.DataFrame, image_size: int) -> np.ndarray:
    """Return the infection masks of the index as `prepare_masks` does the lungs'; one is infected.

    Raises:
        CovidLungsError: an X-ray has none, or a file's pixels differ from the index.
    """
    missing = index.loc[index["infection_mask"] == "", "file"]
    if len(missing):
        raise CovidLungsError(
            f"{data_set.name}: {missing.iloc[0]} has no infection mask, which this needs. Give "
            "X-rays with infection masks, or leave out those without."
        )
    masks = index["infection_mask"], index["infection_pixels"]
    return _prepare_masks(data_set, *masks, image_size)


def _prepare_masks(
    data_set: DataSet, files: pd.Series, seen: pd.Series, image_size: int
) -> np.ndarray:
    """Return masks of these files, each with its fingerprint in the index."""
    rows = list(zip(files, seen, strict=True))
    return _prepare("mask_pixels", rows, image_size, data_set.read_mask, resize_mask)


def _prepare(
    kind: str,
    rows: list[tuple[str, str]],
    image_size: int,
    read: Callable[[str], np.ndarray],
    resize: Callable[[np.ndarray, tuple[int, int]], np.ndarray],
) -> np.ndarray:
    """Return the array of files, each with its fingerprint, from the cache or made anew.

    An array made by other code or other libraries is not used; it is removed afterwards.
    """
    size = (image_size, image_size)
    content = hashlib.sha256("\n".join(seen for _, seen in rows).encode()).hexdigest()[:16]
    name = f"{kind}-{content}-{image_size}"
    target = cache_root() / "arrays" / f"{name}-{code_version(__name__)}.npy"

    def read_small(row: tuple[str, str]) -> np.ndarray:
        file, seen = row
        pixels = read(file)
        refuse_changed(file, pixels, seen)
        return resize(pixels, size)

    if not target.is_file():
        _write(target, (len(rows), *size), read_all(read_small, rows, "resizing"))
        for other in target.parent.glob(f"{name}-*"):
            if not other.name.startswith(target.name):
                with suppress(OSError):  # Windows removes no open file; who reads one can go on
                    other.unlink()
    return np.load(target, mmap_mode="r")


def _write(target: Path, shape: tuple[int, ...], rows: Iterator[np.ndarray]) -> None:
    """Write a new uint8 array row by row under a temporary name, renamed when it is whole."""
    with caching(target) as partial:
        require_room("resized X-rays or masks", target.parent, math.prod(shape))
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        with partial.open("wb") as opened:  # a memory map would fill the memory
            np.lib.format.write_array_header_1_0(opened, header)
            for pixels in rows:
                opened.write(np.ascontiguousarray(pixels))


def keep_unnamed(pictures: Iterable[tuple[int, np.ndarray]], size: int) -> np.ndarray:
    """Return pictures, uint8, in a file that is removed with the array, however many there are.

    Each is given with the place of its first byte in the array, which is flat, uint8, (size,), and
    read-only; zeros lie between them.

    Raises:
        CovidLungsError: the cache has no room for them, or cannot be written.
    """
    place = cache_root() / "arrays"
    with ExitStack() as stack:
        with refusing(place, "COVID_LUNGS_CACHE"):
            place.mkdir(parents=True, exist_ok=True)
            require_room("small pictures of X-rays or masks", place, size)
            kept = stack.enter_context(TemporaryFile(dir=place))
        for start, picture in pictures:
            with refusing(place, "COVID_LUNGS_CACHE"):
                kept.seek(start)
                kept.write(np.ascontiguousarray(picture))
                kept.flush()
        kept.truncate(max(size, 1))  # no system maps an empty file
        return np.memmap(kept, np.uint8, "r")[:size]


def hash_file(array: np.ndarray) -> str | None:
    """Return a hash of an array on disk, as `prepare_images` returns it; None for any other array.

    It is kept beside the array, of which a start need not read 100 GB again, and counts for nothing
    once the array's time or shape has changed.
    """
    name = str(getattr(array, "filename", ""))
    file, kept = Path(name), Path(f"{name}{HASH}")
    if file.suffix != ".npy" or array.mode != "r" or not array.flags.c_contiguous:
        return None
    state = file.stat()
    if state.st_size != array.offset + array.nbytes:
        return None  # a part of it
    facts = f"{state.st_mtime_ns} {array.dtype} {array.shape} "
    with suppress(OSError, ValueError):  # there is none, or one that is damaged
        if found := re.fullmatch(f"{re.escape(facts)}([0-9a-f]{{64}})", kept.read_text("utf-8")):
            return found[1]
    digest = _hash_rows(array)
    with suppress(CovidLungsError):  # a cache that cannot be written: the next start reads it again
        write_whole(kept, facts + digest)
    return digest


def _hash_rows(array: np.ndarray) -> str:
    """Return a hash of the values of an array, read block by block, in hexadecimal digits."""
    digest = hashlib.sha256()
    for block in in_blocks(array, BLOCK):
        digest.update(block)
    return digest.hexdigest()


def refuse_changed(file: str, pixels: np.ndarray, seen: str) -> None:
    """Refuse an X-ray or a mask that changed after notebook 01, by its fingerprint in the index.

    Raises:
        CovidLungsError: it changed.
    """
    if fingerprint(pixels) != seen:
        raise CovidLungsError(
            f"{file}: its pixels differ from index.csv: the file changed, or another version of "
            "covid-lungs or OpenCV wrote the index. Give the `data` of this run, or run "
            "01_get_data again under another name."
        )

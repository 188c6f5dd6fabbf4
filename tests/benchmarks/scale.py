"""How long a data set of the database's size takes, beside merely decoding its files.

`uv run python -m tests.benchmarks.scale --data FOLDER`; FOLDER is drawn where it does not exist:
21,165 synthetic X-rays with masks, 2 GB, a quarter of an hour.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from multiprocessing import get_context
from pathlib import Path

import cv2

from helpers.data.sources import PUBLISHED_COUNTS
from helpers.data.synthetic import write_data_set

IMAGE_SIZE = 256
CHUNK = 200  # files a process takes at a time
# Each runs in a process of its own and prints its own highest resident memory, in kB.
MEMORY = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
AUDIT = """
from helpers.data.sources import find_data
from helpers.split.index import build_index
index, audit = build_index(find_data({data!r}))
"""
PREPARE = """
from helpers.data.arrays import prepare_images, prepare_masks
for prepare in (prepare_images, prepare_masks):
    prepare(find_data({data!r}), index, {size})
"""


def decode(paths: list[str]) -> int:
    """Decode files as they are and return their number."""
    return sum(cv2.imread(path, cv2.IMREAD_UNCHANGED) is not None for path in paths)


def time_decoding(folder: Path) -> float:
    """Return the seconds that two processes take to decode all files of a folder."""
    start = time.perf_counter()
    paths = [str(path) for path in sorted(folder.glob("*/*/*.png"))]
    chunks = [paths[first : first + CHUNK] for first in range(0, len(paths), CHUNK)]
    with get_context("spawn").Pool(2) as pool:
        decoded = sum(pool.imap_unordered(decode, chunks))
    seconds = time.perf_counter() - start
    print(f"decoding {decoded:,} files: {seconds:.1f} s")
    return seconds


def time_code(name: str, code: str, cache: str, baseline: float) -> None:
    """Run code in a process of its own; print seconds, their ratio, and the highest memory."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-c", code + MEMORY],
        env=os.environ | {"COVID_LUNGS_CACHE": cache},
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    seconds = time.perf_counter() - start
    memory = int(done.stdout.split()[-1]) / 1e6
    print(f"{name}: {seconds:.1f} s, {seconds / baseline:.2f} times decoding, {memory:.2f} GB")


def main() -> None:
    """Time decoding, then the audit, its recall, and the arrays at 256 pixels."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True, type=Path)
    folder = parser.parse_args().data
    if not folder.exists():
        write_data_set(folder, PUBLISHED_COUNTS, seed=3)
    audit = AUDIT.format(data=str(folder))
    prepare = PREPARE.format(data=str(folder), size=IMAGE_SIZE)
    with tempfile.TemporaryDirectory() as cache:
        time_decoding(folder)  # the first pass fills the disk's cache
        baseline = time_decoding(folder)
        time_code("audit", audit, cache, baseline)
        time_code("audit, recalled", audit, cache, baseline)
        time_code(f"recalled, and arrays at {IMAGE_SIZE}", audit + prepare, cache, baseline)


if __name__ == "__main__":
    main()

"""How many planted copies of real X-rays are found, and how many X-rays are merged wrongly.

`uv run python -m tests.benchmarks.duplicates --data SOURCE --patients FILE --copies 500 --seed 0`
FILE is a .csv with the columns `file` (base name) and `patient`.
`--drawn 60000` in place of --data and --patients searches so many synthetic thumbnails instead.
"""

import argparse
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from unittest.mock import patch

import cv2
import numpy as np
import pandas as pd

from helpers.audit import duplicates
from helpers.audit.duplicates import THUMBNAIL_SIZE, find_copies, make_thumbnail
from helpers.data.arrays import keep_unnamed
from helpers.data.images import read_xray
from helpers.data.sources import find_data
from helpers.data.synthetic import CLASS_NAMES, draw_xray
from helpers.data.threads import share
from helpers.split.index import build_index
from helpers.split.splits import assign_splits, divided_groups
from tests.benchmarks.memory import Watch

Pair = tuple[int, int]
POOL = 600  # X-rays that are drawn; all others are mixed of four of them


def plant_copy(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a copy: cropped by up to 5 % an edge, brightness and contrast by up to 20 %,
    resized by 0.5 to 2, saved as JPEG of quality 50; uint8."""
    height, width = image.shape
    near, far = rng.uniform(0, 0.05, (2, 2)) * image.shape
    cropped = image[int(near[0]) : height - int(far[0]), int(near[1]) : width - int(far[1])]
    contrast, brightness = rng.uniform(0.8, 1.2), 255 * rng.uniform(-0.2, 0.2)
    grey = np.clip((cropped - 128.0) * contrast + 128 + brightness, 0, 255).astype(np.uint8)
    factor = rng.uniform(0.5, 2)
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    resized = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=way)
    content = cv2.imencode(".jpg", resized, [cv2.IMWRITE_JPEG_QUALITY, 50])[1]
    return cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)


def find_among(images: list[np.ndarray]) -> set[Pair]:
    """Return the pairs that are taken for copies."""
    return set(find_copies([make_thumbnail(image) for image in images]))


def measure_copies(
    images: list[np.ndarray], patients: np.ndarray, names: list[str], copies: int, seed: int
) -> None:
    """Plant copies and print recall, and the pairs of different patients taken for copies."""
    rng = np.random.default_rng(seed)
    sources = rng.choice(len(images), copies, replace=False)
    planted = [plant_copy(images[row], rng) for row in sources]
    found = find_among([*images, *planted])
    true = {(int(row), len(images) + place) for place, row in enumerate(sources)}
    whose = np.concatenate([patients, patients[sources]])
    origin = [*names, *(names[row] for row in sources)]
    wrong = sorted(
        {tuple(sorted((origin[a], origin[b]))) for a, b in found if whose[a] != whose[b]}
    )
    print(f"{copies} copies planted among {len(images):,} X-rays, seed {seed}:")
    print(f"recall {len(true & found) / copies:.4f} ({len(true & found)} of {copies})")
    print(f"different patients taken for copies: {len(wrong)} pairs of X-rays")
    for pair in wrong:
        print("  " + " and ".join(pair))


def measure_patients(index: pd.DataFrame, patients: pd.Series, seed: int) -> None:
    """Print the share of patients in several splits, without and with a groups file."""
    for name, groups in (("without", None), ("with", patients)):
        split = assign_splits(index, seed, groups)
        known = split[patients != ""].assign(group=patients)
        shared, total = len(divided_groups(known)), known["group"].nunique()
        print(
            f"{name} groups: {shared} of {total} patients in several splits ({shared / total:.1%})"
        )


def draw_thumbnails(count: int, copies: int, seed: int) -> np.ndarray:
    """Return mixed thumbnails, in a file, the last of them copies of the first: uint8, (n, 96, 96).

    Each quarter is that of another drawn X-ray, with soft seams.
    """
    drawn = share(lambda row: draw_xray(CLASS_NAMES[row % 4], row)[0], range(POOL))
    pool = np.stack([make_thumbnail(image) for image in drawn]).astype(np.float32)
    rng = np.random.default_rng(seed)
    ramp = np.clip((np.arange(THUMBNAIL_SIZE) / THUMBNAIL_SIZE - 0.5) / 0.1 + 0.5, 0, 1)
    right, low = ramp.astype(np.float32), ramp.astype(np.float32)[:, None]

    def mix(chosen: np.ndarray) -> np.ndarray:
        """Return a thumbnail, its quarters from these four."""
        one, two, three, four = pool[chosen]
        upper, lower = one + (two - one) * right, three + (four - three) * right
        return np.round(upper + (lower - upper) * low).astype(np.uint8)

    chosen = rng.integers(POOL, size=(count - copies, 4))

    def draw_all() -> Iterator[tuple[int, np.ndarray]]:
        """Yield every thumbnail with its place in the file."""
        for row, parts in enumerate([*chosen, *chosen[:copies]]):
            thumbnail = mix(parts)
            if row >= len(chosen):
                large = cv2.resize(thumbnail, None, fx=3, fy=3, interpolation=cv2.INTER_CUBIC)
                thumbnail = make_thumbnail(plant_copy(large, rng))
            yield row * thumbnail.size, thumbnail

    kept = keep_unnamed(draw_all(), count * THUMBNAIL_SIZE**2)
    return np.asarray(kept).reshape(count, THUMBNAIL_SIZE, THUMBNAIL_SIZE)


def search_drawn(count: int, copies: int, seed: int) -> tuple[set[Pair], int, float]:
    """Return the pairs among drawn thumbnails, how many were compared, and CPU seconds."""
    thumbnails, compared = draw_thumbnails(count, copies, seed), []
    search = duplicates._similar_pairs

    def watch(descriptors: np.ndarray) -> np.ndarray:
        pairs = search(descriptors)
        compared.append(len(pairs))
        return pairs

    begun = sum(os.times()[:2])
    with patch.object(duplicates, "_similar_pairs", watch):
        found = find_copies(thumbnails)
    return set(found), sum(compared), sum(os.times()[:2]) - begun


def measure_drawn(count: int, copies: int, seed: int) -> None:
    """Print what a search among drawn thumbnails takes, in a process of its own, and finds."""
    watch = Watch()
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        found, compared, seconds = pool.submit(search_drawn, count, copies, seed).result()
    true = {(row, count - copies + row) for row in range(copies)}
    pairs = count * (count - 1) / 2
    print(f"{count:,} synthetic thumbnails, {copies} of them copies, seed {seed}:")
    print(f"{seconds:.0f} CPU seconds, at most {max(watch.peaks.values()):.2f} GB of memory")
    print(f"recall {len(true & found) / copies:.4f}, {len(found - true)} other pairs found")
    print(f"{compared:,} pairs compared: {compared / pairs * 1e6:.2f} in a million")


def main() -> None:
    """Measure all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data")
    parser.add_argument("--patients")
    parser.add_argument("--drawn", type=int, metavar="COUNT")
    parser.add_argument("--copies", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.drawn:
        measure_drawn(options.drawn, options.copies, options.seed)
        return
    if not (options.data and options.patients):
        parser.error("give --data and --patients, or --drawn")
    data_set = find_data(options.data)
    index, _ = build_index(data_set)
    known = pd.read_csv(options.patients, dtype=str).set_index("file")["patient"]
    names = index["file"].str.rpartition("/")[2]
    patients = names.map(known)
    images = [read_xray(data_set.root / file) for file in index["file"]]
    measure_copies(images, patients.to_numpy(), list(names), options.copies, options.seed)
    measure_patients(index, patients, options.seed)


if __name__ == "__main__":
    main()

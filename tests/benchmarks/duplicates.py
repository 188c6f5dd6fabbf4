"""How many planted copies of real X-rays are found, and how many X-rays are merged wrongly.

`uv run python -m tests.benchmarks.duplicates --data SOURCE --patients FILE --copies 500 --seed 0`
FILE is a .csv with the columns `file` (base name) and `patient`.
"""

import argparse

import cv2
import numpy as np
import pandas as pd

from helpers.audit.duplicates import find_copies, make_thumbnail
from helpers.data.images import read_xray
from helpers.data.sources import find_data
from helpers.split.index import build_index
from helpers.split.splits import assign_splits, divided_groups

Pair = tuple[int, int]


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


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--patients", required=True)
    parser.add_argument("--copies", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
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

"""How audit, search for copies, arrays, prediction and training grow with the X-rays.

`uv run --group dev python -m tests.benchmarks.scale` does each step with 1, 2, 4 and 8 thousand
synthetic X-rays of 299 pixels, and prints what each took, how that grows, and what more X-rays
would need: the tables of docs/scale.md. Decoding alone is there to compare with. With `--side 2000`
the X-rays are enlarged; `--steps copies` does that step only.

Only 1,600 X-rays are drawn; each file is mixed of the halves of two. Files that share a half are
alike, so that chance finds some 18 candidates for copies in a million pairs, about as many as among
real X-rays (13 in the four-class sample). Of 600 drawn ones it would find 54.

Each step has a process of its own. Memory is the highest anonymous one (RssAnon of Linux) above
that at the step's start, which is printed, too. CPU seconds are those of all cores together: on a
busy machine they say more than those of the clock.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import cv2
import numpy as np

from helpers.audit.duplicates import THUMBNAIL_SIZE, make_thumbnail
from helpers.data.synthetic import draw_xray
from helpers.data.threads import share
from helpers.split.splits import FRACTIONS
from helpers.train.recipes import find_recipe
from tests.benchmarks.memory import Watch, read_memory
from tests.support.growth import (
    SIZES,
    Growth,
    Machine,
    Measured,
    Step,
    Trait,
    find_need,
    fit_step,
    print_growth,
    print_needs,
    round_off,
)

CLASSES = ("COVID", "Normal")
DRAWN = 1600
SEAM = 0.1  # of the width, in which one half of a mixed X-ray turns into the other
IMAGE_SIZE = 256
WARM_UP = 16  # X-rays that build a network's program before the measurement
BEST = find_recipe("best").segmentation
GPU_RATE = 352  # X-rays a second that one H100 trains on: helpers/train/README.md


class Plan(NamedTuple):
    """How a step is measured: what prepares it, with how many times the X-rays, and its trait."""

    prepare: Callable[[Path, int], Callable[[], object]]
    part: float = 1
    trait: Trait = Trait()


# Each prepares a step and returns it. Libraries are imported by the step that needs them.
def decoding(place: Path, count: int) -> Callable[[], object]:
    """Decode all files as they are."""
    files = [str(path) for path in sorted((place / "xrays").glob("*/*/*.png"))]
    return lambda: share(lambda file: cv2.imread(file, cv2.IMREAD_UNCHANGED).size, files)


def audit(place: Path, count: int) -> Callable[[], object]:
    """Audit the data set, but for the search for copies."""
    from helpers.audit import examination
    from helpers.data.sources import find_data

    def act() -> None:
        with patch.object(examination, "find_copies", lambda _: []):
            examination.recall(find_data(str(place / "xrays")))

    return act


def copies(place: Path, count: int) -> Callable[[], object]:
    """Search thumbnails of mixed X-rays for copies."""
    from helpers.audit.duplicates import find_copies

    drawn, choose = np.load(place / "thumbnails.npy"), np.random.default_rng(0)
    shape = (count, THUMBNAIL_SIZE, THUMBNAIL_SIZE)
    mixed = np.lib.format.open_memmap(place / "mixed.npy", "w+", np.uint8, shape)
    for row, (left, right) in enumerate(choose.integers(DRAWN, size=(count, 2))):
        mixed[row] = mix(drawn[left], drawn[right])
    return lambda: find_copies(mixed)


def arrays(place: Path, count: int) -> Callable[[], object]:
    """Write the arrays of X-rays and masks at 256 pixels."""
    from helpers.data.arrays import prepare_images, prepare_masks
    from helpers.data.sources import find_data
    from helpers.split.index import build_index

    audit(place, count)()  # so that the index is recalled
    data_set = find_data(str(place / "xrays"))
    index, _ = build_index(data_set)
    return lambda: [part(data_set, index, IMAGE_SIZE) for part in (prepare_images, prepare_masks)]


def prediction(place: Path, count: int) -> Callable[[], object]:
    """Predict masks and overlays with the package's network."""
    from helpers.predict.files import find_xrays
    from helpers.predict.networks import load_networks
    from helpers.predict.prediction import predict_files

    networks, folders = load_networks(None), sorted((place / "xrays").glob("*/images"))
    few = sorted(folders[0].iterdir())[:WARM_UP]
    files = find_xrays(folders)[:count]
    predict_files(networks, find_xrays(few), place / "warm")
    return lambda: predict_files(networks, files, place / "made" / "masks")


def training(place: Path, count: int) -> Callable[[], object]:
    """Train the U-Net of `best` for an epoch."""
    from helpers.train import backend, models, training
    from helpers.train.batches import Batches

    backend.use_fastest(BEST, backend.look_at_machine())
    pair = arrays(place, count)()
    few, whole = (
        Batches(*pair, np.arange(rows), BEST.batch_size, 0, BEST.augmentation)
        for rows in (WARM_UP, count)
    )
    model = models.build_unet(BEST)
    training.compile_segmenter(model, BEST, len(whole))
    model.fit(few, shuffle=False, verbose=0)
    return lambda: model.fit(whole, shuffle=False, verbose=0)


PLANS = {
    "decoding": Plan(decoding),
    "audit": Plan(audit),
    "copies": Plan(copies, part=8, trait=Trait(power=2)),
    "arrays": Plan(arrays),
    "prediction": Plan(prediction, part=0.5),
    "training": Plan(training, part=0.2, trait=Trait(times=BEST.epochs, share=FRACTIONS["train"])),
}


def work_apart(
    prepare: Callable[[Path, int], Callable[[], object]], place: Path, count: int, pipe: Connection
) -> None:
    """Prepare a step and do it; tell the memory at its start, then seconds and bytes on disk."""
    act = prepare(place, count)
    disk = count_bytes(place / "made")
    pipe.send(read_memory(os.getpid()))
    begun, used = time.perf_counter(), sum(os.times()[:4])
    act()
    took = time.perf_counter() - begun, sum(os.times()[:4]) - used
    pipe.send((*took, count_bytes(place / "made") - disk))


def measure(watch: Watch, plan: Plan, place: Path, count: int) -> Measured:
    """Return what a step takes in a process of its own."""
    pipe, end = get_context("spawn").Pipe()
    arguments = (plan.prepare, place, count, end)
    process = get_context("spawn").Process(target=work_apart, args=arguments)
    process.start()
    end.close()
    start = pipe.recv()
    watch.step = f"{plan.prepare.__name__} {count}"
    seconds, cpu, disk = pipe.recv()
    process.join()
    memory = max(watch.peaks[watch.step] - start, 1e-6)  # GB
    return Measured(seconds, cpu, start * 1e9, memory * 1e9, disk)


def count_bytes(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def mix(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return the left half of one square picture, uint8, beside the right half of another."""
    width = left.shape[1]
    place = (np.arange(width) + 0.5) / width - 0.5
    share_right = np.clip(place / SEAM + 0.5, 0, 1).astype(np.float32)
    return np.round(left + (right.astype(np.float32) - left) * share_right).astype(np.uint8)


def draw() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return drawn X-rays and their masks."""
    pairs = share(lambda seed: draw_xray(CLASSES[seed % len(CLASSES)], seed), range(DRAWN))
    return tuple(map(list, zip(*pairs, strict=True)))


def lay_out(drawn: tuple[list, list], folder: Path, count: int, side: int | None) -> None:
    """Write mixed X-rays and their masks, enlarged to a side if it is given, as a data set."""
    chosen = np.random.default_rng(1).integers(DRAWN, size=(count, 2))
    for name in CLASSES:
        for kind in ("images", "masks"):
            (folder / name / kind).mkdir(parents=True)

    def write(number: int) -> None:
        name, (left, right) = CLASSES[number % len(CLASSES)], chosen[number]
        image, mask = (mix(part[left], part[right]) for part in drawn)
        mask = cv2.merge([255 * (mask > 127).astype(np.uint8)] * 3)  # as in the published database
        for kind, pixels in (("images", image), ("masks", mask)):
            if side:
                pixels = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_NEAREST)
            cv2.imwrite(str(folder / name / kind / f"{name}-{number}.png"), pixels)

    share(write, range(count))


def measure_all(
    counts: list[int], names: list[str], side: int | None
) -> dict[str, dict[int, Measured]]:
    """Return, and print, what each step takes with each number of X-rays."""
    watch, drawn, found = Watch(), draw(), {name: {} for name in names}
    for count in counts:
        with tempfile.TemporaryDirectory() as temporary:
            place = Path(temporary)
            os.environ["COVID_LUNGS_CACHE"] = str(place / "made")
            lay_out(drawn, place / "xrays", count, side)
            size = count_bytes(place / "xrays")
            print(f"{count:,} X-rays with masks: {size / count / 1e3:.1f} kB each", flush=True)
            np.save(place / "thumbnails.npy", share(make_thumbnail, drawn[0]))
            for name in names:
                number = round(PLANS[name].part * count)
                took = found[name][number] = measure(watch, PLANS[name], place, number)
                print(
                    f"{name}, {number:,}: {took.seconds:.1f} s, {took.cpu:.1f} CPU s, "
                    f"{took.memory / 1e6:,.0f} MB above {took.start / 1e6:,.0f}, "
                    f"{took.disk / 1e6:,.1f} MB on disk",
                    flush=True,
                )
    return found


def print_gpu(machine: Machine) -> None:
    """Print the hours that a training takes on one GPU."""
    step = Step(Growth(0, 1 / GPU_RATE), Growth(0, 0), Growth(0, 0), PLANS["training"].trait)
    hours = [f"{count:,}: {round_off(find_need(step, count, machine).hours)}" for count in SIZES]
    print(f"\nHours of training on one GPU at {GPU_RATE} X-rays a second: {'; '.join(hours)}")


def main() -> None:
    """Measure, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--xrays", type=int, nargs="+", default=[1000, 2000, 4000, 8000])
    parser.add_argument("--steps", nargs="+", choices=PLANS, default=list(PLANS))
    parser.add_argument("--side", type=int, help="pixels; default: 299, masks 256")
    options = parser.parse_args()
    found = measure_all(options.xrays, options.steps, options.side)
    print_growth(found)
    found.pop("decoding", None)
    steps = {name: fit_step(took, PLANS[name].trait) for name, took in found.items()}
    print_needs(steps, Machine())
    print_gpu(Machine(cores=1))


if __name__ == "__main__":
    main()

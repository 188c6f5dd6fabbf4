"""How much memory arrays, training, prediction and scoring take, by the number of X-rays.

`uv run --group dev python -m tests.benchmarks.memory` draws synthetic pairs and prints seconds and
memory of each step, with what the most pairs take of what the fewest take; with `--chain FOLDER`,
of each notebook of the chain on the database's 21,165 pairs, by the recipe `demo` with one epoch.
FOLDER is drawn where it does not exist: 2 GB, a quarter of an hour; the run takes an hour or two.

Memory is the highest anonymous one of any process (RssAnon of Linux, 1 GB is 1e9 bytes): what no
file holds, so that the system can only swap it out.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from threading import Thread

import numpy as np
import psutil

from helpers.data.sources import PUBLISHED_COUNTS, find_data
from helpers.data.synthetic import write_data_set
from helpers.split.index import build_index

INTERVAL = 0.02  # seconds between two looks
TRAINING_STEPS = 20
NETWORK = "network.keras"


class Watch(Thread):
    """Looks at the processes below this one, and notes the highest memory that one of them has.

    Attributes:
        step: what they are doing.
        peaks: GB, by step.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.step, self.peaks = "", defaultdict(float)
        self.start()

    def run(self) -> None:
        """Look until the program ends."""
        while True:
            step = self.step
            for process in psutil.Process().children(recursive=True):
                self.peaks[step] = max(self.peaks[step], read_memory(process.pid))
            time.sleep(INTERVAL)


def read_memory(pid: int) -> float:
    """Return the anonymous memory of a process in GB; 0 for one that has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024 / 1e9
    return 0.0


# Libraries are imported by the step that needs them: TensorFlow's own memory would hide an array's.
def audit(folder: Path, image_size: int) -> None:
    """Audit the data set; later steps recall it."""
    build_index(find_data(str(folder)))


def prepare(folder: Path, image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Prepare the arrays of the X-rays and the masks; later steps find them on the disk."""
    from helpers.data.arrays import prepare_images, prepare_masks

    data_set = find_data(str(folder))
    index, _ = build_index(data_set)
    return tuple(part(data_set, index, image_size) for part in (prepare_images, prepare_masks))


def train(folder: Path, image_size: int) -> None:
    """Train the U-Net of `demo` for a few steps, so that it draws something like lungs."""
    from helpers.train import models, training
    from helpers.train.batches import Batches
    from helpers.train.recipes import find_recipe

    settings = find_recipe("demo").segmentation.override(image_size=image_size)
    xrays, masks = prepare(folder, image_size)
    training.make_reproducible(0)
    batches = Batches(xrays, masks, np.arange(len(xrays)), settings.batch_size, shuffle_seed=0)
    model = models.build_unet(settings)
    training.compile_segmenter(model, settings, TRAINING_STEPS)
    for step in range(TRAINING_STEPS):
        model.train_on_batch(*batches[step % len(batches)])
    model.save(folder.parent / NETWORK)


def predict(folder: Path, image_size: int) -> None:
    """Draw the lungs of all X-rays and score them, as notebook 05 does with the test split."""
    from helpers.evaluate import segmentation
    from helpers.train import inference, trained

    data_set = find_data(str(folder))
    index, _ = build_index(data_set)
    xrays, _ = prepare(folder, image_size)
    model = trained.load_model(folder.parent / NETWORK)
    table = segmentation.score_masks(data_set, index, inference.predict_each(model, xrays))
    assert len(table) == len(xrays)


def learn(folder: Path, image_size: int) -> None:
    """Learn what the X-rays look like and measure how far they are, as notebook 04 does."""
    import pandas as pd

    from helpers.predict import novelty

    xrays, _ = prepare(folder, image_size)
    known = novelty.learn_likeness(xrays, pd.Series(range(len(xrays))))
    novelty.measure_distances(known, xrays)


STEPS = {
    "audit": audit,
    "arrays": prepare,
    "training": train,
    "prediction and scores": predict,
    "likeness": learn,
}


def measure_step(
    watch: Watch, step: Callable[[Path, int], object], folder: Path, image_size: int
) -> tuple[float, float]:
    """Return the seconds and the memory of a step in a process of its own."""
    watch.step, start = f"{step.__name__} {folder}", time.perf_counter()
    process = get_context("spawn").Process(target=step, args=(folder, image_size))
    process.start()
    process.join()
    assert process.exitcode == 0, f"{step.__name__} failed"
    return time.perf_counter() - start, watch.peaks[watch.step]


def measure_sizes(pairs: list[int], image_size: int) -> None:
    """Print seconds and memory of each step for each number of pairs, and their ratio."""
    watch, found = Watch(), defaultdict(list)
    for count in pairs:
        with tempfile.TemporaryDirectory() as place:
            os.environ["COVID_LUNGS_CACHE"] = f"{place}/cache"
            folder = Path(place) / "drawn"
            watch.step = "drawing"
            write_data_set(folder, {"COVID": count // 2, "Normal": count - count // 2}, seed=3)
            for name, step in STEPS.items():
                seconds, memory = measure_step(watch, step, folder, image_size)
                found[name].append(memory)
                print(f"{count:,} pairs, {name}: {seconds:.1f} s, {memory:.3f} GB", flush=True)
    for name, memory in found.items():
        print(f"{name}: {memory[-1] / memory[0]:.3f} times the memory")


def measure_chain(folder: Path) -> None:
    """Print seconds and memory of each notebook of the chain on a data set."""
    if not folder.exists():
        write_data_set(folder, PUBLISHED_COUNTS, seed=3)
    watch, begun = Watch(), time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "helpers", "run", "--data", str(folder)]
        command += ["--run", f"{place}/run", "-p", "epochs", "1"]
        cache = {"COVID_LUNGS_CACHE": f"{place}/cache"}
        with subprocess.Popen(
            command, env=os.environ | cache, stdout=subprocess.PIPE, text=True
        ) as run:
            for line in run.stdout:
                print(line, end="", flush=True)
                if ": runs (" in line:
                    watch.step = line.partition(":")[0]
                elif ": finished in " in line:
                    print(f"{watch.step}: {watch.peaks[watch.step]:.3f} GB", flush=True)
    seconds = time.perf_counter() - begun
    print(f"exit {run.returncode}, {seconds:.0f} s, at most {max(watch.peaks.values()):.3f} GB")


def main() -> None:
    """Measure the steps, or the whole chain."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pairs", type=int, nargs="+", default=[500, 2000])
    parser.add_argument("--image-size", type=int, default=512)
    parser.add_argument("--chain", type=Path, metavar="FOLDER")
    options = parser.parse_args()
    if options.chain:
        measure_chain(options.chain)
    else:
        measure_sizes(options.pairs, options.image_size)


if __name__ == "__main__":
    main()

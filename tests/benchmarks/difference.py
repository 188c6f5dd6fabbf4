"""How much better than another U-Net a trained run draws lungs or infection of its test split.

`uv run python -m tests.benchmarks.difference --data SOURCE --run NAME`
`uv run python -m tests.benchmarks.difference --data SOURCE --run NAME --infection --against best`

The other network is a plain one (`PLAIN` of `tests.benchmarks.segmentation`), or the one that the
recipe `best` has for lungs. It learns on the run's training split, keeps its epoch of the lowest
validation loss, and its masks are cleaned as ours are: those of lungs only. Every test X-ray gives
a pair of scores; the mean difference has a 95 % interval, resampled by group.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers.data import arrays
from helpers.data.sources import DataSet, find_data
from helpers.evaluate import segmentation
from helpers.evaluate.infection import measure_infection
from helpers.evaluate.intervals import Estimate, compare_paired
from helpers.split.splits import read_split
from helpers.storage.folders import find_trained
from helpers.train import backend, inference, models, training
from helpers.train.batches import Batches
from helpers.train.recipes import SegmentationSettings, find_recipe
from tests.benchmarks.segmentation import PLAIN

SHOWN = ("dice", "iou", "hausdorff_95", "average_surface_distance", "surface_dice")


class Task(NamedTuple):
    """What is segmented: the part of a run, its masks, its scores, and those that are shown."""

    part: str
    prepare: Callable[[DataSet, pd.DataFrame, int], np.ndarray]
    score: Callable[[DataSet, pd.DataFrame, np.ndarray], pd.DataFrame]
    shown: tuple[str, ...]


def score_infection(
    data_set: DataSet, rows: pd.DataFrame, probabilities: np.ndarray
) -> pd.DataFrame:
    """Return the overlap of infection masks; whose lungs they are in does not change it."""
    lungs = np.ones((len(rows), 8, 8), np.uint8)
    return measure_infection(data_set, rows, probabilities, lungs, lungs)[0]


LUNGS = Task("segmentation", arrays.prepare_masks, segmentation.score_masks, SHOWN)
INFECTION = Task("infection", arrays.prepare_infection, score_infection, ("dice", "iou"))


def score_other(
    task: Task, data_set: DataSet, split: pd.DataFrame, settings: SegmentationSettings, seed: int
) -> pd.DataFrame:
    """Train the other network and return its scores on the test split."""
    training.make_reproducible(seed)
    backend.use_fastest(settings, backend.look_at_machine())
    xrays = arrays.prepare_images(data_set, split, settings.image_size)
    masks = task.prepare(data_set, split, settings.image_size)
    rows = {n: np.flatnonzero(split["split"] == n) for n in ("train", "validation", "test")}
    learn = Batches(xrays, masks, rows["train"], settings.batch_size, seed, settings.augmentation)
    check = Batches(xrays, masks, rows["validation"], settings.batch_size)
    model = models.build_unet(settings)
    training.compile_segmenter(model, settings, len(learn))
    with tempfile.TemporaryDirectory() as folder:
        training.train(model, learn, check, settings.epochs, Path(folder))
    model = models.look_twice(model) if settings.look_twice else model
    found = inference.predict(model, xrays[rows["test"]])
    return task.score(data_set, split.iloc[rows["test"]], found)


def show(figure: Estimate) -> str:
    """Return a mean and its interval."""
    return f"{figure.value:+.4f} [{figure.low:+.4f}, {figure.high:+.4f}]"


def main() -> None:
    """Print the means of both networks and their paired difference, score by score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--infection", action="store_true", help="compare infection masks")
    parser.add_argument("--against", choices=("plain", "best"), default="plain")
    parser.add_argument("--epochs", type=int, help="20 for plain, else as the recipe says")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    task = INFECTION if options.infection else LUNGS
    run_folder, data_set = find_trained(options.run), find_data(options.data)
    split = read_split(run_folder, data_set)
    if options.infection:
        split = split[split["infection_mask"] != ""].reset_index(drop=True)
    groups = split.loc[split["split"] == "test", "group"].reset_index(drop=True)
    ours = pd.read_csv(run_folder / task.part / "scores.csv")
    settings = find_recipe("best").segmentation
    if options.against == "plain":
        settings = replace(PLAIN, epochs=20)
    start = time.perf_counter()
    other = score_other(
        task, data_set, split, settings.override(epochs=options.epochs), options.seed
    )
    print(f"the other network: {time.perf_counter() - start:.0f} s")
    assert list(other["file"]) == list(ours["file"]), "scores.csv is of another split"
    # On healthy X-rays Dice is 0 or 1.
    kept = ours["infected"] if options.infection else ours["dice"].notna()
    ours, other, groups = ours[kept], other[kept], groups[kept]
    for name in task.shown:
        both = (other[name].mean(), ours[name].mean())
        difference = show(compare_paired(ours[name], other[name], groups))
        print(f"{name}: {options.against} {both[0]:.4f}, ours {both[1]:.4f}, gain {difference}")


if __name__ == "__main__":
    main()

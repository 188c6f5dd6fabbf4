"""How much better than a plain U-Net a trained run draws the lungs of its own test split.

`uv run python -m tests.benchmarks.difference --data SOURCE --run NAME`

The plain network (`PLAIN` of `tests.benchmarks.segmentation`) learns on the run's training split
for as many epochs as are asked for, keeps its epoch of the lowest validation loss, and has its
masks cleaned as ours are. Every test X-ray gives a pair of scores; the mean difference has a 95 %
interval, resampled by group.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.data import arrays
from helpers.data.sources import DataSet, find_data
from helpers.evaluate import segmentation
from helpers.evaluate.intervals import Estimate, estimate_mean
from helpers.split.splits import read_split
from helpers.storage.folders import find_trained
from helpers.train import backend, inference, models, training
from helpers.train.batches import Batches
from helpers.train.recipes import SegmentationSettings
from tests.benchmarks.segmentation import PLAIN

SHOWN = ("dice", "iou", "hausdorff_95", "average_surface_distance", "surface_dice")


def score_plain(
    data_set: DataSet, split: pd.DataFrame, settings: SegmentationSettings, seed: int
) -> pd.DataFrame:
    """Train the plain network and return its scores on the test split."""
    training.make_reproducible(seed)
    backend.use_fastest(settings, backend.look_at_machine())
    xrays = arrays.prepare_images(data_set, split, settings.image_size)
    masks = arrays.prepare_masks(data_set, split, settings.image_size)
    rows = {n: np.flatnonzero(split["split"] == n) for n in ("train", "validation", "test")}
    learn = Batches(xrays, masks, rows["train"], settings.batch_size, seed, settings.augmentation)
    check = Batches(xrays, masks, rows["validation"], settings.batch_size)
    model = models.build_unet(settings)
    training.compile_segmenter(model, settings, len(learn))
    with tempfile.TemporaryDirectory() as folder:
        training.train(model, learn, check, settings.epochs, Path(folder))
    model = models.look_twice(model) if settings.look_twice else model
    found = inference.predict(model, xrays[rows["test"]])
    return segmentation.score_masks(data_set, split.iloc[rows["test"]], found)


def show(figure: Estimate) -> str:
    """Return a mean and its interval."""
    return f"{figure.value:+.4f} [{figure.low:+.4f}, {figure.high:+.4f}]"


def main() -> None:
    """Print the means of both networks and their paired difference, score by score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--run", required=True)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    run_folder, data_set = find_trained(options.run), find_data(options.data)
    split = read_split(run_folder, data_set)
    groups = split.loc[split["split"] == "test", "group"].reset_index(drop=True)
    ours = pd.read_csv(run_folder / "segmentation" / "scores.csv")
    start = time.perf_counter()
    settings = replace(PLAIN, epochs=options.epochs)
    plain = score_plain(data_set, split, settings, options.seed)
    print(f"plain network: {time.perf_counter() - start:.0f} s")
    assert list(plain["file"]) == list(ours["file"]), "scores.csv is of another split"
    for name in SHOWN:
        both = (plain[name].mean(), ours[name].mean())
        difference = show(estimate_mean(ours[name] - plain[name], groups))
        print(f"{name}: plain {both[0]:.4f}, ours {both[1]:.4f}, difference {difference}")


if __name__ == "__main__":
    main()

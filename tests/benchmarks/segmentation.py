"""How soon the recipe `best` and a plain U-Net reach a validation Dice of 0.94 on the same X-rays.

`uv run python -m tests.benchmarks.segmentation --data SOURCE --seeds 0 1 2`

The plain network has 16 filters at 128 pixels, Dice loss with cross-entropy, light augmentation and
a constant learning rate, and is compiled as Keras does by itself; with `--compiled` by XLA, as
ours is. The time is that of the training steps, the first with its compilation; looking at the
validation split every few steps is not counted.
"""

import argparse
import time
from dataclasses import replace

import numpy as np
import pandas as pd

from helpers.data import arrays
from helpers.data.sources import DataSet, find_data
from helpers.evaluate import segmentation
from helpers.split.index import build_index
from helpers.split.splits import assign_splits
from helpers.train import backend, inference, models, training
from helpers.train.batches import Batches
from helpers.train.recipes import SegmentationSettings, find_recipe

GOAL = 0.94
LOOK_EVERY = 10  # steps
PLAIN = SegmentationSettings(
    image_size=128,
    filters=(16, 32, 64, 128),
    epochs=10,
    batch_size=8,
    learning_rate=1e-3,
    augmentation="light",
    cross_entropy=True,
)


def time_to_goal(
    data_set: DataSet, split: pd.DataFrame, settings: SegmentationSettings, seed: int
) -> float:
    """Return the seconds of training until the validation split reaches the goal, or infinity."""
    training.make_reproducible(seed)
    backend.use_fastest(settings, backend.look_at_machine())
    xrays = arrays.prepare_images(data_set, split, settings.image_size)
    masks = arrays.prepare_masks(data_set, split, settings.image_size)
    rows = {name: np.flatnonzero(split["split"] == name) for name in ("train", "validation")}
    check = split.iloc[rows["validation"]]
    batches = Batches(xrays, masks, rows["train"], settings.batch_size, seed, settings.augmentation)
    model = models.build_unet(settings)
    training.compile_segmenter(model, settings, len(batches))
    seconds = 0.0
    for step in range(settings.epochs * len(batches)):
        if step % len(batches) == 0:
            batches.start_epoch(step // len(batches))
        start = time.perf_counter()
        model.train_on_batch(*batches[step % len(batches)])
        seconds += time.perf_counter() - start
        if step % LOOK_EVERY == LOOK_EVERY - 1:
            found = inference.predict(model, xrays[rows["validation"]])
            if segmentation.score_masks(data_set, check, found)["dice_uncleaned"].mean() >= GOAL:
                return seconds
    return float("inf")


def main() -> None:
    """Print the seconds of each seed, their medians and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--compiled", action="store_true", help="compile the plain one by XLA, too")
    options = parser.parse_args()
    data_set = find_data(options.data)
    index, _ = build_index(data_set)
    split = index.assign(split=assign_splits(index, seed=7)["split"])
    best = find_recipe("best").segmentation
    medians = {}
    plain = replace(PLAIN, compiled=options.compiled)
    for name, settings in (("plain", plain), ("best", best)):
        seconds = [time_to_goal(data_set, split, settings, seed) for seed in options.seeds]
        medians[name] = float(np.median(seconds))
        each = ", ".join(f"{value:.1f}" for value in seconds)
        print(f"{name}: Dice {GOAL} after {medians[name]:.1f} s ({each})", flush=True)
    print(f"best takes {medians['best'] / medians['plain']:.2f} of the plain network's time")


if __name__ == "__main__":
    main()

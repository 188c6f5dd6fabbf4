"""Seconds a training step of a recipe's two networks takes on this machine.

`uv run python -m tests.benchmarks.steps --recipe original --data SOURCE --steps 20`
"""

import argparse
import time

import numpy as np

from helpers.data import arrays
from helpers.data.sources import find_data
from helpers.evaluate import detection
from helpers.split.index import build_index
from helpers.train import models, training
from helpers.train.backend import keras
from helpers.train.batches import Batches
from helpers.train.recipes import find_recipe


def time_steps(model: keras.Model, batches: Batches, steps: int) -> list[float]:
    """Return the seconds of each step after a first one, in which the graph is built."""
    seconds = []
    for step in range(steps + 1):
        start = time.perf_counter()
        model.train_on_batch(*batches[step % len(batches)])
        seconds.append(time.perf_counter() - start)
    return seconds[1:]


def main() -> None:
    """Print the median, least and most seconds a step of the detector and of the U-Net."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="demo")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    recipe, data_set = find_recipe(options.recipe), find_data(options.data)
    index, _ = build_index(data_set)
    training.make_reproducible(0)
    for name, settings in (("detector", recipe.detection), ("U-Net", recipe.segmentation)):
        rows = np.random.default_rng(0).permutation(len(index))
        chosen = index.iloc[np.sort(rows[: settings.batch_size * (options.steps + 1)])]
        images = arrays.prepare_images(data_set, chosen, settings.image_size)
        if name == "detector":
            model, targets = models.build_detector(settings), detection.covid_labels(chosen)
            training.compile_detector(model, settings, options.steps)
        else:
            model = models.build_unet(settings)
            targets = arrays.prepare_masks(data_set, chosen, settings.image_size)
            training.compile_segmenter(model, settings, options.steps)
        batches = Batches(images, targets, np.arange(len(chosen)), settings.batch_size, 0)
        seconds = time_steps(model, batches, options.steps)
        print(
            f"{options.recipe} {name}: {model.count_params():,} weights, "
            f"{settings.image_size} pixels, {settings.batch_size} X-rays a step: "
            f"{np.median(seconds):.3f} s a step (least {min(seconds):.3f}, "
            f"most {max(seconds):.3f}, {len(seconds)} steps)",
            flush=True,
        )


if __name__ == "__main__":
    main()

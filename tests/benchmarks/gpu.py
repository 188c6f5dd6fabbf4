"""How busy training and prediction keep a GPU: X-rays a second, beside what the network could do.

`uv run --group dev python -m tests.benchmarks.gpu --recipes demo best --batches 8 64`

For the U-Net of each recipe: batches alone; `fit` on them; `fit` on one batch, again and again,
which with JAX lies on the device; `predict` of an array; the network alone on X-rays that lie on
the device. Then a training is stopped and resumed, and its weights are compared with those of one
left alone. The X-rays are synthetic. Without a GPU all this runs on processors, and the numbers say
nothing about one; with `--pretend` they do there what they would do on a GPU.

`--dice SOURCE` trains each recipe on real X-rays and scores it on the test split; `--float16`
calculates in the 16 bits that older GPUs have, such as Colab's T4.
"""

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from helpers.data.images import resize_image, resize_mask
from helpers.data.sources import find_data
from helpers.data.synthetic import draw_xray
from helpers.split.index import build_index
from helpers.split.splits import assign_splits
from helpers.train import backend, inference, models, training
from helpers.train.backend import compiled, keras
from helpers.train.batches import Batches
from helpers.train.recipes import SegmentationSettings, find_recipe
from helpers.train.trained import load_model
from tests.benchmarks.difference import score_plain
from tests.benchmarks.speed import fastest
from tests.support.gpus import pretend_gpu
from tests.support.trainings import Stopped, stop_at

DRAWN = 64  # different X-rays; the others are copies
EPOCHS = 3  # the first builds the network's program, the fastest of the others counts
Arrays = tuple[np.ndarray, np.ndarray]


class Held(keras.utils.PyDataset):
    """One batch, again and again."""

    def __init__(self, batch: tuple, count: int):
        super().__init__()
        self.batch, self.count = batch, count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int) -> tuple:
        return self.batch


class EpochTimes(keras.callbacks.Callback):
    """Notes the seconds of each epoch."""

    def on_train_begin(self, logs: dict | None = None) -> None:
        self.seconds = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.begun = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self.seconds.append(time.perf_counter() - self.begun)


def draw_arrays(count: int, size: int) -> Arrays:
    """Return synthetic X-rays and masks of a size."""
    pairs = [draw_xray("Normal", seed) for seed in range(min(DRAWN, count))]
    xrays = np.stack([resize_image(xray, (size, size)) for xray, _ in pairs])
    masks = np.stack([resize_mask(mask // 255, (size, size)) for _, mask in pairs])
    copies = -(-count // len(pairs))
    return np.tile(xrays, (copies, 1, 1))[:count], np.tile(masks, (copies, 1, 1))[:count]


def speed(act: Callable[[], object], count: int) -> float:
    """Return X-rays a second of the fastest of three runs, after one to warm up."""
    return count / fastest(act, 3)


def fit_speed(model: keras.Model, batches: keras.utils.PyDataset, count: int) -> float:
    """Return X-rays a second of `Model.fit`."""
    times = EpochTimes()
    model.fit(batches, epochs=EPOCHS, callbacks=[times], shuffle=False, verbose=0)
    return count / min(times.seconds[1:])


def make_batches(arrays: Arrays, settings: SegmentationSettings) -> Batches:
    """Return batches of all X-rays as a recipe augments them."""
    rows = np.arange(len(arrays[0]))
    return Batches(*arrays, rows, settings.batch_size, 0, settings.augmentation)


def make_model(settings: SegmentationSettings, steps: int) -> keras.Model:
    """Return a recipe's U-Net, compiled."""
    training.make_reproducible(0)
    model = models.build_unet(settings)
    training.compile_segmenter(model, settings, steps)
    return model


def measure(settings: SegmentationSettings, arrays: Arrays) -> dict[str, float]:
    """Return the X-rays a second of every column."""
    batches = make_batches(arrays, settings)
    model, count = make_model(settings, len(batches)), len(batches.order)

    def load() -> None:
        last = [batches[position] for position in range(len(batches))][-1]
        keras.ops.convert_to_numpy(last[0])  # waits for the device

    together = inference.fit_batch(model)
    held = keras.ops.convert_to_tensor(np.resize(batches[0][0], (together, *model.input_shape[1:])))
    look = compiled(lambda xrays: keras.ops.sum(model(xrays, training=False)))
    return {
        "batches": speed(load, count),
        "fit": fit_speed(model, batches, count),
        "fit, one batch": fit_speed(model, Held(batches[0], len(batches)), count),
        "predict": speed(lambda: inference.predict(model, arrays[0]), len(arrays[0])),
        "network alone": speed(lambda: keras.ops.convert_to_numpy(look(held)), together),
    }


def compare_resumed(settings: SegmentationSettings, arrays: Arrays) -> tuple[bool, bool]:
    """Return whether a stopped and resumed training has the same weights and predictions."""
    few = tuple(part[: 8 * settings.batch_size] for part in arrays)
    settings = replace(settings, epochs=EPOCHS)
    check = Batches(*few, np.arange(settings.batch_size), settings.batch_size)

    def train_in(folder: Path) -> keras.Model:
        batches = make_batches(few, settings)
        model = make_model(settings, len(batches))
        folder.mkdir(exist_ok=True)
        training.train(model, batches, check, EPOCHS, folder, say=False)
        return load_model(folder / "model.keras")

    with tempfile.TemporaryDirectory() as place:
        whole = train_in(Path(place) / "whole")
        with pytest.MonkeyPatch.context() as patch:
            stop_at(patch, epoch=1, step=1)
            with suppress(Stopped):
                train_in(Path(place) / "stopped")
        resumed = train_in(Path(place) / "stopped")
    pairs = zip(whole.get_weights(), resumed.get_weights(), strict=True)
    found = [inference.predict(model, few[0]).tobytes() for model in (whole, resumed)]
    return all(np.array_equal(*pair) for pair in pairs), found[0] == found[1]


def print_speeds(name: str, batch_sizes: list[int], count: int) -> None:
    """Print a row for each batch size, and whether resuming changes anything."""
    settings = find_recipe(name).segmentation
    precision = backend.use_fastest(settings, backend.look_at_machine())
    arrays = draw_arrays(count, settings.image_size)
    for size in batch_sizes:
        found = measure(replace(settings, batch_size=size), arrays)
        columns = "  ".join(f"{key} {value:,.0f}" for key, value in found.items())
        busy, used = (
            found["fit"] / found["fit, one batch"],
            found["predict"] / found["network alone"],
        )
        print(f"{name}, {precision}, batch {size}: {columns} X-rays a second")
        print(
            f"  fit reaches {busy:.2f} of one batch, predict {used:.2f} of the network", flush=True
        )
    weights, predictions = compare_resumed(replace(settings, batch_size=batch_sizes[0]), arrays)
    print(f"{name}: resumed weights equal: {weights}, predictions equal: {predictions}", flush=True)


def print_dice(name: str, source: str, seeds: list[int]) -> None:
    """Print the mean test Dice of a recipe's U-Net for each seed."""
    data_set = find_data(source)
    index, _ = build_index(data_set)
    settings = find_recipe(name).segmentation
    for seed in seeds:
        split = index.assign(**assign_splits(index, seed=seed)[["split", "group"]])
        found = score_plain(data_set, split, settings, seed)["dice"]
        print(f"{name}, {source}, seed {seed}: test Dice {found.mean():.4f}", flush=True)


def main() -> None:
    """Print what this machine reaches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs="+", default=["demo", "best"])
    parser.add_argument("--batches", nargs="+", type=int, default=[8, 64])
    parser.add_argument("--xrays", type=int, default=2048)
    parser.add_argument("--float16", action="store_true")
    parser.add_argument("--pretend", action="store_true")
    parser.add_argument("--dice", metavar="SOURCE")
    parser.add_argument("--seeds", nargs="+", type=int, default=[7])
    options = parser.parse_args()
    if options.float16:
        backend.BFLOAT16_CAPABILITY = math.inf
    if options.pretend:
        pretend_gpu(pytest.MonkeyPatch())
    print(f"{backend.look_at_machine().device}; Keras on {keras.backend.backend()}", flush=True)
    for name in options.recipes:
        if options.dice:
            print_dice(name, options.dice, options.seeds)
        else:
            print_speeds(name, options.batches, options.xrays)


if __name__ == "__main__":
    main()

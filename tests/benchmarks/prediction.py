"""X-rays a second that `covid-lungs predict` draws, beside the bare network and a naive loop.

`uv run python -m tests.benchmarks.prediction --count 2048`
The network is the demo recipe's U-Net at 128 pixels, trained for seconds: random weights draw
noise, whose endless outline takes longer than any lung's. With `--package` it is the lung network
of the package.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from helpers.data.images import draw_outlines, read_xray, resize_image, resize_mask
from helpers.data.synthetic import CLASS_NAMES, draw_xray
from helpers.predict.files import find_xrays
from helpers.predict.networks import Networks
from helpers.predict.prediction import predict_files
from helpers.report.pictures import PREDICTED_COLOUR
from helpers.train.backend import keras
from helpers.train.batches import scale
from helpers.train.inference import predict
from helpers.train.lungs import load_network
from helpers.train.models import build_unet
from helpers.train.postprocessing import draw_lungs
from helpers.train.recipes import RECIPES
from helpers.train.training import compile_segmenter

SIZE = (128, 128)
DRAWN = 32  # different X-rays; the others are copies
ONE_BY_ONE = 48  # X-rays of the naive loop
ROUNDS = 3  # of each way, in turn, since the machine's speed changes


def train_briefly() -> keras.Model:
    """Return a U-Net that has learnt roughly where lungs are."""
    settings = RECIPES["demo"].segmentation
    keras.utils.set_random_seed(0)
    model = build_unet(settings)
    compile_segmenter(model, settings, steps=8)
    pairs = [draw_xray(name, seed) for seed in range(8) for name in CLASS_NAMES]
    images = np.stack([resize_image(image, SIZE) for image, _ in pairs])
    masks = np.stack([resize_mask(mask // 255, SIZE) for _, mask in pairs])
    targets = masks[..., None].astype("float32")
    model.fit(scale(images), targets, settings.batch_size, epochs=6, verbose=0)
    return model


def write_xrays(folder: Path, count: int) -> list[Path]:
    """Write synthetic X-rays, some of them copies, and return their paths."""
    drawn = [draw_xray(CLASS_NAMES[seed % len(CLASS_NAMES)], seed)[0] for seed in range(DRAWN)]
    files = [folder / f"xray-{number:05}.png" for number in range(count)]
    for number, file in enumerate(files):
        file.write_bytes(cv2.imencode(".png", drawn[number % DRAWN])[1])
    return files


def predict_one_by_one(model: keras.Model, files: list[Path], folder: Path) -> None:
    """Read, predict and write one X-ray after the other, as a first script would."""
    for file in files:
        image = read_xray(file)
        small = resize_image(image, model.input_shape[1:3])
        probability = model.predict(scale(small[None]), verbose=0)[0, ..., 0]
        mask = draw_lungs(probability, image.shape)
        cv2.imwrite(str(folder / file.name), mask * 255)
        overlay = draw_outlines(image, (mask, PREDICTED_COLOUR[::-1]))
        cv2.imwrite(str(folder / f"{file.stem}.jpg"), overlay)


def speed(act: Callable, *arguments, count: int) -> float:
    """Return X-rays a second."""
    start = time.perf_counter()
    act(*arguments)
    return count / (time.perf_counter() - start)


def main() -> None:
    """Time files to masks, batches in memory, and one image at a time; print their ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2048)
    parser.add_argument("--package", action="store_true")
    options = parser.parse_args()
    count = options.count
    model = load_network() if options.package else train_briefly()
    networks = Networks(model)
    with tempfile.TemporaryDirectory() as folder:
        files, out = write_xrays(Path(folder), count), Path(folder) / "out"
        size = model.input_shape[1:3]
        images = np.stack([resize_image(read_xray(file), size) for file in files])
        few, xrays = files[:ONE_BY_ONE], find_xrays(files)
        ways = {
            "files to masks": lambda: speed(predict_files, networks, xrays, out, count=count),
            "batches in memory": lambda: speed(predict, model, images, count=count),
            "one by one": lambda: speed(predict_one_by_one, model, few, out, count=len(few)),
        }
        for act in ways.values():
            act()  # the first pass builds graphs and fills the disk's cache
        speeds = [[act() for act in ways.values()] for _ in range(ROUNDS)]
    for name, values in zip(ways, np.array(speeds).T, strict=True):
        each = ", ".join(f"{value:.1f}" for value in values)
        print(f"{name}: {np.median(values):.1f} X-rays a second ({each})")
    files_to_masks, in_memory, one_by_one = np.array(speeds).T
    print(f"of batches in memory: {np.median(files_to_masks / in_memory):.2f}")
    print(f"times one by one: {np.median(files_to_masks / one_by_one):.1f}")


if __name__ == "__main__":
    main()

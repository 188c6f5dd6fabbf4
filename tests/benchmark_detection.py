"""What each part of the recipe best brings the detector, on the validation split.

`uv run python -m tests.benchmark_detection --data SOURCE --run NAME --try best --try original`

Each choice is trained on the run's training split from the same seed, keeps its epoch of the lowest
validation loss, and is measured on the validation split alone: the test split is for the end.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss

from helpers import arrays, detection, evaluation, models, training
from helpers.areas import auroc
from helpers.batches import Batches
from helpers.calibration import calibration_error
from helpers.data_sets import DataSet, find_data
from helpers.folders import find_run
from helpers.intervals import estimate_statistic
from helpers.recipes import DetectionSettings, find_recipe
from helpers.splits import read_split

BEST = find_recipe("best").detection
CHOICES = {
    "best": BEST,
    "best without augmentation": replace(BEST, augmentation="none"),
    "best without standardised X-rays": replace(BEST, standardised=False),
    "best at a constant rate of 1e-3": replace(BEST, schedule="constant", learning_rate=1e-3),
    "best of half the filters": replace(BEST, filters=(8, 16, 32, 48)),
    "the layers of original, as best otherwise": replace(
        BEST, pooled=False, filters=(16, 32, 16), learning_rate=1e-3
    ),
    "original": find_recipe("original").detection,
}


def train_choice(
    data_set: DataSet, split: pd.DataFrame, settings: DetectionSettings, seed: int
) -> tuple[np.ndarray, float]:
    """Return a trained detector's probabilities on the validation split, and its seconds."""
    training.make_reproducible(seed)
    xrays = arrays.prepare_images(data_set, split, settings.image_size)
    labels = detection.covid_labels(split)
    rows = {name: np.flatnonzero(split["split"] == name) for name in ("train", "validation")}
    size = settings.batch_size
    learn = Batches(xrays, labels, rows["train"], size, seed, settings.augmentation)
    check = Batches(xrays, labels, rows["validation"], size)
    model = models.build_detector(settings)
    training.compile_detector(model, settings, len(learn))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        training.train(model, learn, check, settings.epochs, Path(folder), say=False)
    return evaluation.predict(model, xrays[rows["validation"]]), time.perf_counter() - start


def main() -> None:
    """Print AUROC, log loss, calibration error and seconds of each choice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--run", required=True, help="whose split is used: 01 and 02 are enough")
    parser.add_argument("--try", dest="tried", action="append", choices=list(CHOICES))
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    data_set = find_data(options.data)
    split = read_split(find_run(options.run, options.data, "best"), data_set)
    seen = split[split["split"] == "validation"].reset_index(drop=True)
    label = pd.Series(detection.covid_labels(seen))
    for name in options.tried or CHOICES:
        found, seconds = train_choice(data_set, split, CHOICES[name], options.seed)
        probability = pd.Series(found)
        area = estimate_statistic(auroc, label, probability, seen["group"]).text(4)
        loss, error = log_loss(label, found), calibration_error(label.to_numpy(), found)
        print(
            f"{name}: AUROC {area}, log loss {loss:.4f}, calibration error {error:.4f}, "
            f"{seconds:.0f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()

"""What each part of the recipe best brings the detector, by cross-validation.

`uv run python -m tests.benchmarks.detection --data SOURCE --run NAME --try best --try original`

The X-rays are those of the run's training and validation splits; the test split is for the end.
In three folds, patients and copies whole, each choice learns from two thirds, keeps its epoch of
the lowest loss on the last, and answers there: to the X-ray alone, and to it and its mirror image
with the mean of both. Every X-ray is so answered once by every choice, and the choices are compared
X-ray by X-ray with the first. With `--answers FILE` the answers are kept, and choices that the file
has are not trained again.
"""

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

from helpers.data import arrays
from helpers.data.sources import DataSet, find_data
from helpers.evaluate import detection
from helpers.evaluate.calibration import calibration_error
from helpers.evaluate.cross_fitting import FOLDS, divide
from helpers.evaluate.intervals import estimate_mean
from helpers.split.splits import read_split
from helpers.storage.folders import find_run
from helpers.train import inference, models, training
from helpers.train.batches import Batches
from helpers.train.recipes import DetectionSettings, find_recipe

TWICE = ", looking twice"
BEST = find_recipe("best").detection
CHOICES = {
    "best": BEST,
    "best for twice the epochs": replace(BEST, epochs=2 * BEST.epochs),
    "best without augmentation": replace(BEST, augmentation="none"),
    "best without standardised X-rays": replace(BEST, standardised=False),
    "best at a constant rate of 1e-3": replace(BEST, schedule="constant", learning_rate=1e-3),
    "best of half the filters": replace(BEST, filters=(8, 16, 32, 48)),
    "the layers of original, as best otherwise": replace(
        BEST, pooled=False, filters=(16, 32, 16), learning_rate=1e-3
    ),
    "original": find_recipe("original").detection,
}


def answer_folds(
    data_set: DataSet, seen: pd.DataFrame, settings: DetectionSettings, seed: int
) -> tuple[np.ndarray, float]:
    """Train a detector a fold; return each X-ray's answers and the seconds of a training.

    The answers are probabilities, (N, 2): of one look, and the mean of two.
    """
    xrays = arrays.prepare_images(data_set, seen, settings.image_size)
    labels = detection.covid_labels(seen)
    answers, seconds, size = np.empty((len(seen), 2)), 0.0, settings.batch_size
    for learnt, checked in divide(seen, FOLDS, seed):
        training.make_reproducible(seed)
        learn = Batches(xrays, labels, learnt, size, seed, settings.augmentation)
        check = Batches(xrays, labels, checked, size)
        model = models.build_detector(settings)
        training.compile_detector(model, settings, len(learn))
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            training.train(model, learn, check, settings.epochs, Path(folder), say=False)
        seconds += time.perf_counter() - start
        looks = [
            inference.predict(model, given) for given in (xrays[checked], xrays[checked, :, ::-1])
        ]
        answers[checked] = np.column_stack([looks[0], np.mean(looks, axis=0)])
    return answers, seconds / FOLDS


def describe(name: str, answers: pd.DataFrame, seen: pd.DataFrame, seed: int) -> str:
    """Return a choice's figures and, but of the first, its mean differences from the first."""
    label = detection.covid_labels(seen)
    folds = [checked for _, checked in divide(seen, FOLDS, seed)]
    areas = pd.DataFrame(
        {
            choice: [roc_auc_score(label[fold], answers[choice].iloc[fold]) for fold in folds]
            for choice in answers
        }
    )
    losses = answers.apply(lambda found: log_losses(label, found))
    text = (
        f"{name}: AUROC {areas[name].mean():.4f} ({areas[name].min():.4f} to "
        f"{areas[name].max():.4f} in {FOLDS} folds), log loss {losses[name].mean():.4f}, "
        f"calibration error {calibration_error(label, answers[name].to_numpy()):.4f}"
    )
    first = answers.columns[0]
    if name == first:
        return text
    difference = estimate_mean(losses[name] - losses[first], seen["group"])
    area = areas[name] - areas[first]
    return f"{text}; less {first}: AUROC {area.mean():+.4f}, log loss {difference.text(4)}"


def log_losses(label: np.ndarray, probability: pd.Series) -> pd.Series:
    """Return the log loss of each answer."""
    sure = probability.clip(1e-7, 1 - 1e-7)
    return -np.log(sure.where(label == 1, 1 - sure))


def main() -> None:
    """Print AUROC, log loss, calibration error and seconds of each choice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--run", required=True, help="whose split is used: 01 and 02 are enough")
    parser.add_argument("--try", dest="tried", action="append", choices=list(CHOICES))
    parser.add_argument("--answers", type=Path, help="a .csv file to keep the answers in")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    data_set = find_data(options.data)
    split = read_split(find_run(options.run, options.data, "best"), data_set)
    seen = split[split["split"] != "test"].reset_index(drop=True)
    kept = options.answers is not None and options.answers.exists()
    answers = pd.read_csv(options.answers) if kept else pd.DataFrame(index=seen.index)
    for name in options.tried or CHOICES:
        seconds = "kept"
        if name not in answers:
            found, took = answer_folds(data_set, seen, CHOICES[name], options.seed)
            answers[name], answers[name + TWICE] = found.T
            seconds = f"{took:.0f} s"
        print(f"{describe(name, answers, seen, options.seed)}; {seconds}")
        print(describe(name + TWICE, answers, seen, options.seed), flush=True)
        if options.answers is not None:
            answers.to_csv(options.answers, index=False)


if __name__ == "__main__":
    main()

"""Evaluation: what the networks answer on whole splits, and the detector's figures."""

from contextlib import nullcontext
from pathlib import Path
from threading import Lock

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, roc_auc_score

from helpers.backend import keras
from helpers.batches import scale
from helpers.data_sets import POSITIVE_CLASS
from helpers.errors import CovidLungsError
from helpers.intervals import Estimate
from helpers.recipes import THRESHOLD

# Keras on JAX keeps what it computes with on the model, so that threads must take turns.
_TURN = nullcontext() if keras.backend.backend() == "tensorflow" else Lock()
PIXELS_A_BATCH = 16 * 128 * 128  # bounds the memory of a prediction, whatever the image size


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return a model's probabilities for uint8 X-rays (N, height, width), the last axis dropped.

    Only one batch at a time is scaled to float32, the smaller the larger the X-rays are, so that
    the array may be larger than memory. Several threads may ask one model.
    """
    batch_size = max(1, PIXELS_A_BATCH // (images.shape[1] * images.shape[2]))
    probabilities = np.empty((len(images), *model.output_shape[1:-1]), dtype="float32")
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
        with _TURN:
            probabilities[batch] = model.predict_on_batch(scale(images[batch]))[..., 0]
    return probabilities


def detection_predictions(split: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """Return `file`, `class`, `split`, `label` (1 is COVID) and `probability`, a row an X-ray."""
    table = split[["file", "class", "split"]].copy()
    table["label"] = covid_labels(split)
    table["probability"] = np.round(probabilities.astype("float64"), 6)
    return table


def covid_labels(split: pd.DataFrame) -> np.ndarray:
    """Return 1 for COVID and 0 for every other class, int64, (N,).

    Raises:
        CovidLungsError: the data set has no COVID, or nothing but COVID.
    """
    labels = (split["class"] == POSITIVE_CLASS).to_numpy().astype("int64")
    if labels.min() == labels.max():
        classes = ", ".join(sorted(split["class"].unique()))
        raise CovidLungsError(
            f"detection needs the class COVID and another; this data set has {classes}. "
            "Skip notebook 03 and go on with 04_segment_lungs."
        )
    return labels


def detection_metrics(predictions: pd.DataFrame) -> dict[str, Estimate]:
    """Return the detector's figures on the test split, each with the X-rays it counts.

    Sensitivity is the share of COVID found, specificity the share of the others passed, both at a
    probability above 0.5; `majority_accuracy` is that of always naming the larger class.
    """
    test = predictions[predictions["split"] == "test"]
    label, probability = test["label"].to_numpy(), test["probability"].to_numpy()
    (tn, fp), (fn, tp) = confusion_matrix(label, probability > THRESHOLD, labels=[0, 1])
    count, positives, negatives = len(test), tp + fn, tn + fp
    return {
        "accuracy": Estimate((tp + tn) / count, count),
        "majority_accuracy": Estimate(max(positives, negatives) / count, count),
        "sensitivity": Estimate(tp / positives, positives),
        "specificity": Estimate(tn / negatives, negatives),
        "auroc": Estimate(roc_auc_score(label, probability), count),
    }


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write predictions or scores as CSV, byte for byte equal on every system; return the path."""
    path.write_text(table.to_csv(index=False, lineterminator="\n"), encoding="utf-8", newline="\n")
    return path

"""Evaluation: probabilities and masks on whole splits, scored image by image."""

from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix, roc_auc_score

from helpers.backend import keras
from helpers.batches import scale
from helpers.data_sets import POSITIVE_CLASS, DataSet
from helpers.errors import CovidLungsError
from helpers.images import read_mask, resize_image
from helpers.metrics import dice, dice_loss, iou, threshold
from helpers.recipes import THRESHOLD

SCORES = ["iou", "dice", "dice_loss"]
PIXELS_A_BATCH = 16 * 128 * 128  # bounds the memory of a prediction, whatever the image size


def predict(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return a model's probabilities for uint8 X-rays (N, height, width), the last axis dropped.

    Only one batch at a time is scaled to float32, the smaller the larger the X-rays are, so that
    the array may be larger than memory.
    """
    batch_size = max(1, PIXELS_A_BATCH // (images.shape[1] * images.shape[2]))
    probabilities = np.empty((len(images), *model.output_shape[1:-1]), dtype="float32")
    for start in range(0, len(images), batch_size):
        batch = slice(start, start + batch_size)
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


def detection_metrics(predictions: pd.DataFrame) -> dict[str, tuple[float, int]]:
    """Return the detector's figures on the test split, each with the X-rays it counts.

    Sensitivity is the share of COVID found, specificity the share of the others passed, both at a
    probability above 0.5; `majority_accuracy` is that of always naming the larger class.
    """
    test = predictions[predictions["split"] == "test"]
    label, probability = test["label"].to_numpy(), test["probability"].to_numpy()
    (tn, fp), (fn, tp) = confusion_matrix(label, probability > THRESHOLD, labels=[0, 1])
    count, positives, negatives = len(test), tp + fn, tn + fp
    return {
        "accuracy": ((tp + tn) / count, count),
        "majority_accuracy": (max(positives, negatives) / count, count),
        "sensitivity": (tp / positives, positives),
        "specificity": (tn / negatives, negatives),
        "auroc": (roc_auc_score(label, probability), count),
    }


def score_masks(data_set: DataSet, rows: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """Return `file`, `class`, `iou`, `dice` and `dice_loss` of each X-ray, at its mask's own size.

    The network's probabilities are resized to the mask, not the mask to the network: a
    score at 128 pixels would hide what the small input lost. IoU and Dice are thresholded at 0.5,
    Dice loss is 1 - soft Dice.

    Args:
        data_set: where the masks are.
        rows: the index's rows to score.
        probabilities: float32, (rows, image_size, image_size).
    """
    scores = [
        _score(read_mask(data_set.root / mask), probability)
        for mask, probability in zip(rows["mask"], probabilities, strict=True)
    ]
    table = pd.DataFrame(scores, columns=SCORES).round(6)
    table.insert(0, "file", rows["file"].to_list())
    table.insert(1, "class", rows["class"].to_list())
    return table


def _score(true_mask: np.ndarray, probability: np.ndarray) -> list[float]:
    """Return IoU, Dice and Dice loss of one image."""
    true = true_mask[None, ..., None]
    resized = resize_image(probability, true_mask.shape)[None, ..., None]
    predicted = threshold(resized)
    values = iou(true, predicted), dice(true, predicted), dice_loss(true, resized)
    return [float(keras.ops.convert_to_numpy(value)[0]) for value in values]


def segmentation_metrics(scores: pd.DataFrame) -> dict[str, tuple[float, int]]:
    """Return the mean of each score over all test images, then class by class (`dice/COVID`)."""
    figures = {name: (scores[name].mean(), len(scores)) for name in SCORES}
    for class_name, members in scores.groupby("class"):
        for name in SCORES:
            figures[f"{name}/{class_name}"] = (members[name].mean(), len(members))
    return figures


def write_table(path: Path, table: pd.DataFrame) -> Path:
    """Write predictions or scores as CSV, byte for byte equal on every system; return the path."""
    path.write_text(table.to_csv(index=False, lineterminator="\n"), encoding="utf-8", newline="\n")
    return path


def ranked_cases(scores: pd.DataFrame, count: int) -> dict[str, pd.DataFrame]:
    """Return the `count` best, median and worst rows by Dice; ties go by file name."""
    ordered = scores.sort_values(["dice", "file"], ascending=[False, True])
    middle = max(0, (len(ordered) - count) // 2)
    return {
        "best": ordered.head(count),
        "median": ordered.iloc[middle : middle + count],
        "worst": ordered.tail(count).iloc[::-1],
    }


def class_table(figures: dict[str, tuple[float, int]]) -> pd.DataFrame:
    """Return `segmentation_metrics` as a table to read: a row a class, formatted to 3 digits."""
    classes = [name.removeprefix("dice/") for name in figures if name.startswith("dice/")]
    rows = {"all": "", **{name: f"/{name}" for name in classes}}
    table = {
        name: {score: f"{figures[score + suffix][0]:.3f}" for score in SCORES}
        | {"X-rays": figures["dice" + suffix][1]}
        for name, suffix in rows.items()
    }
    return pd.DataFrame(table).T.rename(
        columns={"iou": "IoU", "dice": "Dice coefficient", "dice_loss": "Dice loss"}
    )

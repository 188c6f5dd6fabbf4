"""Scores: how well predicted masks fit the true ones, image by image and on average."""

import math
from collections.abc import Iterable

import numpy as np
import pandas as pd

from helpers.data.arrays import refuse_changed
from helpers.data.images import resize_image
from helpers.data.sources import DataSet
from helpers.data.threads import read_all
from helpers.evaluate.intervals import Estimate, estimate_mean
from helpers.evaluate.postprocessing import draw_lungs
from helpers.evaluate.surface_distances import DISTANCES, measure_distances
from helpers.train.backend import keras
from helpers.train.metrics import SMOOTHING, dice, iou, threshold

OVERLAPS = ["iou", "dice", "dice_loss"]
UNCLEANED = "dice_uncleaned"
SCORES = [*OVERLAPS, *DISTANCES, UNCLEANED]
WORST_SHARE = 0.01
FEWEST_WORST, MOST_WORST = 4, 12  # of a gallery that shows something, and that can be read
HEADS = {
    "iou": "IoU",
    "dice": "Dice coefficient",
    "dice_loss": "Dice loss",
    "hausdorff_95": "95 % Hausdorff (pixels)",
    "average_surface_distance": "surface distance (pixels)",
    "surface_dice": "surface Dice",
}
DIGITS = {name: 2 if "pixels" in head else 3 for name, head in HEADS.items()}


def score_masks(
    data_set: DataSet, rows: pd.DataFrame, probabilities: Iterable[np.ndarray]
) -> pd.DataFrame:
    """Return `file`, `class` and the scores of SCORES of each X-ray, at its mask's own size.

    The network's probabilities are resized to the mask, not the mask to the network: a
    score at 128 pixels would hide what the small input lost. IoU, Dice and the distances are of
    the mask that `cleaning.draw_lungs` makes of them, `dice_uncleaned` is of the mask before it
    was cleaned, and Dice loss, 1 - soft Dice, of the probabilities.

    Args:
        data_set: where the masks are.
        rows: the index's rows to score.
        probabilities: of each row, float32 (image_size, image_size): an array, or one after
            another as `evaluation.predict_each` yields them, each forgotten once it is scored.

    Raises:
        CovidLungsError: a mask cannot be decoded, or is not the one that the index saw.
    """

    def score(mask: str, seen: str, probability: np.ndarray) -> dict[str, float]:
        true = data_set.read_mask(mask)
        refuse_changed(mask, true, seen)
        return _score(true, probability)

    given = zip(rows["mask"], rows["mask_pixels"], probabilities, strict=True)
    scores = read_all(lambda row: score(*row), given, "scoring", len(rows))
    table = pd.DataFrame(scores, columns=SCORES).round(6)
    table.insert(0, "file", rows["file"].to_list())
    table.insert(1, "class", rows["class"].to_list())
    return table


def _score(true: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Return the scores of one image."""
    predicted = draw_lungs(probability, true.shape)
    resized = resize_image(probability, true.shape)
    overlaps = {
        "iou": iou(_batch(true), _batch(predicted)),
        "dice": dice(_batch(true), _batch(predicted)),
        UNCLEANED: dice(_batch(true), threshold(_batch(resized))),
    }
    values = {name: float(keras.ops.convert_to_numpy(v)[0]) for name, v in overlaps.items()}
    values["dice_loss"] = _dice_loss(true, resized)
    return values | measure_distances(true, predicted)


def _dice_loss(true: np.ndarray, probability: np.ndarray) -> float:
    """Return `metrics.dice_loss` of one image, summed in float64: float32 is off by 1e-6."""
    shared = np.sum(probability, where=true == 1, dtype=np.float64)
    total = np.sum(probability, dtype=np.float64) + true.sum()
    return float(1 - (2 * shared + SMOOTHING) / (total + SMOOTHING))


def _batch(image: np.ndarray) -> np.ndarray:
    return image[None, ..., None]


def mean_scores(scores: pd.DataFrame, groups: pd.Series) -> dict[str, Estimate]:
    """Return the mean of each score over all images, then class by class (`dice/COVID`).

    `cleaning_gain` is the mean of what cleaning the masks added to an image's Dice. Where one of
    the two masks is empty there is no distance, and the mean is over the others.

    Args:
        scores: as `score_masks` returns them.
        groups: the group of each row, with the same index.
    """
    scores = scores.assign(cleaning_gain=scores["dice"] - scores[UNCLEANED])
    parts = {"": scores} | {f"/{name}": part for name, part in scores.groupby("class")}
    return {
        f"{name}{suffix}": estimate_mean(part[name], groups[part.index])
        for suffix, part in parts.items()
        for name in [*SCORES, "cleaning_gain"]
    }


def score_table(figures: dict[str, Estimate]) -> pd.DataFrame:
    """Return `mean_scores` as a table to read: a row a class, each mean with its interval."""
    classes = [name.removeprefix("dice/") for name in figures if name.startswith("dice/")]
    suffixes = {"all": "", **{name: f"/{name}" for name in classes}}
    rows = {
        row: {head: figures[name + suffix].text(DIGITS[name]) for name, head in HEADS.items()}
        | {"X-rays": figures["dice" + suffix].n}
        for row, suffix in suffixes.items()
    }
    return pd.DataFrame(rows).T


def score_sources(scores: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Return a table as `score_table` does, but a row for each source ("unknown" for none).

    Args:
        scores: as `score_masks` returns them.
        split: the same rows, with `source` and `group`.
    """
    sources = split["source"].replace("", "unknown")
    table = score_table(mean_scores(scores.assign(**{"class": sources}), split["group"]))
    return table.iloc[1:]  # without the first row, which is of all


def ranked_cases(scores: pd.DataFrame, count: int) -> dict[str, pd.DataFrame]:
    """Return the `count` best, median and worst rows by Dice; ties go by file name."""
    ordered = scores.sort_values(["dice", "file"], ascending=[False, True])
    middle = max(0, (len(ordered) - count) // 2)
    return {
        "best": ordered.head(count),
        "median": ordered.iloc[middle : middle + count],
        "worst": ordered.tail(count).iloc[::-1],
    }


def worst_cases(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the worst one per cent of the rows by Dice, the worst first: 4 to 12 of them."""
    count = math.ceil(WORST_SHARE * len(scores))
    return ranked_cases(scores, min(max(count, FEWEST_WORST), MOST_WORST))["worst"]

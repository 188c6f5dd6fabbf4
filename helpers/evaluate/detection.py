"""Detection: the detector's predictions, and how good they are."""

import numpy as np
import pandas as pd

from helpers.data.layouts import POSITIVE_CLASS
from helpers.evaluate.calibration import (
    apply_temperature,
    calibration_error,
    chance_error,
    fit_temperature,
)
from helpers.evaluate.intervals import Estimate, estimate_share, estimate_statistic
from helpers.storage.errors import CovidLungsError
from helpers.train.recipes import THRESHOLD

DIGITS = 6  # of the probabilities and of a threshold between them
FEWEST_WRONG, MOST_WRONG = 6, 18  # X-rays in a gallery that shows something and can be read


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
            "Skip notebooks 03 and 06: 04_segment_lungs and 05_evaluate work without them."
        )
    return labels


def detection_predictions(split: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """Return `file`, `class`, `split`, `label` (1 is COVID) and `probability`, a row an X-ray."""
    table = split[["file", "class", "split"]].copy()
    table["label"] = (table["class"] == POSITIVE_CLASS).astype("int64")
    table["probability"] = np.round(probabilities.astype("float64"), DIGITS)
    return table


def auroc(label: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the area under the ROC curve of each resample: the chance of ranking a pair rightly.

    A pair of a positive and a negative X-ray with equal probabilities counts half.

    Args:
        label: 1 or 0, (N,).
        probability: that the label is 1, (N,).
        weights: how often each X-ray was drawn, (resamples, N); both classes in each resample.
    """
    positives, negatives = _by_probability(label, probability, weights)
    below = negatives.cumsum(axis=1) - negatives / 2
    return (positives * below).sum(axis=1) / (positives.sum(axis=1) * negatives.sum(axis=1))


def average_precision(
    label: np.ndarray, probability: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the mean precision at the thresholds that find one positive X-ray after another.

    That is the area under the precision-recall curve drawn in steps; arguments as in `auroc`.
    """
    positives, negatives = (part[:, ::-1] for part in _by_probability(label, probability, weights))
    found = positives.cumsum(axis=1)
    called = found + negatives.cumsum(axis=1)
    precision = np.divide(found, called, out=np.zeros(found.shape), where=called > 0)
    return (positives * precision).sum(axis=1) / positives.sum(axis=1)


def _by_probability(
    label: np.ndarray, probability: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the weight of positives and of negatives at each distinct probability, ascending."""
    order = np.argsort(probability, kind="stable")
    probability, label, weights = probability[order], label[order], weights[:, order]
    starts = np.flatnonzero(np.r_[True, probability[1:] > probability[:-1]])
    positives = np.add.reduceat(weights * label, starts, axis=1)
    return positives, np.add.reduceat(weights * (1 - label), starts, axis=1)


def _f1(label: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the harmonic mean of sensitivity and precision at 0.5, arguments as in `auroc`."""
    called = probability > THRESHOLD
    return 2 * weights @ (called & (label == 1)) / (weights @ called + weights @ label)


def choose_threshold(predictions: pd.DataFrame) -> float:
    """Return the threshold with the largest sensitivity + specificity on the validation split.

    That sum less 1 is Youden's J (1950). A threshold lies midway between two neighbouring
    probabilities, rounded down to six digits. Of several best ones, the one nearest to 0.5 is
    taken, and 0.5 itself if no threshold beats guessing or the split lacks a class.
    """
    part = predictions[predictions["split"] == "validation"]
    values = np.unique(part["probability"])
    middles = np.floor((values[1:] + values[:-1]) / 2 * 10**DIGITS) / 10**DIGITS
    others, ill = (np.sort(part["probability"][part["label"] == label]) for label in (0, 1))
    found = len(ill) - np.searchsorted(ill, middles, side="right")
    alarms = len(others) - np.searchsorted(others, middles, side="right")
    gain = found * len(others) - alarms * len(ill)  # J times both counts: ties are exact
    if gain.max(initial=0) == 0:
        return THRESHOLD
    best = middles[gain == gain.max()]
    return float(best[np.abs(best - THRESHOLD).argmin()])


def detection_metrics(predictions: pd.DataFrame, groups: pd.Series) -> dict[str, Estimate]:
    """Return the detector's metrics on the test split, each with the X-rays it counts.

    Accuracy, sensitivity, specificity and precision are shares of X-rays at a probability above
    0.5; sensitivity and specificity come `_at_threshold` too. `majority_accuracy` is that of
    always predicting the larger class. `threshold` and `temperature` are chosen on the validation
    split and count its X-rays; the other intervals take them as given. `_scaled` is after
    temperature scaling, `_by_chance` what a perfectly calibrated network would show. The
    `detection_predictions` and the group of each row have the same index.
    """
    validation, test = (
        predictions[predictions["split"] == name] for name in ("validation", "test")
    )
    label, probability = test["label"], test["probability"]
    threshold = choose_threshold(predictions)
    temperature = fit_temperature(validation["label"], validation["probability"])
    at_threshold = _shares(test, groups, threshold)
    return {
        **_shares(test, groups, THRESHOLD),
        "f1": estimate_statistic(_f1, label, probability, groups),
        "auroc": estimate_statistic(auroc, label, probability, groups),
        "average_precision": estimate_statistic(average_precision, label, probability, groups),
        "threshold": Estimate(threshold, len(validation)),
        "sensitivity_at_threshold": at_threshold["sensitivity"],
        "specificity_at_threshold": at_threshold["specificity"],
        "temperature": Estimate(temperature, len(validation)),
        **_calibration(label, probability, ""),
        **_calibration(label, apply_temperature(probability, temperature), "_scaled"),
    }


def _shares(test: pd.DataFrame, groups: pd.Series, threshold: float) -> dict[str, Estimate]:
    """Return the metrics that are shares of X-rays."""
    ill, called = test["label"] == 1, test["probability"] > threshold
    successes = {
        "accuracy": called == ill,
        "majority_accuracy": ill == (ill.mean() >= 0.5),
        "sensitivity": called[ill],
        "specificity": ~called[~ill],
        "precision": ill[called],
    }
    return {name: estimate_share(series, groups) for name, series in successes.items()}


def _calibration(label: pd.Series, probability: pd.Series, suffix: str) -> dict[str, Estimate]:
    """Return the calibration error of probabilities, and the error that chance alone makes."""
    error = float(calibration_error(label.to_numpy(), probability.to_numpy()))
    by_chance = chance_error(probability.to_numpy())
    return {
        f"calibration_error{suffix}": Estimate(error, len(label)),
        f"calibration_error{suffix}_by_chance": Estimate(by_chance, len(label)),
    }


def confusion_by_class(predictions: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Return how many test X-rays of each class (a row, COVID first) are called COVID or not."""
    test = predictions[predictions["split"] == "test"]
    names = sorted(test["class"].unique(), key=lambda name: (name != POSITIVE_CLASS, name))
    called = (test["probability"] > threshold).groupby(test["class"])
    table = pd.DataFrame({"COVID": called.sum(), "not COVID": called.size() - called.sum()})
    return table.loc[names]


def judge_sources(predictions: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Return a row of metrics as text for the test X-rays of each source ("unknown" for none).

    The split has the same rows as the predictions, with `source` and `group`.
    """
    test = predictions[predictions["split"] == "test"]
    rows = {}
    for name, part in test.groupby(split["source"].replace("", "unknown")):
        shares = _shares(part, split["group"], THRESHOLD)
        metrics = {key: shares[key].text(3) for key in ("accuracy", "sensitivity", "specificity")}
        rows[name] = {"X-rays": len(part), "COVID": int(part["label"].sum())} | metrics
    return pd.DataFrame.from_dict(rows, orient="index")


def most_wrong(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the test X-rays about which the network was most wrong at 0.5, the worst first.

    All that are wrong up to 18, and the nearest to wrong if fewer than 6 are. `verdict` is
    "missed" (COVID), "false alarm" or "right".
    """
    test = predictions[predictions["split"] == "test"]
    ill, called = test["label"] == 1, test["probability"] > THRESHOLD
    verdict = np.select([ill & ~called, ~ill & called], ["missed", "false alarm"], "right")
    right, error = verdict == "right", (test["label"] - test["probability"]).abs()
    count = min(max((~right).sum(), FEWEST_WRONG), MOST_WRONG)
    table = test.assign(verdict=verdict, right=right, error=error)
    ordered = table.sort_values(["right", "error", "file"], ascending=[True, False, True])
    return ordered.drop(columns=["right", "error"]).head(count)

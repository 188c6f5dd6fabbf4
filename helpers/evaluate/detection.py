"""Detection: what the detector answers about each X-ray, and how good its answers are."""

import numpy as np
import pandas as pd

from helpers.data.layouts import POSITIVE_CLASS
from helpers.evaluate.areas import auroc, average_precision
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
OF_ONE_CLASS = ("sensitivity", "specificity")
FEWEST_WRONG, MOST_WRONG = 6, 18  # of a gallery that shows something, and that can be read


def covid_labels(split: pd.DataFrame) -> np.ndarray:
    """Return 1 for COVID and 0 for every other class, int64, (N,).

    Raises:
        CovidLungsError: the data set has no COVID, or nothing but COVID.
    """
    labels = _label(split)
    if labels.min() == labels.max():
        classes = ", ".join(sorted(split["class"].unique()))
        raise CovidLungsError(
            f"detection needs the class COVID and another; this data set has {classes}. "
            "Skip notebooks 03 and 06: 04_segment_lungs and 05_evaluate work without them."
        )
    return labels


def _label(split: pd.DataFrame) -> np.ndarray:
    return (split["class"] == POSITIVE_CLASS).to_numpy().astype("int64")


def detection_predictions(split: pd.DataFrame, probabilities: np.ndarray) -> pd.DataFrame:
    """Return `file`, `class`, `split`, `label` (1 is COVID) and `probability`, a row an X-ray."""
    table = split[["file", "class", "split"]].copy()
    table["label"] = _label(split)
    table["probability"] = np.round(probabilities.astype("float64"), DIGITS)
    return table


def choose_threshold(predictions: pd.DataFrame) -> float:
    """Return the threshold with the largest sensitivity + specificity on the validation split.

    That sum less 1 is Youden's J (1950). A threshold lies midway between two neighbouring
    probabilities, rounded down to six digits; of several that are best, the one nearest to 0.5 is
    taken, and 0.5 itself where no threshold beats guessing or the split lacks a class.
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
    """Return the detector's figures on the test split, each with the X-rays it counts.

    Sensitivity is the share of COVID found, specificity the share of the others passed, precision
    the share of COVID among those called COVID: at a probability above 0.5, and the first two at
    `threshold` too. `majority_accuracy` is that of always naming the larger class. `threshold`
    and `temperature` are chosen on the validation split, count its X-rays, and are taken as given
    by the intervals of the other figures; `_scaled` is after temperature scaling, `_by_chance`
    what a perfectly calibrated network would show.

    Args:
        predictions: as `detection_predictions` returns them.
        groups: the group of each row, with the same index.
    """
    validation, test = (
        predictions[predictions["split"] == name] for name in ("validation", "test")
    )
    threshold = choose_threshold(predictions)
    temperature = fit_temperature(validation["label"], validation["probability"])
    scaled = apply_temperature(test["probability"], temperature)
    at_threshold = _shares(test, groups, threshold)
    return {
        **_shares(test, groups, THRESHOLD),
        **{
            name: estimate_statistic(statistic, test["label"], test["probability"], groups)
            for name, statistic in (
                ("f1", _f1),
                ("auroc", auroc),
                ("average_precision", average_precision),
            )
        },
        "threshold": Estimate(threshold, len(validation)),
        "sensitivity_at_threshold": at_threshold["sensitivity"],
        "specificity_at_threshold": at_threshold["specificity"],
        "temperature": Estimate(temperature, len(validation)),
        **_calibration(test["label"], test["probability"], ""),
        **_calibration(test["label"], scaled, "_scaled"),
    }


def _shares(test: pd.DataFrame, groups: pd.Series, threshold: float) -> dict[str, Estimate]:
    """Return the figures that are shares of X-rays."""
    ill, called = test["label"] == 1, test["probability"] > threshold
    larger = ill.sum() >= len(ill) / 2
    successes = {
        "accuracy": called == ill,
        "majority_accuracy": ill == larger,
        "sensitivity": called[ill],
        "specificity": ~called[~ill],
        "precision": ill[called],
    }
    return {name: estimate_share(series, groups) for name, series in successes.items()}


def _f1(label: np.ndarray, probability: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the harmonic mean of sensitivity and precision at 0.5, arguments as in `auroc`."""
    called = probability > THRESHOLD
    return 2 * weights @ (called & (label == 1)) / (weights @ called + weights @ label)


def _calibration(label: pd.Series, probability: pd.Series, suffix: str) -> dict[str, Estimate]:
    """Return the calibration error of probabilities, and what of it is chance."""
    name, count = f"calibration_error{suffix}", len(label)
    if not count:
        return {name: Estimate(None, 0), f"{name}_by_chance": Estimate(None, 0)}
    error = calibration_error(label.to_numpy(), probability.to_numpy())
    return {
        name: Estimate(float(error), count),
        f"{name}_by_chance": Estimate(chance_error(probability.to_numpy()), count),
    }


def confusion_by_class(predictions: pd.DataFrame, threshold: float) -> pd.DataFrame:
    """Return how many test X-rays of each true class (a row, COVID first) are called what."""
    test = predictions[predictions["split"] == "test"]
    names = sorted(test["class"].unique(), key=lambda name: (name != POSITIVE_CLASS, name))
    called = (test["probability"] > threshold).groupby(test["class"])
    table = pd.DataFrame({"COVID": called.sum(), "not COVID": called.size() - called.sum()})
    return table.loc[names]


def judge_sources(predictions: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each source ("unknown" for none): its test X-rays and how they were judged.

    A source without COVID has no sensitivity, one with nothing else no specificity.

    Args:
        predictions: as `detection_predictions` returns them.
        split: the same rows, with `source` and `group`.
    """
    test = predictions[predictions["split"] == "test"]
    rows = {}
    for name, part in test.groupby(split["source"].replace("", "unknown")):
        shares = _shares(part, split["group"], THRESHOLD)
        judged = {share: shares[share].text(3) for share in ("accuracy", *OF_ONE_CLASS)}
        rows[name] = {"X-rays": len(part), "COVID": int(part["label"].sum())} | judged
    return pd.DataFrame.from_dict(rows, orient="index")


def most_wrong(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the test X-rays about which the network was most wrong at 0.5, the worst first.

    All that are wrong up to 18, and the nearest to wrong where fewer than 6 are; `verdict` says
    whether COVID was missed, was a false alarm, or the answer was right after all.
    """
    test = predictions[predictions["split"] == "test"]
    ill, called = test["label"] == 1, test["probability"] > THRESHOLD
    verdict = np.select([ill & ~called, ~ill & called], ["missed", "false alarm"], "right")
    error = (test["label"] - test["probability"]).abs()
    table = test.assign(verdict=verdict, right=verdict == "right", error=error)
    count = min(max((~table["right"]).sum(), FEWEST_WRONG), MOST_WRONG)
    ordered = table.sort_values(["right", "error", "file"], ascending=[True, False, True])
    return ordered.drop(columns=["right", "error"]).head(count)

"""Detection: remarks on how well a detector knows COVID, and how sure one may be of it."""

import pandas as pd

from helpers.data.layouts import POSITIVE_CLASS
from helpers.evaluate.intervals import Estimate
from helpers.train.recipes import THRESHOLD

WELL_ABOVE = 1.5  # times the chance error: less than that, chance often makes by itself


def remark_on_accuracy(metrics: dict[str, Estimate]) -> str:
    """Return whether a detector is better than to always predict the larger class.

    `metrics` are those of `detection.detection_metrics`.
    """
    accuracy, majority = metrics["accuracy"], metrics["majority_accuracy"].value
    line = f"The accuracy is {accuracy.value:.3f}; {majority:.3f} needs no network. "
    if accuracy.low > majority:
        return line + "The whole interval lies above that: the network has learnt something."
    if accuracy.high < majority:
        return line + "The whole interval lies below that: something went wrong."
    return line + (
        "The interval contains that: the accuracy does not show that it learnt anything. Look at "
        "sensitivity and AUROC."
    )


def remark_on_calibration(metrics: dict[str, Estimate]) -> str:
    """Return whether the temperature made the calibration error better or worse, if that shows.

    `metrics` are those of `detection.detection_metrics`.
    """
    if metrics["temperature"].value == 1:
        return "The temperature is 1: it changes nothing."
    before, after = (metrics[f"calibration_error{suffix}"] for suffix in ("", "_scaled"))
    wrong, still_wrong = (
        metrics[name].value > WELL_ABOVE * metrics[f"{name}_by_chance"].value
        for name in ("calibration_error", "calibration_error_scaled")
    )
    count = f"{before.n:,} X-rays cannot tell whether the temperature helps."
    if not (wrong or still_wrong):
        return f"Neither error is well above chance: {count}"
    if wrong and still_wrong:
        return (
            f"Both errors are well above chance: the probabilities are off by {before.value:.3f} "
            f"without the temperature and by {after.value:.3f} with it, on average."
        )
    at, effect = ("without", "helps") if wrong else ("with", "harms")
    return (
        f"Only the error {at} the temperature is well above chance: a hint that the temperature "
        f"{effect}, and no proof."
    )


def remark_on_decision(probability: float, chosen: float, truth: str = "") -> str:
    """Return what a probability is called at 0.5 and at a run's chosen threshold, and how narrowly.

    `truth` is the X-ray's class, or nothing if nobody knows it.
    """
    usual, own = _decide(probability, THRESHOLD), _decide(probability, chosen)
    said = (
        f"{probability:.2f}, as predicted, lies {_margin(probability, THRESHOLD)} "
        f"{THRESHOLD:.2f}: {usual}.\n"
        f"It lies {_margin(probability, chosen)} {chosen:.2f}, the threshold that the run chose "
        f"on its validation split: {own}.\n"
    )
    if usual != own:
        said += "The threshold alone decides, so neither answer is firm.\n"
    if not truth:
        return said + "Nobody here knows the truth about this X-ray."
    drawn = f"This X-ray was drawn with signs of {truth}"
    right = POSITIVE_CLASS if truth == POSITIVE_CLASS else f"not {POSITIVE_CLASS}"
    if usual != own:
        return said + f"{drawn}: the {'first' if usual == right else 'second'} answer is right."
    return said + f"{drawn}: the network is {'right' if usual == right else 'wrong'}."


def remark_on_ranking(test: pd.DataFrame) -> str:
    """Return whether any threshold would part COVID from the rest without an error.

    `test` has a row an X-ray, with its `label`, 1 for COVID, and its `probability`.
    """
    lowest = test.loc[test["label"] == 1, "probability"].min()
    highest = test.loc[test["label"] == 0, "probability"].max()
    if lowest > highest:
        return (
            f"Every COVID X-ray has a higher probability (at least {lowest:.2f}) than every other "
            f"(at most {highest:.2f}). A threshold in between would make no error, but whoever "
            "chooses it on these X-rays has used the test split up."
        )
    return (
        f"COVID X-rays have probabilities from {lowest:.2f}, others up to {highest:.2f}: no "
        "threshold is right about all of them."
    )


def remark_on_surest(surest: pd.DataFrame) -> str:
    """Return in words what `one_xray.pick_surest` found: a COVID X-ray recognised, and an error.

    `surest` has `class`, `probability` and `right`, a row each.
    """
    said = [
        f"Surest and {'right' if row['right'] else 'wrong'}: truly {row['class']}, predicted COVID "
        f"{row['probability']:.2f}."
        for _, row in surest.iterrows()
    ]
    if not surest["right"].any():
        said.append(
            "It recognised none of its test X-rays with COVID: there is no success to show."
        )
    if surest["right"].all():
        said.append("It was wrong about none of its test X-rays, so there is no failure to show.")
    return "\n".join(said)


def _decide(probability: float, threshold: float) -> str:
    """Return what a probability is called."""
    return POSITIVE_CLASS if probability > threshold else f"not {POSITIVE_CLASS}"


def _margin(probability: float, threshold: float) -> str:
    """Return how far a probability is from a threshold, and on which side."""
    margin = abs(round(probability, 2) - round(threshold, 2))  # that of the numbers that are shown
    return f"{margin:.2f} {'over' if probability > threshold else 'under'}"

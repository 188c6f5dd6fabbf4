"""Infection: how well predicted infection fits the true one, and how much of the lungs it takes.

Overlap is measured where there is infection: on a healthy X-ray IoU and Dice are 0 or 1, and what
counts there is how much a network invents. Severity, the infected share of the lungs, is compared
where there is infection too: healthy X-rays would be ranked right by finding any at all.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from helpers.data import arrays
from helpers.data.images import resize_image, resize_mask
from helpers.data.sources import DataSet
from helpers.data.threads import read_all
from helpers.evaluate.agreement import lower_limit, spearman, upper_limit
from helpers.evaluate.intervals import (
    Estimate,
    compare_paired,
    estimate_agreement,
    estimate_mean,
    estimate_share,
)
from helpers.evaluate.segmentation import OVERLAP, measure_overlap
from helpers.evaluate.zones import SHARES, ZONES, infected_shares, name_part
from helpers.train.postprocessing import draw_infection

LEAST_SHARE = 0.005  # of the lungs: less is a few stray pixels, and no infection that was found
SCORES = [*OVERLAP, "infected", "found", "predicted_share", "outside_lungs"]
SEVERITY = [*(f"true_{name}" for name in SHARES), *SHARES]
FOUND = {
    "sensitivity": "sensitivity: infection found where there is some",
    "specificity": "specificity: none found where there is none",
    "invented_share": "share of healthy lungs that is called infected",
    "outside_lungs": "share of predicted infection outside the lungs",
}
AGREEMENT = {
    "severity_spearman": "rank correlation (Spearman)",
    "severity_bias": "mean difference, predicted minus true",
    "severity_low": "lower limit of agreement",
    "severity_high": "upper limit of agreement",
    "zone_error": "mean absolute error of a zone",
}


def measure_infection(
    data_set: DataSet,
    rows: pd.DataFrame,
    probabilities: Iterable[np.ndarray],
    true_lungs: Iterable[np.ndarray],
    predicted_lungs: Iterable[np.ndarray],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return how well each X-ray's infection was found, and how much of the lungs it takes.

    All is measured at the infection mask's own size. Both tables have `file` and `class`; the first
    has SCORES, which `_score` explains, the second SEVERITY: for each of `zones.SHARES` the true
    infection's share of the true lungs (`true_right_upper`), and the predicted infection's of the
    predicted lungs (`right_upper`).

    Args:
        data_set: where the masks are.
        rows: of the index, each with an infection mask.
        probabilities: of infection for each row, float32 (height, width). They may come one by one,
            as from `inference.predict_each`.
        true_lungs: of each row, zeros and ones, uint8 of any size, as from `lung_masks.find_masks`.
        predicted_lungs: the same, as from `lung_masks.predict_masks`.

    Raises:
        CovidLungsError: a mask cannot be decoded, or differs from that in the index.
    """

    def measure(row: tuple[str, str, np.ndarray, np.ndarray, np.ndarray]) -> dict[str, float]:
        mask, recorded, *others = row
        true = data_set.read_mask(mask)
        arrays.refuse_changed(mask, true, recorded)
        return _measure(true, *others)

    masks = rows["infection_mask"], rows["infection_pixels"]
    given = zip(*masks, probabilities, true_lungs, predicted_lungs, strict=True)
    measured = read_all(measure, given, "measuring", len(rows))
    table = pd.DataFrame(measured, columns=[*SCORES, *SEVERITY]).round(6)
    named = rows[["file", "class"]].reset_index(drop=True)
    return named.join(table[SCORES]), named.join(table[SEVERITY])


def _measure(
    true: np.ndarray, probability: np.ndarray, true_lungs: np.ndarray, predicted_lungs: np.ndarray
) -> dict[str, float]:
    """Return the scores and the severity of one X-ray."""
    resized = resize_image(probability, true.shape)
    predicted = draw_infection(resized, true.shape)
    true_lungs, predicted_lungs = (
        resize_mask(lungs, true.shape) for lungs in (true_lungs, predicted_lungs)
    )
    true_shares = infected_shares(true, true_lungs)
    shares = infected_shares(predicted, predicted_lungs)
    return {
        **measure_overlap(true, predicted, resized),
        **_score(true, predicted, true_lungs, shares["infected_share"]),
        **{f"true_{name}": share for name, share in true_shares.items()},
        **shares,
    }


def _score(
    true: np.ndarray, predicted: np.ndarray, true_lungs: np.ndarray, share: float
) -> dict[str, float]:
    """Return what one X-ray is scored by besides overlap, which `segmentation` defines.

    - `infected`: whether the true mask has any infection.
    - `found`: whether the predicted share of the lungs is above LEAST_SHARE; without predicted
      lungs, whether any infection is predicted.
    - `predicted_share`: of the predicted lungs; NaN without lungs.
    - `outside_lungs`: the share of the predicted infection that lies outside the true lungs; NaN
      if none is predicted.
    """
    area = int(predicted.sum())
    return {
        "infected": bool(true.any()),
        "found": area > 0 if np.isnan(share) else share > LEAST_SHARE,
        "predicted_share": share,
        "outside_lungs": float((predicted > true_lungs).sum() / area) if area else np.nan,
    }


def infection_metrics(
    scores: pd.DataFrame, severity: pd.DataFrame, groups: pd.Series
) -> dict[str, Estimate]:
    """Return the metrics of infection masks and of severity, each with its interval.

    - those of `_overlap_metrics` and `_severity_metrics`, over X-rays with infection.
    - `sensitivity`, `specificity`: of X-rays, by `infected` and `found`.
    - `invented_share`: the mean predicted share of the lungs on X-rays without infection.
    - `outside_lungs`: the mean share of predicted infection that lies outside the lungs.

    Scores, severity and groups have the same index. A metric of no X-ray has no value.
    """
    infected = scores["infected"]
    ill, healthy = scores[infected], scores[~infected]
    return {
        **_overlap_metrics(ill, groups),
        "sensitivity": estimate_share(ill["found"], groups),
        "specificity": estimate_share(~healthy["found"], groups),
        "invented_share": estimate_mean(healthy["predicted_share"], groups),
        "outside_lungs": estimate_mean(scores["outside_lungs"], groups),
        **_severity_metrics(severity[infected], groups),
    }


def _overlap_metrics(ill: pd.DataFrame, groups: pd.Series) -> dict[str, Estimate]:
    """Return the means of `iou`, `dice` and `dice_loss`, then class by class (`dice/COVID`)."""
    parts = {"": ill} | {f"/{name}": part for name, part in ill.groupby("class")}
    return {
        f"{name}{suffix}": estimate_mean(part[name], groups[part.index])
        for suffix, part in parts.items()
        for name in OVERLAP
    }


def _severity_metrics(severity: pd.DataFrame, groups: pd.Series) -> dict[str, Estimate]:
    """Return how true and predicted shares of the lungs agree.

    - `severity_bias`: the mean difference, predicted minus true.
    - `severity_spearman`: the rank correlation.
    - `severity_low`, `severity_high`: the limits of agreement.
    - `zone_error`: the mean absolute error of a zone's share.
    """
    true, predicted = severity["true_infected_share"], severity["infected_share"]
    statistics = {"spearman": spearman, "low": lower_limit, "high": upper_limit}
    agreement = {
        f"severity_{name}": estimate_agreement(statistic, true, predicted, groups)
        for name, statistic in statistics.items()
    }
    return {
        "severity_bias": compare_paired(predicted, true, groups),
        **agreement,
        "zone_error": estimate_mean(_zone_errors(severity).mean(axis=1), groups),
    }


def _zone_errors(severity: pd.DataFrame) -> pd.DataFrame:
    """Return the absolute error of each zone's share, a column a zone, NaN where it has none."""
    true = severity[[f"true_{name}" for name in ZONES]].to_numpy()
    return (severity[list(ZONES)] - true).abs()


def healthy_table(metrics: dict[str, Estimate]) -> pd.DataFrame:
    """Return as a table to read what is found and invented: the metrics of X-rays as a whole."""
    return _metric_table(metrics, FOUND)


def agreement_table(metrics: dict[str, Estimate]) -> pd.DataFrame:
    """Return as a table to read how true and predicted shares of the lungs agree."""
    return _metric_table(metrics, AGREEMENT)


def _metric_table(metrics: dict[str, Estimate], heads: dict[str, str]) -> pd.DataFrame:
    """Return the named metrics as text, each with its interval, and their X-rays."""
    rows = {
        head: {"value": metrics[name].text(3), "X-rays": metrics[name].n}
        for name, head in heads.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def zone_table(severity: pd.DataFrame) -> pd.DataFrame:
    """Return as text the mean true and predicted share of each part of the lungs, and the error.

    The error is the mean absolute difference, X-ray by X-ray. X-rays that lack the part in either
    mask are left out of its row.
    """
    rows = {}
    for name in SHARES:
        pairs = severity[[f"true_{name}", name]].dropna()
        true, predicted = pairs.to_numpy().T
        errors = np.abs(predicted - true)
        means = dict(zip(("true", "predicted", "error"), (true, predicted, errors), strict=True))
        shown = {
            head: f"{values.mean():.1%}" if len(values) else "-" for head, values in means.items()
        }
        rows[name_part(name)] = shown | {"X-rays": len(pairs)}
    return pd.DataFrame.from_dict(rows, orient="index")

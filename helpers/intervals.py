"""Intervals: how far a mean over images would move if other patients had been drawn."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

CONFIDENCE = 0.95
RESAMPLES = 5000
BATCH = 100  # resamples at a time, to bound the memory


class Estimate(NamedTuple):
    """A figure, the number of images behind it, and its 95 % confidence interval, if it has one.

    `value` is None where no image has the figure, such as the distance from an empty mask.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None


def estimate_mean(values: pd.Series, groups: pd.Series) -> Estimate:
    """Return the mean over images and its bootstrap interval, with whole groups resampled.

    Images of one group (copies, or a patient's) are alike, so that they count as one draw; the
    interval is the percentile one (Efron 1979) of 5,000 resamples. A single group has none.

    Args:
        values: a figure for each image; NaN is left out.
        groups: the group of each image, with the same index.
    """
    known = values.dropna()
    if known.empty:
        return Estimate(None, 0)
    totals = known.groupby(groups[known.index]).agg(["sum", "count"])
    mean = float(known.mean())
    if len(totals) < 2:
        return Estimate(mean, len(known))
    found = bootstrap(
        (totals["sum"].to_numpy(), totals["count"].to_numpy()),
        _mean_of_groups,
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=CONFIDENCE,
        n_resamples=RESAMPLES,
        batch=BATCH,
        rng=np.random.default_rng(0),  # equal scores give equal intervals
    ).confidence_interval
    return Estimate(mean, len(known), float(found.low), float(found.high))


def _mean_of_groups(sums: np.ndarray, counts: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean over all images of the groups that were drawn."""
    return sums.sum(axis=axis) / counts.sum(axis=axis)

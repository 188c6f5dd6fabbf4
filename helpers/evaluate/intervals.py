"""Intervals: how far a figure would move if other patients had been drawn."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import bootstrap, norm
from scipy.stats import t as student

CONFIDENCE = 0.95
RESAMPLES = 5000
BATCH = 100  # resamples at a time, to bound the memory

# A figure of labels (N,), probabilities (N,) and the weights of the X-rays (resamples, N):
# one value a resample.
Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class Estimate(NamedTuple):
    """A figure, the number of images behind it, and its 95 % confidence interval, if it has one.

    `value` is None where no image has the figure, such as the distance from an empty mask.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None

    def text(self, digits: int) -> str:
        """Return the figure with its interval as text, "-" if it has no value."""
        if self.value is None:
            return "-"
        interval = "" if self.low is None else f" [{self.low:.{digits}f}, {self.high:.{digits}f}]"
        return f"{self.value:.{digits}f}{interval}"


def estimate_mean(values: pd.Series, groups: pd.Series) -> Estimate:
    """Return the mean over images and its bootstrap interval, with whole groups resampled.

    Images of one group (copies, or a patient's) are alike, so that they count as one draw; the
    interval is the percentile one (Efron 1979) of 5,000 resamples, its percentiles moved out as
    far as Student's distribution would for so many groups (Hesterberg 2015), without which it is
    too narrow for few. A single group has none.

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
        confidence_level=_expand(len(totals)),
        n_resamples=RESAMPLES,
        batch=BATCH,
        rng=np.random.default_rng(0),  # equal scores give equal intervals
    ).confidence_interval
    return Estimate(mean, len(known), float(found.low), float(found.high))


def _expand(groups: int) -> float:
    """Return the share of the resamples that an interval of so many groups has to hold."""
    limit = student.ppf((1 + CONFIDENCE) / 2, groups - 1) * np.sqrt(groups / (groups - 1))
    return float(1 - 2 * norm.sf(limit))


def _mean_of_groups(sums: np.ndarray, counts: np.ndarray, axis: int) -> np.ndarray:
    """Return the mean over all images of the groups that were drawn."""
    return sums.sum(axis=axis) / counts.sum(axis=axis)


def estimate_share(successes: pd.Series, groups: pd.Series) -> Estimate:
    """Return the share of X-rays that succeed and its Wilson interval (Wilson 1927).

    Wilson's interval holds for draws that know nothing of one another; a bootstrap would be too
    narrow near 100 %, and have no width there. X-rays of one group are taken to succeed or fail
    together, the worst case: N of them, n to a group, weigh like N² / Σn² independent ones (Kish
    1965). That is N where every X-ray has a group of its own; where a group's X-rays differ
    after all, the interval is wider than it need be.

    Args:
        successes: True or False for each X-ray.
        groups: the group of each X-ray, with the same index.
    """
    if successes.empty:
        return Estimate(None, 0)
    count, share = len(successes), float(successes.mean())
    draws = count**2 / int((groups[successes.index].value_counts() ** 2).sum())
    low, high = _wilson(share, draws)
    return Estimate(share, count, low, high)


def _wilson(share: float, draws: float) -> tuple[float, float]:
    """Return Wilson's interval of a share of so many independent draws."""
    z = norm.ppf((1 + CONFIDENCE) / 2)
    middle = (share + z**2 / (2 * draws)) / (1 + z**2 / draws)
    half = z / (1 + z**2 / draws) * np.sqrt(share * (1 - share) / draws + (z / (2 * draws)) ** 2)
    # Rounding must not leave a share of 0 or 1 outside of its own interval.
    low, high = min(share, float(middle - half)), max(share, float(middle + half))
    return max(low, 0.0), min(high, 1.0)


def estimate_statistic(
    statistic: Statistic, label: pd.Series, probability: pd.Series, groups: pd.Series
) -> Estimate:
    """Return a statistic between 0 and 1 of a detector's answers and its bootstrap interval.

    Whole groups are resampled, as in `estimate_mean`; resamples in which a class is missing are
    left out. The interval is 1.96 standard deviations of the resamples to either side on the
    logit scale, which stays below 1: in simulations of figures near 1 it held the truth more often
    than the percentile interval. No resample of a perfect figure differs from it: its other limit
    is Wilson's of as many draws as the smaller class has groups. For an AUROC so many pairs of
    X-rays, none in two pairs, were all ranked rightly; for other figures it is a rough guide.
    Without both classes there is no figure; a single group has no interval.

    Args:
        statistic: what to compute; called with weights that say how often an X-ray was drawn.
        label: 1 or 0 for each X-ray.
        probability: that the label is 1.
        groups: the group of each X-ray; all three with the same index.
    """
    if label.nunique() < 2:
        return Estimate(None, 0)
    answers, count = (label.to_numpy(), probability.to_numpy()), len(label)
    value = float(statistic(*answers, np.ones((1, count)))[0])
    numbers, names = pd.factorize(groups[label.index])
    if len(names) < 2:
        return Estimate(value, count)
    values = []
    rng = np.random.default_rng(0)  # equal answers give equal intervals
    for _ in range(RESAMPLES // BATCH):
        weights = _times_drawn(rng, len(names))[:, numbers]
        complete = (weights @ answers[0] > 0) & (weights @ (1 - answers[0]) > 0)
        values.append(statistic(*answers, weights[complete]))
    spread = float(np.concatenate(values).std(ddof=1))
    if value in (0, 1):
        draws = groups[label.index].groupby(label).nunique().min()
        return Estimate(value, count, *_wilson(value, draws))
    if not spread:
        return Estimate(value, count)
    half = norm.ppf((1 + CONFIDENCE) / 2) * spread / (value * (1 - value))
    low, high = expit(logit(value) + np.array([-half, half]))
    return Estimate(value, count, float(low), float(high))


def subtract(first: Estimate, second: Estimate) -> Estimate:
    """Return the difference of two figures of different X-rays, and its interval.

    Found from the two intervals, which need not be symmetric: the square of each limit's distance
    is the sum of theirs (Newcombe 1998; Zou and Donner 2008). `n` counts the X-rays of the second.
    """
    if first.value is None or second.value is None:
        return Estimate(None, second.n)
    value = first.value - second.value
    if first.low is None or second.low is None:
        return Estimate(value, second.n)
    down = np.hypot(first.value - first.low, second.high - second.value)
    up = np.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, second.n, float(value - down), float(value + up))


def _times_drawn(rng: np.random.Generator, groups: int) -> np.ndarray:
    """Return how often each group is drawn in a batch of resamples, float64, (BATCH, groups)."""
    drawn = rng.integers(groups, size=(BATCH, groups)) + groups * np.arange(BATCH)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=BATCH * groups)
    return counts.reshape(BATCH, groups).astype("float64")

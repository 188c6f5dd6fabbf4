"""Intervals: how far a metric would move if other patients had been drawn."""

from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy.special import expit, logit
from scipy.stats import bootstrap, norm
from scipy.stats import t as student

from helpers.evaluate.metrics_file import Estimate

CONFIDENCE = 0.95
RESAMPLES = 5000
BATCH = 100  # resamples at a time, to bound the memory
ROUNDING = 1e-9  # by which resamples of equal values may differ
FEWEST = 3  # X-rays of which agreement can be told

# A metric of two columns, such as labels and probabilities, both (N,), and of the weights of the
# X-rays, (resamples, N): one value a resample.
Statistic = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def estimate_mean(values: pd.Series, groups: pd.Series) -> Estimate:
    """Return the mean over images and its bootstrap interval, with whole groups resampled.

    Images of one group (copies, or a patient's) are alike, so they count as one draw. The interval
    is the percentile interval (Efron 1979) of 5,000 resamples. It would be too narrow for few
    groups, so its percentiles are moved out as Student's distribution would (Hesterberg 2015). A
    single group has no interval. Values (NaN is left out) and groups have the same index.
    """
    known = values.dropna()
    if known.empty:
        return Estimate(None, 0)
    totals = known.groupby(groups[known.index]).agg(["sum", "count"])
    mean, count = float(known.mean()), len(totals)
    if count < 2:
        return Estimate(mean, len(known))
    found = bootstrap(
        (totals["sum"].to_numpy(), totals["count"].to_numpy()),
        lambda sums, counts, axis: sums.sum(axis=axis) / counts.sum(axis=axis),
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=float(1 - 2 * norm.sf(_reach(count))),
        n_resamples=RESAMPLES,
        batch=BATCH,
        rng=np.random.default_rng(0),  # equal values give equal intervals
    ).confidence_interval
    return Estimate(mean, len(known), float(found.low), float(found.high))


def _reach(count: int) -> float:
    """Return how many standard deviations an interval of so many groups reaches to either side.

    It is 1.96 for many groups, and more for few, as Hesterberg (2015) proposes.
    """
    return float(student.ppf((1 + CONFIDENCE) / 2, count - 1) * np.sqrt(count / (count - 1)))


def compare_paired(first: pd.Series, second: pd.Series, groups: pd.Series) -> Estimate:
    """Return what the first is more than the second by, X-ray by X-ray, as `estimate_mean` does.

    Both are measured on the same X-rays, and have the index of the groups.
    """
    return estimate_mean(first - second, groups)


def estimate_share(successes: pd.Series, groups: pd.Series) -> Estimate:
    """Return the share of X-rays that succeed and its Wilson interval (Wilson 1927).

    A bootstrap interval would be too narrow near 100 %, and have no width there. Wilson's holds
    for independent draws. X-rays of one group are taken to succeed or fail together, the worst
    case: N of them in groups of n weigh like N² / Σn² independent ones (Kish 1965). If a group's
    X-rays differ after all, the interval is wider than necessary. Successes (True or False) and
    groups have the same index.
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
    """Return a statistic between 0 and 1 of a detector's predictions and its bootstrap interval.

    Whole groups are resampled, as in `estimate_mean`. The interval is 1.96 standard deviations of
    the resamples to either side on the logit scale, which stays below 1: in simulations near 1 it
    held the truth more often than the percentile interval. For a statistic of exactly 0 or 1,
    whose resamples do not differ, it is Wilson's for as many draws as the smaller class has groups.
    For an AUROC that counts independent pairs of X-rays; for other statistics it is a rough guide.
    Without both classes there is no value; a single group has no interval. Labels (1 or 0),
    probabilities that the label is 1, and groups have the same index.
    """
    if label.nunique() < 2:
        return Estimate(None, 0)
    count, groups = len(label), groups[label.index]
    columns = label.to_numpy(), probability.to_numpy()
    value = float(statistic(*columns, np.ones((1, count)))[0])
    if groups.nunique() < 2:
        return Estimate(value, count)
    if value in (0, 1):
        return Estimate(value, count, *_wilson(value, groups.groupby(label).nunique().min()))
    drawn = (weights[_have_both(columns[0], weights)] for weights in _draw_weights(groups))
    spread = np.concatenate([statistic(*columns, weights) for weights in drawn]).std(ddof=1)
    if not spread:
        return Estimate(value, count)
    half = norm.ppf((1 + CONFIDENCE) / 2) * spread / (value * (1 - value))
    low, high = expit(logit(value) + np.array([-half, half]))
    return Estimate(value, count, float(low), float(high))


def _have_both(label: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return in which resamples both classes occur: bool, (resamples,)."""
    return (weights @ label > 0) & (weights @ (1 - label) > 0)


def estimate_agreement(
    statistic: Statistic, first: pd.Series, second: pd.Series, groups: pd.Series
) -> Estimate:
    """Return a statistic of two measurements of the same X-rays and its bootstrap interval.

    Whole groups are resampled, as in `estimate_mean`. The interval is the percentile interval,
    corrected for bias (Efron 1981), since resamples vary less than X-rays do: in simulations it
    held the limits of agreement of 40 X-rays more often, 92 times of 100 if differences were
    normal, and less often if they were skewed. X-rays that lack a measurement are left out. With
    fewer than three X-rays, or where the statistic is not defined (NaN), there is no value; where
    resamples do not differ, or with a single group, there is no interval. The three series have the
    same index.
    """
    known = first.notna() & second.notna()
    columns = first[known].to_numpy(), second[known].to_numpy()
    groups = groups[first.index][known]
    if (count := len(groups)) < FEWEST:
        return Estimate(None, 0)
    value = float(statistic(*columns, np.ones((1, count)))[0])
    if np.isnan(value):
        return Estimate(None, 0)
    values = np.concatenate([statistic(*columns, weights) for weights in _draw_weights(groups)])
    values = values[~np.isnan(values)]
    if np.ptp(values) < ROUNDING:
        return Estimate(value, count)
    below = (np.mean(values < value) + np.mean(values <= value)) / 2
    middle = 2 * norm.ppf(np.clip(below, 1 / RESAMPLES, 1 - 1 / RESAMPLES))
    reach = _reach(groups.nunique())
    low, high = np.quantile(values, norm.cdf([middle - reach, middle + reach]))
    return Estimate(value, count, float(low), float(high))


def _draw_weights(groups: pd.Series) -> Iterator[np.ndarray]:
    """Yield how often each X-ray occurs in resamples of whole groups: float64, (BATCH, N)."""
    numbers, names = pd.factorize(groups)
    count = len(names)
    rng = np.random.default_rng(0)  # equal predictions give equal intervals
    for _ in range(RESAMPLES // BATCH):
        # How often each group is drawn in each resample: numbered in a row, they are counted once.
        drawn = rng.integers(count, size=(BATCH, count)) + count * np.arange(BATCH)[:, None]
        times = np.bincount(drawn.ravel(), minlength=BATCH * count).reshape(BATCH, count)
        yield times.astype("float64")[:, numbers]


def subtract(first: Estimate, second: Estimate) -> Estimate:
    """Return the difference of two metrics of different X-rays, and its interval.

    It is made from both intervals, which need not be symmetric: the square of each limit's
    distance is the sum of theirs (Newcombe 1998). `n` counts the X-rays of the second.
    """
    if first.value is None or second.value is None:
        return Estimate(None, second.n)
    value = first.value - second.value
    if first.low is None or second.low is None:
        return Estimate(value, second.n)
    down = np.hypot(first.value - first.low, second.high - second.value)
    up = np.hypot(first.high - first.value, second.value - second.low)
    return Estimate(value, second.n, float(value - down), float(value + up))

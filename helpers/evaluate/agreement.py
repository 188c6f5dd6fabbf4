"""Agreement: how far two measurements of the same X-rays differ, and whether they rank alike.

The functions are statistics for `intervals.estimate_agreement`: of two columns, (N,), and of how
often each X-ray was drawn, float64 (resamples, N). They return a value a resample, NaN where it is
not defined.
"""

import numpy as np

LIMIT = 1.96  # standard deviations on either side of the mean difference


def spearman(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation; it is not defined where a column does not vary."""
    total = weights.sum(axis=1, keepdims=True)
    one, other = (
        ranks - (weights * ranks).sum(axis=1, keepdims=True) / total
        for ranks in (_rank(first, weights), _rank(second, weights))
    )
    spread = np.sqrt((weights * one**2).sum(axis=1) * (weights * other**2).sum(axis=1))
    shared = (weights * one * other).sum(axis=1)
    return np.divide(shared, spread, out=np.full(len(weights), np.nan), where=spread > 0)


def _rank(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the rank of each value in each resample, (resamples, N); equal ones share theirs."""
    order = np.argsort(values, kind="stable")
    ascending = values[order]
    starts = np.flatnonzero(np.r_[True, ascending[1:] > ascending[:-1]])
    drawn = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks = drawn.cumsum(axis=1) - (drawn - 1) / 2
    return ranks[:, np.searchsorted(ascending[starts], values)]


def lower_limit(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the lower limit of agreement of second minus first (Bland and Altman 1986)."""
    mean, spread = _describe_differences(second - first, weights)
    return mean - LIMIT * spread


def upper_limit(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Return the upper limit of agreement, as `lower_limit` does."""
    mean, spread = _describe_differences(second - first, weights)
    return mean + LIMIT * spread


def _describe_differences(
    differences: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation of differences in each resample."""
    total = weights.sum(axis=1)
    mean = weights @ differences / total
    squares = (weights * (differences - mean[:, None]) ** 2).sum(axis=1)
    return mean, np.sqrt(squares / (total - 1))

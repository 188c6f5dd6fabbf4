"""Areas: under the ROC and the precision-recall curve, for resampled X-rays."""

import numpy as np


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
    parts = weights * label, weights * (1 - label)
    positives, negatives = (np.add.reduceat(part, starts, axis=1) for part in parts)
    return positives, negatives

"""Calibration: whether four in five X-rays given 80 % are COVID, and temperature scaling."""

import numpy as np
import pandas as pd
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from helpers.evaluate.intervals import estimate_share

EDGES = np.linspace(0, 1, 11)
LEAST = 5e-7  # half a digit of a stored probability; one rounded to 0 or 1 has no finite logit
COLDEST, HOTTEST = 0.1, 10.0
DRAWS = 1000


def calibration_error(label: np.ndarray, probability: np.ndarray) -> float | np.ndarray:
    """Return the expected calibration error (Naeini et al. 2015), between 0 and 1.

    In each of ten bins of equal width: the distance of the mean probability from the share of
    positives; then the mean over bins, weighted by their X-rays. Chance alone makes an error, see
    `chance_error`. It has no interval, since a bootstrap adds that error a second time: in
    simulations with 200 X-rays 0 to 86 % of its 95 % intervals held the truth.

    Args:
        label: 1 or 0, (N,), or (draws, N) for an error for each draw.
        probability: that the label is 1, (N,).
    """
    members = _bins(probability)[:, None] == np.arange(len(EDGES) - 1)
    return np.abs((probability - label) @ members).sum(axis=-1) / len(probability)


def chance_error(probability: np.ndarray) -> float:
    """Return the mean calibration error that chance makes if every probability is right."""
    rng = np.random.default_rng(0)
    draws = (rng.random(len(probability)) < probability for _ in range(DRAWS))
    return float(np.mean([calibration_error(label, probability) for label in draws]))


def reliability_table(label: pd.Series, probability: pd.Series, groups: pd.Series) -> pd.DataFrame:
    """Return mean `probability`, `share` of positives, its `low` and `high`, and `n` of each bin.

    Bins without X-rays are left out. The arguments have one index.
    """
    rows = []
    for _, members in probability.groupby(_bins(probability.to_numpy())):
        share = estimate_share(label[members.index] == 1, groups)
        rows.append((members.mean(), share.value, share.low, share.high, share.n))
    return pd.DataFrame(rows, columns=["probability", "share", "low", "high", "n"])


def _bins(probability: np.ndarray) -> np.ndarray:
    """Return the bin of each probability; one on an edge belongs to the lower bin."""
    return np.searchsorted(EDGES[1:-1], probability)


def fit_temperature(label: pd.Series, probability: pd.Series) -> float:
    """Return the temperature that lowers the log loss most (Guo et al. 2017).

    Above 1 the network was too sure of itself, below 1 not sure enough; limited to 0.1 to 10. It
    is 1, which changes nothing, if all labels are equal, or if none lies on the wrong side of 0.5:
    without a mistake, ever surer probabilities would look better.
    """
    logits = _logits(probability)
    right = np.where(label == 1, logits, -logits)  # below 0 a mistake
    if label.nunique() < 2 or right.min() >= 0:
        return 1.0
    found = minimize_scalar(
        lambda exponent: np.logaddexp(0, -right * np.exp(-exponent)).mean(),
        bounds=(np.log(COLDEST), np.log(HOTTEST)),
        method="bounded",
    )
    return float(np.exp(found.x))


def apply_temperature(probability: pd.Series, temperature: float) -> pd.Series:
    """Return probabilities whose logits are divided by the temperature; their order stays."""
    return pd.Series(expit(_logits(probability) / temperature), probability.index)


def _logits(probability: np.ndarray | pd.Series) -> np.ndarray:
    """Return the inputs of the sigmoid, as exactly as the stored digits allow."""
    return logit(np.clip(np.asarray(probability), LEAST, 1 - LEAST))

"""Heat maps: remarks on where a detector looks, and whether two maps agree on that."""

import numpy as np

from helpers.data.layouts import POSITIVE_CLASS
from helpers.report.remarks.limits import CLOSE, RELATED

ALIKE = 0.1  # shares of heat that differ by less hardly depend on the answer


def remark_on_agreement(correlations: np.ndarray) -> str:
    """Return whether two heat maps of an X-ray agree, given their rank correlation for each X-ray.

    They are what `heat_maps.correlate` returns: (N,), NaN where a map has no heat.
    """
    known = correlations[~np.isnan(correlations)]
    if not len(known):
        return "No X-ray has heat in both maps, so they cannot be compared."
    low, high = known.min(), known.max()
    values = f"{low:.2f}" if len(known) == 1 else f"{low:.2f} to {high:.2f}"
    said = (
        f"Rank correlation of the two maps: {values} (1: the same order of places, 0: unrelated). "
    )
    if high < RELATED:
        return said + "The methods disagree, so neither map can be trusted alone."
    if low < RELATED:
        return said + "The methods agree on some X-rays and disagree on others."
    return said + "The methods largely agree."


def remark_on_averaging(inside: float, averaged: float) -> str:
    """Return what averaging the gradients over places changes, in shares of heat in the lungs.

    `inside` is HiResCAM's share, `averaged` is Grad-CAM's.
    """
    if abs(inside - averaged) < CLOSE:
        return (
            f"Averaged or not, {inside:.0%} of the heat lies in the lungs: here averaging does not "
            "change the share."
        )
    where = "out of" if averaged < inside else "into"
    return (
        f"Averaging the gradients moves heat {where} the lungs: {averaged:.0%} lies in them "
        f"instead of {inside:.0%}, though network and X-rays are the same."
    )


def remark_on_heat(method: str, inside: float, lungs: float) -> str:
    """Return how much of a method's heat lies in the lungs, beside what an even spread would give.

    `inside` is the lungs' share of the heat, NaN without heat; `lungs` is their share of the X-ray.
    """
    if np.isnan(inside):
        return f"{method}: nothing raised the probability of COVID, so there is no heat."
    lungs = round(lungs, 2)  # as it is shown
    compared = f": {round(inside, 2) / lungs:.1f} times as much as an even spread" if lungs else ""
    return (
        f"{method} puts {inside:.0%} of its heat in the lungs, which fill {lungs:.0%} of the "
        f"image{compared}."
    )


def remark_on_heat_by_class(shares: np.ndarray, labels: np.ndarray) -> str:
    """Return whether heat lies in the lungs more often where there is COVID.

    Args:
        shares: the lungs' share of each X-ray's heat, (N,), NaN without heat.
        labels: 1 or 0, (N,); 1 is COVID.
    """
    ill, others = (shares[(labels == label) & ~np.isnan(shares)] for label in (1, 0))
    if not (len(ill) and len(others)):
        return "Without heat both in COVID and in other X-rays there is nothing to compare."
    said = (
        f"In X-rays with {POSITIVE_CLASS}, {ill.mean():.0%} of the heat lies in the lungs, in the "
        f"others {others.mean():.0%}. "
    )
    if abs(ill.mean() - others.mean()) < ALIKE:
        return said + "So this share says little about the disease."
    return said + "The share differs, whether by the disease or by the source of the X-rays."

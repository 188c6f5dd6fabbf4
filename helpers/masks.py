"""Masks: what a lung mask's shape tells, and whether it can be lungs at all."""

import cv2
import numpy as np
import pandas as pd

from helpers.images import resize_mask

SHAPE_SIZE = 64  # pixels a side at which shapes are measured: enough, and quick
REGION_SHARE = 0.01  # of the image; smaller regions are specks
# Measured on the 2,171 masks of two real data sets: lungs fill 8 to 71 % of an X-ray, the largest
# by mistake, are two regions, but for one cut in two, and lie along at most 70 % of an edge.
LUNG_SHARE = (0.05, 0.65)
LUNG_REGIONS = 2
EDGE_SHARE = 0.75
# Share of the lower chest, from flank to flank, that is lung: medians 0.61 and 0.79 there.
HEART_IN = 0.70
CLEAR_MARGIN = 0.03
MIXED_SHARE = 0.25
FEWEST_MASKS = 20


def measure_mask(mask: np.ndarray) -> dict[str, float]:
    """Return the measures of a mask of zeros and ones, (height, width), that has lung in it.

    Returns:
        `lung_share`: share of the pixels that are lung. `regions`: connected regions that are no
        specks. `edge_share`: the largest share of one of the four edges that is lung.
        `lower_fill`: share of the lower chest that is lung, heart and spine being the rest.
    """
    small = resize_mask(mask, (SHAPE_SIZE, SHAPE_SIZE))
    _, _, regions, _ = cv2.connectedComponentsWithStats(small)
    areas = regions[1:, cv2.CC_STAT_AREA]
    rows, columns = small.sum(axis=1), small.sum(axis=0)
    return {
        "lung_share": float(rows.sum() / small.size),
        "regions": int(np.count_nonzero(areas > REGION_SHARE * small.size)),
        "edge_share": max(rows[0], rows[-1], columns[0], columns[-1]) / SHAPE_SIZE,
        "lower_fill": _lower_fill(small, rows),
    }


def _lower_fill(mask: np.ndarray, counts: np.ndarray) -> float:
    """Return the lung's share of the span between its outermost pixels, in the lower chest.

    Args:
        mask: zeros and ones, (height, width).
        counts: the lung's pixels in each of its rows.
    """
    rows = np.flatnonzero(counts)
    if not len(rows):
        return float("nan")
    top, height = rows[0], rows[-1] + 1 - rows[0]
    lower = slice(top + height // 2, top + height * 17 // 20)
    held = counts[lower] > 0
    mask, counts = mask[lower][held], counts[lower][held]
    if not len(counts):
        return float("nan")
    spans = mask.shape[1] - mask.argmax(axis=1) - mask[:, ::-1].argmax(axis=1)
    return float((counts / spans).mean())


def why_implausible(measures: pd.DataFrame) -> pd.Series:
    """Return for each mask why it can hardly be lungs; "" where it can.

    Args:
        measures: a row a mask, with the columns of `measure_mask`.
    """
    smallest, largest = LUNG_SHARE
    reasons = {
        f"larger than {largest:.0%} of the X-ray": measures["lung_share"] > largest,
        f"smaller than {smallest:.0%} of the X-ray": measures["lung_share"] < smallest,
        "more than two regions": measures["regions"] > LUNG_REGIONS,
        "not two regions": measures["regions"] < LUNG_REGIONS,
        f"along more than {EDGE_SHARE:.0%} of an edge": measures["edge_share"] > EDGE_SHARE,
    }
    return pd.Series(
        np.select(list(reasons.values()), list(reasons), default=""), index=measures.index
    )


def tell_conventions(measures: pd.DataFrame) -> dict[str, str]:
    """Return the heart's place in the masks of each class: `in`, `out`, `mixed` or `unclear`.

    Args:
        measures: a row a mask, with `class` and `lower_fill`.
    """
    return {
        name: _tell_convention(members["lower_fill"].dropna())
        for name, members in measures.groupby("class")
    }


def _tell_convention(fills: pd.Series) -> str:
    """Return the convention of one class; a single mask tells too little."""
    if len(fills) < FEWEST_MASKS:
        return "unclear"
    share_in = float((fills > HEART_IN).mean())
    if MIXED_SHARE < share_in < 1 - MIXED_SHARE:
        return "mixed"
    if abs(float(fills.median()) - HEART_IN) < CLEAR_MARGIN:
        return "unclear"
    return "in" if share_in > 0.5 else "out"

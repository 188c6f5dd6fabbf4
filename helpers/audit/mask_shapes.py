"""Mask shapes: what the shape of a lung mask shows, and whether it can be lungs at all."""

import cv2
import numpy as np
import pandas as pd

from helpers.data.images import resize_mask
from helpers.data.threads import in_blocks, share

SHAPE_SIZE = 64  # pixels a side at which shapes are measured: enough, and quick
BLOCK = 256  # masks that a thread measures at once
MEASURES = ["lung_share", "regions", "edge_share", "lower_fill"]
REGION_SHARE = 0.01  # of the image; smaller regions are specks
# Measured on the 2,171 masks of two real data sets: lungs fill 8 to 71 % of an X-ray (the largest
# by mistake), are two regions (but for one cut in two), and lie along at most 70 % of an edge.
SMALLEST_SHARE, LARGEST_SHARE = 0.05, 0.65
LUNG_REGIONS = 2
EDGE_SHARE = 0.75
# Share of the lower chest, from flank to flank, that is lung: medians 0.61 and 0.79 there.
HEART_IN = 0.70
CLEAR_MARGIN = 0.03
MIXED_SHARE = 0.25
FEWEST_MASKS = 20


def shrink_mask(mask: np.ndarray) -> np.ndarray:
    """Return what `measure_masks` measures of a mask of zeros and ones: uint8, (64, 64)."""
    return resize_mask(mask, (SHAPE_SIZE, SHAPE_SIZE))


def measure_masks(masks: list[np.ndarray]) -> pd.DataFrame:
    """Return the measures of masks, as `shrink_mask` gives them, a row each.

    `lung_share`: share of the pixels that are lung. `regions`: connected regions that are no
    specks. `edge_share`: the largest share of one of the four edges that is lung. `lower_fill`:
    share of the lower chest that is lung; heart and spine are the rest.
    """
    measured = share(lambda block: _measure(np.stack(block)), in_blocks(masks, BLOCK))
    return pd.DataFrame(np.concatenate([np.empty((0, len(MEASURES))), *measured]), columns=MEASURES)


def _measure(masks: np.ndarray) -> np.ndarray:
    """Return the measures of masks, (n, 64, 64): float64, (n, 4)."""
    counts = masks.sum(axis=2, dtype=np.int32)  # of each row
    edges = counts[:, [0, -1]], masks[:, :, [0, -1]].sum(axis=1)
    measures = (
        counts.sum(axis=1) / SHAPE_SIZE**2,
        [_count_regions(mask) for mask in masks],
        np.concatenate(edges, axis=1).max(axis=1) / SHAPE_SIZE,
        _lower_fill(masks, counts),
    )
    return np.column_stack(measures)


def _count_regions(mask: np.ndarray) -> int:
    """Return how many connected regions a mask has, specks left out."""
    _, _, regions, _ = cv2.connectedComponentsWithStats(mask, ltype=cv2.CV_16U)  # in half the time
    areas = regions[1:, cv2.CC_STAT_AREA]  # the first region is the background
    return np.count_nonzero(areas > REGION_SHARE * SHAPE_SIZE**2)


def _lower_fill(masks: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the lung's share of the span between its outermost pixels, in the lower chest.

    Every row counts alike. NaN where a mask has no lower chest. `masks` are zeros and ones,
    (n, 64, 64), and `counts` the lung's pixels in each of their rows, (n, 64).
    """
    held, rows, lung = counts > 0, np.arange(SHAPE_SIZE), masks.view(bool)
    top = held.argmax(axis=1, keepdims=True)
    height = SHAPE_SIZE - held[:, ::-1].argmax(axis=1, keepdims=True) - top
    lower = held & (rows >= top + height // 2) & (rows < top + height * 17 // 20)
    spans = SHAPE_SIZE - lung.argmax(axis=2) - lung[:, :, ::-1].argmax(axis=2)
    fills = np.where(lower, counts / spans, 0).sum(axis=1)
    with np.errstate(invalid="ignore"):  # no row at all
        return fills / lower.sum(axis=1)


def why_implausible(measures: pd.DataFrame) -> pd.Series:
    """Return for each mask, measured by `measure_masks`, why it can hardly be lungs, or ""."""
    lung_share = measures["lung_share"]
    reasons = {
        f"larger than {LARGEST_SHARE:.0%} of the X-ray": lung_share > LARGEST_SHARE,
        f"smaller than {SMALLEST_SHARE:.0%} of the X-ray": lung_share < SMALLEST_SHARE,
        "not two regions": measures["regions"] != LUNG_REGIONS,
        f"along more than {EDGE_SHARE:.0%} of an edge": measures["edge_share"] > EDGE_SHARE,
    }
    found = np.select(list(reasons.values()), list(reasons), default="")
    return pd.Series(found, index=measures.index)


def tell_conventions(measures: pd.DataFrame) -> dict[str, str]:
    """Return the heart's place in the masks of each class: `in`, `out`, `mixed` or `unclear`."""
    places = {}
    for name, members in measures.groupby("class"):
        fills = members["lower_fill"].dropna()
        share_in = (fills > HEART_IN).mean()
        if len(fills) < FEWEST_MASKS:
            places[name] = "unclear"
        elif MIXED_SHARE < share_in < 1 - MIXED_SHARE:
            places[name] = "mixed"
        elif abs(fills.median() - HEART_IN) < CLEAR_MARGIN:
            places[name] = "unclear"
        else:
            places[name] = "in" if share_in > 0.5 else "out"
    return places

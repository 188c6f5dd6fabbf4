"""Failures: the likely reason why a predicted mask differs from the true one."""

import numpy as np
import pandas as pd

from helpers.audit.mask_shapes import measure_masks, shrink_mask, why_implausible
from helpers.data.images import resize_image
from helpers.data.sources import DataSet
from helpers.evaluate.postprocessing import draw_lungs

MUCH_MORE = 2.0  # times as many pixels on one side of the error as on the other
SMALL_ERROR = 0.05  # of the true mask's pixels
BRIGHTER = 25  # grey levels of 255 by which missed lung is denser than the lung that was found


def likely_reasons(data_set: DataSet, rows: pd.DataFrame, probabilities: np.ndarray) -> list[str]:
    """Return the likely reason for each of these rows of the index.

    Args:
        data_set: where the files are.
        rows: the index's rows.
        probabilities: float32, (rows, height, width), of lung.
    """
    reasons = []
    for row, probability in zip(rows.itertuples(), probabilities, strict=True):
        true = data_set.read_mask(row.mask)
        image = data_set.read_xray(row.file)
        reasons.append(likely_reason(image, true, draw_lungs(probability, true.shape)))
    return reasons


def likely_reason(image: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> str:
    """Return in a few words why two masks probably differ: a hint for a reader, no diagnosis.

    Args:
        image: the X-ray, uint8 of any size.
        true: zeros and ones, (height, width).
        predicted: of the same shape as `true`.
    """
    for name, mask in (("true mask", true), ("prediction", predicted)):
        fault = _implausible(mask)
        if fault:
            return f"{name}: {fault}"
    missed = (true > predicted).sum()
    taken = (predicted > true).sum()
    if missed + taken < SMALL_ERROR * true.sum():
        return "hardly any difference"
    if missed > MUCH_MORE * taken:
        dense = _is_denser(image, true, predicted)
        return "misses a dense part: opacity, or heart?" if dense else "misses a part"
    if taken > MUCH_MORE * missed:
        return "takes in what is no lung"
    return "the edges differ"


def _implausible(mask: np.ndarray) -> str:
    """Return why a mask can hardly be lungs, or ""."""
    if not mask.any():
        return "no lung"
    return why_implausible(measure_masks([shrink_mask(mask)])).item()


def _is_denser(image: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> bool:
    """Return whether the missed lung is brighter than that which was found."""
    grey = resize_image(image, true.shape).astype(float)
    missed, found = grey[true > predicted], grey[(true == 1) & (predicted == 1)]
    return bool(len(found) and missed.mean() > found.mean() + BRIGHTER)

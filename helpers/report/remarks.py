"""Remarks: what a result shows, in a sentence made from the data, for a notebook to print."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from helpers.evaluate.intervals import Estimate
from helpers.evaluate.shortcuts import OUTSIDE

CLOSE = 0.005  # two shares that print alike to two digits


def remark_on_majority(history: pd.DataFrame, labels: np.ndarray) -> str:
    """Return up to which epoch a detector only predicted the larger class.

    Args:
        history: one row an epoch, with `epoch` and `val_accuracy`.
        labels: zeros and ones of the validation split, (N,).
    """
    larger = max(np.mean(labels), 1 - np.mean(labels))
    idle = (history["val_accuracy"] - larger).abs() < CLOSE
    epochs = int(idle.cummin().sum())
    if not epochs:
        return (
            f"From the first epoch on, the validation accuracy differs from {larger:.3f}, the "
            "share of the larger class: the network looks at the X-rays."
        )
    return (
        f"The validation accuracy up to epoch {epochs} is {larger:.3f}, the share of the larger "
        "class: nothing learnt yet. The network gives every X-ray the same answer."
    )


def remark_on_views(figures: dict[str, Estimate], names: Iterable[str]) -> str:
    """Return in which views of the X-rays a network can tell COVID from the rest.

    Args:
        figures: AUROC `auroc_<view>` of each view, with its interval.
        names: of the views.
    """
    found = {name: figures[f"auroc_{name}"] for name in names}
    seen = [name for name, auroc in found.items() if auroc.low is not None and auroc.low > 0.5]
    without = [name for name in seen if name in OUTSIDE]

    def tell(chosen: Iterable[str]) -> str:
        """Return views with their AUROCs."""
        return ", ".join(f"{name.replace('_', ' ')} {found[name].value:.3f}" for name in chosen)

    lines = [
        f"The whole interval lies above 0.5: {tell(seen) or 'in no view'}.",
        f"It does not: {tell(name for name in found if name not in seen) or 'in no view'}.",
        "No view without the lungs is among the first: the networks needed the lungs.",
    ]
    if without:
        lines[-1] = f"Of the first, without the lungs: {tell(without)}. That hints at a shortcut."
    elif not seen:
        lines[-1] = "The networks only guessed, even with the lungs in view."
    return "\n".join(lines)

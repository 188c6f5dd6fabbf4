"""Shortcuts: whether a network can recognise the class from parts of the X-ray without lungs."""

import json
from collections.abc import Iterable
from math import ceil
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu, norm

from helpers.evaluate.detection import auroc
from helpers.evaluate.intervals import Estimate, estimate_statistic
from helpers.evaluate.views import OUTSIDE, View
from helpers.storage.files import make_folder, write_whole
from helpers.train import inference, models, training
from helpers.train.backend import keras
from helpers.train.batches import Batches
from helpers.train.checkpoint import assign_state, read_state
from helpers.train.clock import Clock
from helpers.train.recipes import DetectionSettings

FAMILY_ERROR = 0.01  # chance of naming any of the views without lungs if none shows the class


class Trainer:
    """Trains the detector on one view after another, each time from the same first weights.

    One network serves all views: Keras traces each new one first, which takes half as long as this
    small one learns.

    Args:
        labels: zeros and ones, (N,).
        split: with the column `split` and N rows.
        settings: of the network and its training.
        seed: of its first weights and the order of the X-rays.
    """

    def __init__(
        self, labels: np.ndarray, split: pd.DataFrame, settings: DetectionSettings, seed: int
    ):
        self.labels, self.split, self.settings, self.seed = labels, split, settings, seed
        keras.utils.set_random_seed(seed)
        self.model = models.build_detector(settings)
        steps = ceil((split["split"] == "train").sum() / settings.batch_size)
        training.compile_detector(self.model, settings, steps)
        self.model.optimizer.build(self.model.trainable_variables)
        self.first = read_state(self.model)

    def train(
        self, view: View | np.ndarray, folder: Path, clock: Clock | None = None
    ) -> np.ndarray:
        """Train on one view of the X-rays and return the probabilities for all of them: (N,).

        The view is uint8, (N, image_size, image_size), with the rows of the split. The folder
        keeps the trained network and its curves; the clock counts its epochs.
        """
        assign_state(self.model, self.first)
        learn = self._batches(view, "train", self.seed, self.settings.augmentation)
        check = self._batches(view, "validation")
        folder, epochs = make_folder(folder), self.settings.epochs
        training.train(self.model, learn, check, epochs, folder, say=False, clock=clock)
        return inference.predict(self.model, view)

    def _batches(self, view: View | np.ndarray, name: str, *order: int | str) -> Batches:
        """Return the batches of a split, in the order that a seed and an augmentation give."""
        rows = np.flatnonzero(self.split["split"] == name)
        return Batches(view, self.labels, rows, self.settings.batch_size, *order)


def measure_views(predictions: pd.DataFrame, names: Iterable[str]) -> dict[str, Estimate]:
    """Return `auroc_<view>` of each named view on the test split, with its interval.

    The predictions have the columns `split`, `group`, `label` and a column a view.
    """
    test = predictions[predictions["split"] == "test"]
    return {
        f"auroc_{name}": estimate_statistic(auroc, test["label"], test[name], test["group"])
        for name in names
    }


def judge(predictions: pd.DataFrame, aurocs: dict[str, Estimate]) -> dict:
    """Return what the views without lungs show, from `measure_views` and what that was made of.

    `shortcut` says whether there is one; `views` names those from which the class was recognised;
    `p_values` has each view, as `correct_p_values` returns them; `smallest_seen` is the AUROC
    below which a view would not have been named; `text` says it in words.
    """
    ill, others = find_cases(predictions)
    test = predictions[predictions["split"] == "test"]
    p_values = correct_p_values(ill, others)
    views = [name for name in OUTSIDE if p_values[name] < FAMILY_ERROR]
    seen = smallest_seen(len(ill), len(others))
    reasons = [
        f"- {name} (AUROC {aurocs[f'auroc_{name}'].value:.3f}, p {_show(p_values[name])}): "
        f"{OUTSIDE[name]}."
        for name in views
    ]
    text = "A shortcut: the class was recognised without the lungs, from\n\n" + "\n".join(reasons)
    if not views:
        text = (
            "No sign of a shortcut: without the lungs the class was not predicted better than "
            f"chance allows (smallest p after correction {_show(min(p_values.values()))}, limit "
            f"{FAMILY_ERROR}). With {_count(ill, test['label'] == 1, 'cases of COVID')} and "
            f"{_count(others, test['label'] == 0, 'others')} in the test split, an AUROC below "
            f"{seen:.2f} would have gone unseen."
        )
    return {
        "shortcut": bool(views),
        "views": views,
        "p_values": {name: float(f"{value:.4g}") for name, value in p_values.items()},
        "smallest_seen": round(seen, 6),
        "text": text,
    }


def find_cases(predictions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the test split's cases of COVID and the others, with a column a view without lungs.

    X-rays of one group and class (copies, a patient's) are one case, with their mean. The
    predictions are as for `measure_views`.
    """
    test = predictions[predictions["split"] == "test"]
    cases = test.groupby(["label", "group"])[list(OUTSIDE)].mean()
    return cases.loc[1], cases.loc[0]


def correct_p_values(ill: pd.DataFrame, others: pd.DataFrame) -> dict[str, float]:
    """Return for each view without lungs the chance of so high an AUROC if it showed nothing.

    One-sided Mann-Whitney tests of the cases (an AUROC above 0.5), corrected by Holm's method
    (1979): the chance of naming any view wrongly is at most the level that they are compared with.
    """
    found = {
        name: float(mannwhitneyu(ill[name], others[name], alternative="greater").pvalue)
        for name in OUTSIDE
    }
    corrected, highest = dict.fromkeys(OUTSIDE, 1.0), 0.0
    for place, name in enumerate(sorted(found, key=found.get)):
        highest = max(highest, min(1.0, (len(found) - place) * found[name]))
        corrected[name] = highest
    return corrected


def smallest_seen(ill: int, others: int) -> float:
    """Return the AUROC that so many cases need to be named, by the normal approximation.

    The spread of an AUROC if a view shows nothing is that of Mann and Whitney (1947).
    """
    spread = np.sqrt((ill + others + 1) / (12 * ill * others))
    return float(min(1.0, 0.5 + norm.isf(FAMILY_ERROR / len(OUTSIDE)) * spread))


def _count(cases: pd.DataFrame, xrays: pd.Series, what: str) -> str:
    """Return the number of cases, and of their X-rays (booleans) if there are more of those."""
    more = f" ({xrays.sum()} X-rays)" if xrays.sum() > len(cases) else ""
    return f"{len(cases)} {what}{more}"


def _show(p_value: float) -> str:
    """Return a p-value as text."""
    return f"{p_value:.3f}" if p_value >= 0.001 else "< 0.001"


def write_verdict(folder: Path, verdict: dict) -> Path:
    """Write the verdict of `judge` as `verdict.json`."""
    return write_whole(folder / "verdict.json", json.dumps(verdict, indent=2) + "\n")

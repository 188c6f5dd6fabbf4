"""Shortcuts: whether the class can be told from what is not the lung."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu, norm

from helpers.evaluate.areas import auroc
from helpers.evaluate.intervals import Estimate, estimate_statistic
from helpers.evaluate.views import View
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import make_folder, write_whole
from helpers.train import inference, models, training
from helpers.train.batches import Batches
from helpers.train.recipes import DetectionSettings

FAMILY_ERROR = 0.01  # chance that any of the views without lungs is named, where none tells
OUTSIDE = {
    "lungs_removed": "what lies around the lungs: shoulders, letters, exposure, the edge of the "
    "film. Look at X-rays of both classes side by side, and crop to the chest",
    "border": "the outermost frame of the picture: letters, black rims, brightness. Crop it off, "
    "or bring all X-rays to one exposure, and run this notebook again",
    "mask_shape": "the outline of the lungs: age, posture, or who drew the masks and how. Compare "
    "the classes at equal age and from one hospital",
}


class Verdict(NamedTuple):
    """What the views without lungs say.

    Attributes:
        views: those from which the class can be told, in the order of OUTSIDE.
        p_values: of each view without lungs, after the correction for several looks.
        smallest_seen: the AUROC below which a view would have gone unnamed.
        text: the verdict in words.
    """

    views: list[str]
    p_values: dict[str, float]
    smallest_seen: float
    text: str


def train_view(
    view: View | np.ndarray,
    labels: np.ndarray,
    split: pd.DataFrame,
    settings: DetectionSettings,
    seed: int,
    folder: Path,
) -> np.ndarray:
    """Train the detector on one view of the X-rays and return its probabilities for all of them.

    Every view gets the same network with the same first weights and the same order of X-rays.

    Args:
        view: of N X-rays, (N, image_size, image_size).
        labels: zeros and ones, (N,).
        split: the split's rows, in the same order.
        settings: of the network and its training.
        seed: of the weights and the order.
        folder: for the trained network and its curves.
    """
    training.make_reproducible(seed)
    rows = {name: np.flatnonzero(split["split"] == name) for name in ("train", "validation")}
    learn = Batches(view, labels, rows["train"], settings.batch_size, seed, settings.augmentation)
    check = Batches(view, labels, rows["validation"], settings.batch_size)
    model = models.build_detector(settings)
    training.compile_detector(model, settings, len(learn))
    training.train(model, learn, check, settings.epochs, make_folder(folder), say=False)
    return inference.predict(model, view)


def column_labels(index: pd.DataFrame, column: str) -> tuple[np.ndarray, str]:
    """Return 1 where a column of the index has its commonest value, else 0, and that value.

    Raises:
        CovidLungsError: there is no such column, or all its values are equal.
    """
    if column not in index:
        raise CovidLungsError(
            f"column {column!r}: index.csv has none of that name. Choose one of "
            f"{', '.join(index.columns)}."
        )
    values = index[column].fillna("").astype(str)
    if values.nunique() < 2:
        raise CovidLungsError(f"column {column!r}: all its values are equal. Choose another one.")
    commonest = values.mode()[0]  # of several that are commonest, the first by name
    return (values == commonest).to_numpy().astype("int64"), commonest


def measure_views(predictions: pd.DataFrame, names: Iterable[str]) -> dict[str, Estimate]:
    """Return `auroc_<view>` of each named view on the test split, with its interval.

    Args:
        predictions: columns `split`, `group`, `label` and a column a view.
        names: of the views.
    """
    test = predictions[predictions["split"] == "test"]
    return {
        f"auroc_{name}": estimate_statistic(auroc, test["label"], test[name], test["group"])
        for name in names
    }


def correct_p_values(predictions: pd.DataFrame) -> dict[str, float]:
    """Return for each view without lungs how likely chance alone would tell the class as well.

    One-sided Mann-Whitney tests of the test split (an AUROC above 0.5), corrected by Holm's method
    (1979), so that the chance of naming any view wrongly is at most the smallest level compared
    with. X-rays of one group and class (copies, a patient's) count as one, by their mean.

    Args:
        predictions: columns `split`, `group`, `label` and a column a view.
    """
    test = predictions[predictions["split"] == "test"]
    cases = test.groupby(["group", "label"])[list(OUTSIDE)].mean().reset_index("label")
    ill, others = cases[cases["label"] == 1], cases[cases["label"] == 0]
    if ill.empty or others.empty:
        raise CovidLungsError(
            "the test split has X-rays of one class only, so that nothing can be compared. Use "
            "more X-rays, and split them again with 02_split_data."
        )
    found = {
        name: float(mannwhitneyu(ill[name], others[name], alternative="greater").pvalue)
        for name in OUTSIDE
    }
    corrected, highest = {}, 0.0
    for place, name in enumerate(sorted(found, key=found.get)):
        highest = max(highest, min(1.0, (len(found) - place) * found[name]))
        corrected[name] = highest
    return {name: corrected[name] for name in OUTSIDE}


def smallest_seen(ill: int, others: int) -> float:
    """Return the AUROC that these numbers of cases need to be named, by the normal approximation.

    The spread of an AUROC where nothing can be told is that of Mann and Whitney (1947).
    """
    spread = np.sqrt((ill + others + 1) / (12 * ill * others))
    return float(min(1.0, 0.5 + norm.isf(FAMILY_ERROR / len(OUTSIDE)) * spread))


def judge(predictions: pd.DataFrame, figures: dict[str, Estimate]) -> Verdict:
    """Return the verdict on a run's views.

    Args:
        predictions: as `correct_p_values` takes them.
        figures: `auroc_<view>` of each view, on the test split.

    Raises:
        CovidLungsError: the test split has one class only.
    """
    p_values = correct_p_values(predictions)
    views = [name for name in OUTSIDE if p_values[name] < FAMILY_ERROR]
    test = predictions[predictions["split"] == "test"].drop_duplicates(["group", "label"])
    ill = int((test["label"] == 1).sum())
    seen = smallest_seen(ill, len(test) - ill)
    if views:
        told = [
            f"{name} (AUROC {figures[f'auroc_{name}'].value:.3f}, p {_show(p_values[name])}): "
            f"{OUTSIDE[name]}."
            for name in views
        ]
        text = "A shortcut: the class can be told without the lungs, from\n\n- " + "\n- ".join(told)
        return Verdict(views, p_values, seen, text)
    text = (
        "No sign of a shortcut: in no view without lungs could the class be told better than "
        f"chance allows (smallest p {_show(min(p_values.values()))}, limit {FAMILY_ERROR}). With "
        f"{ill} cases of COVID and {len(test) - ill} others in the test split, an AUROC below "
        f"{seen:.2f} would have gone unseen."
    )
    return Verdict(views, p_values, seen, text)


def write_verdict(folder: Path, verdict: Verdict) -> Path:
    """Write `verdict.json`: whether there is a shortcut, which views tell, how sure, and words."""
    content = {
        "shortcut": bool(verdict.views),
        "views": verdict.views,
        "p_values": {name: float(f"{value:.4g}") for name, value in verdict.p_values.items()},
        "smallest_seen": round(verdict.smallest_seen, 6),
        "text": verdict.text,
    }
    return write_whole(folder / "verdict.json", json.dumps(content, indent=2) + "\n")


def _show(p_value: float) -> str:
    """Return a p-value as text."""
    return f"{p_value:.3f}" if p_value >= 0.001 else "< 0.001"

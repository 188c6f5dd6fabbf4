"""Metrics files: `metrics.json`, and the table of a run's headline metrics."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from helpers.storage.files import write_whole
from helpers.storage.folders import require, shown
from helpers.storage.layout import list_results

HEADLINES = {
    "detection": {
        "accuracy": "COVID accuracy",
        "majority_accuracy": "(always predicting the larger class)",
    },
    "segmentation": {"iou": "IoU", "dice": "Dice coefficient", "dice_loss": "Dice loss"},
    "external": {
        "auroc": "COVID AUROC, X-rays from elsewhere",
        "dice": "Dice coefficient, X-rays from elsewhere",
    },
    "shortcuts": {
        "auroc_whole": "COVID AUROC, whole X-ray",
        "auroc_lungs_removed": "COVID AUROC, lungs removed",
    },
    "infection": {
        "iou": "Infection IoU",
        "dice": "Infection Dice",
        "severity_spearman": "Infected share of the lungs, rank correlation",
    },
}


class Estimate(NamedTuple):
    """A metric, the number of images behind it, and its 95 % confidence interval, if it has one.

    `value` is None if the metric is defined for no image, such as the distance from an empty mask.
    """

    value: float | None
    n: int
    low: float | None = None
    high: float | None = None

    def text(self, digits: int) -> str:
        """Return the value with its interval as text, "-" if there is no value."""
        if self.value is None:
            return "-"
        interval = "" if self.low is None else f" [{self.low:.{digits}f}, {self.high:.{digits}f}]"
        return f"{self.value:.{digits}f}{interval}"


def write_metrics(folder: Path, metrics: dict[str, Estimate]) -> Path:
    """Write `metrics.json`: for each name the value, its 95 % interval and the count n.

    Numbers are rounded to six digits, so that equal runs give equal files; null is unknown.
    """
    table = {
        name: {"value": _round(value), "low": _round(low), "high": _round(high), "n": int(n)}
        for name, (value, n, low, high) in metrics.items()
    }
    return write_whole(folder / "metrics.json", json.dumps(table, indent=2) + "\n")


def _round(value: float | None) -> float | None:
    """Return a value rounded to six digits, None if it is unknown."""
    return None if value is None else round(float(value), 6)


def read_metrics(folder: Path) -> dict[str, dict]:
    """Return what `write_metrics` wrote.

    Raises:
        CovidLungsError: the notebook that writes it has not run.
    """
    path = require(folder / "metrics.json")
    return json.loads(path.read_text(encoding="utf-8"))


def headline_table(run_folder: Path, parts: Iterable[str] = HEADLINES) -> pd.DataFrame:
    """Return as text the headline metrics of these parts of a run, as far as it has them."""
    rows = []
    for part in parts:
        path = run_folder / part / "metrics.json"
        metrics = read_metrics(path.parent) if path.is_file() else {}
        for name, label in HEADLINES[part].items():
            if name in metrics:
                value, n, low, high = Estimate(**metrics[name])
                interval = "-" if low is None else f"{low:.3f} to {high:.3f}"
                rows.append((label, "-" if value is None else f"{value:.3f}", interval, n))
    return pd.DataFrame(
        rows, columns=["metric", "test split", "95 % interval", "X-rays"]
    ).set_index("metric")


def describe_run(run_folder: Path) -> str:
    """Return a run's headline metrics and where its files are, for a terminal."""
    table = headline_table(run_folder)
    metrics = table.to_string() if len(table) else "no metrics yet"
    audit = json.loads(require(run_folder / "audit.json").read_text("utf-8"))
    kind = "synthetic X-rays" if audit["data"]["synthetic"] else f"data {audit['data']['name']}"
    made = [path for path in list_results() if list(run_folder.glob(path))]
    files = "\n".join(f"  {shown(run_folder)}/{path}" for path in made)
    report = run_folder / "report.html"
    page = f"To see all of it, open {shown(report)} in a browser.\n" if report.is_file() else ""
    return f"\n{kind}\n{metrics}\n\nMade:\n{files}\n\n{page}Not a medical device."

"""Metrics files: `metrics.json`, and the table of a run's headline metrics."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from helpers.storage.files import write_whole
from helpers.storage.folders import require, shown
from helpers.storage.layout import list_results

if TYPE_CHECKING:  # else the command line would wait a second for SciPy
    from helpers.evaluate.intervals import Estimate

HEADLINES = {
    "detection": {
        "accuracy": "COVID accuracy",
        "majority_accuracy": "(always naming the larger class)",
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
}


def write_metrics(folder: Path, metrics: "dict[str, Estimate]") -> Path:
    """Write `metrics.json`: for each name the value, its 95 % interval and the count n.

    Numbers are rounded to six digits, so that equal runs give equal files; null is unknown.
    """
    table = {
        name: {
            **{part: _round(getattr(estimate, part)) for part in ("value", "low", "high")},
            "n": int(estimate.n),
        }
        for name, estimate in metrics.items()
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
    rows = [
        (label, _show(figures[name]["value"]), _interval(figures[name]), figures[name]["n"])
        for part in parts
        if (run_folder / part / "metrics.json").is_file()
        for figures in [read_metrics(run_folder / part)]
        for name, label in HEADLINES[part].items()
        if name in figures
    ]
    return pd.DataFrame(
        rows, columns=["figure", "test split", "95 % interval", "X-rays"]
    ).set_index("figure")


def _show(value: float | None) -> str:
    """Return a value as text."""
    return "-" if value is None else f"{value:.3f}"


def _interval(figure: dict) -> str:
    """Return the interval of a metric as text."""
    return "-" if figure["low"] is None else f"{figure['low']:.3f} to {figure['high']:.3f}"


def describe_run(run_folder: Path) -> str:
    """Return a run's headline metrics and where its files are, for a terminal."""
    table = headline_table(run_folder)
    figures = table.to_string() if len(table) else "no figures yet"
    audit = json.loads(require(run_folder / "audit.json").read_text("utf-8"))
    kind = "synthetic X-rays" if audit["data"]["synthetic"] else f"data {audit['data']['name']}"
    made = [path for path in list_results() if list(run_folder.glob(path))]
    files = "\n".join(f"  {shown(run_folder)}/{path}" for path in made)
    report = run_folder / "report.html"
    page = f"To see all of it, open {shown(report)} in a browser.\n" if report.is_file() else ""
    return f"\n{kind}\n{figures}\n\nMade:\n{files}\n\n{page}Not a medical device."

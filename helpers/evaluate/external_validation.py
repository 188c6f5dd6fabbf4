"""External validation: how the trained networks do on X-rays from elsewhere."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.audit.duplicates import THUMBNAIL_SIZE, find_copies
from helpers.data import arrays
from helpers.data.sources import DataSet
from helpers.evaluate.detection import detection_metrics, detection_predictions
from helpers.evaluate.intervals import Estimate, subtract
from helpers.evaluate.metrics_file import read_metrics, write_metrics
from helpers.evaluate.segmentation import HEADS, mean_scores, score_masks
from helpers.split.groups import merge_groups
from helpers.split.index import has_masks
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import make_folder, remove
from helpers.storage.folders import require
from helpers.storage.layout import DETECTOR, SEGMENTER
from helpers.train import inference, trained

# The metrics that are compared, and what a table calls them: a smaller value is worse.
SHARES = {name: name for name in ("accuracy", "sensitivity", "specificity")}
COMPARED = {
    "detection": SHARES | {"auroc": "AUROC"},
    "segmentation": {name: HEADS[name] for name in ("iou", "dice", "surface_dice")},
}


def leave_out_seen(
    data_set: DataSet, index: pd.DataFrame, own: DataSet, own_index: pd.DataFrame
) -> pd.DataFrame:
    """Return the rows of an external index whose X-rays are not in the run, and not copies of it.

    The run's networks may have been trained on the others. `index` is that of the external data
    set, `own` the run's. The result has the column `group`, and its rows are numbered anew.

    Raises:
        CovidLungsError: nothing is left.
    """
    sets = [(own, own_index), (data_set, index)]
    thumbnails = [arrays.prepare_images(*part, THUMBNAIL_SIZE) for part in sets]
    seen = {row for _, row in find_copies(*thumbnails)}
    left = index.drop(index=list(seen)).reset_index(drop=True)
    if left.empty:
        raise CovidLungsError(
            f"external {data_set.name!r}: the run has every X-ray of it, so that nothing is "
            "external. Give X-rays from elsewhere."
        )
    return left.assign(group=merge_groups(left))


def forget_elsewhere(run_folder: Path) -> None:
    """Remove the files of an earlier external validation from a run."""
    remove(*(run_folder / "external").glob("*.*"), run_folder / "figures" / "05_external.png")


def measure_elsewhere(
    run_folder: Path, data_set: DataSet, index: pd.DataFrame
) -> dict[str, tuple[Estimate, Estimate, Estimate]]:
    """Run a run's networks on X-rays from elsewhere, as `leave_out_seen` returns them.

    It writes into the run folder's `external/`: `predictions.csv` if the run has a detector,
    `scores.csv` if the X-rays have lung masks, and `metrics.json` with the metrics of both
    networks and `<name>_drop` of those in COMPARED: the run's own value less that from elsewhere.
    It returns for each of these, by its words: the own value, that from elsewhere, the drop.

    Raises:
        CovidLungsError: nothing can be tested, or a network is missing.
    """
    folder, found, compared = make_folder(run_folder / "external"), {}, {}
    for part, there in _measure(run_folder, folder, data_set, index).items():
        found |= there
        own = read_metrics(run_folder / part)
        for name, words in COMPARED[part].items():
            here = Estimate(**own[name])
            found[f"{name}_drop"] = drop = subtract(here, there[name])
            compared[words] = here, there[name], drop
    write_metrics(folder, found)
    return compared


def _measure(
    run_folder: Path, folder: Path, data_set: DataSet, index: pd.DataFrame
) -> dict[str, dict[str, Estimate]]:
    """Write the tables of `measure_elsewhere` and return the metrics of each network."""
    metrics = {}
    if (run_folder / DETECTOR).is_file():
        probabilities = np.array([*_predict(run_folder / DETECTOR, data_set, index)])
        predictions = detection_predictions(index.assign(split="test"), probabilities)
        inference.write_table(folder / "predictions.csv", predictions)
        metrics["detection"] = measure_detector(run_folder, predictions, index["group"])
    if has_masks(index):
        path = require(run_folder / SEGMENTER)
        scores = score_masks(data_set, index, _predict(path, data_set, index))
        inference.write_table(folder / "scores.csv", scores)
        metrics["segmentation"] = mean_scores(scores, index["group"])
    if not metrics:
        raise CovidLungsError(
            f"external {data_set.name!r}: its X-rays have no lung masks, and this run has no "
            "detector, so that nothing can be tested. Give X-rays with lung masks."
        )
    return metrics


def _predict(path: Path, data_set: DataSet, index: pd.DataFrame) -> Iterator[np.ndarray]:
    """Return an iterator over a network's predictions for the X-rays of an index."""
    model = trained.load_model(path)
    images = arrays.prepare_images(data_set, index, model.input_shape[1])
    return inference.predict_each(model, images)


def measure_detector(
    run_folder: Path, predictions: pd.DataFrame, groups: pd.Series
) -> dict[str, Estimate]:
    """Return `detection_metrics` of predictions on X-rays from elsewhere, of these groups.

    Threshold and temperature are chosen on the run's own validation split.
    """
    path = require(run_folder / "detection" / "predictions.csv")
    own = pd.read_csv(path, dtype={"class": str}, keep_default_na=False)
    own = own[own["split"] == "validation"]
    both = pd.concat([own, predictions], ignore_index=True)
    return detection_metrics(both, pd.Series([*own["file"], *groups]))


def transfer_table(compared: dict[str, tuple[Estimate, Estimate, Estimate]]) -> pd.DataFrame:
    """Return what `measure_elsewhere` returns as a table to read."""
    rows = {
        name: [one.text(3) for one in estimates] + [estimates[1].n]
        for name, estimates in compared.items()
    }
    columns = ["own test split", "elsewhere", "drop", "X-rays elsewhere"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

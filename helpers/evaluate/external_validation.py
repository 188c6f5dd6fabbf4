"""Transfer: how the trained networks do on X-rays from elsewhere, beside the run's own test."""

from pathlib import Path

import pandas as pd

from helpers.audit.duplicates import THUMBNAIL_SIZE, find_copies
from helpers.data import arrays
from helpers.data.sources import DataSet
from helpers.evaluate import segmentation
from helpers.evaluate.detection import detection_metrics, detection_predictions
from helpers.evaluate.intervals import Estimate, subtract
from helpers.evaluate.metrics_file import read_metrics, write_metrics
from helpers.evaluate.segmentation import HEADS
from helpers.split.groups import merge_groups
from helpers.split.index import has_masks
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import make_folder, remove
from helpers.storage.folders import require
from helpers.storage.layout import DETECTOR, SEGMENTER
from helpers.train import inference, trained

# Figures of which a smaller one is a worse one.
COMPARED = {
    "detection": ["accuracy", "sensitivity", "specificity", "auroc"],
    "segmentation": ["iou", "dice", "surface_dice"],
}
WORDS = {"auroc": "AUROC"} | HEADS


def leave_out_seen(
    data_set: DataSet, index: pd.DataFrame, own: DataSet, own_index: pd.DataFrame
) -> pd.DataFrame:
    """Return the rows of an external index whose X-rays the run does not have, with their groups.

    An X-ray that the run has too, or a copy of it, may be one that its networks learnt from.

    Args:
        data_set: the external data set.
        index: its index.
        own: the run's data set.
        own_index: the run's index.

    Returns:
        The index with the column `group`, rows numbered anew.

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
    """Remove what an earlier external test of other networks left in a run.

    Raises:
        CovidLungsError: a file cannot be removed.
    """
    remove(*(run_folder / "external").glob("*.*"), run_folder / "figures" / "05_external.png")


def ask_detector(run_folder: Path, data_set: DataSet, index: pd.DataFrame) -> pd.DataFrame:
    """Return what the run's detector answers, as `detection.detection_predictions` returns it."""
    model = trained.load_model(require(run_folder / DETECTOR))
    images = arrays.prepare_images(data_set, index, model.input_shape[1])
    probabilities = inference.predict(model, images)
    return detection_predictions(index.assign(split="test"), probabilities)


def ask_segmenter(run_folder: Path, data_set: DataSet, index: pd.DataFrame) -> pd.DataFrame:
    """Return the scores of what the run's U-Net draws, as `scores.score_masks` returns them."""
    model = trained.load_model(require(run_folder / SEGMENTER))
    images = arrays.prepare_images(data_set, index, model.input_shape[1])
    return segmentation.score_masks(data_set, index, inference.predict_each(model, images))


def measure_detector(
    run_folder: Path, predictions: pd.DataFrame, groups: pd.Series
) -> dict[str, Estimate]:
    """Return the figures of `detection.detection_metrics` on X-rays from elsewhere.

    Threshold and temperature are those that the run's own validation split gives. Where the
    X-rays lack a class, figures that need both have no value.
    """
    path = require(run_folder / "detection" / "predictions.csv")
    own = pd.read_csv(path, dtype={"class": str}, keep_default_na=False)
    own = own[own["split"] == "validation"]
    both = pd.concat([own, predictions], ignore_index=True)
    return detection_metrics(both, pd.Series([*own["file"], *groups]))


def measure_elsewhere(
    run_folder: Path, data_set: DataSet, index: pd.DataFrame
) -> dict[str, Estimate]:
    """Ask a run's networks about X-rays from elsewhere, and keep answers and figures.

    In the run folder's `external/`: `predictions.csv`, where the run has a detector, `scores.csv`,
    where the X-rays have lung masks, and `metrics.json` with what this returns.

    Args:
        run_folder: with both networks tested.
        data_set: the external one.
        index: as `leave_out_seen` returns it.

    Returns:
        The detector's and the U-Net's figures, and `<name>_drop` of those that are compared.

    Raises:
        CovidLungsError: there is nothing that can be tested.
    """
    folder, figures = make_folder(run_folder / "external"), {}
    if (run_folder / DETECTOR).is_file():
        predictions = ask_detector(run_folder, data_set, index)
        inference.write_table(folder / "predictions.csv", predictions)
        there = measure_detector(run_folder, predictions, index["group"])
        figures |= add_drops(run_folder, "detection", there)
    if has_masks(index):
        table = ask_segmenter(run_folder, data_set, index)
        inference.write_table(folder / "scores.csv", table)
        there = segmentation.mean_scores(table, index["group"])
        figures |= add_drops(run_folder, "segmentation", there)
    if not figures:
        raise CovidLungsError(
            f"external {data_set.name!r}: its X-rays have no lung masks, and this run has no "
            "detector, so that nothing can be tested. Give X-rays with lung masks."
        )
    write_metrics(folder, figures)
    return figures


def add_drops(run_folder: Path, part: str, figures: dict[str, Estimate]) -> dict[str, Estimate]:
    """Return external figures, and for those compared `<name>_drop`: by how much they are lower.

    Args:
        run_folder: with the run's own figures.
        part: `detection` or `segmentation`.
        figures: those on X-rays from elsewhere.
    """
    own = read_metrics(run_folder / part)
    drops = {
        f"{name}_drop": subtract(Estimate(**own[name]), figures[name]) for name in COMPARED[part]
    }
    return figures | drops


def compare(
    run_folder: Path, figures: dict[str, Estimate]
) -> dict[str, tuple[Estimate, Estimate, Estimate]]:
    """Return by their words a run's own figures, those from elsewhere, and by how much they drop.

    Args:
        run_folder: with the run's own figures.
        figures: as `measure_elsewhere` returns them.
    """
    return {
        WORDS.get(name, name): (
            Estimate(**read_metrics(run_folder / part)[name]),
            figures[name],
            figures[f"{name}_drop"],
        )
        for part, names in COMPARED.items()
        for name in names
        if f"{name}_drop" in figures
    }


def transfer_table(compared: dict[str, tuple[Estimate, Estimate, Estimate]]) -> pd.DataFrame:
    """Return what `compare` returns as a table to read."""
    rows = {
        name: [figure.text(3) for figure in figures] + [figures[1].n]
        for name, figures in compared.items()
    }
    columns = ["own test split", "elsewhere", "drop", "X-rays elsewhere"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

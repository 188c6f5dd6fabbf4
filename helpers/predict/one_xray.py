"""Readings: all that a run's networks say of one X-ray, and how far it can be relied on."""

import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers.data.images import read_mask, read_xray, resize_image, resize_mask
from helpers.evaluate.calibration import EDGES, apply_temperature
from helpers.evaluate.grad_cam import energy_in_lungs, grad_cam
from helpers.evaluate.intervals import estimate_share
from helpers.evaluate.metrics_file import read_metrics
from helpers.predict.novelty import read_likeness
from helpers.predict.outputs import MASKS
from helpers.predict.prediction import load_networks, predict_files
from helpers.storage.folders import require
from helpers.storage.layout import DETECTOR, SEGMENTER
from helpers.train.trained import load_model

NAME = "xray"  # of the file while it is read; its own name may tell the patient's


class Reading(NamedTuple):
    """What a run's networks say of an X-ray.

    Attributes:
        image: the X-ray, uint8 (height, width).
        mask: the lungs, zeros and ones, of the same shape.
        lung_fraction: the lungs' share of the X-ray.
        covid_probability: as the detector says it; NaN without a detector.
        reason: why none of it is to be relied on, or "".
    """

    image: np.ndarray
    mask: np.ndarray
    lung_fraction: float
    covid_probability: float
    reason: str


def read_by(run_folder: Path, content: bytes) -> Reading:
    """Return what a run's networks say of the X-ray in a file, just as `covid-lungs predict` does.

    Nothing of it stays on the disk.

    Raises:
        CovidLungsError: the file cannot be decoded, or a network not be loaded.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder, NAME), Path(folder, "out")
        file.write_bytes(content)
        image = read_xray(file)
        likeness = read_likeness((run_folder / SEGMENTER).parent)
        table = predict_files(load_networks(run_folder), [file], out, likeness)
        mask = read_mask(out / MASKS / f"{NAME}.png")
    row = table.iloc[0]
    return Reading(image, mask, row["lung_fraction"], row["covid_probability"], row["reason"])


def describe_probability(run_folder: Path, probability: float) -> str:
    """Return in words what a detector's answer meant for the run's test X-rays.

    Args:
        run_folder: the run, whose detector has been tested.
        probability: the detector's answer.

    Raises:
        CovidLungsError: the run has no detector's figures.
    """
    figures = read_metrics(run_folder / "detection")
    temperature = figures["temperature"]["value"]
    table = pd.read_csv(run_folder / "detection" / "predictions.csv")
    test = table[table["split"] == "test"]
    scaled = apply_temperature(pd.Series([probability]), temperature).item()
    place = np.searchsorted(EDGES[1:-1], scaled)
    low, high = EDGES[place], EDGES[place + 1]
    alike = np.searchsorted(EDGES[1:-1], apply_temperature(test["probability"], temperature))
    ill = (test["label"] == 1)[alike == place]
    said = (
        f"The network says {probability:.2f}; at the temperature {temperature:.2f}, fitted on the "
        f"run's validation split, that is {scaled:.2f}.{_doubt_temperature(figures)}\n"
    )
    if ill.empty:
        return said + f"No test X-ray of the run got {low:.1f} to {high:.1f}: nothing is known."
    share = estimate_share(ill, test["file"].map(_read_groups(run_folder)))
    return said + (
        f"Of the {len(ill)} test X-rays that got {low:.1f} to {high:.1f}, {ill.sum()} were COVID: "
        f"a share of {share.text(2)}.\n"
        f"Of all {len(test)} test X-rays, {test['label'].mean():.0%} were."
    )


def _doubt_temperature(figures: dict[str, dict]) -> str:
    """Return a sentence where the temperature did harm on the test split, else nothing.

    At the temperature 1, and where both figures are equal as shown, there is nothing to say.
    """
    before, after = (
        figures[name]["value"] for name in ("calibration_error", "calibration_error_scaled")
    )
    without, scaled = f"{before:.3f}", f"{after:.3f}"
    changed = f"{figures['temperature']['value']:.2f}" != "1.00" and without != scaled
    if not changed or after < before:
        return ""
    return (
        f" (On its test split that did not help: the calibration error was {without} without it, "
        f"{scaled} with it.)"
    )


def _read_groups(run_folder: Path) -> pd.Series:
    """Return the group of each X-ray of a run, by its file."""
    path = require(run_folder / "split.csv")
    return pd.read_csv(path, dtype=str, keep_default_na=False).set_index("file")["group"]


def look_for_heat(run_folder: Path, reading: Reading) -> tuple[np.ndarray, float]:
    """Return where the run's detector sees what speaks for COVID, and the lungs' share of it.

    Args:
        run_folder: the run, which has a detector.
        reading: of the X-ray.

    Returns:
        float32, 0..1, of the size that the detector takes, as `grad_cam` returns it, and its
        share in the lungs, NaN if nothing speaks for COVID.
    """
    detector = load_model(run_folder / DETECTOR)
    size = detector.input_shape[1:3]
    heat = grad_cam(detector, resize_image(reading.image, size)[None])
    return heat[0], float(energy_in_lungs(heat, resize_mask(reading.mask, size)[None])[0])


def describe_heat(inside: float, lung_fraction: float) -> str:
    """Return in words the lungs' share of the heat beside their share of the picture.

    Args:
        inside: as `look_for_heat` returns it.
        lung_fraction: of the reading.
    """
    lungs = f"of the picture, {lung_fraction:.0%} is lung"
    if np.isnan(inside):
        return f"nothing spoke for COVID, so there is no heat; {lungs}"
    return f"of the heat, {inside:.0%} lies in the lungs; {lungs}"

"""One X-ray: where notebook 07 gets it, what networks predict for it, and how reliably."""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import pandas as pd

from helpers.data.decoding import BadImageError
from helpers.data.images import read_file, read_mask, read_xray, resize_image, resize_mask
from helpers.data.layouts import POSITIVE_CLASS
from helpers.data.sources import DataSet, find_data, find_path
from helpers.data.synthetic import Drawing, draw_infected, image_seed
from helpers.evaluate.calibration import EDGES, apply_temperature
from helpers.evaluate.heat_maps import energy_in_lungs, find_heat, occlude
from helpers.evaluate.intervals import estimate_share
from helpers.evaluate.metrics_file import read_metrics
from helpers.predict.files import INFECTION, MASKS, find_xrays
from helpers.predict.networks import load_likeness, load_networks
from helpers.predict.prediction import predict_files
from helpers.predict.table import INFECTED
from helpers.report.provenance import find_source
from helpers.split.splits import read_split
from helpers.storage.colab import in_colab
from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import (
    default_run_name,
    find_trained,
    is_trained,
    require,
    runs_root,
)
from helpers.storage.layout import DETECTOR
from helpers.train import lungs
from helpers.train.recipes import THRESHOLD
from helpers.train.trained import load_model

if TYPE_CHECKING:  # an optional extra, which only a notebook in a browser needs
    from ipywidgets import FileUpload

YOURS, DRAWN = "your X-ray", "a synthetic X-ray, drawn here, of no patient"
NAME = "xray"  # of the file while it is read; its own name may be the patient's


def offer_upload(xray: str) -> "FileUpload | None":
    """Show and return a button that uploads a file; None in Colab or if a path is given."""
    if xray or in_colab():
        return None
    try:
        from ipywidgets import FileUpload
    except ImportError:
        print("For a button to upload files: `uv sync --extra jupyter`. A path as `xray` will do.")
        return None
    from IPython.display import display  # a notebook has it

    upload = FileUpload(multiple=False, description="Choose an X-ray")
    display(upload)
    return upload


def take_xray(xray: str, upload: "FileUpload | None", seed: int) -> tuple[bytes, str]:
    """Return the bytes of an X-ray's file, and a label for every figure made from it.

    The file is the one at the path `xray`, else the one uploaded, in Colab or by the button that
    `offer_upload` returned. Without a file an X-ray with signs of COVID is drawn by the seed.

    Raises:
        CovidLungsError: the path cannot be read.
    """
    if xray:
        remedy = "Give the path of an X-ray, or nothing to upload one."
        try:
            return read_file(find_path(xray, "xray", remedy)), YOURS
        except BadImageError as error:
            raise CovidLungsError(f"xray {xray!r}: {error.reason}. {remedy}") from error
    if in_colab() and (content := _ask_colab()) is not None:
        return content, YOURS
    if upload is not None and upload.value:
        return bytes(upload.value[0]["content"]), YOURS
    return cv2.imencode(".png", _draw(seed).image)[1].tobytes(), DRAWN


def _draw(seed: int) -> Drawing:
    """Return an X-ray of another data set than the demo's, so that no network was trained on it."""
    return draw_infected(POSITIVE_CLASS, image_seed(POSITIVE_CLASS, 1, seed))


def _ask_colab() -> bytes | None:
    """Return the file that is uploaded in Colab, which waits for it; None if cancelled."""
    try:
        from google.colab import files  # only there in Colab

        return next(iter(files.upload().values()), None)
    except Exception:  # no window to ask in, or cancelled: several undocumented kinds
        return None


def find_truth(label: str) -> str:
    """Return the class of an X-ray that `take_xray` labelled so; nothing if nobody knows it."""
    return POSITIVE_CLASS if label == DRAWN else ""


def find_true_masks(label: str, seed: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the true infection and lungs of an X-ray that `take_xray` labelled so.

    They are zeros and ones, uint8 of one size, not the X-ray's. None if nobody knows them. `seed`
    is the one that `take_xray` was given.
    """
    if label != DRAWN:
        return None
    drawing = _draw(seed)
    return drawing.infection // 255, drawing.lungs // 255


def decode_xray(content: bytes) -> np.ndarray:
    """Return the X-ray in a file, uint8 (height, width), as `read_xray` does.

    Raises:
        CovidLungsError: it cannot be decoded.
    """
    with _on_disk(content) as file:
        return read_xray(file)


@contextmanager
def _on_disk(content: bytes) -> Iterator[Path]:
    """Give the path of a file of this content, alone in its folder; both are removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, NAME)
        file.write_bytes(content)
        yield file


def find_own_run(run: str, data: str, recipe: str) -> Path | None:
    """Return the folder of the run that is named.

    If none is named, it is the one that the notebooks make from data and recipe, or None if no
    network of it has been trained.

    Raises:
        CovidLungsError: the named run is not there, or has no network.
    """
    if run:
        return find_trained(run)
    folder = runs_root() / default_run_name(data, recipe)
    return folder if is_trained(folder) else None


class Reading(NamedTuple):
    """What networks predict for an X-ray."""

    image: np.ndarray  # uint8, (height, width)
    mask: np.ndarray  # the lungs, zeros and ones, of the same shape
    lung_fraction: float  # of the X-ray's pixels
    covid_probability: float  # NaN without a detector
    accepted: bool
    reason: str  # why it is not accepted, or why to be wary of the mask, or ""
    expected_dice: float  # of the mask, by the package's network; NaN with a run's
    infection: np.ndarray | None = None  # as the mask; None without a network for it
    shares: dict[str, float] | None = None  # infected, of the lungs and of each zone, likewise

    @property
    def verdict(self) -> str:
        """Whether the X-ray is accepted, and why not, or what to be wary of."""
        judged = "not accepted" if not self.accepted else "doubtful" if self.reason else "accepted"
        return f"{judged}: {self.reason}" if self.reason else judged


def read_by(run_folder: Path | None, content: bytes) -> Reading:
    """Return what a run's networks predict for the X-ray in a file, as `covid-lungs predict` does.

    Without a run, or if it has none for the lungs, the package's network draws those. Nothing of
    the X-ray stays on the disk.

    Raises:
        CovidLungsError: the file cannot be decoded, or a network cannot be loaded.
    """
    networks, likeness = load_networks(run_folder), load_likeness(run_folder)
    with _on_disk(content) as file:
        image, out = read_xray(file), file.with_name("out")
        table = predict_files(networks, find_xrays([file]), out, likeness)
        mask = read_mask(out / MASKS / f"{NAME}.png")
        drawn = out / INFECTION / f"{NAME}.png"
        infection = read_mask(drawn) if drawn.is_file() else None
    row = table.drop(columns=["file", *INFECTED]).iloc[0]
    shares = None if infection is None else table[INFECTED].iloc[0].to_dict()
    return Reading(image, mask, **row, infection=infection, shares=shares)


def describe_probability(run_folder: Path, probability: float) -> str:
    """Return in words what a probability of the detector meant for the run's test X-rays.

    Raises:
        CovidLungsError: the run has no scores of a detector.
    """
    metrics = read_metrics(run_folder / "detection")
    temperature = metrics["temperature"]["value"]
    table = pd.read_csv(require(run_folder / "detection" / "predictions.csv"))
    test = table[table["split"] == "test"]
    scaled = apply_temperature(pd.Series([probability]), temperature).item()
    place = np.searchsorted(EDGES[1:-1], scaled)
    low, high = EDGES[place], EDGES[place + 1]
    alike = np.searchsorted(EDGES[1:-1], apply_temperature(test["probability"], temperature))
    ill = (test["label"] == 1)[alike == place]
    said = (
        f"The network predicts {probability:.2f}; at the temperature {temperature:.2f}, fitted on "
        f"the run's validation split, that is {scaled:.2f}.\n"
        f"Calibration error on the test split: {_tell_error(metrics, 'calibration_error')} before "
        f"the temperature, {_tell_error(metrics, 'calibration_error_scaled')} after it.\n"
    )
    if ill.empty:
        got = f"got {low:.1f} to {high:.1f} at this temperature"
        return f"{said}No test X-ray of the run {got}: nothing is known."
    split = pd.read_csv(require(run_folder / "split.csv"), dtype=str, keep_default_na=False)
    groups = split.set_index("file")["group"]
    share = estimate_share(ill, test["file"].map(groups))
    return said + (
        f"Of the {len(ill)} test X-rays that got {low:.1f} to {high:.1f} at this temperature, "
        f"{ill.sum()} were COVID: a share of {share.text(2)}.\n"
        f"Of all {len(test)} test X-rays, {test['label'].mean():.0%} were."
    )


def _tell_error(metrics: dict[str, dict], name: str) -> str:
    """Return a calibration error in words, with what chance alone would make."""
    error, chance = (metrics[name + suffix]["value"] for suffix in ("", "_by_chance"))
    return f"{error:.3f} ({chance:.3f} by chance)"


def look_for_heat(
    run_folder: Path, images: Sequence[np.ndarray], masks: Sequence[np.ndarray]
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return by method what raised the probability of COVID, and the lungs' share of that heat.

    The methods are HiResCAM and occlusion. X-rays and masks of lungs may be of any sizes. Each heat
    is float32, (N, height, width), 0..1, of the detector's input size. The shares are (N,), NaN
    for an X-ray without any heat.
    """
    detector = load_model(run_folder / DETECTOR)
    size = detector.input_shape[1:3]
    xrays = np.stack([resize_image(image, size) for image in images])
    small = np.stack([resize_mask(mask, size) for mask in masks])
    heats = {"HiResCAM": find_heat(detector, xrays), "Occlusion": occlude(detector, xrays)}
    return heats, {name: energy_in_lungs(heat, small) for name, heat in heats.items()}


def pick_surest(run_folder: Path) -> pd.DataFrame:
    """Return the COVID X-ray of the test that a detector was surest of, and its surest error.

    They are rows of its `predictions.csv`, with a column `right`. The first has COVID, since a map
    of what speaks for COVID explains no other success. Either is missing if there is none.

    Raises:
        CovidLungsError: the run has no predictions of a detector.
    """
    table = pd.read_csv(require(run_folder / "detection" / "predictions.csv"))
    test = table[table["split"] == "test"]
    test = test.assign(right=(test["probability"] > THRESHOLD) == (test["label"] == 1))
    test = test[~test["right"] | (test["label"] == 1)]
    sure = (test["probability"] - THRESHOLD).abs().sort_values(ascending=False, kind="stable")
    return test.loc[sure.index].groupby("right").head(1).sort_values("right", ascending=False)


def find_run_data(run_folder: Path, data: str) -> DataSet | None:
    """Return the data set that a run was made from, None if it is not here, or has changed.

    `data` says where it is if no command made the run.
    """
    with suppress(CovidLungsError):
        data = find_source(run_folder)
    with suppress(CovidLungsError):
        data_set = find_data(data)
        read_split(run_folder, data_set)
        return data_set
    return None


def find_lungs(data_set: DataSet, rows: pd.DataFrame) -> list[np.ndarray]:
    """Return the lung masks of rows of an index, zeros and ones, uint8, each of its own size.

    For an X-ray without a mask, the package's network draws it.
    """
    return [
        data_set.read_mask(row.mask) if row.mask else lungs.segment(data_set.read_xray(row.file))
        for row in rows.itertuples()
    ]

"""Prediction: from X-ray files to masks, overlays and a table, a few batches at a time."""

import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from tqdm import tqdm

from helpers.audit.findings import SMALLEST_SIDE
from helpers.audit.mask_shapes import SHAPE_SIZE, measure_masks, shrink_mask, why_implausible
from helpers.data.decoding import BadImageError
from helpers.data.images import draw_outlines, read_xray, resize_image
from helpers.data.threads import in_lists, work_ahead
from helpers.predict.doubt import Doubt, find_doubts, prepare_doubts
from helpers.predict.files import (
    CHOICE,
    MASKS,
    OVERLAYS,
    TABLE,
    XrayFile,
    find_replaced,
    make_outputs,
    write_output,
)
from helpers.predict.novelty import Likeness, read_likeness
from helpers.predict.unfinished import Unfinished, go_on
from helpers.report.pictures import PREDICTED_COLOUR
from helpers.storage.folders import refusing, shown
from helpers.storage.layout import DETECTOR, SEGMENTER
from helpers.storage.versions import code_version
from helpers.train.backend import keras
from helpers.train.checkpoint import hash_arrays, hash_config
from helpers.train.inference import predict
from helpers.train.lungs import load_network
from helpers.train.postprocessing import draw_lungs
from helpers.train.trained import load_model

BATCH = 16  # X-rays that a thread reads, predicts together and writes
# Each has a batch in memory. More than cores, since threads wait for files.
THREADS = min(8, 2 * (os.cpu_count() or 1))
LONGEST_SIDE = 65500  # of a JPEG, in pixels
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 85]  # half as large as at OpenCV's 95
FEW = 20  # X-rays that a terminal lists one by one
NO_DETECTOR = (
    "For a probability of COVID, train on X-rays with and without it "
    "(covid-lungs run --data SOURCE), then name that run with --run."
)
COLUMNS = ["file", "covid_probability", "lung_fraction", "accepted", "reason", "expected_dice"]


class Predicted(NamedTuple):
    """What was predicted for an X-ray, or why it could not be decoded."""

    file: str  # its path, in POSIX form
    covid_probability: float = np.nan  # without a detector, too
    lung_fraction: float = np.nan  # only if it could not be decoded
    refusal: str = ""  # why there is no mask, or why it is not accepted
    warning: str = ""  # why to be wary of it
    expected_dice: float = np.nan  # of the mask, by the package's network
    shrunk: np.ndarray = np.zeros((SHAPE_SIZE, SHAPE_SIZE), np.uint8)  # mask as of `shrink_mask`
    remedy: str = ""  # if there is no mask


def load_networks(run_folder: Path | None) -> list[keras.Model]:
    """Return a run's segmenter and, if it has one, its detector; without a run the package's own.

    Raises:
        CovidLungsError: a file is no network, or the package's weights are damaged.
    """
    if run_folder is None:
        return [load_network()]
    detector = run_folder / DETECTOR
    paths = [run_folder / SEGMENTER, *([detector] if detector.is_file() else [])]
    return [load_model(path) for path in paths]


def load_likeness(run_folder: Path | None) -> Likeness | None:
    """Return what the X-rays look like that the networks of `load_networks` were trained on.

    None if the run does not say, and for the package's own network.

    Raises:
        CovidLungsError: a file cannot be read.
    """
    return None if run_folder is None else read_likeness((run_folder / SEGMENTER).parent)


def predict_files(
    networks: list[keras.Model],
    files: list[XrayFile],
    folder: Path,
    likeness: Likeness | None = None,
) -> pd.DataFrame:
    """Write masks, overlays and the table of predictions of X-rays; return the table.

    A file that cannot be decoded gets a line on standard error and no mask. Rows and masks of
    earlier predictions stay, the rows before the new ones. A prediction that was stopped goes on.

    Args:
        networks: the segmenter, and the detector if there is one.
        files: the X-rays, as `find_xrays` gives them; each has a row, in this order.
        folder: where masks, overlays and table go.
        likeness: of the training X-rays; there is a warning of X-rays unlike them.

    Raises:
        CovidLungsError: the folder cannot be written to, another prediction is writing there, or an
            X-ray would be overwritten.
    """
    for network in networks:
        network.make_predict_function()  # once, before several threads ask for it
    prepare_doubts()
    make_outputs(folder, files)
    with go_on(folder, _describe(networks, likeness)) as unfinished:
        rows = _predict_all(networks, files, folder, likeness, unfinished)
        table = pd.DataFrame(rows, columns=COLUMNS)
        whole = pd.concat([_read_earlier(folder, files), table.astype(object)])
        write_output(folder / TABLE, whole.to_csv(index=False, lineterminator="\n").encode())
    return table


def _predict_all(
    networks: list[keras.Model],
    files: list[XrayFile],
    folder: Path,
    likeness: Likeness | None,
    unfinished: Unfinished,
) -> list[list]:
    """Return the table's rows of all X-rays, those that are done as they are."""
    rows: list[list] = []
    bar = tqdm(desc="predicting", total=len(files), unit="file", disable=None)
    with bar, ThreadPoolExecutor(THREADS) as pool:

        def work(batch: list[XrayFile]) -> tuple[list[XrayFile], list | None, list[Predicted]]:
            done = unfinished.find(batch)
            if done and _are_there(folder, batch, done):
                return batch, done, []
            return batch, None, _predict_batch(networks, likeness, folder, batch)

        for batch, done, predicted in work_ahead(pool, work, in_lists(files, BATCH), THREADS):
            if done is None:
                done = _judge([_warn(one) for one in predicted]).to_numpy().tolist()
                with refusing(folder, CHOICE):
                    unfinished.add(batch, done)
            rows += done
            bar.update(len(batch))
    return rows


def _are_there(folder: Path, batch: list[XrayFile], rows: list[list]) -> bool:
    """Return whether the masks of X-rays that are done, and could be decoded, are still there."""
    drawn = [file for file, row in zip(batch, rows, strict=True) if not np.isnan(row[2])]
    return all((folder / MASKS / f"{file.place}.png").is_file() for file in drawn)


def _describe(networks: list[keras.Model], likeness: Likeness | None) -> str:
    """Return what decides predictions besides the X-rays: the code, the networks, the likeness."""
    parts = [hash_config({"config": network.get_config()}) for network in networks]
    parts += [hash_arrays(network.get_weights()) for network in networks]
    known = hash_arrays(map(np.asarray, likeness)) if likeness is not None else ""
    decided = [code_version(__name__), *parts, known]
    return hashlib.sha256("\n".join(decided).encode()).hexdigest()


def _read_earlier(folder: Path, files: list[XrayFile]) -> pd.DataFrame:
    """Return the rows, as text, of earlier predictions that these files do not replace."""
    with refusing(folder / TABLE, CHOICE):
        try:
            earlier = pd.read_csv(folder / TABLE, dtype=str, keep_default_na=False)
        except (FileNotFoundError, ValueError):  # no file, or not a table
            earlier = pd.DataFrame()
    if list(earlier.columns) == COLUMNS[:-1]:  # of a version that expected no Dice
        earlier = earlier.assign(**{COLUMNS[-1]: ""})
    if list(earlier.columns) != COLUMNS:
        return pd.DataFrame(columns=COLUMNS)
    return earlier[~np.array(find_replaced(folder, earlier["file"], files), bool)]


def _predict_batch(
    networks: list[keras.Model], likeness: Likeness | None, folder: Path, files: list[XrayFile]
) -> list[Predicted]:
    """Write masks and overlays of a batch of X-rays and return what was predicted."""
    xrays = [_read(file.path) for file in files]
    inputs = [_resize(xrays, network.input_shape[1:3]) for network in networks]
    found = [predict(network, images) for network, images in zip(networks, inputs, strict=True)]
    covid = found[1] if len(networks) > 1 else np.full(len(xrays), np.nan)
    doubts = find_doubts(networks[0], likeness, inputs[0], found[0])
    rows = zip(files, xrays, found[0], covid.tolist(), doubts, strict=True)
    return [_write(folder, *row) for row in rows]


def _read(path: str) -> np.ndarray | BadImageError:
    """Return an X-ray, uint8 (height, width), or why it cannot be decoded."""
    try:
        return read_xray(path)
    except BadImageError as error:
        return error.of(path)  # a new one: the traceback of this one holds the file's content


def _resize(xrays: list[np.ndarray | BadImageError], size: tuple[int, int]) -> np.ndarray:
    """Return X-rays at a network's size; one that cannot be decoded is black, to keep its place."""
    black = np.zeros(size, np.uint8)
    return np.stack(
        [black if isinstance(xray, BadImageError) else resize_image(xray, size) for xray in xrays]
    )


def _write(
    folder: Path,
    file: XrayFile,
    xray: np.ndarray | BadImageError,
    lung_probability: np.ndarray,
    covid_probability: float,
    doubt: Doubt,
) -> Predicted:
    """Write mask and overlay of an X-ray and return what was predicted."""
    mask_path = folder / MASKS / f"{file.place}.png"
    overlay_path = folder / OVERLAYS / f"{file.place}.jpg"
    if isinstance(xray, BadImageError):
        for path in (mask_path, overlay_path):  # earlier ones, of another file
            with refusing(path, CHOICE):
                path.unlink(missing_ok=True)
        return Predicted(file.path, refusal=xray.reason, remedy=xray.remedy)
    mask = draw_lungs(lung_probability, xray.shape)
    write_output(mask_path, cv2.imencode(".png", mask * 255)[1])
    if max(mask.shape) <= LONGEST_SIDE:
        overlay = draw_outlines(xray, (mask, PREDICTED_COLOUR[::-1]))  # OpenCV: blue first
        # As a PNG it would take eight times as long to encode.
        write_output(overlay_path, cv2.imencode(".jpg", overlay, JPEG)[1])
    share = float(mask.mean())
    if min(mask.shape) < SMALLEST_SIDE:
        doubt = doubt._replace(refusal=f"less than {SMALLEST_SIDE} pixels a side")
    elif not doubt.refusal and not share:
        doubt = doubt._replace(refusal="no lung was found")
    return Predicted(file.path, covid_probability, share, *doubt, shrink_mask(mask))


def _warn(predicted: Predicted) -> Predicted:
    """Print why an X-ray could not be decoded, if so."""
    if np.isnan(predicted.lung_fraction):
        line = f"{predicted.file}: {predicted.refusal}. {predicted.remedy}, or leave it out."
        tqdm.write(f"covid-lungs: {line}", file=sys.stderr)
    return predicted


def _judge(block: list[Predicted]) -> pd.DataFrame:
    """Return the table of some predictions, each accepted or not, and why, or what to doubt."""
    table = pd.DataFrame(block, columns=Predicted._fields)
    implausible = why_implausible(measure_masks(list(table.pop("shrunk"))))
    refusal = table["refusal"].where(table["refusal"] != "", implausible)
    table["accepted"] = refusal == ""
    table["reason"] = refusal.where(refusal != "", table["warning"])
    return table[COLUMNS].round(6)


def describe_predictions(table: pd.DataFrame, folder: Path, run_folder: Path | None) -> str:
    """Return for a terminal what was predicted, and where it is; few X-rays one by one."""
    undecodable = int(table["lung_fraction"].isna().sum())
    refused = int((~table["accepted"]).sum()) - undecodable
    doubtful = int((table["accepted"] & (table["reason"] != "")).sum())
    decoded = table[table["lung_fraction"].notna()] if len(table) <= FEW else table[:0]
    lines = [_describe_xray(row) for row in decoded.to_dict("records")]
    lines += [
        f"masks: {len(table) - undecodable:,} (not accepted: {refused:,}, doubtful: {doubtful:,})",
        f"files that could not be decoded: {undecodable:,}",
    ]
    lines.append(
        f"Made in {shown(folder)}: {MASKS}/*.png, {OVERLAYS}/*.jpg, {TABLE} (with the reasons)"
    )
    if run_folder is None:
        lines.append(NO_DETECTOR)
    return "\n".join([*lines, "", "Not a medical device."])


def _describe_xray(row: dict) -> str:
    """Return a line about an X-ray that could be decoded."""
    covid = row["covid_probability"]
    found = "" if np.isnan(covid) else f"COVID probability {covid:.3f}, "
    judged = "doubtful" if row["accepted"] else "not accepted"
    doubt = f"; {judged}: {row['reason']}" if row["reason"] else ""
    return f"{row['file']}: {found}lungs {row['lung_fraction']:.1%} of the image{doubt}"

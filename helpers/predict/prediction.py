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
from helpers.evaluate.zones import ZONES, infected_shares
from helpers.predict.doubt import Doubt, find_doubts, prepare_doubts
from helpers.predict.files import (
    CHOICE,
    INFECTION,
    MADE,
    MASKS,
    OVERLAYS,
    TABLE,
    XrayFile,
    find_ending,
    find_output,
    find_places,
    make_outputs,
    write_output,
)
from helpers.predict.networks import Networks
from helpers.predict.novelty import Likeness
from helpers.predict.unfinished import Unfinished, go_on
from helpers.report.pictures import INFECTION_COLOUR, PREDICTED_COLOUR
from helpers.storage.folders import refusing, shown
from helpers.storage.versions import code_version
from helpers.train.backend import keras
from helpers.train.checkpoint import hash_arrays, hash_config
from helpers.train.inference import predict
from helpers.train.postprocessing import draw_infection, draw_lungs

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
PACKAGE_LUNGS = "The run has no lung network: the one inside the package drew the lungs."
INFECTED = ["infected_share", *ZONES]
NO_SHARES = (np.nan,) * len(INFECTED)
EARLIER = (5, 6)  # columns that tables of earlier versions had: without expected_dice, and with it
COLUMNS = [
    *("file", "covid_probability", "lung_fraction", "accepted", "reason", "expected_dice"),
    *INFECTED,
]


class Predicted(NamedTuple):
    """What was predicted for an X-ray, or why it could not be decoded."""

    file: str  # its path, in POSIX form
    covid_probability: float = np.nan  # without a detector, too
    lung_fraction: float = np.nan  # only if it could not be decoded
    refusal: str = ""  # why there is no mask, or why it is not accepted
    warning: str = ""  # why to be wary of it
    expected_dice: float = np.nan  # of the mask, by the package's network
    shares: tuple[float, ...] = NO_SHARES  # infected, in the order of INFECTED
    shrunk: np.ndarray = np.zeros((SHAPE_SIZE, SHAPE_SIZE), np.uint8)  # mask as of `shrink_mask`
    remedy: str = ""  # if there is no mask


def predict_files(
    networks: Networks,
    files: list[XrayFile],
    folder: Path,
    likeness: Likeness | None = None,
) -> pd.DataFrame:
    """Write masks, overlays and the table of predictions of X-rays; return the table.

    With a network for infection there are masks of infection, too.

    A file that cannot be decoded gets a line on standard error and no mask. Rows and masks of
    earlier predictions stay, the rows before the new ones. A prediction that was stopped goes on.

    Args:
        networks: as `load_networks` gives them.
        files: the X-rays, as `find_xrays` gives them; each has a row, in this order.
        folder: where masks, overlays and table go.
        likeness: of the training X-rays; there is a warning of X-rays unlike them.

    Raises:
        CovidLungsError: the folder cannot be written to, another prediction is writing there, or an
            X-ray would be overwritten.
    """
    for network in networks.list_present():
        network.make_predict_function()  # once, before several threads ask for it
    prepare_doubts()
    make_outputs(folder, files, list_parts(networks))
    with go_on(folder, _describe(networks, likeness)) as unfinished:
        rows = _predict_all(networks, files, folder, likeness, unfinished)
        table = pd.DataFrame(rows, columns=COLUMNS)
        earlier = _take_over(folder, files, networks)
        whole = pd.concat([earlier, table.astype(object)])
        write_output(folder / TABLE, whole.to_csv(index=False, lineterminator="\n").encode())
    return table


def list_parts(networks: Networks) -> list[str]:
    """Return the folders that predictions of these networks fill."""
    return [name for name in MADE if name != INFECTION or networks.infection is not None]


def _predict_all(
    networks: Networks,
    files: list[XrayFile],
    folder: Path,
    likeness: Likeness | None,
    unfinished: Unfinished,
) -> list[list]:
    """Return the table's rows of all X-rays, those that are done as they are."""
    rows: list[list] = []
    parts = [name for name in list_parts(networks) if name != OVERLAYS]
    bar = tqdm(desc="predicting", total=len(files), unit="file", disable=None)
    with bar, ThreadPoolExecutor(THREADS) as pool:

        def work(batch: list[XrayFile]) -> tuple[list[XrayFile], list | None, list[Predicted]]:
            done = unfinished.find(batch)
            if done and _are_there(folder, parts, batch, done):
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


def _are_there(folder: Path, parts: list[str], batch: list[XrayFile], rows: list[list]) -> bool:
    """Return whether the masks of X-rays that are done, and could be decoded, are still there.

    `parts` are the folders of masks.
    """
    drawn = [file for file, row in zip(batch, rows, strict=True) if not np.isnan(row[2])]
    return all((folder / name / f"{file.place}.png").is_file() for file in drawn for name in parts)


def _describe(networks: Networks, likeness: Likeness | None) -> str:
    """Return what decides predictions besides the X-rays: the code, the networks, the likeness."""
    parts = [
        f"{name} {hash_config({'config': network.get_config()})} "
        + hash_arrays(network.get_weights())
        for name, network in networks._asdict().items()
        if network is not None
    ]
    known = hash_arrays(map(np.asarray, likeness)) if likeness is not None else ""
    decided = [code_version(__name__), *parts, known]
    return hashlib.sha256("\n".join(decided).encode()).hexdigest()


def _take_over(folder: Path, files: list[XrayFile], networks: Networks) -> pd.DataFrame:
    """Return the rows, as text, of earlier predictions that these files do not replace.

    Either the X-ray is among the files, or its mask was replaced. Infection that another network
    drew in such a place is removed if there is none now: no row would say what it is.
    """
    earlier = _read_earlier(folder)
    places = pd.Series(find_places(folder, earlier["file"], files), earlier.index, object)
    if networks.infection is None:
        drawn = set(places[earlier["infected_share"] != ""])
        for file in files:
            # Elsewhere it is the user's own.
            if file.place in drawn and find_output(folder, INFECTION, file).is_file():
                _remove(folder, INFECTION, file)
    again = earlier["file"].isin([file.path for file in files])
    return earlier[~(again | places.isin([file.place for file in files]))]


def _read_earlier(folder: Path) -> pd.DataFrame:
    """Return the rows, as text, of earlier predictions."""
    with refusing(folder / TABLE, CHOICE):
        try:
            earlier = pd.read_csv(folder / TABLE, dtype=str, keep_default_na=False)
        except (FileNotFoundError, ValueError):  # no file, or not a table
            earlier = pd.DataFrame()
    if list(earlier.columns) in [COLUMNS[:count] for count in EARLIER]:
        earlier = earlier.reindex(columns=COLUMNS, fill_value="")
    if list(earlier.columns) != COLUMNS:
        return pd.DataFrame(columns=COLUMNS)
    return earlier


def _predict_batch(
    networks: Networks, likeness: Likeness | None, folder: Path, files: list[XrayFile]
) -> list[Predicted]:
    """Write masks and overlays of a batch of X-rays and return what was predicted."""
    xrays = [_read(file.path) for file in files]
    images = _resize(xrays, networks.lungs.input_shape[1:3])
    lungs = predict(networks.lungs, images)
    doubts = find_doubts(networks.lungs, likeness, images, lungs)
    infection, covid = (_ask(one, xrays) for one in (networks.infection, networks.detector))
    rows = zip(files, xrays, lungs, infection, covid, doubts, strict=True)
    return [_write(folder, *row) for row in rows]


def _ask(
    network: keras.Model | None, xrays: list[np.ndarray | BadImageError]
) -> np.ndarray | list[None]:
    """Return a network's probabilities for each X-ray; None for each without a network."""
    if network is None:
        return [None] * len(xrays)
    return predict(network, _resize(xrays, network.input_shape[1:3]))


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
    infection_probability: np.ndarray | None,
    covid_probability: np.float32 | None,
    doubt: Doubt,
) -> Predicted:
    """Write masks and overlay of an X-ray and return what was predicted."""
    if isinstance(xray, BadImageError):
        for name in MADE:  # earlier ones, of another file
            if name != INFECTION or infection_probability is not None:
                _remove(folder, name, file)
        return Predicted(file.path, refusal=xray.reason, remedy=xray.remedy)
    lungs = draw_lungs(lung_probability, xray.shape)
    _write_mask(folder, MASKS, file, lungs)
    outlines, shares = [(lungs, PREDICTED_COLOUR)], NO_SHARES
    if infection_probability is not None:
        infection = draw_infection(infection_probability, xray.shape)
        _write_mask(folder, INFECTION, file, infection)
        outlines.append((infection, INFECTION_COLOUR))
        found = infected_shares(infection, lungs)
        shares = tuple(found[name] for name in INFECTED)
    _write_overlay(folder, file, xray, outlines)
    fraction = float(lungs.mean())
    if min(lungs.shape) < SMALLEST_SIDE:
        doubt = doubt._replace(refusal=f"less than {SMALLEST_SIDE} pixels a side")
    elif not doubt.refusal and not fraction:
        doubt = doubt._replace(refusal="no lung was found")
    covid = np.nan if covid_probability is None else float(covid_probability)
    return Predicted(file.path, covid, fraction, *doubt, shares, shrink_mask(lungs))


def _remove(folder: Path, name: str, file: XrayFile) -> None:
    """Remove what an earlier prediction left in one of the folders of MADE."""
    path = find_output(folder, name, file)
    with refusing(path, CHOICE):
        path.unlink(missing_ok=True)


def _write_mask(folder: Path, name: str, file: XrayFile, mask: np.ndarray) -> None:
    """Write a mask, zeros and ones, as 0 and 255."""
    write_output(find_output(folder, name, file), cv2.imencode(".png", mask * 255)[1])


def _write_overlay(
    folder: Path, file: XrayFile, xray: np.ndarray, outlines: list[tuple[np.ndarray, tuple]]
) -> None:
    """Write an X-ray, if a JPEG can hold it, with outlines of masks, each with its RGB colour."""
    if max(xray.shape) > LONGEST_SIDE:
        return
    overlay = draw_outlines(xray, *((mask, rgb[::-1]) for mask, rgb in outlines))  # blue first
    # As a PNG it would take eight times as long to encode.
    write_output(find_output(folder, OVERLAYS, file), cv2.imencode(".jpg", overlay, JPEG)[1])


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
    table[INFECTED] = np.array(list(table.pop("shares")))
    return table[COLUMNS].round(6)


def describe_predictions(
    table: pd.DataFrame, folder: Path, networks: Networks, run_folder: Path | None
) -> str:
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
    made = ", ".join(f"{name}/*.{find_ending(name)}" for name in list_parts(networks))
    lines.append(f"Made in {shown(folder)}: {made}, {TABLE} (with the reasons)")
    if run_folder is None:
        lines.append(NO_DETECTOR)
    elif networks.has_package_lungs:
        lines.append(PACKAGE_LUNGS)
    return "\n".join([*lines, "", "Not a medical device."])


def _describe_xray(row: dict) -> str:
    """Return a line about an X-ray that could be decoded."""
    covid = row["covid_probability"]
    found = "" if np.isnan(covid) else f"COVID probability {covid:.3f}, "
    infected = row["infected_share"]
    share = "" if np.isnan(infected) else f", infection {infected:.1%} of the lungs"
    judged = "doubtful" if row["accepted"] else "not accepted"
    doubt = f"; {judged}: {row['reason']}" if row["reason"] else ""
    return f"{row['file']}: {found}lungs {row['lung_fraction']:.1%} of the image{share}{doubt}"

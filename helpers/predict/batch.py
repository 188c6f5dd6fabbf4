"""Batch: X-rays that are read, predicted together, and written; here or on another machine."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from helpers.audit.findings import SMALLEST_SIDE
from helpers.audit.mask_shapes import shrink_mask
from helpers.data.decoding import BadImageError
from helpers.data.images import draw_outlines, read_xray, resize_image
from helpers.evaluate.zones import infected_shares
from helpers.predict.doubt import Doubt, find_doubts
from helpers.predict.files import (
    INFECTION,
    MASKS,
    OVERLAYS,
    XrayFile,
    find_output,
    list_parts,
    remove_output,
    write_output,
)
from helpers.predict.networks import Networks
from helpers.predict.novelty import Likeness
from helpers.predict.table import INFECTED, NO_SHARES, Predicted, judge
from helpers.report.pictures import INFECTION_COLOUR, PREDICTED_COLOUR
from helpers.train.backend import keras
from helpers.train.inference import predict
from helpers.train.postprocessing import draw_infection, draw_lungs

BATCH = 16  # X-rays that are read, predicted together and written
LONGEST_SIDE = 65500  # of a JPEG, in pixels
JPEG = [cv2.IMWRITE_JPEG_QUALITY, 85]  # half as large as at OpenCV's 95


class Answer(NamedTuple):
    """What is kept of a predicted batch.

    Attributes:
        rows: of the table, as `judge` gives them.
        remedies: of each X-ray without a mask; "" of the others.
    """

    rows: list[list]
    remedies: list[str]


def predict_block(
    networks: Networks,
    likeness: Likeness | None,
    folder: Path,
    block: list[list[XrayFile]],
) -> list[Answer]:
    """Write masks and overlays of some batches of X-rays; return an answer for each."""
    return [answer(predict_batch(networks, likeness, folder, batch)) for batch in block]


def answer(predicted: list[Predicted]) -> Answer:
    """Return what is kept of the predictions of a batch."""
    return Answer(judge(predicted), [one.remedy for one in predicted])


def predict_batch(
    networks: Networks,
    likeness: Likeness | None,
    folder: Path,
    files: list[XrayFile],
    only: int | None = None,
) -> list[Predicted]:
    """Write masks and overlays of a batch of X-rays and return what was predicted.

    `only` is the place in the batch of the one X-ray to read and write, None for all. The others
    are black then: in a batch of another size, its probabilities might be rounded differently.
    """
    chosen = range(len(files)) if only is None else [only]
    xrays = [_read(file.path) if n in chosen else None for n, file in enumerate(files)]
    images = _resize(xrays, networks.lungs.input_shape[1:3])
    lungs = predict(networks.lungs, images)
    doubts = find_doubts(networks.lungs, likeness, images, lungs)
    infection, covid = (_ask(one, xrays) for one in (networks.infection, networks.detector))
    rows = list(zip(files, xrays, lungs, infection, covid, doubts, strict=True))
    return [_write(folder, *rows[n]) for n in chosen]


def _ask(
    network: keras.Model | None, xrays: list[np.ndarray | BadImageError | None]
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


def _resize(xrays: list[np.ndarray | BadImageError | None], size: tuple[int, int]) -> np.ndarray:
    """Return X-rays at a network's size; one that there is not is black, to keep its place."""
    black = np.zeros(size, np.uint8)
    return np.stack(
        [resize_image(xray, size) if isinstance(xray, np.ndarray) else black for xray in xrays]
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
        made = list_parts(draws_infection=infection_probability is not None)
        return give_up(folder, made, file, xray.reason, xray.remedy)
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


def give_up(folder: Path, made: list[str], file: XrayFile, reason: str, remedy: str) -> Predicted:
    """Return that there is no mask of an X-ray, and why; remove those of an earlier file."""
    for name in made:
        remove_output(folder, name, file)
    return Predicted(file.path, refusal=reason, remedy=remedy)


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

"""Prediction: from X-ray files to masks, overlays and a table, a few batches at a time."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from helpers.data.threads import in_blocks
from helpers.predict.batch import BATCH, Answer
from helpers.predict.doubt import prepare_doubts
from helpers.predict.files import (
    CHOICE,
    INFECTION,
    OVERLAYS,
    XrayFile,
    find_output,
    list_parts,
    make_outputs,
)
from helpers.predict.networks import Networks, describe_networks
from helpers.predict.novelty import Likeness
from helpers.predict.table import write_table
from helpers.predict.team import Block, Team, hire_threads
from helpers.predict.unfinished import Unfinished, go_on
from helpers.storage.folders import refusing

# Takes the output folder, its folders to fill, the X-rays, and what decides their predictions.
Hire = Callable[[Path, list[str], list[XrayFile], str], AbstractContextManager[Team]]


def predict_files(
    networks: Networks,
    files: list[XrayFile],
    folder: Path,
    likeness: Likeness | None = None,
    hire: Hire | None = None,
) -> pd.DataFrame:
    """Write masks, overlays and the table of predictions of X-rays; return the table.

    With a network for infection there are masks of infection, too.

    A file that cannot be decoded gets a line on standard error and no mask. Rows and masks of
    earlier predictions stay, the rows before the new ones. A prediction that was stopped goes on,
    whoever has begun it.

    Args:
        networks: as `load_networks` gives them.
        files: the X-rays, as `find_xrays` gives them; each has a row, in this order.
        folder: where masks, overlays and table go.
        likeness: of the training X-rays; there is a warning of X-rays unlike them.
        hire: gives the workers of a cluster that predict; None for threads of this process.

    Raises:
        CovidLungsError: the folder cannot be written to, another prediction is writing there, an
            X-ray would be overwritten, or a worker cannot do it.
    """
    parts = list_parts(networks.infection is not None)
    prepare_doubts()
    make_outputs(folder, files, parts)
    asked = describe_networks(networks, likeness)
    with go_on(folder, asked) as unfinished:
        hired = hire and hire(folder, parts, files, asked)
        with hired or hire_threads(networks, likeness, folder) as team:
            rows = _predict_all(team, files, folder, parts, unfinished)
        return write_table(folder, rows, files, networks.infection is not None, unfinished.infected)


def _predict_all(
    team: Team, files: list[XrayFile], folder: Path, parts: list[str], unfinished: Unfinished
) -> list[list]:
    """Return the table's rows of all X-rays, those that are done as they are."""
    rows: dict[XrayFile, list] = {}
    left: list[list[XrayFile]] = []
    for batch in in_blocks(files, BATCH):
        done = unfinished.find(batch)
        if done and _are_there(folder, parts, batch, done):
            rows.update(zip(batch, done, strict=True))
        else:
            left.append(batch)
    with tqdm(desc="predicting", total=len(files), unit="file", disable=None) as bar:
        bar.update(len(rows))
        blocks = in_blocks(left, team.size)
        if INFECTION in parts:
            blocks = _note_infection(blocks, folder, unfinished)
        for batch, answer in team.predict(blocks):
            _tell(answer)
            with refusing(folder, CHOICE):
                unfinished.add(batch, answer.rows)
            rows.update(zip(batch, answer.rows, strict=True))
            bar.update(len(batch))
    return [rows[file] for file in files]


def _note_infection(
    blocks: Iterable[Block], folder: Path, unfinished: Unfinished
) -> Iterator[Block]:
    """Yield blocks; before each, keep where infection will be drawn.

    A file that is already there is left out: it may be the user's own until it is replaced.
    """
    for block in blocks:
        files = (file for batch in block for file in batch)
        with refusing(folder, CHOICE):
            new = [file for file in files if not find_output(folder, INFECTION, file).exists()]
            unfinished.add_infected([file.place for file in new])
        yield block


def _are_there(folder: Path, parts: list[str], batch: list[XrayFile], rows: list[list]) -> bool:
    """Return whether the masks of X-rays that are done, and could be decoded, are still there."""
    drawn = [file for file, row in zip(batch, rows, strict=True) if not np.isnan(row[2])]
    masks = [name for name in parts if name != OVERLAYS]
    return all(find_output(folder, name, file).is_file() for file in drawn for name in masks)


def _tell(answer: Answer) -> None:
    """Print which X-rays of a batch could not be decoded, and why."""
    for row, remedy in zip(answer.rows, answer.remedies, strict=True):
        if remedy:
            line = f"{row[0]}: {row[4]}. {remedy}, or leave it out."
            tqdm.write(f"covid-lungs: {line}", file=sys.stderr)

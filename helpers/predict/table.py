"""Table: a row an X-ray, which says what was predicted for it, and whether to accept that."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from helpers.audit.mask_shapes import SHAPE_SIZE, measure_masks, why_implausible
from helpers.evaluate.zones import ZONES
from helpers.predict.files import (
    CHOICE,
    INFECTION,
    TABLE,
    XrayFile,
    find_output,
    find_places,
    remove_output,
    write_output,
)
from helpers.storage.folders import refusing

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


def judge(batch: list[Predicted]) -> list[list]:
    """Return the rows of some predictions, each accepted or not, and why, or what to doubt."""
    table = pd.DataFrame(batch, columns=Predicted._fields)
    implausible = why_implausible(measure_masks(list(table.pop("shrunk"))))
    refusal = table["refusal"].where(table["refusal"] != "", implausible)
    table["accepted"] = refusal == ""
    table["reason"] = refusal.where(refusal != "", table["warning"])
    table[INFECTED] = np.array(list(table.pop("shares")))
    return table[COLUMNS].round(6).to_numpy().tolist()


def write_table(
    folder: Path,
    rows: list[list],
    files: list[XrayFile],
    draws_infection: bool,
    infected: set[str],
) -> pd.DataFrame:
    """Write the table of a folder, with the rows of earlier predictions that stay; return its new.

    Args:
        folder: of the predictions.
        rows: of these files, as `judge` gives them.
        files: the X-rays that were predicted now.
        draws_infection: whether there are masks of infection now.
        infected: places where a prediction that was stopped may have drawn infection.
    """
    table = pd.DataFrame(rows, columns=COLUMNS)
    earlier = _take_over(folder, files, draws_infection, infected)
    whole = pd.concat([earlier, table.astype(object)])
    write_output(folder / TABLE, whole.to_csv(index=False, lineterminator="\n").encode())
    return table


def _take_over(
    folder: Path, files: list[XrayFile], draws_infection: bool, infected: set[str]
) -> pd.DataFrame:
    """Return the rows, as text, of earlier predictions that these files do not replace.

    Either the X-ray is among the files, or its mask was replaced. Infection that another network
    drew in such a place is removed if there is none now: no row would say what it is. `infected`
    adds the places where no row ever said it.
    """
    earlier = _read_earlier(folder)
    places = pd.Series(find_places(folder, earlier["file"], files), earlier.index, object)
    if not draws_infection:
        drawn = infected.union(places[earlier["infected_share"] != ""])
        for file in files:
            # Elsewhere it is the user's own.
            if file.place in drawn and find_output(folder, INFECTION, file).is_file():
                remove_output(folder, INFECTION, file)
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

"""Progress: what an unfinished training goes on from, in one file.

Keras' `BackupAndRestore` keeps weights and epoch in two files, each overwritten in place, and
leaves out the state of random layers; its `ModelCheckpoint` forgets how good the best epoch was.
"""

import json
import math
import shutil
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers.storage.errors import CovidLungsError
from helpers.storage.files import refusing, replacing
from helpers.storage.folders import PARTIAL, shown
from helpers.storage.layout import STATE
from helpers.train.backend import keras
from helpers.train.fingerprints import MACHINE, find_differences, read_variables

# What NumPy and zipfile raise for a file that is not, or no longer, what was written.
DAMAGES = (zipfile.BadZipFile, ValueError, LookupError, TypeError, AttributeError, EOFError)
DAMAGES += (RuntimeError, zlib.error)


@dataclass
class Progress:
    """A training after its last whole epoch.

    Attributes:
        fingerprint: what is trained, as `describe_training` gives it.
        rows: an epoch each, as in history.csv.
        best_loss: the lowest loss on the validation split.
        best_weights: the network's after that epoch; none as long as no loss was a number.
        variables: as read from a file, the values of all that the training changes: weights,
            normalisations, the state of random layers, the optimizer with the number of its steps.
    """

    fingerprint: dict
    rows: list[dict] = field(default_factory=list)
    best_loss: float = math.inf
    best_weights: list[np.ndarray] = field(default_factory=list)
    variables: list[np.ndarray] = field(default_factory=list)

    def restore(self, model: keras.Model) -> None:
        """Put a network and its optimizer where the training is."""
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        if self.variables:
            for variable, value in zip(_changing(model), self.variables, strict=True):
                variable.assign(value)
        self.variables = []  # as large as the network three times

    def add(self, model: keras.Model, row: dict, loss: float) -> None:
        """Note an epoch with its row and its loss on the validation split."""
        self.rows.append(row)
        if loss < self.best_loss:  # never, if it is no number
            self.best_loss, self.best_weights = loss, read_variables(model.weights)

    def write(self, folder: Path, model: keras.Model) -> None:
        """Write the file, whole or not at all.

        Raises:
            CovidLungsError: it cannot be written; the earlier one stays.
        """
        told = {"fingerprint": self.fingerprint, "rows": self.rows, "best_loss": self.best_loss}
        parts = {"variables": read_variables(_changing(model)), "best_weights": self.best_weights}
        told["counts"] = {name: len(values) for name, values in parts.items()}
        arrays = {
            f"{name}-{number}": value
            for name, values in parts.items()
            for number, value in enumerate(values)
        }
        with replacing(folder / STATE) as partial:
            np.savez(partial, told=np.array(json.dumps(told)), **arrays)


def _changing(model: keras.Model) -> list[keras.Variable]:
    """Return all that training changes, in an order that depends on the network alone."""
    return [*model.variables, *model.optimizer.variables]


def resume(folder: Path, asked: dict, epochs: int) -> tuple[Progress, str]:
    """Return where a training goes on, at its beginning if need be, and a note for the reader.

    Args:
        folder: of the training.
        asked: what is to be trained, as `describe_training` gives it.
        epochs: how many in all.

    Raises:
        CovidLungsError: the folder cannot be read or written to, the training was begun on a
            machine of another kind, or it has to begin anew with a network that has been trained.
    """
    _make_room(folder)
    path = shown(folder / STATE)
    try:
        found, note = read_progress(folder), ""
    except ValueError:
        found, note = None, f"{path} is damaged: the training begins anew."
    if found:
        differences = find_differences(asked, found.fingerprint)
        differences += ["fewer epochs"] if len(found.rows) > epochs else []
        if not differences:
            return found, f"{path}: going on after epoch {len(found.rows)}." if found.rows else ""
        if found.rows and MACHINE.issuperset(differences):
            there = ", ".join(
                f"{name} {found.fingerprint.get(name)}, here {asked[name]}" for name in differences
            )
            raise CovidLungsError(
                f"{path}: {len(found.rows)} epochs of this training were done on another machine "
                f"({there}). Go on on one like it, or delete that file to begin anew here."
            )
        note = f"{path} is of another training ({', '.join(differences)}): this one begins anew."
    if asked["first weights"] is None:
        raise CovidLungsError(
            f"{shown(folder)}: the training has to begin anew, and this network has been trained "
            "already. Run the notebook from its top, so that the network is built again."
        )
    return Progress(asked), note


def _make_room(folder: Path) -> None:
    """Make the folder of the state, and remove what killed trainings left half-written."""
    with refusing(folder / STATE):
        (folder / STATE).parent.mkdir(exist_ok=True)
        for partial in (folder / STATE).parent.glob(f"{PARTIAL}*"):
            shutil.rmtree(partial, ignore_errors=True)


def read_progress(folder: Path) -> Progress | None:
    """Return what a training left unfinished in a folder, or None.

    Raises:
        ValueError: the file is damaged.
        CovidLungsError: the file is there and cannot be read.
    """
    path = folder / STATE
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            told = json.loads(str(arrays["told"]))
            parts = {
                name: [arrays[f"{name}-{number}"] for number in range(count)]
                for name, count in told.pop("counts").items()
            }
        return Progress(**told, **parts)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CovidLungsError(
            f"{shown(path)}: cannot be read ({error.strerror}). Reconnect the drive that it is on "
            "or mend the permissions, and run again; or delete it to train anew."
        ) from error
    except DAMAGES as error:
        raise ValueError(f"{shown(path)} is damaged") from error

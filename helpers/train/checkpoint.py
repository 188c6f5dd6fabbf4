"""Checkpoint: what an unfinished training continues from, and how a training is recognised.

Keras' own callbacks do not do: `BackupAndRestore` overwrites its files in place and leaves out the
state of random layers; `ModelCheckpoint` forgets how good the best epoch was.
"""

import hashlib
import json
import math
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import numpy as np

from helpers.storage.errors import CovidLungsError
from helpers.storage.files import refusing, replacing
from helpers.storage.folders import PARTIAL, shown
from helpers.storage.layout import STATE
from helpers.train.backend import keras
from helpers.train.batches import Batches

# The modules of this package that decide a training; the others show in its network and X-rays.
CODE = ("augmentation", "batches", "metrics", "checkpoint", "training")
# What the machine decides: on another one the weights differ a little.
MACHINE = {"precision", "backend", "compiled by XLA"}
BLOCK = 256  # X-rays hashed together: all of them may be larger than memory


@dataclass
class Progress:
    """A training after its last whole epoch.

    Attributes:
        fingerprint: what is trained, as `describe_training` returns it.
        rows: one an epoch, as in history.csv.
        best_loss: the lowest loss on the validation split.
        best_weights: the network's after that epoch; none while no loss was a number.
        variables: as read from a file: weights, normalisations, the state of random layers, the
            optimizer with its number of steps.
    """

    fingerprint: dict
    rows: list[dict] = field(default_factory=list)
    best_loss: float = math.inf
    best_weights: list[np.ndarray] = field(default_factory=list)
    variables: list[np.ndarray] = field(default_factory=list)

    def restore(self, model: keras.Model) -> None:
        """Bring a network and its optimizer to where the training is."""
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        if self.variables:
            for variable, value in zip(_changing(model), self.variables, strict=True):
                variable.assign(value)
        self.variables = []  # three times as large as the network

    def add(self, model: keras.Model, row: dict, loss: float) -> None:
        """Add an epoch by its row and its loss on the validation split."""
        self.rows.append(row)
        if loss < self.best_loss:  # never true of NaN
            self.best_loss, self.best_weights = loss, read_variables(model.weights)

    def write(self, folder: Path, model: keras.Model) -> None:
        """Write the file, whole or not at all.

        Raises:
            CovidLungsError: it cannot be written; the earlier one stays.
        """
        parts = {"variables": read_variables(_changing(model)), "best_weights": self.best_weights}
        facts = {"fingerprint": self.fingerprint, "rows": self.rows, "best_loss": self.best_loss}
        facts["counts"] = {name: len(values) for name, values in parts.items()}
        arrays = {
            f"{name}-{number}": value
            for name, values in parts.items()
            for number, value in enumerate(values)
        }
        with replacing(folder / STATE) as partial:
            np.savez(partial, facts=np.array(json.dumps(facts)), **arrays)


def _changing(model: keras.Model) -> list[keras.Variable]:
    """Return all that training changes, in an order that depends on the network alone."""
    return [*model.variables, *model.optimizer.variables]


def read_progress(folder: Path) -> Progress | None:
    """Return what a training left unfinished in a folder, or None.

    Raises:
        ValueError: the file is damaged.
        CovidLungsError: the file is there and cannot be read.
    """
    path = folder / STATE
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            facts = json.loads(str(arrays["facts"]))
            parts = {
                name: [arrays[f"{name}-{number}"] for number in range(count)]
                for name, count in facts.pop("counts").items()
            }
        return Progress(**facts, **parts)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CovidLungsError(
            f"{shown(path)}: cannot be read ({error.strerror}). Reconnect its drive or mend the "
            "permissions, and run again; or delete it to train anew."
        ) from error
    except Exception as error:  # NumPy, zipfile and json raise many kinds
        raise ValueError(f"{shown(path)} is damaged") from error


def resume(folder: Path, asked: dict, epochs: int) -> tuple[Progress, str]:
    """Return where a training continues, or its beginning, and a note for the reader.

    `asked` is what `describe_training` returns, `epochs` counts those done before, too.

    Raises:
        CovidLungsError: the folder cannot be read or written to, the training was begun on a
            machine of another kind, or it must begin anew with a network that has been trained.
    """
    _prepare(folder / STATE)
    path = shown(folder / STATE)
    try:
        found, note = read_progress(folder), ""
    except ValueError:
        found, note = None, f"{path} is damaged: the training begins anew."
    if found:
        differences = find_differences(asked, found.fingerprint)
        differences += ["fewer epochs"] if len(found.rows) > epochs else []
        if not differences:
            return found, f"{path}: continuing after epoch {len(found.rows)}." if found.rows else ""
        if found.rows and MACHINE.issuperset(differences):
            raise _refuse_machine(path, found, asked, differences)
        note = f"{path} is of another training ({', '.join(differences)}): this one begins anew."
    if asked["first weights"] is None:
        raise CovidLungsError(
            f"{shown(folder)}: the training must begin anew, but this network has been trained "
            "already. Run the notebook from its top, so that the network is built again."
        )
    return Progress(asked), note


def _prepare(state: Path) -> None:
    """Make the folder of a state, and remove what killed trainings left half-written there."""
    with refusing(state):
        state.parent.mkdir(exist_ok=True)
        for partial in state.parent.glob(f"{PARTIAL}*"):
            shutil.rmtree(partial, ignore_errors=True)


def _refuse_machine(
    path: str, found: Progress, asked: dict, differences: list[str]
) -> CovidLungsError:
    """Return the error for epochs of another machine, which may have taken hours."""
    there = [f"{name} {found.fingerprint.get(name)}, here {asked[name]}" for name in differences]
    return CovidLungsError(
        f"{path}: {len(found.rows)} epochs of this training were done on another machine "
        f"({', '.join(there)}). Continue on a similar machine, or delete that file to begin anew "
        "here."
    )


def describe_training(
    model: keras.Model, training: Batches, validation: Batches
) -> dict[str, str | int | None]:
    """Return all that decides a training but the number of epochs: equal trainings, equal values.

    `first weights` is None for a network that has been trained: they are no longer known.
    """
    untrained = int(model.optimizer.iterations) == 0
    network = keras.saving.serialize_keras_object(model)
    learning = network.pop("compile_config")
    code = b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in CODE)
    backend = keras.backend.backend()
    return {
        "network": _hash_config(network),
        "first weights": hash_arrays(read_variables(model.variables)) if untrained else None,
        "loss and optimizer": _hash_config(learning),
        **{f"training {name}": value for name, value in _describe(training).items()},
        **{f"validation {name}": value for name, value in _describe(validation).items()},
        "code": hashlib.sha256(code).hexdigest(),
        "precision": ", ".join(sorted({layer.dtype_policy.name for layer in model.layers})),
        "backend": f"{backend} {sys.modules[backend].__version__}, keras {keras.__version__}",
        "compiled by XLA": int(bool(model.jit_compile)),
    }


def find_differences(asked: dict, kept: dict) -> list[str]:
    """Return the names in which two trainings differ; an unknown value of `asked` fits any."""
    names = [*asked, *(name for name in kept if name not in asked)]
    unknown = [name for name in names if asked.get(name, "") is None]
    return [name for name in names if name not in unknown and asked.get(name) != kept.get(name)]


def read_variables(variables: Iterable[keras.Variable]) -> list[np.ndarray]:
    """Return the values of variables."""
    return [variable.numpy() for variable in variables]


def hash_arrays(arrays: Iterable[np.ndarray]) -> str:
    """Return a hash that changes with any value, shape or type in these arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _describe(batches: Batches) -> dict[str, str | int | None]:
    """Return what decides which batches come when."""
    blocks = np.array_split(batches.rows, max(1, len(batches.rows) // BLOCK))
    contents = (array[rows] for rows in blocks for array in (batches.images, batches.targets))
    return {
        "X-rays": hash_arrays(chain([batches.rows], contents)),
        "batch size": batches.batch_size,
        "seed": batches.shuffle_seed,
        "augmentation": str(batches.strength),
    }


def _hash_config(config: dict) -> str:
    """Return a hash of a configuration that Keras made, without names and precision.

    Keras numbers layers and optimizers throughout a process, so each name is replaced by the
    number of its first mention. Precision is the machine's choice.
    """
    names = {}

    def rename(part):
        if isinstance(part, dict):
            inner = part.get("config")
            if part.get("class_name") == "DTypePolicy":
                return None
            if isinstance(inner, dict):
                names.setdefault(inner.get("name"), f"part {len(names)}")
            return {key: rename(value) for key, value in part.items()}
        if isinstance(part, list | tuple):
            return [rename(value) for value in part]
        return names.get(part, part) if isinstance(part, str) else part

    text = json.dumps(rename(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()

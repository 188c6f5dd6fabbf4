"""Trained: a finished network, its history and the record of what it was trained on."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from helpers.storage.errors import CovidLungsError
from helpers.storage.files import refusing, replacing
from helpers.storage.folders import shown
from helpers.storage.layout import HISTORY, NETWORK, RECORD, SCORES
from helpers.train.backend import keras
from helpers.train.checkpoint import STATE, Progress, read_progress
from helpers.train.fingerprints import MACHINE, find_differences, hash_arrays

KINDS = {"epochs": int, "history": str, "weights": str, "fingerprint": dict}  # in the record

CONFIG = "config.json"  # the network's description, in a .keras file
LARGEST_CONFIG = 2**24  # bytes
MARKS = {"class_name", "module", "registered_name"}  # of an object, in that description
# All that the networks of `models` are described by, by Keras' modules.
PARTS = {
    None: {"__keras_tensor__"},
    "keras": {"DTypePolicy", "Sequential"},
    "keras.initializers": {"GlorotUniform", "Ones", "Zeros"},
    "keras.layers": {
        "Activation",
        "Average",
        "BatchNormalization",
        "Concatenate",
        "Conv2D",
        "Conv2DTranspose",
        "Dense",
        "Flatten",
        "GlobalAveragePooling2D",
        "InputLayer",
        "LayerNormalization",
        "MaxPooling2D",
        "ReLU",
        "UpSampling2D",
    },
    "keras.src.models.functional": {"Functional"},
    "keras.src.ops.numpy": {"Flip"},
}


def keep_trained(model: keras.Model, progress: Progress, folder: Path) -> None:
    """Put network, history and record in place of an earlier training's, whose figures go with it.

    The record comes last and the state goes after it, so that a training killed in between is
    finished by the next one.

    Raises:
        CovidLungsError: they cannot be written.
    """
    unfinished = (folder / STATE).parent
    history = pd.DataFrame(progress.rows).to_csv(index=False, lineterminator="\n").encode()
    record = {
        "epochs": len(progress.rows),
        "history": hashlib.sha256(history).hexdigest(),
        "weights": hash_arrays(model.get_weights()),
        "fingerprint": progress.fingerprint,
    }
    with refusing(folder):
        _save(model, unfinished / NETWORK)
        (unfinished / HISTORY).write_bytes(history)
        (unfinished / RECORD).write_bytes(json.dumps(record, indent=2).encode() + b"\n")
        for name in (RECORD, *SCORES):
            (folder / name).unlink(missing_ok=True)
        for name in (NETWORK, HISTORY, RECORD):
            (unfinished / name).replace(folder / name)
    shutil.rmtree(unfinished, ignore_errors=True)


def recall_trained(
    model: keras.Model, asked: dict, epochs: int, folder: Path
) -> tuple[pd.DataFrame | None, str]:
    """Return the history of a finished training of just this, or None, and a note for the reader.

    The weights of a finished training are left in the model. One that differs only in what the
    machine decides counts as just this.

    Args:
        model: a network of the kind that was trained.
        asked: what is to be trained, as `describe_training` gives it.
        epochs: how many.
        folder: of the training.

    Raises:
        CovidLungsError: the record cannot be read, or history or network are not those of it.
    """
    path, record = folder / NETWORK, _read_record(folder)
    if record is None:
        return None, ""
    differences = find_differences(asked, record["fingerprint"])
    differences += ["epochs"] if record["epochs"] != epochs else []
    if not MACHINE.issuperset(differences):
        return None, (
            f"{shown(path)} is of another training ({', '.join(differences)}). It stays until this "
            "one is done."
        )
    history = read_history(folder)
    try:
        weights = load_model(path).get_weights()
    except CovidLungsError as error:
        return None, f"{error} This is done now."
    if hash_arrays(weights) != record["weights"]:
        raise _refuse(path)
    model.set_weights(weights)
    _clear(folder, record["fingerprint"])
    where = f", on another machine ({', '.join(differences)})" if differences else ""
    return history, f"{shown(path)} was trained just so before{where}; nothing is left to do."


def _read_record(folder: Path) -> dict | None:
    """Return what a finished training was, or None where there is none."""
    path = folder / RECORD
    try:
        record = json.loads(path.read_bytes())
        return {name: kind(record[name]) for name, kind in KINDS.items()}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise CovidLungsError(
            f"{shown(path)}: cannot be read as the record of a training. Restore it, or delete it "
            "to train anew."
        ) from error


def read_history(folder: Path) -> pd.DataFrame:
    """Return a finished training's history, a row an epoch.

    Raises:
        CovidLungsError: it is not the one that the training wrote.
    """
    path, record = folder / HISTORY, _read_record(folder)
    if record and (
        not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != record["history"]
    ):
        raise _refuse(path)
    # As texts first: older versions of pandas read the last digit wrongly.
    table = pd.read_csv(path, dtype=str).astype(float)
    return table.astype({"epoch": int})


def _refuse(path: Path) -> CovidLungsError:
    """Return the error for a file that does not belong to its record."""
    return CovidLungsError(
        f"{shown(path)}: not what the training wrote that {RECORD} tells of. Restore it, or delete "
        f"{shown(path.parent / RECORD)} to train anew."
    )


def _clear(folder: Path, fingerprint: dict) -> None:
    """Remove what a training left that was killed between its last file and its end."""
    try:
        left = read_progress(folder)
    except ValueError:
        return
    if left and left.fingerprint == fingerprint:
        shutil.rmtree((folder / STATE).parent, ignore_errors=True)


def replace_model(model: keras.Model, folder: Path) -> None:
    """Write a network made of the trained one, of equal weights, in its place.

    Raises:
        CovidLungsError: it cannot be written; the trained one stays.
    """
    with replacing(folder / NETWORK) as partial:
        _save(model, partial)


def _save(model: keras.Model, path: Path) -> None:
    """Write a network without its loss and optimizer, which are twice as large."""
    keras.Model(model.inputs[0], model.outputs[0], name=model.name).save(path)


def load_model(path: Path) -> keras.Model:
    """Return a trained network for prediction, from a `.keras` file; no code in it is run.

    Raises:
        CovidLungsError: it is no such file, damaged, or holds what no network of ours does.
    """
    try:
        fault = _find_fault(path)
        if not fault:
            return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception:  # Keras, zipfile and h5py raise many kinds
        fault = "it is damaged, or made by other software"
    raise CovidLungsError(
        f"{shown(path)}: cannot be read as a network ({fault}). Train it again, or restore it."
    )


def _find_fault(path: Path) -> str:
    """Return why a file should not even be given to Keras, or ""."""
    if path.suffix != ".keras":
        return "only .keras files are, since others may hold code"
    if not path.is_file():
        return "there is no such file"
    if not zipfile.is_zipfile(path):
        return "it is cut off, or something else"
    with zipfile.ZipFile(path) as archive:
        if CONFIG not in archive.namelist():
            return "it is an archive of something else"
        if archive.getinfo(CONFIG).file_size > LARGEST_CONFIG:
            return "its description is too long"
        for name in _find_strangers(json.loads(archive.read(CONFIG))):
            return f"it holds {name!r:.50}, which none of the recipes uses and which may be code"
    return ""


def _find_strangers(part) -> Iterator[str]:
    """Yield the names of what a network's description asks for and none of ours does.

    Keras' `safe_mode` lets some code pass, and can be switched off for a whole process.
    """
    if isinstance(part, dict):
        if not MARKS.isdisjoint(part) and not _is_ours(part):
            yield str(part.get("class_name"))
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _find_strangers(inner)


def _is_ours(described: dict) -> bool:
    """Return whether an object is one of PARTS; a name of its own would lead to another class."""
    name, other = described.get("class_name"), described.get("registered_name")
    return name in PARTS.get(described.get("module"), ()) and other in (None, name)

"""Trained: a finished network, its history, and the record of its training."""

import json
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd

from helpers.storage.errors import CovidLungsError
from helpers.storage.files import refusing, replacing, write_whole
from helpers.storage.folders import shown
from helpers.storage.layout import FILMSTRIP, HISTORY, NETWORK, RECORD, SCORES
from helpers.train.backend import keras
from helpers.train.checkpoint import (
    MACHINE,
    STATE,
    Progress,
    find_differences,
    hash_arrays,
    read_progress,
)
from helpers.train.inference import write_table

KINDS = {"weights": str, "history": list, "fingerprint": dict}  # in the record
CONFIG = "config.json"  # the network's description, in a .keras file
MARKS = {"class_name", "module", "registered_name"}  # any of them marks an object in it
# The networks of `models` consist of these objects, by Keras' modules. The layers of TRIED are for
# readers who change a network in a notebook; none of them runs code from a file.
TRIED = {
    *("Add", "AveragePooling2D", "DepthwiseConv2D", "Dropout", "ELU", "GaussianNoise"),
    *("GlobalMaxPooling2D", "GroupNormalization", "LeakyReLU", "Maximum", "Multiply", "PReLU"),
    *("Rescaling", "SeparableConv2D", "SpatialDropout2D", "Subtract", "ZeroPadding2D"),
}
TRIED_NUMBERS = {  # that a layer may be given
    "keras.initializers": {
        *("GlorotNormal", "HeNormal", "HeUniform", "LecunNormal", "Orthogonal", "RandomNormal"),
        "RandomUniform",
    },
    "keras.regularizers": {"L1", "L1L2", "L2"},
}
PARTS = {
    None: {"__keras_tensor__"},
    "keras": {"DTypePolicy", "Sequential"},
    "keras.initializers": {
        *("GlorotUniform", "Ones", "Zeros"),
        *TRIED_NUMBERS["keras.initializers"],
    },
    "keras.regularizers": TRIED_NUMBERS["keras.regularizers"],
    "keras.layers": {
        *("Activation", "Average", "BatchNormalization", "Concatenate", "Conv2D"),
        *("Conv2DTranspose", "Dense", "Flatten", "GlobalAveragePooling2D", "InputLayer"),
        *("LayerNormalization", "MaxPooling2D", "ReLU", "UpSampling2D"),
        *TRIED,
    },
    "keras.src.models.functional": {"Functional"},
    "keras.src.ops.numpy": {"Flip"},
}


def keep_trained(model: keras.Model, progress: Progress, folder: Path) -> None:
    """Replace an earlier network, history and record, and remove the scores that belong to them.

    A filmstrip of the training takes the place of theirs. The record comes last, then the state
    goes: the next training finishes what a kill interrupts here.

    Raises:
        CovidLungsError: they cannot be written.
    """
    unfinished = (folder / STATE).parent
    record = {
        "weights": hash_arrays(model.get_weights()),
        "history": progress.rows,
        "fingerprint": progress.fingerprint,
    }
    write_table(unfinished / HISTORY, pd.DataFrame(progress.rows))
    write_whole(unfinished / RECORD, json.dumps(record, indent=2) + "\n")
    replace_model(model, unfinished)
    with refusing(folder):
        for name in (RECORD, *SCORES):
            (folder / name).unlink(missing_ok=True)
        if (unfinished / FILMSTRIP).is_file():  # copied: moved, a second try would remove it above
            write_whole(folder / FILMSTRIP, (unfinished / FILMSTRIP).read_bytes())
        for name in (NETWORK, HISTORY, RECORD):
            (unfinished / name).replace(folder / name)
    shutil.rmtree(unfinished, ignore_errors=True)


def recall_trained(
    model: keras.Model, asked: dict, epochs: int, folder: Path
) -> tuple[pd.DataFrame | None, str]:
    """Return the history of an equal finished training, or None, and a note for the reader.

    The model gets that training's weights. A training that differs only in what the machine
    decides counts as equal; `asked` is what `describe_training` returns.

    Raises:
        CovidLungsError: the record cannot be read, or the network does not match it.
    """
    path, record = folder / NETWORK, _read_record(folder)
    if record is None:
        return None, ""
    differences = find_differences(asked, record["fingerprint"])
    differences += ["epochs"] if len(record["history"]) != epochs else []
    if not MACHINE.issuperset(differences):
        return None, (
            f"{shown(path)} is of another training ({', '.join(differences)}). It stays until this "
            "one is done."
        )
    try:
        weights = load_model(path).get_weights()
    except CovidLungsError as error:
        return None, f"{error} This is done now."
    if hash_arrays(weights) != record["weights"]:
        raise CovidLungsError(
            f"{shown(path)}: does not match {RECORD}. Restore it, or delete "
            f"{shown(folder / RECORD)} to train anew."
        )
    model.set_weights(weights)
    history = pd.DataFrame(record["history"])
    write_table(folder / HISTORY, history)
    with suppress(ValueError, CovidLungsError):
        left = read_progress(folder)
        if left and (left.rows, left.fingerprint) == (record["history"], record["fingerprint"]):
            shutil.rmtree((folder / STATE).parent, ignore_errors=True)  # a kill left it
    return history, f"{shown(path)}: already trained with these settings; skipped."


def _read_record(folder: Path) -> dict | None:
    """Return the record of a finished training, or None where there is none."""
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


def replace_model(model: keras.Model, folder: Path) -> None:
    """Replace the trained network by one with the same weights, such as `look_twice` makes.

    Raises:
        CovidLungsError: it cannot be written; the trained one stays.
    """
    # Without loss and optimizer, which are twice as large.
    plain = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
    with replacing(folder / NETWORK) as partial:
        plain.save(partial)


def load_model(path: Path) -> keras.Model:
    """Return a trained network for prediction, from a `.keras` file; no code in it is run.

    Raises:
        CovidLungsError: it is no such file, is damaged, or holds parts of no network of ours.
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


def refuse_strangers(model: keras.Model) -> None:
    """Raise CovidLungsError if a network holds parts that could not be read back later."""
    network = json.loads(model.to_json())
    network.pop("compile_config", None)
    for name in _find_strangers(network):
        raise CovidLungsError(
            f"The network holds {name!r:.50}, which may be code: it could be trained, but not read "
            "back. Use one of Keras' own layers, " + ", ".join(sorted(PARTS["keras.layers"])) + "."
        )


def _find_fault(path: Path) -> str:
    """Return why Keras must not even open a file, or ""; raise what reading it raises."""
    if path.suffix != ".keras":
        return "other files than .keras may hold code"
    if not path.is_file():
        return "there is no such file"
    with zipfile.ZipFile(path) as archive:
        for name in _find_strangers(json.loads(archive.read(CONFIG))):
            return f"it holds {name!r:.50}, which no recipe uses and which may be code"
    return ""


def _find_strangers(part) -> Iterator[str]:
    """Yield the names of all objects in a network's description that are not in PARTS.

    Keras' `safe_mode` is not enough: it lets some code pass, and any code can switch it off.
    """
    if isinstance(part, dict):
        name = part.get("class_name")
        known = name in PARTS.get(part.get("module"), ())
        # A name that is registered for another class would lead to that class.
        if not (known and part.get("registered_name") in (None, name)) and MARKS & part.keys():
            yield str(name)
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from _find_strangers(inner)

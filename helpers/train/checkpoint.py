"""Checkpoint: what an unfinished training continues from, and when two trainings are equal.

Keras' own callbacks are not enough: `BackupAndRestore` overwrites its files in place and leaves out
the state of random layers; `ModelCheckpoint` forgets how good the best epoch was.
"""

import errno
import hashlib
import json
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from helpers.data.arrays import BLOCK, hash_file
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import replacing
from helpers.storage.folders import shown
from helpers.storage.layout import FILMSTRIP, STATE, UNFINISHED
from helpers.train.backend import keras, look_at_machine
from helpers.train.batches import Batches

# These modules decide a training; what the others do shows in its network and its X-rays.
CODE = (
    "augmentation",
    "batches",
    "checkpoint",
    "gpu_augmentation",
    "gpu_batches",
    "metrics",
    "training",
)
# The machine decides these; on another one the weights differ a little.
MACHINE = {"device", "devices", "precision", "backend", "compiled by XLA"}
# And these, of `Model.compile`: how the steps are run, not what they learn.
HOW = {"jit_compile", "run_eagerly", "steps_per_execution"}
EXAMPLES = 64  # on which a loss is tried


@dataclass
class Progress:
    """A training after its last whole epoch.

    Attributes:
        fingerprint: what is trained, as `describe_training` returns it.
        rows: one an epoch, as in history.csv.
        best_loss: the lowest loss on the validation split.
        best_weights: of the network after that epoch; none while no loss was a number.
        variables: all that training changes, as read from a file; empty once they are restored.
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
            assign_state(model, self.variables)
        self.variables = []  # three times as large as the network

    def write(self, folder: Path, model: keras.Model) -> None:
        """Write the file, whole or not at all.

        Raises:
            CovidLungsError: it cannot be written; the earlier one stays.
        """
        variables = read_state(model)
        facts = {"fingerprint": self.fingerprint, "rows": self.rows, "best_loss": self.best_loss}
        arrays = {}
        for name, values in (("variables", variables), ("best_weights", self.best_weights)):
            facts[name] = len(values)
            arrays |= {f"{name}-{number}": value for number, value in enumerate(values)}
        with replacing(folder / STATE) as partial:
            np.savez(partial, facts=np.array(json.dumps(facts)), **arrays)


def read_state(model: keras.Model) -> list[np.ndarray]:
    """Return the values of all that training changes in a network whose optimizer is built."""
    return [variable.numpy() for variable in _changing(model)]


def assign_state(model: keras.Model, state: list[np.ndarray]) -> None:
    """Give a network, and its optimizer, the values that `read_state` returned of one like it."""
    for variable, value in zip(_changing(model), state, strict=True):
        variable.assign(value)


def _changing(model: keras.Model) -> list[keras.Variable]:
    """Return weights, normalisations, the state of random layers, and the optimizer's variables."""
    return [*model.variables, *model.optimizer.variables]


def read_progress(folder: Path) -> Progress | None:
    """Return how far an unfinished training in a folder came, or None.

    Raises:
        ValueError: the file is damaged.
        CovidLungsError: the file is there and cannot be read, or memory is too small for it.
    """
    path = folder / STATE
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            facts = json.loads(str(arrays["facts"]))
            for name in ("variables", "best_weights"):
                facts[name] = [arrays[f"{name}-{number}"] for number in range(facts[name])]
        return Progress(**facts)
    except FileNotFoundError:
        return None
    except (OSError, MemoryError) as error:
        reason = error.strerror if isinstance(error, OSError) else "out of memory"
        if isinstance(error, OSError) and error.errno == errno.EINVAL:
            # Its table of contents leads to a place before its beginning.
            raise ValueError(f"{shown(path)} is damaged") from error
        raise CovidLungsError(
            f"{shown(path)}: cannot be read ({reason}). Reconnect its drive, mend the permissions "
            "or free memory, and run again; or delete it to train anew."
        ) from error
    except Exception as error:  # NumPy, zipfile and json raise many kinds
        raise ValueError(f"{shown(path)} is damaged") from error


def resume(folder: Path, asked: dict, epochs: int) -> tuple[Progress, str]:
    """Return where a training continues, or its beginning, and a note for the reader.

    `asked` is what `describe_training` returns, `epochs` counts those done before, too.

    Raises:
        CovidLungsError: the file cannot be read, the training was begun on another kind of
            machine, on another number of devices or with another `reproducible`, or it must begin
            anew with a network that has been trained.
    """
    path = shown(folder / STATE)
    try:
        found, note = read_progress(folder), ""
    except ValueError:
        found, note = None, f"{path} is damaged: the training begins anew."
    if found:
        differences = find_differences(asked, found.fingerprint)
        differences += ["fewer epochs"] if len(found.rows) > epochs else []
        if not differences:
            return found, f"{path}: continuing after epoch {len(found.rows)}."
        if found.rows and MACHINE.issuperset(differences):
            machine = (f"{name} {found.fingerprint.get(name)}" for name in differences)
            raise CovidLungsError(
                f"{path}: {len(found.rows)} epochs of this training were done on another machine, "
                f"or with other `--devices` or `reproducible` ({', '.join(machine)}). Continue on "
                "a similar machine with the same ones, or delete that file to begin anew here."
            )
        note = f"{path} is of another training ({', '.join(differences)}): this one begins anew."
    if asked["first weights"] is None:
        raise CovidLungsError(
            f"{shown(folder)}: the training must begin anew, but this network has been trained "
            "already. Run the notebook from its top, so that the network is built again."
        )
    (folder / UNFINISHED / FILMSTRIP).unlink(missing_ok=True)  # of the training that is given up
    return Progress(asked), note


def describe_training(
    model: keras.Model, training: Batches, validation: Batches
) -> dict[str, str | int | None]:
    """Return what decides a training except the number of epochs; equal for equal trainings.

    `first weights` is None for a network that has been trained: they are no longer known.
    """
    untrained = int(model.optimizer.iterations) == 0
    network = keras.saving.serialize_keras_object(model)
    compiled = network.pop("compile_config")
    learning = {name: value for name, value in compiled.items() if name not in HOW}
    first = (variable.numpy() for variable in model.variables)
    code = b"".join(Path(__file__).with_name(f"{name}.py").read_bytes() for name in CODE)
    backend = keras.backend.backend()
    return {
        "network": hash_config(network),
        "first weights": hash_arrays(first) if untrained else None,
        "loss and optimizer": hash_config(learning),
        "loss of an example": _try_loss(model),
        **{f"training {name}": value for name, value in _describe(training).items()},
        **{f"validation {name}": value for name, value in _describe(validation).items()},
        "code": hashlib.sha256(code).hexdigest(),
        "device": "GPU" if look_at_machine().has_gpu else "processor",
        "devices": look_at_machine().devices,
        "precision": ", ".join(sorted({layer.dtype_policy.name for layer in model.layers})),
        "backend": f"{backend} {sys.modules[backend].__version__}, keras {keras.__version__}",
        "compiled by XLA": int(bool(model.jit_compile)),
    }


def _try_loss(model: keras.Model) -> str:
    """Return the loss of fixed examples: a cell may change a function and keep its name."""
    generator = np.random.default_rng(0)
    *sides, last = model.output_shape[1:]
    shape = (EXAMPLES, *(min(side or 8, 8) for side in sides), last)
    true = generator.permutation(np.arange(np.prod(shape)) % 2).reshape(shape).astype("float32")
    if sides:
        true[0] = 0  # an empty mask
    loss = keras.losses.get(model.loss)(true, generator.random(shape, "float32"))
    return f"{float(keras.ops.mean(loss)):.4g}"  # more digits would depend on the machine


def find_differences(asked: dict, kept: dict) -> list[str]:
    """Return the names in which two trainings differ; None, an unknown value, fits any."""
    return [name for name in asked | kept if asked.get(name, "") not in (None, kept.get(name))]


def hash_arrays(arrays: Iterable[np.ndarray]) -> str:
    """Return a hash of the values, shapes and types of arrays."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype} {array.shape} ".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _describe(batches: Batches) -> dict[str, str | int | None]:
    """Return what decides the batches and their order."""
    rows, parts = batches.rows, (batches.images, batches.targets)
    contents = " ".join([hash_arrays([rows]), *(_hash_rows(part, rows) for part in parts)])
    return {
        "X-rays": hashlib.sha256(contents.encode()).hexdigest(),
        "batch size": batches.batch_size,
        "seed": batches.shuffle_seed,
        "augmentation": str(batches.strength),
    }


def _hash_rows(array: np.ndarray, rows: np.ndarray) -> str:
    """Return a hash of these rows of an array; of an array on disk that of all, which is kept."""
    blocks = np.array_split(rows, max(1, len(rows) // BLOCK))
    return hash_file(array) or hash_arrays(array[block] for block in blocks)


def hash_config(config: dict) -> str:
    """Return a hash of a configuration by Keras, without precision, which the machine decides.

    Keras numbers layers through a whole process: each name becomes the number of its first mention.
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

"""Fingerprints: everything that decides what a training comes to, each by a short name."""

import hashlib
import json
import sys
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import numpy as np

from helpers.train.backend import keras
from helpers.train.batches import Batches

# The helpers that a training calls; what the others give it shows in the network and the X-rays.
CODE = ("augmentation", "batches", "metrics", "checkpoint", "training")
# What a machine decides: on another one a training comes to weights a little different.
MACHINE = {"precision", "backend", "compiled by XLA"}
BLOCK = 256  # X-rays hashed together: all of them may be more than the memory holds


def describe_training(
    model: keras.Model, training: Batches, validation: Batches
) -> dict[str, str | int | None]:
    """Return what a training depends on, the number of epochs aside; equal trainings, equal values.

    `first weights` is None for a network that has been trained: nobody knows them any more.
    """
    untrained = int(model.optimizer.iterations) == 0
    network = keras.saving.serialize_keras_object(model)
    learning = network.pop("compile_config")
    return {
        "network": _hash_config(network),
        "first weights": hash_arrays(read_variables(model.variables)) if untrained else None,
        "loss and optimizer": _hash_config(learning),
        **{f"training {name}": value for name, value in _describe(training).items()},
        **{f"validation {name}": value for name, value in _describe(validation).items()},
        "code": _hash_code(),
        "precision": ", ".join(sorted({layer.dtype_policy.name for layer in model.layers})),
        "backend": _name_backend(),
        "compiled by XLA": int(bool(model.jit_compile)),
    }


def find_differences(asked: dict, kept: dict) -> list[str]:
    """Return the names of what two trainings differ in; what is not known of `asked` is none."""
    names = [*asked, *(name for name in kept if name not in asked)]
    unknown = [name for name in names if asked.get(name, "") is None]
    return [name for name in names if name not in unknown and asked.get(name) != kept.get(name)]


def read_variables(variables: Iterable[keras.Variable]) -> list[np.ndarray]:
    """Return the values of variables."""
    return [variable.numpy() for variable in variables]


def hash_arrays(arrays: Iterable[np.ndarray]) -> str:
    """Return a name that changes with any value, shape or type in these arrays."""
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
    """Return a name that changes with a configuration that Keras made.

    Keras numbers layers and optimizers through, so that those built twice have other names; here
    each has the number of its first mention. Precision is left out: it is the machine's choice.
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


def _hash_code() -> str:
    """Return a name that changes with the code of a training."""
    folder = Path(__file__).parent
    content = b"".join((folder / f"{name}.py").read_bytes() for name in CODE)
    return hashlib.sha256(content).hexdigest()


def _name_backend() -> str:
    """Return Keras' backend with the versions of both."""
    name = keras.backend.backend()
    return f"{name} {sys.modules[name].__version__}, keras {keras.__version__}"

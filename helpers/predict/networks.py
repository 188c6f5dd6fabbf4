"""Networks: those that predict, a run's own or the one inside the package."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from helpers.predict.novelty import Likeness, read_likeness
from helpers.storage.layout import DETECTOR, INFECTION_SEGMENTER, SEGMENTER
from helpers.storage.versions import code_version
from helpers.train.backend import keras
from helpers.train.checkpoint import hash_arrays, hash_config
from helpers.train.lungs import NAME, load_network
from helpers.train.trained import load_model

# A run's networks, by their names in `Networks`.
FILES = {"lungs": SEGMENTER, "detector": DETECTOR, "infection": INFECTION_SEGMENTER}


class Networks(NamedTuple):
    """The networks that predict. Each takes X-rays float32 (N, height, width, 1) in 0..1.

    Attributes:
        lungs: gives the probability of lung for each pixel.
        detector: gives the probability of COVID; None without one.
        infection: gives the probability of infection for each pixel; None without one.
    """

    lungs: keras.Model
    detector: keras.Model | None = None
    infection: keras.Model | None = None

    @property
    def has_package_lungs(self) -> bool:
        """Whether the network inside the package draws the lungs."""
        return self.lungs.name == NAME

    def list_present(self) -> list[keras.Model]:
        """Return those that there are."""
        return [network for network in self if network is not None]


def load_networks(run_folder: Path | None) -> Networks:
    """Return a run's networks; where it has none for the lungs, and without a run, the package's.

    Raises:
        CovidLungsError: a file is no network, or the package's weights are damaged.
    """
    own = {} if run_folder is None else load_own(run_folder)
    if "lungs" not in own:
        own["lungs"] = load_network()
    return Networks(**own)


def load_own(run_folder: Path) -> dict[str, keras.Model]:
    """Return the networks that a run has trained, by their names in `Networks`, in that order.

    Raises:
        CovidLungsError: a file is no network.
    """
    paths = {name: run_folder / file for name, file in FILES.items()}
    return {name: load_model(path) for name, path in paths.items() if path.is_file()}


def load_likeness(run_folder: Path | None) -> Likeness | None:
    """Return what the X-rays look like that a run's lung network was trained on.

    None if the run does not say or has no lung network, and without a run.

    Raises:
        CovidLungsError: a file cannot be read.
    """
    if run_folder is None or not (run_folder / SEGMENTER).is_file():
        return None
    return read_likeness((run_folder / SEGMENTER).parent)


def describe_networks(networks: Networks, likeness: Likeness | None) -> str:
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

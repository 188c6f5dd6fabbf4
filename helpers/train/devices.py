"""Devices: how many GPUs of this machine train one network, each on its share of every batch.

The number comes from the environment, which a notebook's process inherits. Nothing here imports
Keras, so that a command can be refused at once.
"""

import os
import re
import subprocess
import sys

from helpers.storage.errors import CovidLungsError

ASKED = "COVID_LUNGS_DEVICES"  # `covid-lungs run --devices` sets it for its notebooks
HOW = (
    "Start with KERAS_BACKEND=jax, as in: KERAS_BACKEND=jax uv run --with 'jax[cuda12]' "
    "covid-lungs run --devices {count}"
)
# What a notebook does first; a process of its own does not keep the GPUs' memory.
TRIAL = """
import sys
from helpers.storage.errors import CovidLungsError
try:
    import helpers.train.backend
except CovidLungsError as error:
    sys.exit(print(error) or 1)
"""


def count_devices() -> int:
    """Return how many devices the environment asks for: 1 if it says nothing.

    Raises:
        CovidLungsError: it says something else than a number of devices.
    """
    text = os.environ.get(ASKED, "1")
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise CovidLungsError(f"devices = {text:.20}: give a whole number from 1 to 9999.")
    return int(text)


def check_devices(count: int) -> None:
    """Try whether Keras can train on so many devices here; for more than one it takes seconds.

    Raises:
        CovidLungsError: it cannot, as `refuse_devices` says, or Keras does not start.
    """
    if count == 1:
        return
    environment = os.environ | {ASKED: str(count)}
    tried = subprocess.run(
        [sys.executable, "-c", TRIAL], env=environment, capture_output=True, text=True
    )
    if tried.returncode and tried.stdout:
        raise CovidLungsError(tried.stdout.strip())
    if tried.returncode:
        reason = (tried.stderr.strip().splitlines() or ["it gave no reason"])[-1]
        raise CovidLungsError(
            f"devices = {count}: Keras does not start ({reason:.200}). {HOW.format(count=count)}"
        )


def refuse_devices(count: int, backend: str, found: list[str]) -> None:
    """Raise CovidLungsError if a backend of Keras cannot train on so many of the devices found."""
    if backend != "jax":
        raise CovidLungsError(
            f"devices = {count}: Keras on {backend} trains on one device here, Keras on JAX on "
            f"several. {HOW.format(count=count)}"
        )
    if len(found) < count:
        raise CovidLungsError(
            f"devices = {count}: JAX finds {len(found)} here ({', '.join(found)}). Ask for no more "
            "than that. If the machine has more GPUs, CUDA_VISIBLE_DEVICES may hide them, or JAX "
            "was installed without GPUs: add --with 'jax[cuda12]' to `uv run`."
        )


def refuse_batch_size(batch_size: int, count: int) -> None:
    """Raise CovidLungsError if so many devices cannot have equal shares of a batch."""
    if batch_size % count:
        larger = batch_size + count - batch_size % count
        raise CovidLungsError(
            f"batch_size = {batch_size}: {count} devices have equal shares of a batch, so give a "
            f"multiple of {count} (such as -p batch_size {larger}), or other devices."
        )


def refuse_too_few(xrays: int, count: int) -> None:
    """Raise CovidLungsError if some X-rays leave devices without any."""
    if 0 < xrays < count:
        raise CovidLungsError(
            f"devices = {count}: {xrays} X-rays are too few for them, such as those of a small "
            "validation split. Ask for fewer devices, or bring more X-rays."
        )

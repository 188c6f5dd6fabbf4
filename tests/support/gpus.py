"""A GPU that is not there: what the helpers do on one, done by the processor."""

import pytest

from helpers.train.backend import Machine

GPU = Machine(8.0, frozenset(), "pretended", 2**34)


def pretend_gpu(patch: pytest.MonkeyPatch, memory: int = GPU.memory, devices: int = 1) -> None:
    """Let batches, trainings and predictions work as on a machine with a GPU."""
    for module in ("batches", "checkpoint", "inference", "training"):
        machine = GPU._replace(memory=memory, devices=devices)
        patch.setattr(f"helpers.train.{module}.look_at_machine", lambda machine=machine: machine)

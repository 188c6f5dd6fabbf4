"""What the tests of several trainings share."""

import pytest

from helpers.train import training
from tests.support.trainings import Stopped


@pytest.fixture
def determinism(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether each training is asked to be deterministic; it stops there."""
    asked = []

    def stop(seed: int, deterministic: bool = True) -> None:
        asked.append(deterministic)
        raise Stopped

    monkeypatch.setattr(training, "make_reproducible", stop)
    return asked

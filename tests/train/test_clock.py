import math
import re
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.train import training
from helpers.train.clock import DATABASE, Clock
from tests.support.trainings import EPOCHS, LEARN, prepare_classifier

seconds = st.floats(1e-3, 1e5)


def count(*trainings: list[tuple[int, float, float, float]]) -> Clock:
    """Return a clock that has counted the epochs of some trainings."""
    clock = Clock()
    for epochs in trainings:
        clock.begin()
        for epoch in epochs:
            clock.add(*epoch)
    return clock


@given(number=st.integers(1, 6), learning=seconds, validating=seconds, share=st.floats(0, 1))
def test_equal_epochs_say_what_each_says(number, learning, validating, share):
    clock = count(number * [(1000, learning, share * learning, learning + validating)])
    said = clock.describe(epochs=3)
    assert f"{1000 / learning:,.0f} X-rays a second" in said
    assert f"At most {share:.0%} of the time" in said
    hours = 3 * DATABASE * (learning + validating) / 1000 / 3600
    if hours > 1.5:
        assert f"about {hours:.1f} hours" in said


FIRST, LATER = (100, 50, 1, 60), (100, 1, 0.5, 2)


@pytest.mark.parametrize(
    ("trainings", "said"),
    [
        ([[FIRST]], "2 X-rays a second"),
        ([[FIRST], [FIRST]], "2 X-rays a second"),
        ([[FIRST, LATER]], "100 X-rays a second. At most 50% of"),
        ([[FIRST, LATER], [FIRST, LATER, LATER], []], "100 X-rays a second. At most 50% of"),
        ([[FIRST], [FIRST, LATER]], "100 X-rays a second. At most 50% of"),
    ],
)
def test_the_first_epoch_of_each_training_counts_only_if_there_are_no_others(trainings, said):
    assert said in count(*trainings).describe(epochs=1)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "a minute"), (100, "2 minutes"), (5300, "88 minutes"), (9000, "2.5 hours")],
)
def test_times_are_said_in_words(seconds, words):
    clock = count([(DATABASE, seconds, 0, seconds)])
    assert f"would take about {words} here" in clock.describe(epochs=1)


def test_batches_that_a_gpu_made_are_not_waited_for():
    clock = Clock()
    clock.begin()
    clock.add(100, 1, math.nan, 2)
    assert "100 X-rays a second. The GPU made the batches itself" in clock.describe(epochs=1)
    assert "nan" not in clock.describe(epochs=1)


def test_without_a_training_there_is_nothing_to_say():
    assert Clock().describe(epochs=5) == "Nothing was trained now, so there is no time to tell."


def test_trainings_are_timed_epoch_by_epoch(tmp_path):
    clock, loaded = Clock(), 0
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
        model, learn, check = prepare_classifier()
        training.train(model, learn, check, EPOCHS, tmp_path / name, say=False, clock=clock)
        loaded += learn.seconds
    assert [len(epochs) for epochs in clock.trainings] == [EPOCHS, EPOCHS]
    timed = list(chain(*clock.trainings))
    for xrays, learning, loading, whole in timed:
        assert xrays == len(LEARN)
        assert loading > 0
        assert 0 < learning < whole
    assert sum(epoch[2] for epoch in timed) <= loaded
    assert re.match(r"[\d,]+ X-rays a second", clock.describe(EPOCHS))

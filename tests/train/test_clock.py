import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.train import training
from helpers.train.clock import DATABASE, Clock
from tests.support.trainings import EPOCHS, LEARN, prepare_classifier

seconds = st.floats(1e-3, 1e5)


@given(count=st.integers(1, 6), learning=seconds, validating=seconds, share=st.floats(0, 1))
def test_equal_epochs_say_what_each_says(count, learning, validating, share):
    clock = Clock()
    for _ in range(count):
        clock.add(1000, learning, share * learning, learning + validating)
    said = clock.describe(epochs=3)
    assert f"{1000 / learning:,.0f} X-rays a second" in said
    assert f"At most {share:.0%} of the time" in said
    hours = 3 * DATABASE * (learning + validating) / 1000 / 3600
    if hours > 1.5:
        assert f"about {hours:.1f} hours" in said


def test_the_first_epoch_counts_only_if_it_is_the_only_one():
    clock = Clock()
    clock.add(100, 50, 1, 60)
    assert "2 X-rays a second" in clock.describe(epochs=1)
    clock.add(100, 1, 0.5, 2)
    assert "100 X-rays a second. At most 50% of" in clock.describe(epochs=1)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(3, "a minute"), (100, "2 minutes"), (5300, "88 minutes"), (9000, "2.5 hours")],
)
def test_times_are_said_in_words(seconds, words):
    clock = Clock()
    clock.add(DATABASE, seconds, 0, seconds)
    assert f"would take about {words} here" in clock.describe(epochs=1)


def test_without_a_training_there_is_nothing_to_say():
    assert Clock().describe(epochs=5) == "Nothing was trained now, so there is no time to tell."


def test_a_training_is_timed_epoch_by_epoch(tmp_path):
    clock, (model, learn, check) = Clock(), prepare_classifier()
    training.train(model, learn, check, EPOCHS, tmp_path, say=False, clock=clock)
    assert len(clock.epochs) == EPOCHS
    for xrays, learning, loading, whole in clock.epochs:
        assert xrays == len(LEARN)
        assert loading > 0
        assert 0 < learning < whole
    assert sum(epoch[2] for epoch in clock.epochs) <= learn.seconds
    assert re.match(r"[\d,]+ X-rays a second", clock.describe(EPOCHS))

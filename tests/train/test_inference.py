import time
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore

import keras
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.train.batches import scale
from helpers.train.inference import (
    LARGEST,
    count_bytes,
    fit_batch,
    predict,
    predict_each,
    write_table,
)
from tests.support.builders import Watched
from tests.support.gpus import GPU, pretend_gpu


class Half(keras.layers.Layer):
    """Predict half of the grey value."""

    def call(self, xrays):
        return xrays / 2


HALVES = keras.Sequential([keras.Input((4, 4, 1)), Half()])


@pytest.mark.parametrize("count", [1, 5, 6])
def test_predictions_come_in_the_order_of_the_xrays(count, monkeypatch):
    monkeypatch.setattr("helpers.train.inference.fit_batch", lambda model: 3)
    xrays = np.random.default_rng(0).integers(0, 256, (count, 4, 4), dtype=np.uint8)
    found = predict(HALVES, xrays)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, xrays / 510, atol=1e-6)


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.integers(0, 11), max_size=20), size=st.integers(1, 5))
def test_chosen_rows_are_predicted_one_after_another_in_whole_batches(rows, size):
    xrays = np.random.default_rng(0).integers(0, 256, (12, 4, 4), dtype=np.uint8)
    watched = Watched(xrays)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("helpers.train.inference.fit_batch", lambda model: size)
        found = list(predict_each(HALVES, watched, np.array(rows, int)))
        expected = predict(HALVES, xrays[np.array(rows, int)])
    assert [one.tobytes() for one in found] == [one.tobytes() for one in expected]
    assert watched.most == min(len(rows), size)


def test_no_batch_is_predicted_before_it_is_needed(monkeypatch):
    monkeypatch.setattr("helpers.train.inference.fit_batch", lambda model: 2)
    asked = []
    monkeypatch.setattr(
        "helpers.train.inference.scale", lambda part: asked.append(len(part)) or scale(part)
    )
    found = predict_each(HALVES, np.zeros((9, 4, 4), np.uint8))
    for count in range(1, 10):
        next(found)
        assert sum(asked) == min(9, 2 * -(-count // 2))


def test_threads_take_turns_on_a_gpu(monkeypatch):
    """The batches of several would fill its memory together."""
    pretend_gpu(monkeypatch)
    busy, found = Semaphore(1), []

    def look(model, xrays):
        found.append(busy.acquire(blocking=False))
        time.sleep(0.02)
        busy.release()
        return np.zeros((len(xrays), 4, 4), np.float32)

    monkeypatch.setattr("helpers.train.inference._predict_batch", look)
    monkeypatch.setattr("helpers.train.inference.fit_batch", lambda model: 2)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: predict(HALVES, np.zeros((6, 4, 4), np.uint8)), range(4)))
    assert found == 12 * [True]


FEATURES = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Conv2D(7, 3, padding="same")])


def test_a_networks_bytes_are_those_of_all_its_features():
    bytes_of_it = 4 * 32 * 32 * 7
    assert count_bytes(FEATURES) == bytes_of_it
    inputs = keras.Input((32, 32, 1))
    twice = keras.Model(inputs, keras.layers.Flatten()(FEATURES(inputs)))
    # The input, the outer network's own two results, and what the inner one makes.
    assert count_bytes(twice) == 4 * 32 * 32 + 3 * bytes_of_it


@pytest.mark.parametrize(
    ("room", "memory", "together"),
    [(0, 0, 1), (5, 0, 4), (8, 0, 8), (9, 40 * 4, 32), (10**6, 0, LARGEST), (8, 10**6, LARGEST)],
)
def test_as_many_are_predicted_together_as_memory_allows(room, memory, together, monkeypatch):
    one = count_bytes(FEATURES)
    monkeypatch.setattr("helpers.train.inference.ROOM", room * one)
    machine = GPU._replace(memory=memory * one)
    monkeypatch.setattr("helpers.train.inference.look_at_machine", lambda: machine)
    assert fit_batch(FEATURES) == together


def test_a_table_is_written_with_the_same_bytes_everywhere(tmp_path):
    table = pd.DataFrame({"file": ["a"], "class": ["COVID"], "dice": [0.4]})
    path = write_table(tmp_path / "scores.csv", table)
    assert path.read_bytes() == b"file,class,dice\na,COVID,0.4\n"

import keras
import numpy as np
import pandas as pd
import pytest

from helpers.evaluation import predict, write_table


class Half(keras.layers.Layer):
    """A network that answers with half of the grey value."""

    def call(self, xrays):
        return xrays / 2


@pytest.mark.parametrize("count", [1, 5, 6])
def test_predictions_come_in_the_order_of_the_xrays(count, monkeypatch):
    monkeypatch.setattr("helpers.evaluation.PIXELS_A_BATCH", 3 * 4 * 4)
    model = keras.Sequential([keras.Input((4, 4, 1)), Half()])
    xrays = np.random.default_rng(0).integers(0, 256, (count, 4, 4), dtype=np.uint8)
    found = predict(model, xrays)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, xrays / 510, atol=1e-6)


def test_a_table_is_written_with_the_same_bytes_everywhere(tmp_path):
    table = pd.DataFrame({"file": ["a"], "class": ["COVID"], "dice": [0.4]})
    path = write_table(tmp_path / "scores.csv", table)
    assert path.read_bytes() == b"file,class,dice\na,COVID,0.4\n"

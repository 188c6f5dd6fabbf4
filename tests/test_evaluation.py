import keras
import numpy as np
import pandas as pd
import pytest
from builders import refused
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, recall_score, roc_auc_score

from helpers.evaluation import (
    covid_labels,
    detection_metrics,
    detection_predictions,
    predict,
    write_table,
)
from helpers.intervals import Estimate


def predictions_of(labels: list[int], probabilities: list[float], split="test") -> pd.DataFrame:
    table = pd.DataFrame({"label": labels, "probability": probabilities, "split": split})
    return table.assign(file=[f"{row}.png" for row in table.index])


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


def test_labels_are_one_for_covid():
    split = pd.DataFrame({"class": ["Normal", "COVID", "Viral Pneumonia", "COVID"]})
    assert covid_labels(split).tolist() == [0, 1, 0, 1]


@pytest.mark.parametrize("classes", [["Normal", "Tuberculosis"], ["COVID"]])
def test_a_data_set_without_covid_or_with_nothing_else_is_refused(classes):
    split = pd.DataFrame({"class": classes * 3})
    fault = f"this data set has {', '.join(classes)}"
    with refused("detection needs the class COVID and another", fault, "Skip notebook 03"):
        covid_labels(split)


def test_the_table_of_predictions():
    split = pd.DataFrame(
        {
            "file": ["a", "b"],
            "class": ["COVID", "Normal"],
            "split": ["test", "train"],
            "group": ["a", "b"],
        }
    )
    table = detection_predictions(split, np.array([0.12345678, 1], np.float32))
    assert table.to_dict("list") == {
        "file": ["a", "b"],
        "class": ["COVID", "Normal"],
        "split": ["test", "train"],
        "label": [1, 0],
        "probability": [0.123457, 1.0],
    }


def test_detection_by_hand():
    table = predictions_of([1, 1, 1, 0, 0, 0, 0, 0], [0.9, 0.6, 0.5, 0.7, 0.4, 0.3, 0.2, 0.1])
    # Two of three found (0.5 is not above the threshold), four of five passed; of the fifteen
    # pairs the detector ranks two wrongly: 0.6 and 0.5 below 0.7.
    assert detection_metrics(table) == {
        "accuracy": Estimate(6 / 8, 8),
        "majority_accuracy": Estimate(5 / 8, 8),
        "sensitivity": Estimate(2 / 3, 3),
        "specificity": Estimate(4 / 5, 5),
        "auroc": Estimate(pytest.approx(13 / 15), 8),
    }


def test_only_the_test_split_counts():
    test = predictions_of([1, 0], [0.9, 0.1])
    others = [predictions_of([1, 0], [0.1, 0.9], name) for name in ("train", "validation")]
    figures = detection_metrics(pd.concat([*others, test]))
    assert figures["accuracy"] == Estimate(1, 2)
    assert figures["auroc"] == Estimate(1, 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1000)), min_size=1, max_size=40))
def test_detection_agrees_with_scikit_learn(answers):
    answers += [(True, 400), (False, 600)]  # both classes
    labels = [int(is_ill) for is_ill, _ in answers]
    probabilities = [value / 1000 for _, value in answers]
    figures = detection_metrics(predictions_of(labels, probabilities))
    found = {name: value for name, (value, *_) in figures.items()}
    said = np.array(probabilities) > 0.5
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, said))
    assert found["sensitivity"] == pytest.approx(recall_score(labels, said))
    assert found["specificity"] == pytest.approx(recall_score(labels, said, pos_label=0))
    assert found["auroc"] == pytest.approx(roc_auc_score(labels, probabilities))
    majority = [np.mean(labels) >= 0.5] * len(labels)
    assert found["majority_accuracy"] == pytest.approx(accuracy_score(labels, majority))


def test_a_table_is_written_with_the_same_bytes_everywhere(tmp_path):
    table = pd.DataFrame({"file": ["a"], "class": ["COVID"], "dice": [0.4]})
    path = write_table(tmp_path / "scores.csv", table)
    assert path.read_bytes() == b"file,class,dice\na,COVID,0.4\n"

import keras
import numpy as np
import pandas as pd
import pytest
from builders import MASK_SHAPE, lung_mask, make_data_set, refused
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, jaccard_score, recall_score, roc_auc_score

from helpers.evaluation import (
    class_table,
    covid_labels,
    detection_metrics,
    detection_predictions,
    predict,
    ranked_cases,
    score_masks,
    segmentation_metrics,
    write_table,
)
from helpers.images import read_mask
from helpers.index import build_index


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
        "accuracy": (6 / 8, 8),
        "majority_accuracy": (5 / 8, 8),
        "sensitivity": (2 / 3, 3),
        "specificity": (4 / 5, 5),
        "auroc": (pytest.approx(13 / 15), 8),
    }


def test_only_the_test_split_counts():
    test = predictions_of([1, 0], [0.9, 0.1])
    others = [predictions_of([1, 0], [0.1, 0.9], name) for name in ("train", "validation")]
    figures = detection_metrics(pd.concat([*others, test]))
    assert figures["accuracy"] == (1, 2)
    assert figures["auroc"] == (1, 2)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 1000)), min_size=1, max_size=40))
def test_detection_agrees_with_scikit_learn(answers):
    answers += [(True, 400), (False, 600)]  # both classes
    labels = [int(is_ill) for is_ill, _ in answers]
    probabilities = [value / 1000 for _, value in answers]
    figures = detection_metrics(predictions_of(labels, probabilities))
    found = {name: value for name, (value, _) in figures.items()}
    said = np.array(probabilities) > 0.5
    assert found["accuracy"] == pytest.approx(accuracy_score(labels, said))
    assert found["sensitivity"] == pytest.approx(recall_score(labels, said))
    assert found["specificity"] == pytest.approx(recall_score(labels, said, pos_label=0))
    assert found["auroc"] == pytest.approx(roc_auc_score(labels, probabilities))
    majority = [np.mean(labels) >= 0.5] * len(labels)
    assert found["majority_accuracy"] == pytest.approx(accuracy_score(labels, majority))


@pytest.fixture
def rows(data_set):
    return build_index(data_set)[0]


def true_masks(data_set, rows) -> np.ndarray:
    return np.stack([read_mask(data_set.root / file) for file in rows["mask"]])


def test_right_masks_score_one(data_set, rows):
    scores = score_masks(data_set, rows, true_masks(data_set, rows).astype("float32"))
    assert list(scores.columns) == ["file", "class", "iou", "dice", "dice_loss"]
    assert list(scores["file"]) == list(rows["file"])
    assert list(scores["class"]) == list(rows["class"])
    assert scores[["iou", "dice", "dice_loss"]].drop_duplicates().values.tolist() == [[1, 1, 0]]


def test_scores_agree_with_scikit_learn(data_set, rows):
    guesses = np.random.default_rng(0).random((len(rows), *MASK_SHAPE), dtype=np.float32)
    scores = score_masks(data_set, rows, guesses)
    for row, true, guess in zip(
        scores.itertuples(), true_masks(data_set, rows), guesses, strict=True
    ):
        true, said = true.ravel(), guess.ravel() > 0.5
        assert row.iou == pytest.approx(jaccard_score(true, said), abs=1e-6)
        assert row.dice == pytest.approx(f1_score(true, said), abs=1e-6)
        shared, total = (true * guess.ravel()).sum(), true.sum() + guess.sum()
        assert row.dice_loss == pytest.approx(1 - (2 * shared + 1) / (total + 1), abs=2e-6)


def test_scores_are_taken_at_the_mask_s_own_size(data_set, rows):
    """At the network's two pixels everything would be right; at the mask's size it is not."""
    coarse = np.ones((len(rows), 2, 2), np.float32)
    scores = score_masks(data_set, rows, coarse)
    for row, true in zip(scores.itertuples(), true_masks(data_set, rows), strict=True):
        assert row.iou == pytest.approx(true.mean(), abs=1e-6)
        assert row.dice == pytest.approx(2 * true.sum() / (true.sum() + true.size), abs=1e-6)


def test_a_prediction_of_nothing_scores_zero(data_set, rows):
    nothing = np.full((len(rows), 8, 8), 0.5, np.float32)
    scores = score_masks(data_set, rows, nothing)
    assert (scores[["iou", "dice"]] == 0).all(axis=None)
    assert scores["dice_loss"].between(0.1, 1).all(), "the soft score still sees the halves"


def test_as_many_probabilities_as_rows(data_set, rows):
    with pytest.raises(ValueError, match="shorter"):
        score_masks(data_set, rows, np.ones((len(rows) - 1, 2, 2), np.float32))


SCORES = pd.DataFrame(
    {
        "file": list("abcd"),
        "class": ["COVID", "Normal", "Normal", "COVID"],
        "iou": [0.2, 0.4, 0.6, 0.4],
        "dice": [0.4, 0.6, 0.8, 0.6],
        "dice_loss": [0.5, 0.3, 0.1, 0.3],
    }
)


def test_means_over_all_and_class_by_class():
    figures = segmentation_metrics(SCORES)
    assert list(figures) == [
        f"{name}{suffix}" for suffix in ("", "/COVID", "/Normal") for name in SCORES.columns[2:]
    ]
    expected = {"iou": 0.4, "dice": 0.6, "dice_loss": 0.3, "iou/COVID": 0.3, "dice/Normal": 0.7}
    for name, value in expected.items():
        assert figures[name] == (pytest.approx(value), 2 if "/" in name else 4)


def test_the_table_of_classes():
    table = class_table(segmentation_metrics(SCORES))
    assert table.loc["all"].to_list() == ["0.400", "0.600", "0.300", 4]
    assert table.loc["COVID"].to_list() == ["0.300", "0.500", "0.400", 2]
    assert list(table.columns) == ["IoU", "Dice coefficient", "Dice loss", "X-rays"]


def test_best_median_and_worst_cases():
    cases = {name: list(table["file"]) for name, table in ranked_cases(SCORES, 2).items()}
    assert cases == {"best": ["c", "b"], "median": ["b", "d"], "worst": ["a", "d"]}
    everything = {name: len(table) for name, table in ranked_cases(SCORES, 9).items()}
    assert everything == {"best": 4, "median": 4, "worst": 4}


def test_a_table_is_written_with_the_same_bytes_everywhere(tmp_path):
    path = write_table(tmp_path / "scores.csv", SCORES.head(1))
    assert path.read_bytes() == b"file,class,iou,dice,dice_loss\na,COVID,0.2,0.4,0.5\n"


def test_a_mask_of_another_size_than_its_xray(tmp_path):
    data_set = make_data_set(tmp_path / "one", {"A": 1})
    rows = build_index(data_set)[0]
    guess = np.zeros((1, 48, 40), np.float32)
    guess[0] = np.kron(lung_mask_of(data_set, rows), np.ones((2, 2)))
    assert score_masks(data_set, rows, guess)["iou"].item() == 1


def lung_mask_of(data_set, rows) -> np.ndarray:
    mask = read_mask(data_set.root / rows["mask"].item())
    assert mask.shape == lung_mask(0).shape
    return mask

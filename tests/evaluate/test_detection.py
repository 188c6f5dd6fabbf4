import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
    roc_curve,
)

from helpers.evaluate.calibration import apply_temperature, calibration_error, fit_temperature
from helpers.evaluate.detection import (
    auroc,
    average_precision,
    choose_threshold,
    confusion_by_class,
    covid_labels,
    detection_metrics,
    detection_predictions,
    judge_sources,
    most_wrong,
)
from helpers.evaluate.intervals import Estimate
from tests.support.builders import refused

ANSWERS = st.lists(st.tuples(st.booleans(), st.integers(0, 1000)), max_size=40)
BOTH = [(True, 400), (False, 600)]
NAMES = [
    *("accuracy", "majority_accuracy", "sensitivity", "specificity", "precision"),
    *("f1", "auroc", "average_precision"),
    *("threshold", "sensitivity_at_threshold", "specificity_at_threshold", "temperature"),
    *("calibration_error", "calibration_error_by_chance"),
    *("calibration_error_scaled", "calibration_error_scaled_by_chance"),
]


def predictions_of(labels: list[int], probabilities: list[float], split="test") -> pd.DataFrame:
    table = pd.DataFrame({"label": labels, "probability": probabilities, "split": split})
    table["class"] = np.where(table["label"] == 1, "COVID", "Normal")
    return table.assign(file=[f"{row:03}.png" for row in table.index])


def of_answers(answers: list[tuple[bool, int]], split="test") -> pd.DataFrame:
    labels = [int(is_ill) for is_ill, _ in answers]
    return predictions_of(labels, [value / 1000 for _, value in answers], split)


def figures_of(*tables: pd.DataFrame) -> dict[str, Estimate]:
    """Return the figures where each X-ray is a group of its own."""
    table = pd.concat(tables, ignore_index=True)
    return detection_metrics(table, table.index.to_series().astype(str))


def values(figures: dict[str, Estimate]) -> dict[str, float]:
    return {name: figure.value for name, figure in figures.items()}


@pytest.fixture
def few_resamples(monkeypatch):
    monkeypatch.setattr("helpers.evaluate.intervals.RESAMPLES", 100)
    monkeypatch.setattr("helpers.evaluate.calibration.DRAWS", 10)


# Few distinct probabilities, so that ties are common, and weights of 0 as resamples have them.
WEIGHTED = st.lists(
    st.tuples(st.booleans(), st.integers(0, 12), st.integers(0, 3), st.integers(0, 3)), max_size=40
)


@settings(max_examples=150, deadline=None)
@given(WEIGHTED)
def test_areas_agree_with_scikit_learn_in_every_resample(answers):
    answers += [(True, 5, 1, 2), (False, 6, 1, 3)]  # both classes
    label, tenths, *drawn = (np.array(column) for column in zip(*answers, strict=True))
    label, probability, weights = label.astype(int), tenths / 12, np.stack(drawn)
    for area, reference in ((auroc, roc_auc_score), (average_precision, average_precision_score)):
        expected = [reference(label, probability, sample_weight=row) for row in weights]
        np.testing.assert_allclose(area(label, probability, weights), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("classes", [["Normal", "Tuberculosis"], ["COVID"]])
def test_a_data_set_without_covid_or_with_nothing_else_is_refused(classes):
    split = pd.DataFrame({"class": classes * 3})
    fault = f"this data set has {', '.join(classes)}"
    with refused("detection needs the class COVID and another", fault, "Skip notebooks 03 and 06"):
        covid_labels(split)


def test_each_source_is_judged_by_itself():
    predictions = pd.DataFrame(
        {
            "split": ["test"] * 5 + ["train"],
            "label": [1, 1, 0, 0, 0, 1],
            "probability": [0.9, 0.1, 0.2, 0.7, 0.3, 0.9],
        }
    )
    split = pd.DataFrame({"source": ["b", "b", "a", "a", "", "c"], "group": list("uvwxyz")})
    table = judge_sources(predictions, split)
    assert list(table.index) == ["a", "b", "unknown"], "c has no test X-ray"
    assert list(table["X-rays"]) == [2, 2, 1]
    assert list(table["COVID"]) == [0, 2, 0]
    assert list(table["accuracy"].str[:5]) == ["0.500", "0.500", "1.000"]
    assert table.loc["a", "sensitivity"] == table.loc["b", "specificity"] == "-"
    assert table.loc["b", "sensitivity"].startswith("0.500 [")


def test_the_table_of_predictions_and_its_labels():
    split = pd.DataFrame(
        {
            "file": ["a", "b"],
            "class": ["COVID", "Normal"],
            "split": ["test", "train"],
            "group": ["a", "b"],
        }
    )
    table = detection_predictions(split, np.array([0.12345678, 1], np.float32))
    assert list(covid_labels(split)) == [1, 0]
    assert table.to_dict("list") == {
        "file": ["a", "b"],
        "class": ["COVID", "Normal"],
        "split": ["test", "train"],
        "label": [1, 0],
        "probability": [0.123457, 1.0],
    }


def test_figures_have_intervals_but_what_was_chosen_and_what_a_bootstrap_would_distort():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    probabilities = np.clip(0.5 + 0.2 * (2 * labels - 1) + rng.normal(0, 0.3, 200), 0, 1)
    table = predictions_of(list(labels), list(probabilities))
    found = figures_of(table, table.assign(split="validation"))
    assert list(found) == NAMES
    bare = {"threshold", "temperature"} | {name for name in found if "calibration" in name}
    for name, figure in found.items():
        if name in bare:
            assert (figure.low, figure.high) == (None, None)
        else:
            assert 0 <= figure.low < figure.value < figure.high <= 1
    assert found["temperature"].n == found["threshold"].n == 200


@pytest.mark.usefixtures("few_resamples")
@settings(max_examples=40, deadline=None)
@given(ANSWERS, ANSWERS)
def test_detection_agrees_with_scikit_learn(answers, seen):
    test, validation = of_answers(answers + BOTH), of_answers(seen + BOTH, "validation")
    found = values(figures_of(validation, test))
    labels, probabilities = test["label"], test["probability"]
    said, chosen = probabilities > 0.5, probabilities > found["threshold"]
    scaled = apply_temperature(probabilities, found["temperature"]).to_numpy()
    expected = {
        "accuracy": accuracy_score(labels, said),
        "majority_accuracy": accuracy_score(labels, [labels.mean() >= 0.5] * len(labels)),
        "sensitivity": recall_score(labels, said),
        "specificity": recall_score(labels, said, pos_label=0),
        "precision": precision_score(labels, said) if said.any() else None,
        "f1": f1_score(labels, said, zero_division=0),
        "auroc": roc_auc_score(labels, probabilities),
        "average_precision": average_precision_score(labels, probabilities),
        "sensitivity_at_threshold": recall_score(labels, chosen),
        "specificity_at_threshold": recall_score(labels, chosen, pos_label=0),
        "temperature": fit_temperature(validation["label"], validation["probability"]),
        "calibration_error": calibration_error(labels.to_numpy(), probabilities.to_numpy()),
        "calibration_error_scaled": calibration_error(labels.to_numpy(), scaled),
    }
    for name, value in expected.items():
        assert found[name] == (value if value is None else pytest.approx(value, rel=0, abs=1e-9))


@settings(max_examples=100, deadline=None)
@given(ANSWERS)
def test_no_threshold_is_better_on_the_validation_split(answers):
    table = of_answers(answers + BOTH, "validation")
    threshold = choose_threshold(table)
    called = table["probability"] > threshold
    gain = called[table["label"] == 1].mean() - called[table["label"] == 0].mean()
    alarms, found, _ = roc_curve(table["label"], table["probability"])
    best = (found - alarms).max()
    assert gain == pytest.approx(best) or (threshold == 0.5 and best == pytest.approx(0))


@pytest.mark.parametrize(
    ("labels", "probabilities", "expected"),
    [
        ([1, 0], [0.8, 0.1], 0.45),
        ([1, 0, 1, 0], [0.95, 0.7, 0.4, 0.2], 0.3),  # 0.825 is as good
        ([1, 0], [0.000002, 0.000001], 0.000001),  # rounded down, so that the first is called
        ([0, 1], [0.8, 0.1], 0.5),  # worse than guessing
        ([1, 0], [0.3, 0.3], 0.5),
        ([1, 1], [0.3, 0.2], 0.5),
        ([0], [0.3], 0.5),
        ([], [], 0.5),
    ],
)
def test_the_threshold_by_hand(labels, probabilities, expected):
    others = predictions_of([1, 0], [0.99, 0.98], "test")
    table = pd.concat([predictions_of(labels, probabilities, "validation"), others])
    assert choose_threshold(table) == expected


@pytest.mark.parametrize("labels", [[1, 1, 1], [0, 0, 0]])
def test_a_test_split_that_lacks_a_class_has_fewer_figures(labels):
    found = values(figures_of(predictions_of(labels, [0.9, 0.6, 0.2])))
    unknown = {"f1", "auroc", "average_precision"}
    if 1 not in labels:
        unknown |= {"sensitivity", "sensitivity_at_threshold"}
    if 0 not in labels:
        unknown |= {"specificity", "specificity_at_threshold"}
    assert {name for name, value in found.items() if value is None} == unknown
    assert (found["threshold"], found["temperature"]) == (0.5, 1)


def test_copies_widen_every_interval():
    rng = np.random.default_rng(1)
    labels = [1, 0] * 50
    probabilities = list(np.clip(np.array(labels) * 0.3 + rng.normal(0.35, 0.25, 100), 0, 1))
    table = predictions_of(labels * 2, probabilities * 2)
    alone = detection_metrics(table, pd.Series(range(200)).astype(str))
    paired = detection_metrics(table, pd.Series(list(range(100)) * 2).astype(str))
    for name, figure in paired.items():
        assert figure.value == alone[name].value
        if figure.low is not None:
            assert figure.high - figure.low > 1.2 * (alone[name].high - alone[name].low)


def test_which_class_is_taken_for_covid():
    table = predictions_of([0, 0, 1, 0, 1, 0], [0.6, 0.1, 0.2, 0.9, 0.8, 0.99])
    table["class"] = ["Normal", "Normal", "COVID", "Bacteria", "COVID", "Normal"]
    table.loc[5, "split"] = "train"
    counts = confusion_by_class(table, 0.5)
    assert list(counts.columns) == ["COVID", "not COVID"]
    assert {name: tuple(row) for name, row in counts.iterrows()} == {
        "COVID": (1, 1),
        "Normal": (1, 1),
        "Bacteria": (1, 0),
    }
    assert list(counts.index) == ["COVID", "Bacteria", "Normal"]
    assert tuple(confusion_by_class(table, 0.7).loc["Normal"]) == (0, 2)


@pytest.mark.parametrize(("wrong", "shown"), [(0, 6), (4, 6), (10, 10), (30, 18)])
def test_the_wrong_xrays_come_first_and_the_worst_of_them(wrong, shown):
    right = 40 - wrong
    sure = list(np.linspace(0.51, 0.9, wrong)) + list(np.linspace(0.01, 0.49, right))
    table = most_wrong(predictions_of([0] * 40, sure))
    assert len(table) == shown
    assert list(table["verdict"][: min(wrong, 18)]) == ["false alarm"] * min(wrong, 18)
    assert set(table["verdict"][wrong:]) <= {"right"}
    assert list(table["probability"]) == sorted(sure, reverse=True)[:shown]


def test_a_verdict_says_what_went_wrong():
    table = most_wrong(predictions_of([1, 1, 0, 0], [0.5, 0.7, 0.6, 0.5]))
    assert list(zip(table["label"], table["probability"], table["verdict"], strict=True)) == [
        (0, 0.6, "false alarm"),
        (1, 0.5, "missed"),
        (0, 0.5, "right"),
        (1, 0.7, "right"),
    ]

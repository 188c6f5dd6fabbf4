"""Remarks on detection: each sentence follows the data."""

import pandas as pd
import pytest

from helpers.evaluate.intervals import Estimate
from helpers.report import remarks


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0.7, 0.9, "above that"), (0.5, 0.9, "contains that"), (0.3, 0.5, "below that")],
)
def test_the_accuracy_is_held_against_the_larger_class(low, high, expected):
    metrics = {
        "accuracy": Estimate((low + high) / 2, low=low, high=high, n=40),
        "majority_accuracy": Estimate(0.6, low=0.4, high=0.8, n=40),
    }
    said = remarks.remark_on_accuracy(metrics)
    assert expected in said
    assert "0.600 needs no network" in said


@pytest.mark.parametrize(
    ("others", "expected"), [((0.1, 0.85), "no error"), ((0.1, 0.95), "others up to 0.95")]
)
def test_a_perfect_ranking_has_a_threshold_without_errors(others, expected):
    test = pd.DataFrame({"label": [1, 1, 0, 0], "probability": [0.9, 0.99, *others]})
    assert expected in remarks.remark_on_ranking(test)


@pytest.mark.parametrize(
    ("probability", "chosen", "truth", "expected"),
    [
        (
            0.45,
            0.31,
            "COVID",
            ["0.05 under 0.50: not COVID", "0.14 over 0.31", ": COVID", "second"],
        ),
        (0.45, 0.31, "Normal", ["signs of Normal: the first answer is right"]),
        (0.45, 0.31, "", ["threshold alone decides", "Nobody here knows"]),
        (
            0.98,
            0.31,
            "COVID",
            [
                "0.98, as predicted, lies 0.48 over 0.50: COVID",
                "0.67 over 0.31",
                "network is right",
            ],
        ),
        (0.98, 0.31, "Normal", ["network is wrong"]),
        (0.984, 0.286, "", ["0.98, as", "0.69 over 0.29"]),
        (0.12, 0.31, "COVID", ["0.19 under 0.31", "network is wrong"]),
    ],
)
def test_a_decision_comes_with_its_margin_and_the_truth(probability, chosen, truth, expected):
    said = remarks.remark_on_decision(probability, chosen, truth)
    assert [part for part in expected if part not in said] == []
    assert ("threshold alone" in said) == (probability == 0.45)


def test_success_and_failure_are_named():
    surest = pd.DataFrame(
        {"class": ["COVID", "Normal"], "probability": [0.97, 0.85], "right": [True, False]}
    )
    both = remarks.remark_on_surest(surest).splitlines()
    assert both == [
        "Surest and right: truly COVID, predicted COVID 0.97.",
        "Surest and wrong: truly Normal, predicted COVID 0.85.",
    ]
    assert "wrong about none" in remarks.remark_on_surest(surest.head(1))
    assert "none of its test X-rays with COVID" in remarks.remark_on_surest(surest.tail(1))
    neither = remarks.remark_on_surest(surest.head(0))
    assert "no success" in neither and "no failure" in neither


@pytest.mark.parametrize(
    ("errors", "temperature", "expected"),
    [
        ((0.036, 0.102), 2.15, "Neither error is well above chance: 40 X-rays cannot tell"),
        ((0.09, 0.102), 2.15, "error without the temperature is well above chance"),
        ((0.09, 0.102), 2.15, "the temperature helps, and no proof."),
        ((0.036, 0.25), 2.15, "error with the temperature is well above chance"),
        ((0.036, 0.25), 2.15, "the temperature harms, and no proof."),
        ((0.09, 0.25), 2.15, "Both errors are well above chance"),
        ((0.09, 0.09), 1.0, "The temperature is 1: it changes nothing."),
    ],
)
def test_the_temperature_is_judged_beside_chance(errors, temperature, expected):
    values = {
        "temperature": temperature,
        "calibration_error": errors[0],
        "calibration_error_by_chance": 0.037,
        "calibration_error_scaled": errors[1],
        "calibration_error_scaled_by_chance": 0.104,
    }
    metrics = {name: Estimate(value, 40) for name, value in values.items()}
    assert expected in remarks.remark_on_calibration(metrics)

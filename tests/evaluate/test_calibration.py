import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from helpers.evaluate.calibration import (
    apply_temperature,
    calibration_error,
    chance_error,
    fit_temperature,
    reliability_table,
)

ANSWERS = st.lists(st.tuples(st.booleans(), st.integers(0, 40)), min_size=1, max_size=60)


def columns(answers: list[tuple[bool, int]]) -> tuple[pd.Series, pd.Series]:
    """Return labels, and probabilities many of which lie on the edge of a bin."""
    table = pd.DataFrame(answers, columns=["label", "fortieths"])
    return table["label"].astype(int), table["fortieths"] / 40


def too_sure(count: int, temperature: float, seed: int) -> tuple[pd.Series, pd.Series]:
    """Return labels and the probabilities of a network whose logits are that many times theirs."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, count)
    label = (rng.random(count) < expit(logits)).astype(int)
    return pd.Series(label), pd.Series(expit(temperature * logits).round(6))


def error_of(label: pd.Series, probability: pd.Series) -> float:
    return float(calibration_error(label.to_numpy(), probability.to_numpy()))


@settings(max_examples=100, deadline=None)
@given(ANSWERS)
def test_the_bins_are_those_of_scikit_learn_and_the_error_their_mean_gap(answers):
    label, probability = columns(answers)
    groups = pd.Series(range(len(label)), dtype=str)
    table = reliability_table(label, probability, groups)
    share, mean = calibration_curve(label, probability, n_bins=10)
    np.testing.assert_allclose(table["share"], share, rtol=0, atol=1e-9)
    np.testing.assert_allclose(table["probability"], mean, rtol=0, atol=1e-9)
    assert table["n"].sum() == len(label)
    gap = np.average(np.abs(share - mean), weights=table["n"])
    assert error_of(label, probability) == pytest.approx(gap, rel=0, abs=1e-9)


def test_a_bin_s_share_has_its_interval():
    label, probability = pd.Series([1, 1, 0, 1]), pd.Series([0.95, 0.93, 0.91, 0.05])
    low, high = reliability_table(label, probability, pd.Series(list("abcd"))).iloc
    assert (low["share"], low["n"], high["n"]) == (1, 1, 3)
    assert 0 < low["low"] < low["high"] == 1
    assert high["share"] == pytest.approx(2 / 3)
    assert 0 < high["low"] < high["share"] < high["high"] < 1


@pytest.mark.parametrize("count", [40, 400])
def test_chance_alone_makes_the_error_of_a_calibrated_network(count):
    found = [error_of(*too_sure(count, 1, seed)) for seed in range(200)]
    expected = chance_error(too_sure(count, 1, seed=0)[1].to_numpy())
    assert np.mean(found) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize("temperature", [0.5, 1, 3])
def test_the_temperature_of_a_simulation_is_found(temperature):
    label, probability = too_sure(20_000, temperature, seed=1)
    found = fit_temperature(label, probability)
    assert found == pytest.approx(temperature, rel=0.05)
    loss = log_loss(label, apply_temperature(probability, found))
    for other in (0.95 * found, 1.05 * found):
        assert loss < log_loss(label, apply_temperature(probability, other))


def test_scaling_lowers_the_error_of_the_half_that_was_held_out():
    before, after = [], []
    for seed in range(100):
        label, probability = too_sure(800, temperature=2.5, seed=seed)
        temperature = fit_temperature(label[:400], probability[:400])
        before.append(error_of(label[400:], probability[400:]))
        after.append(error_of(label[400:], apply_temperature(probability[400:], temperature)))
    assert np.mean(after) < np.mean(before) / 2
    assert np.mean(np.array(after) < before) > 0.95


@settings(max_examples=50, deadline=None)
@given(ANSWERS, st.floats(0.1, 10))
def test_scaling_keeps_the_order_and_a_temperature_of_one_the_probabilities(answers, temperature):
    _, probability = columns(answers)
    assert (apply_temperature(probability, temperature).rank() == probability.rank()).all()
    np.testing.assert_allclose(apply_temperature(probability, 1), probability, atol=1e-6)


@pytest.mark.parametrize(
    ("label", "probability", "expected"),
    [
        ([], [], 1),
        ([1, 1], [0.9, 0.2], 1),  # one class
        ([1, 0], [0.9, 0.1], 1),  # no mistake
        ([1, 0, 0], [1.0, 0.0, 1.0], 10),  # as wrong as right, and sure: the hottest
        ([1] * 9 + [0] * 9 + [1], [0.6] * 9 + [0.4] * 9 + [0.499999], 0.1),  # the coldest
    ],
)
def test_the_temperature_stays_within_reason(label, probability, expected):
    found = fit_temperature(pd.Series(label, dtype=int), pd.Series(probability, dtype=float))
    assert found == pytest.approx(expected, rel=0.02)

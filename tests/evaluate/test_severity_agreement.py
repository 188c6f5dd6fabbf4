"""Agreement: statistics of two measurements, and their intervals over patients."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm, spearmanr

from helpers.evaluate.agreement import lower_limit, spearman, upper_limit
from helpers.evaluate.intervals import Estimate, compare_paired, estimate_agreement, estimate_mean

pairs = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=20)


@settings(max_examples=200, deadline=None)
@given(pairs=pairs, data=st.data())
def test_a_weighted_xray_counts_as_so_many_xrays(pairs, data):
    first, second = np.array(pairs, float).T
    weights = np.array(
        data.draw(st.lists(st.integers(0, 3), min_size=len(first), max_size=len(first)))
    )
    many = [np.repeat(column, weights) for column in (first, second)]
    if weights.sum() < 2:
        return
    found = [
        statistic(first, second, weights[None].astype(float))[0]
        for statistic in (spearman, lower_limit, upper_limit)
    ]
    if all(np.ptp(column) > 0 for column in many):
        assert found[0] == pytest.approx(spearmanr(*many).statistic)
    else:
        assert np.isnan(found[0])
    differences = many[1] - many[0]
    spread = 1.96 * differences.std(ddof=1)
    assert found[1:] == pytest.approx([differences.mean() - spread, differences.mean() + spread])


def test_the_limits_by_hand():
    # Differences 1, 2, 3: mean 2, standard deviation 1.
    first, second, once = np.zeros(3), np.array([3.0, 1.0, 2.0]), np.ones((1, 3))
    assert lower_limit(first, second, once) == pytest.approx(0.04)
    assert upper_limit(first, second, once) == pytest.approx(3.96)


def measure(count: int, rng: np.random.Generator) -> tuple[pd.Series, pd.Series]:
    """Return two measurements of so many X-rays with a correlation of 0.9."""
    first = rng.normal(size=count)
    return pd.Series(first), pd.Series(0.9 * first + np.sqrt(1 - 0.81) * rng.normal(size=count))


def alone(count: int) -> pd.Series:
    return pd.Series(range(count), dtype=str)


@pytest.mark.parametrize("count", [40, 130])
@pytest.mark.parametrize(
    ("statistic", "truth"),
    [
        (spearman, 6 / np.pi * np.arcsin(0.45)),
        (upper_limit, norm.ppf(0.975) * np.sqrt(2 * (1 - 0.9))),
    ],
)
def test_about_95_of_100_intervals_hold_the_truth(statistic, truth, count, monkeypatch):
    monkeypatch.setattr("helpers.evaluate.intervals.RESAMPLES", 400)
    rng = np.random.default_rng(0)
    found = [estimate_agreement(statistic, *measure(count, rng), alone(count)) for _ in range(400)]
    held = np.mean([one.low <= truth <= one.high for one in found])
    assert 0.90 <= held <= 0.98


def test_xrays_of_a_patient_are_drawn_together():
    first, second = measure(60, np.random.default_rng(1))
    single = estimate_agreement(spearman, first, second, alone(60))
    twice = [pd.concat([part] * 2, ignore_index=True) for part in (first, second, alone(60))]
    grouped = estimate_agreement(spearman, *twice)
    assert (grouped.value, grouped.low, grouped.high) == pytest.approx(single[:1] + single[2:])
    assert grouped.n == 120
    ungrouped = estimate_agreement(spearman, *twice[:2], alone(120))
    assert ungrouped.high - ungrouped.low < 0.8 * (grouped.high - grouped.low)


@pytest.mark.parametrize(
    ("first", "second", "groups", "expected"),
    [
        ([], [], "", Estimate(None, 0)),
        ([1, 2], [2, 3], "ab", Estimate(None, 0)),
        ([1, 2, np.nan], [2, 3, 4], "abc", Estimate(None, 0)),
        ([1, 1, 1, 1], [1, 2, 3, 4], "abcd", Estimate(None, 0)),
        ([1, 2, 3, 4], [1, 2, 3, 4], "abcd", Estimate(1, 4)),
        ([1, 2, 3], [3, 2, 1], "aaa", Estimate(-1, 3)),
        ([1, np.nan, 2, 3], [3, 9, 2, np.nan], "abcd", Estimate(None, 0)),
    ],
)
def test_where_there_is_no_correlation_or_no_interval(first, second, groups, expected):
    columns = (pd.Series(values, dtype=float) for values in (first, second))
    found = estimate_agreement(spearman, *columns, pd.Series(list(groups), dtype=str))
    assert found == expected


def test_agreement_does_not_depend_on_the_order_of_the_groups():
    first, second = measure(30, np.random.default_rng(2))
    groups = pd.Series(np.arange(30) // 3).astype(str)
    shuffled = groups.sample(frac=1, random_state=0)
    found = estimate_agreement(spearman, first, second, groups)
    assert estimate_agreement(spearman, first, second, shuffled) == found
    assert found.low < found.value < found.high


def test_limits_of_equal_differences_have_no_interval():
    first, second = pd.Series([0.1, 0.2, 0.7]), pd.Series([0.2, 0.3, 0.8])
    found = estimate_agreement(lower_limit, first, second, alone(3))
    assert found == Estimate(pytest.approx(0.1), 3)


def test_pairs_are_compared_xray_by_xray():
    first, second = pd.Series([5, 1, 3], index=[4, 2, 9]), pd.Series([1, 4, 2], index=[9, 2, 4])
    groups = pd.Series(list("aab"), index=[2, 4, 9])
    expected = estimate_mean(pd.Series([-3, 3, 2], index=[2, 4, 9]), groups)
    assert compare_paired(first, second, groups) == expected
    assert expected.value == pytest.approx(2 / 3)

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.intervals import Estimate, estimate_mean


def each_alone(values: list[float]) -> Estimate:
    """Return the estimate where every image is a group of its own."""
    series = pd.Series(values, dtype=float)
    return estimate_mean(series, pd.Series(range(len(values)), dtype=str))


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.floats(0, 1, width=32), min_size=2, max_size=20))
def test_the_interval_lies_about_the_mean_and_within_the_values(values):
    found = each_alone(values)
    assert found.value == pytest.approx(np.mean(values))
    assert min(values) - 1e-9 <= found.low <= found.value + 1e-9
    assert found.value - 1e-9 <= found.high <= max(values) + 1e-9
    assert found == each_alone(values)


def test_the_interval_of_many_values_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(0.9, 0.05, 400)
    found = each_alone(list(values))
    assert found.high - found.low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.05)


def test_groups_are_drawn_whole():
    # Ten patients of forty X-rays each that are all alike: ten draws, not four hundred.
    patients = np.random.default_rng(0).normal(0.9, 0.05, 10)
    groups = pd.Series(np.repeat(np.arange(10), 40).astype(str))
    found = estimate_mean(pd.Series(np.repeat(patients, 40)), groups)
    alone = each_alone(list(patients))
    assert (found.low, found.high) == pytest.approx((alone.low, alone.high))
    assert found.n == 400


def test_each_image_counts_once_whatever_its_group():
    values = pd.Series([0.2, 0.8, 0.8, 0.8], index=[9, 3, 5, 7])
    groups = pd.Series(["b", "a", "a", "a"], index=[9, 3, 5, 7])
    found = estimate_mean(values, groups)
    assert (found.value, found.low, found.high) == pytest.approx((0.65, 0.2, 0.8))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], Estimate(None, 0)),
        ([np.nan, np.nan], Estimate(None, 0)),
        ([0.5], Estimate(0.5, 1)),
        ([0.5, np.nan], Estimate(0.5, 1)),
        ([0.5, 0.5, np.nan], Estimate(0.5, 2, 0.5, 0.5)),
    ],
)
def test_what_is_unknown_is_left_out_and_one_group_has_no_interval(values, expected):
    assert each_alone(values) == expected


def test_the_interval_holds_the_truth_in_about_95_of_100_studies():
    rng = np.random.default_rng(1)
    groups = pd.Series(np.repeat(np.arange(30), 2).astype(str))
    held = 0
    for _ in range(200):
        patients = np.repeat(rng.normal(0, 1, 30), 2)
        found = estimate_mean(pd.Series(patients + rng.normal(0, 0.2, 60)), groups)
        held += found.low <= 0 <= found.high
    assert 0.88 <= held / 200 <= 0.98

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, norm
from scipy.stats import t as student
from sklearn.metrics import roc_auc_score

from helpers.evaluate.detection import auroc
from helpers.evaluate.intervals import (
    Estimate,
    estimate_mean,
    estimate_share,
    estimate_statistic,
    subtract,
)


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


@pytest.mark.parametrize("count", [6, 10, 20])
def test_the_interval_of_few_values_is_nearly_as_wide_as_student_s(count):
    values = np.random.default_rng(0).normal(0, 1, (40, count))
    widths = [found.high - found.low for found in (each_alone(list(row)) for row in values)]
    expected = 2 * student.ppf(0.975, count - 1) * values.std(axis=1, ddof=1) / np.sqrt(count)
    assert 0.8 < np.mean(widths) / expected.mean() < 1.05


def test_the_interval_holds_the_truth_in_about_95_of_100_studies():
    rng = np.random.default_rng(1)
    groups = pd.Series(np.repeat(np.arange(30), 2).astype(str))
    held = 0
    for _ in range(200):
        patients = np.repeat(rng.normal(0, 1, 30), 2)
        found = estimate_mean(pd.Series(patients + rng.normal(0, 0.2, 60)), groups)
        held += found.low <= 0 <= found.high
    assert 0.88 <= held / 200 <= 0.98


def alone(count: int) -> pd.Series:
    """Return a group for each X-ray."""
    return pd.Series(range(count), dtype=str)


def detector(count: int, rng: np.random.Generator, gap: float = 1.5) -> pd.DataFrame:
    """Return a detector's answers, three in ten X-rays with COVID, `gap` apart from the others."""
    table = pd.DataFrame({"label": (rng.random(count) < 0.3).astype(int)})
    return table.assign(probability=norm.cdf(rng.normal(gap * table["label"])))


def auroc_of(table: pd.DataFrame, groups: pd.Series) -> Estimate:
    return estimate_statistic(auroc, table["label"], table["probability"], groups)


@settings(max_examples=100, deadline=None)
@given(count=st.integers(0, 500), data=st.data())
def test_the_interval_of_a_share_is_wilson_s(count, data):
    right = data.draw(st.integers(0, count))
    found = estimate_share(pd.Series([True] * right + [False] * (count - right)), alone(count))
    if not count:
        assert found == Estimate(None, 0)
        return
    low, high = binomtest(right, count).proportion_ci(method="wilson")
    assert found.n == count
    expected = pytest.approx((right / count, low, high), rel=0, abs=1e-9)
    assert (found.value, found.low, found.high) == expected


@settings(max_examples=30, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(2, 4))
def test_copies_add_xrays_but_no_certainty(successes, copies):
    once = pd.Series(successes)
    many, groups = (pd.concat([part] * copies) for part in (once, alone(len(once))))
    many, groups = (part.reset_index(drop=True) for part in (many, groups))
    single, grouped = estimate_share(once, alone(len(once))), estimate_share(many, groups)
    assert grouped.n == copies * single.n
    assert (grouped.low, grouped.high) == pytest.approx((single.low, single.high))
    ungrouped = estimate_share(many, alone(len(many)))
    assert ungrouped.high - ungrouped.low < grouped.high - grouped.low


def test_the_copies_of_an_area_are_drawn_together():
    once = detector(100, np.random.default_rng(2))
    twice = pd.concat([once, once], ignore_index=True)
    single, grouped = (
        auroc_of(once, alone(100)),
        auroc_of(twice, pd.concat([alone(100)] * 2, ignore_index=True)),
    )
    assert (grouped.value, grouped.low, grouped.high) == pytest.approx(
        (single.value, single.low, single.high)
    )
    ungrouped = auroc_of(twice, alone(200))
    assert ungrouped.high - ungrouped.low < 0.8 * (grouped.high - grouped.low)


@pytest.mark.parametrize("gap", [1.5, 3.0], ids=["0.856", "0.983"])
def test_95_of_100_intervals_hold_the_true_area(gap, monkeypatch):
    monkeypatch.setattr("helpers.evaluate.intervals.RESAMPLES", 200)
    rng, groups, truth = np.random.default_rng(4), alone(200), norm.cdf(gap / np.sqrt(2))
    found = [auroc_of(detector(200, rng, gap), groups) for _ in range(800)]
    assert 0.93 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.97


@pytest.mark.parametrize(
    ("label", "groups", "expected"),
    [
        ([], [], Estimate(None, 0)),
        ([1, 1, 1], list("abc"), Estimate(None, 0)),
        ([0, 0, 0], list("abc"), Estimate(None, 0)),
        ([1, 0, 1], list("aaa"), Estimate(0.5, 3)),
    ],
)
def test_where_there_is_no_area_or_no_interval(label, groups, expected):
    table = pd.DataFrame({"label": label, "probability": [0.9, 0.8, 0.1][: len(label)]})
    assert auroc_of(table, pd.Series(groups, dtype=str)) == expected


@pytest.mark.parametrize(("groups", "draws"), [("abcdefgh", 3), ("aabcdefg", 2), ("aaabbbbb", 1)])
@pytest.mark.parametrize("perfect", [True, False])
def test_a_perfect_area_is_as_sure_as_pairs_of_the_smaller_class(groups, draws, perfect):
    label = [1, 1, 1, 0, 0, 0, 0, 0] if perfect else [0, 0, 0, 1, 1, 1, 1, 1]
    table = pd.DataFrame({"label": label, "probability": np.linspace(0.9, 0.1, 8)})
    found, z = auroc_of(table, pd.Series(list(groups))), 1.959964
    assert (found.value, found.n) == (perfect, 8)
    limits = (draws / (draws + z**2), 1) if perfect else (0, z**2 / (draws + z**2))
    assert (found.low, found.high) == pytest.approx(limits)


def test_an_area_does_not_depend_on_the_order_of_the_index():
    table = detector(60, np.random.default_rng(5))
    groups = pd.Series(np.arange(60) // 2).astype(str)
    found = auroc_of(table, groups.sample(frac=1, random_state=0))
    assert found == auroc_of(table, groups)
    assert found.value == pytest.approx(roc_auc_score(table["label"], table["probability"]))
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("estimate", "text"),
    [
        (Estimate(0.9876, 40, 0.91, 1.0), "0.988 [0.910, 1.000]"),
        (Estimate(0.9876, 1), "0.988"),
        (Estimate(None, 0), "-"),
    ],
)
def test_an_estimate_as_text(estimate, text):
    assert estimate.text(3) == text


def test_a_difference_of_shares_has_newcombe_s_interval():
    # Newcombe 1998, Statistics in Medicine 17, table II, example (a), method 10.
    first, second = (
        estimate_share(pd.Series(range(n)) < k, pd.Series(range(n)))
        for k, n in ((56, 70), (48, 80))
    )
    found = subtract(first, second)
    assert (found.value, found.n) == (pytest.approx(0.2), 80)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (Estimate(None, 0), Estimate(0.5, 4, 0.1, 0.9), Estimate(None, 4)),
        (Estimate(0.5, 9, 0.4, 0.6), Estimate(None, 0), Estimate(None, 0)),
        (Estimate(1.0, 9), Estimate(0.75, 4, 0.5, 0.9), Estimate(0.25, 4)),
        (Estimate(1.0, 9, 0.9, 1.0), Estimate(0.75, 4), Estimate(0.25, 4)),
    ],
)
def test_a_difference_has_what_both_figures_have(first, second, expected):
    assert subtract(first, second) == expected

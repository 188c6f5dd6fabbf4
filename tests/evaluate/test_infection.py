"""Infection: scores and severity of nine X-rays whose masks are known, and their metrics."""

import json
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.sources import DataSet
from helpers.evaluate.infection import (
    LEAST_SHARE,
    SCORES,
    SEVERITY,
    agreement_table,
    healthy_table,
    infection_metrics,
    measure_infection,
    zone_table,
)
from helpers.evaluate.metrics_file import write_metrics
from helpers.evaluate.segmentation import OVERLAP, measure_overlap, score_table
from helpers.evaluate.zones import SHARES, ZONES
from helpers.split.index import build_index
from tests.support.builders import MASK_SHAPE, refused, write_image

LUNGS = np.zeros(MASK_SHAPE, np.uint8)  # two of three zones of 3 x 5 pixels
LUNGS[4:13, 3:8] = LUNGS[4:13, 12:17] = 1


def infection_of(file: str) -> np.ndarray:
    """Return the infection of an X-ray: none of a normal one, else as many rows as its number."""
    infection = np.zeros(MASK_SHAPE, np.uint8)
    name, _, number = Path(file).stem.rpartition("-")
    if name == "COVID":
        infection[4 : 4 + int(number), 3:8] = 1
    return infection


@pytest.fixture
def given_set(data_set) -> tuple[DataSet, pd.DataFrame]:
    """Four X-rays of COVID with infection masks, five normal ones with empty ones."""
    for file in build_index(data_set)[0]["file"]:
        path = data_set.root / file.replace("/images/", "/infection masks/")
        write_image(path, infection_of(file) * 255)
    return data_set, build_index(data_set)[0]


def measure(given_set, predicted, true_lungs=LUNGS, predicted_lungs=LUNGS):
    """Return scores and severity where each X-ray has these predictions and the same lungs."""
    data_set, rows = given_set
    lungs = ([mask] * len(rows) for mask in (true_lungs, predicted_lungs))
    return measure_infection(data_set, rows, iter(predicted), *lungs)


def true_infection(rows) -> np.ndarray:
    return np.stack([infection_of(file) for file in rows["file"]]).astype(np.float32)


def test_right_infection_scores_one(given_set):
    rows = given_set[1]
    scores, severity = measure(given_set, true_infection(rows))
    assert list(scores.columns) == ["file", "class", *SCORES]
    assert list(severity.columns) == ["file", "class", *SEVERITY]
    for table in (scores, severity):
        pd.testing.assert_frame_equal(table[["file", "class"]], rows[["file", "class"]])
    assert (scores[["iou", "dice"]] == 1).all(axis=None)
    assert (scores["dice_loss"] == 0).all()
    ill = rows["class"] == "COVID"
    for name in ("infected", "found"):
        pd.testing.assert_series_equal(scores[name], ill, check_names=False)
    assert (scores.loc[ill, "outside_lungs"] == 0).all()
    assert scores.loc[~ill, "outside_lungs"].isna().all()
    for name in SHARES:
        expected = severity[f"true_{name}"]
        pd.testing.assert_series_equal(severity[name], expected, check_names=False)
    expected = {"infected_share": 5 / 90, "right_share": 5 / 45, "right_upper": 5 / 15}
    first = dict.fromkeys(SHARES, 0.0) | expected
    assert severity.loc[0, list(SHARES)].to_dict() == pytest.approx(first, abs=1e-6)


def test_true_shares_are_of_the_true_lungs_and_predicted_ones_of_the_predicted(given_set):
    predicted_lungs = LUNGS.copy()
    predicted_lungs[:, :10] = 0
    shifted = true_infection(given_set[1])[:, :, ::-1].copy()  # into columns 12 to 16
    scores, severity = measure(given_set, shifted, predicted_lungs=predicted_lungs)
    first = severity.iloc[0]
    assert (first["true_right_upper"], first["true_left_upper"]) == pytest.approx(
        (1 / 3, 0), abs=1e-6
    )
    assert np.isnan(first["right_upper"])
    assert first["left_upper"] == pytest.approx(1 / 3, abs=1e-6)
    assert scores.loc[0, "predicted_share"] == pytest.approx(5 / 45, abs=1e-6)
    assert scores.loc[0, "outside_lungs"] == 0
    assert (scores.loc[:3, "dice"] == 0).all()


def test_infection_outside_the_true_lungs_is_an_error_of_its_own(given_set):
    predicted = np.zeros((9, *MASK_SHAPE), np.float32)
    predicted[:, 4:5, 3:11] = 0.9  # five pixels within, three outside
    scores, _ = measure(given_set, predicted, predicted_lungs=np.ones_like(LUNGS))
    assert scores["outside_lungs"].to_list() == [0.375] * 9


def test_the_overlap_is_that_of_lung_masks_and_nothing_is_cleaned(given_set):
    rows = given_set[1]
    guesses = np.random.default_rng(0).random((len(rows), *MASK_SHAPE), dtype=np.float32)
    scores, _ = measure(given_set, guesses)
    for row, true, guess in zip(scores.itertuples(), true_infection(rows), guesses, strict=True):
        expected = measure_overlap(true.astype(np.uint8), (guess > 0.5).astype(np.uint8), guess)
        for name in OVERLAP:
            assert getattr(row, name) == pytest.approx(expected[name], abs=1e-6)


def test_all_is_measured_at_the_infection_mask_s_own_size(given_set):
    coarse = np.zeros((9, 2, 2), np.float32)
    coarse[:, 0, 0] = 1
    small = LUNGS[::2, ::2]
    scores, severity = measure(given_set, coarse, small, small)
    grown = np.kron(small, np.ones((2, 2), np.uint8))
    for found, expected in zip(
        (scores, severity), measure(given_set, coarse, grown, grown), strict=True
    ):
        pd.testing.assert_frame_equal(found, expected)
    resized = cv2.resize(coarse[0], MASK_SHAPE[::-1], interpolation=cv2.INTER_LINEAR)
    share = ((resized > 0.5) & (grown == 1)).sum() / grown.sum()
    assert scores["predicted_share"].to_list() == pytest.approx([share] * 9, abs=1e-6)


def test_a_few_stray_pixels_are_no_infection_that_was_found(given_set):
    large = np.ones((40, 50), np.uint8)
    predicted = np.zeros((9, *MASK_SHAPE), np.float32)
    predicted[:, 0, 0] = 1  # of 480 pixels: 0.0021 of the lungs
    scores, _ = measure(given_set, predicted, large, large)
    assert (scores["predicted_share"] > 0).all()
    assert not scores["found"].any()
    predicted[:, 0, :3] = 1
    scores, _ = measure(given_set, predicted, large, large)
    assert (scores["predicted_share"] > LEAST_SHARE).all()
    assert scores["found"].all()


def test_a_mask_that_was_changed_since_is_refused(given_set):
    data_set, rows = given_set
    path = data_set.root / rows["infection_mask"].iloc[1]
    write_image(path, np.zeros(MASK_SHAPE, np.uint8))
    with refused(path.name, "pixels differ from index.csv", "run 01_get_data again"):
        measure(given_set, true_infection(rows))


def invent(ill: list[tuple[float, float]], healthy: list[float]):
    """Return scores, severity and groups of X-rays with these true and predicted shares."""
    shares = [*ill, *((0.0, share) for share in healthy)]
    count = len(shares)
    true, found = (np.array([pair[place] for pair in shares], float) for place in (0, 1))
    named = pd.DataFrame({"file": map(str, range(count)), "class": "COVID"})
    scores = named.assign(
        iou=found, dice=found, dice_loss=1 - found, infected=np.arange(count) < len(ill),
        found=found > LEAST_SHARE, predicted_share=found, outside_lungs=np.nan,
    )  # fmt: skip
    columns = {f"true_{name}": true for name in SHARES} | dict.fromkeys(SHARES, found)
    severity = named.assign(**columns)
    return scores, severity, pd.Series(map(str, range(count)))


def test_metrics_by_hand():
    scores, severity, groups = invent([(0.2, 0.1), (0.4, 0.5), (0.3, 0.0)], [0.0, 0.004, 0.02, 0.0])
    scores.loc[1, "class"] = "Lung_Opacity"
    metrics = infection_metrics(scores, severity, groups)
    values = {name: (found.value, found.n) for name, found in metrics.items()}
    assert values["sensitivity"] == (pytest.approx(2 / 3), 3)
    assert values["specificity"] == (0.75, 4)
    assert values["invented_share"] == (pytest.approx(0.006), 4)
    assert values["dice"] == (pytest.approx(0.2), 3), "healthy X-rays do not count"
    assert values["dice/Lung_Opacity"] == (0.5, 1)
    assert values["iou/COVID"] == (pytest.approx(0.05), 2)
    assert values["outside_lungs"] == (None, 0)
    differences = np.array([-0.1, 0.1, -0.3])
    assert values["severity_bias"] == (pytest.approx(-0.1), 3)
    spread = 1.96 * differences.std(ddof=1)
    assert values["severity_low"] == (pytest.approx(-0.1 - spread), 3)
    assert values["severity_high"] == (pytest.approx(-0.1 + spread), 3)
    assert values["severity_spearman"] == (pytest.approx(0.5), 3)
    assert values["zone_error"] == (pytest.approx(0.5 / 3), 3)


def test_a_zone_that_a_lung_lacks_is_left_out_of_its_error():
    scores, severity, groups = invent([(0.2, 0.3), (0.4, 0.2), (0.1, 0.1)], [])
    severity.loc[0, ["left_lower", "true_left_middle"]] = np.nan
    severity.loc[2, list(ZONES)] = np.nan
    found = infection_metrics(scores, severity, groups)["zone_error"]
    assert (found.value, found.n) == (pytest.approx(0.15), 2)


shares = st.floats(0, 1, width=32)


@settings(max_examples=40, deadline=None)
@given(ill=st.lists(st.tuples(shares, shares), max_size=6), healthy=st.lists(shares, max_size=4))
def test_whatever_is_missing_metrics_are_numbers_or_null(ill, healthy, tmp_path_factory):
    scores, severity, groups = invent(ill, healthy)
    metrics = infection_metrics(scores, severity, groups)
    text = write_metrics(tmp_path_factory.mktemp("run"), metrics).read_text()
    kept = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in metrics.json"))
    for name, found in kept.items():
        assert (found["value"] is None) == (found["n"] == 0), name
        if found["low"] is not None:
            assert found["low"] - 1e-6 <= found["value"] <= found["high"] + 1e-6, name
    assert kept["dice"]["n"] == len(ill)
    assert kept["severity_spearman"]["n"] in (0, len(ill))
    if len(ill) < 3:
        assert kept["severity_spearman"] == kept["severity_low"]


def test_tables_to_read():
    scores, severity, groups = invent([(0.2, 0.1), (0.4, 0.5), (0.3, 0.0)], [0.0, 0.02])
    severity.loc[3:, "left_lower"] = np.nan
    metrics = infection_metrics(scores, severity, groups)
    assert list(score_table(metrics, OVERLAP).index) == ["all", "COVID"]
    found = healthy_table(metrics)
    assert found["X-rays"].to_list() == [3, 2, 2, 0]
    assert found["value"].iloc[1] == metrics["specificity"].text(3)
    assert found["value"].iloc[3] == "-"
    assert agreement_table(metrics)["value"].iloc[0] == metrics["severity_spearman"].text(3)
    zones = zone_table(severity)
    assert list(zones.index[:4]) == ["both lungs", "right lung", "left lung", "right, upper zone"]
    assert zones.loc["right lung"].to_list() == ["18.0%", "12.4%", "10.4%", 5]
    assert zones.loc["left, lower zone"].to_list() == ["30.0%", "20.0%", "16.7%", 3]
    assert zone_table(severity.iloc[:0])["true"].to_list() == ["-"] * 9

"""Infection map: the mean of masks by hand, its threshold, and what a network adds to it."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from helpers.evaluate.infection_map import compare_with_map, fit_map, repeat_map
from helpers.evaluate.intervals import estimate_mean
from helpers.evaluate.segmentation import measure_overlap

SIZE = (4, 5)
masks = arrays(
    np.uint8, st.tuples(st.integers(1, 6), *map(st.just, SIZE)), elements=st.integers(0, 1)
)


def rows_of(*counts: int) -> np.ndarray:
    """Return masks of which each has so many infected rows, from the lowest up, (N, 4, 5)."""
    made = np.zeros((len(counts), *SIZE), np.uint8)
    for mask, count in zip(made, counts, strict=True):
        mask[4 - count :] = 1
    return made


def test_the_mean_mask_and_its_threshold_by_hand():
    mean, threshold = fit_map(rows_of(0, 1, 2, 2), rows_of(2, 2, 1, 0, 0))
    assert mean.dtype == np.float32
    assert mean[:, 0].tolist() == [0, 0, 0.5, 0.75]
    assert threshold < 0.5, "two rows fit the three X-rays with infection better than one"
    assert fit_map(rows_of(0, 1, 2, 2), rows_of(1, 1, 2, 0, 0))[1] >= 0.5


@settings(max_examples=60, deadline=None)
@given(train=masks, validation=masks)
def test_no_other_cut_fits_the_validation_masks_better(train, validation):
    mean, threshold = fit_map(train, validation)
    np.testing.assert_allclose(mean, train.mean(axis=0), rtol=1e-6)
    infected = validation[validation.any(axis=(1, 2))]
    if not len(infected):
        assert threshold == 0.5
        return

    def score(limit: float) -> float:
        """Return the mean Dice of the map cut at a limit."""
        (answer,) = repeat_map(mean, limit, 1)
        said = answer.astype(np.uint8)
        return np.mean([measure_overlap(true, said, answer)["dice"] for true in infected])

    best = score(threshold)
    assert all(score(limit) <= best + 1e-6 for limit in np.unique(mean)[:-1])


def test_the_answer_is_the_same_for_every_xray():
    answers = list(repeat_map(np.array([[0.2, 0.6]], np.float32), 0.5, 3))
    assert [answer.tolist() for answer in answers] == [[[0, 1]]] * 3
    assert answers[0].dtype == np.float32


def test_the_gain_is_paired_and_over_xrays_with_infection():
    scores = pd.DataFrame({"dice": [0.9, 0.5, 0.0], "infected": [True, True, False]})
    constant = pd.DataFrame({"dice": [0.4, 0.2, 0.0]})
    groups = pd.Series(["a", "b", "c"])
    found = compare_with_map(scores, constant, groups)
    assert found["map_dice"] == estimate_mean(pd.Series([0.4, 0.2]), groups)
    assert (found["map_dice_gain"].value, found["map_dice_gain"].n) == (pytest.approx(0.4), 2)

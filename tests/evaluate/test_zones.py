"""Zones: the infected share of six parts of the lungs, by hand and as properties."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from helpers.evaluate.zones import LEFT, RIGHT, SHARES, ZONES, infected_shares, number_zones

WIDTH = 12
RIGHT_LUNG, LEFT_LUNG = (slice(1, 10), slice(2, 5)), (slice(1, 10), slice(7, 10))


def masks(*boxes: tuple[slice, slice]) -> np.ndarray:
    """Return a mask of zeros and ones with these boxes, (11, 12)."""
    mask = np.zeros((11, WIDTH), np.uint8)
    for box in boxes:
        mask[box] = 1
    return mask


@pytest.fixture
def lungs() -> np.ndarray:
    """Two lungs of three zones of 3 x 3 pixels each."""
    return masks(RIGHT_LUNG, LEFT_LUNG)


def test_a_zone_of_nine_pixels_each(lungs):
    zones = number_zones(lungs)
    assert zones.dtype == np.uint8
    assert np.bincount(zones.ravel()).tolist() == [11 * WIDTH - 54, 9, 9, 9, 9, 9, 9]
    assert (zones[1:4, 2:5] == 1).all(), "the patient's right is at the left of the picture"
    assert (zones[4:7, 2:5] == 2).all()
    assert (zones[7:10, 7:10] == 6).all()


def test_the_shares_by_hand(lungs):
    infection = masks((slice(1, 2), slice(2, 4)), (slice(6, 11), slice(9, 12)))
    shares = infected_shares(infection, lungs)
    assert tuple(shares) == SHARES
    expected = dict.fromkeys(ZONES, 0.0) | {
        "right_upper": 2 / 9,
        "left_middle": 1 / 9,
        "left_lower": 3 / 9,  # what lies outside the lungs does not count
        "right_share": 2 / 27,
        "left_share": 4 / 27,
        "infected_share": 6 / 54,
    }
    assert shares == pytest.approx(expected)


def test_a_single_lung_has_no_shares_of_the_other():
    lung = masks((slice(1, 10), slice(7, 10)))
    shares = infected_shares(lung, lung)
    assert all(shares[name] == 1 for name in ("infected_share", "left_share", *LEFT))
    assert all(math.isnan(shares[name]) for name in ("right_share", *RIGHT))


def test_a_lung_that_reaches_a_little_past_the_middle_is_one_lung():
    zones = number_zones(masks((slice(1, 10), slice(1, 7))))
    assert set(np.unique(zones)) == {0, 1, 2, 3}


def test_joined_lungs_are_parted_at_the_middle_of_both():
    joined = masks((slice(1, 10), slice(1, 9)))
    zones = number_zones(joined)
    assert (zones[1:4, 1:5] == 1).all()
    assert (zones[1:4, 5:9] == 4).all()


def test_two_lungs_are_parted_as_wholes():
    # The right lung's foot reaches further to the left than the left lung's top.
    lungs = masks((slice(1, 8), slice(1, 4)), (slice(8, 10), slice(1, 8)))
    lungs |= masks((slice(1, 6), slice(7, 11)))
    zones = number_zones(lungs)
    assert (zones[8:10, 1:8] == 3).all()
    assert (zones[1:2, 7:11] == 4).all()


@pytest.mark.parametrize(
    "mirrored", [False, True], ids=["the patient's left", "the patient's right"]
)
def test_a_lung_in_two_parts_stays_one(mirrored):
    lungs = masks(RIGHT_LUNG, (slice(1, 4), slice(7, 10)), (slice(7, 10), slice(8, 11)))
    zones = number_zones(np.ascontiguousarray(lungs[:, ::-1]) if mirrored else lungs)
    sides = [set(np.unique(zones[:, :6])), set(np.unique(zones[:, 6:]))]
    assert sides == ([{0, 1, 3}, {0, 4, 5, 6}] if mirrored else [{0, 1, 2, 3}, {0, 4, 6}])


def test_a_speck_has_a_zone_and_stretches_no_lung(lungs):
    lungs[0, 0] = lungs[10, 11] = 1  # the first touches no lung, the second the left one's corner
    lungs[9, 9] = 0
    zones = number_zones(lungs)
    assert (zones[0, 0], zones[10, 11]) == (1, 6)
    assert (zones[1:4, 2:5] == 1).all()
    assert (zones[4:7, 2:5] == 2).all()


def test_without_lungs_nothing_has_a_share():
    nothing = masks()
    assert not number_zones(nothing).any()
    assert all(math.isnan(share) for share in infected_shares(nothing, nothing).values())


@pytest.mark.parametrize("boxes", [(RIGHT_LUNG, LEFT_LUNG), (RIGHT_LUNG,)])
def test_in_a_mirror_right_and_left_change_places(boxes):
    lungs, infection = masks(*boxes), masks((slice(3, 8), slice(3, 9)))
    shares = infected_shares(infection, lungs)
    mirrored = infected_shares(infection[:, ::-1], np.ascontiguousarray(lungs[:, ::-1]))
    swap = {"right": "left", "left": "right", "infected": "infected"}
    for name, share in shares.items():
        side, _, part = name.partition("_")
        assert mirrored[f"{swap[side]}_{part}"] == pytest.approx(share, nan_ok=True)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_zones_add_up_to_the_lungs(data):
    shape = data.draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
    infection, lungs = (
        data.draw(arrays(np.uint8, shape, elements=st.integers(0, 1))) for _ in range(2)
    )
    zones, shares = number_zones(lungs), infected_shares(infection, lungs)
    np.testing.assert_array_equal(zones > 0, lungs == 1)
    for name, parts in (("infected_share", ZONES), ("right_share", RIGHT), ("left_share", LEFT)):
        sizes = [int((zones == 1 + ZONES.index(part)).sum()) for part in parts]
        infected = sum(size * shares[part] for size, part in zip(sizes, parts, strict=True) if size)
        if sum(sizes):
            assert shares[name] == pytest.approx(infected / sum(sizes))
        else:
            assert math.isnan(shares[name])
    if lungs.any():
        assert shares["infected_share"] == pytest.approx((infection & lungs).sum() / lungs.sum())

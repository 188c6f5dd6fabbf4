import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import center_of_mass

from helpers.train.augmentation import (
    NUMBERS,
    STRENGTHS,
    Changes,
    Strength,
    augment,
    draw_changes,
    draw_noise,
)

STILL = Strength(turn=0, stretch=0, shift=0, gamma=0, exposure=0, blur=0, opacity=0)
SIZE = 64


def disc(row: float, column: float, radius: float) -> np.ndarray:
    """Return a mask with a disc."""
    rows, columns = np.indices((SIZE, SIZE))
    return (np.hypot(rows - row, columns - column) < radius).astype(np.uint8)


MASK = disc(25, 40, 14)
IMAGE = 40 + 100 * MASK + np.indices((SIZE, SIZE)).sum(axis=0).astype(np.uint8) // 4


def changed(strength: Strength, seed: int, image=IMAGE, mask=MASK):
    change = draw_changes(strength, (seed, 1), count=1, size=SIZE).of(0)
    return augment(image, mask, change, draw_noise((seed, 2), SIZE))


def test_without_strength_an_xray_is_at_most_mirrored():
    seen = set()
    for seed in range(20):
        image, mask = changed(STILL, seed)
        flipped = not np.array_equal(image, IMAGE)
        seen.add(flipped)
        np.testing.assert_array_equal(image, IMAGE[:, ::-1] if flipped else IMAGE)
        np.testing.assert_array_equal(mask, MASK[:, ::-1] if flipped else MASK)
    assert seen == {True, False}


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), name=st.sampled_from(sorted(STRENGTHS)))
def test_every_change_keeps_shape_and_kind(seed, name):
    image, mask = changed(STRENGTHS[name], seed)
    assert image.shape == mask.shape == (SIZE, SIZE)
    assert image.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) <= {0, 1}
    again = changed(STRENGTHS[name], seed)
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(mask, again[1])


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_the_mask_moves_with_its_xray(seed):
    moves = STRENGTHS["strong"]._replace(gamma=0, exposure=0, blur=0, opacity=0)
    image, mask = changed(moves, seed, image=255 * disc(32, 36, 12), mask=disc(32, 36, 12))
    assert ((image > 127) != mask).mean() < 0.02
    assert center_of_mass(mask) == pytest.approx(center_of_mass(image > 127), abs=0.5)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_motions_stay_within_their_limits(seed):
    strength = STILL._replace(turn=15, stretch=0.2, shift=0.08)
    middle = disc(31.5, 31.5, 10)
    _, mask = changed(strength, seed, mask=middle)
    row, column = center_of_mass(mask)
    assert abs(row - 31.5) < 0.08 * SIZE + 0.5
    assert abs(column - 31.5) < 0.08 * SIZE + 0.5
    assert np.exp(-0.4) * 0.95 < mask.sum() / middle.sum() < np.exp(0.4) * 1.05


@pytest.mark.parametrize("kind", ["gamma", "exposure", "blur", "opacity"])
def test_each_kind_changes_grey_values_and_no_mask(kind):
    strength = STILL._replace(**{kind: 1})
    images = []
    for seed in range(4):
        image, mask = changed(strength, seed)
        assert np.array_equal(mask, MASK) or np.array_equal(mask, MASK[:, ::-1])
        assert not np.array_equal(image, IMAGE)
        assert not np.array_equal(image, IMAGE[:, ::-1])
        images.append(image.tobytes())
    assert len(set(images)) == 4


def test_opacities_only_brighten_what_is_dark():
    for seed in range(10):
        dark = np.full((SIZE, SIZE), 30, np.uint8)
        covered, _ = changed(STILL._replace(opacity=1), seed, image=dark)
        assert covered.min() >= 30
        assert covered.max() > 50


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), count=st.integers(1, 9), name=st.sampled_from(sorted(STRENGTHS)))
def test_seed_and_row_decide_a_change_however_many_rows_there_are(seed, count, name):
    some, more = (draw_changes(STRENGTHS[name], (seed, 1), n, SIZE) for n in (count, 12))
    for field, few, many in zip(Changes._fields, some, more, strict=True):
        np.testing.assert_array_equal(few, many[:count], err_msg=field)
    assert len(np.unique(more.motion, axis=0)) == 12


def test_no_number_is_drawn_in_vain(monkeypatch):
    monkeypatch.setattr("helpers.train.augmentation.NUMBERS", NUMBERS - 1)
    with pytest.raises(StopIteration):
        draw_changes(STRENGTHS["strong"], (0, 1), 1, SIZE)


def test_changes_are_as_frequent_and_as_large_as_their_strength_says():
    strong = STRENGTHS["strong"]
    drawn = draw_changes(strong, (0, 1), count=20_000, size=100)
    hides = drawn.patches[..., 6] > 0
    for found, share in (
        (drawn.repeats, 0.5),
        (hides.any(axis=1), strong.opacity),
        (hides.all(axis=1), strong.opacity / 3),
        (drawn.blur > 0, strong.blur),
        (drawn.noise > 0, strong.blur),
        (drawn.clipped, strong.exposure),
        (drawn.contrast != 1, strong.exposure),
        (drawn.brightness != 0, strong.exposure),
        (np.linalg.det(drawn.motion[:, :, :2]) < 0, 0.5),
    ):
        assert found.mean() == pytest.approx(share, abs=0.02)
    assert np.log(drawn.exponent).std() == pytest.approx(strong.gamma, abs=0.01)
    for found, low, high in (
        (drawn.blur[drawn.blur > 0], 0.2, 1.2),
        (drawn.noise[drawn.noise > 0], 2.55, 15.3),
        (drawn.window, 0, 99),
        (drawn.ends[:, 0], 0, 0.05),
        (drawn.ends[:, 1], 0.92, 1),
        (drawn.contrast, 0.5, 1.2),
        (drawn.brightness, -0.15, 0.15),
    ):
        assert low <= found.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < found.max() <= high

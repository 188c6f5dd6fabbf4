import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import binary_fill_holes, label

from helpers.train.postprocessing import clean_mask, draw_lungs, expect_dice

masks = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 1)
)


def draw(*rows: str) -> np.ndarray:
    """Return a mask drawn with # for lung."""
    return np.array([[sign == "#" for sign in row] for row in rows]).astype(np.uint8)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (draw("##.##", "##.##"), draw("##.##", "##.##")),
        (draw("##..#..##", "##.....##"), draw("##.....##", "##.....##")),
        (draw("###.#####", "#.#.#...#", "###.#####"), draw("###.#####", "###.#####", "###.#####")),
        (draw("##########.#"), draw("##########.#")),
        (draw("###########.#"), draw("###########..")),
        (
            draw("#####..#", "#...#..#", "#.#.#..#", "#...#...", "#####..."),
            draw("#####..#", "#####..#", "#####..#", "#####...", "#####..."),
        ),
        (draw("....", "...."), draw("....", "....")),
        (draw("####", "####"), draw("####", "####")),
    ],
    ids=["two", "a speck", "holes", "a tenth", "less than a tenth", "island", "empty", "full"],
)
def test_two_regions_without_holes_are_kept(before, after):
    np.testing.assert_array_equal(clean_mask(before), after)


@settings(max_examples=200, deadline=None)
@given(mask=masks)
def test_what_is_left_is_at_most_two_of_the_regions_filled(mask):
    cleaned = clean_mask(mask)
    assert (cleaned.dtype, cleaned.shape) == (mask.dtype, mask.shape)
    assert cleaned.any() == mask.any()
    eight = np.ones((3, 3))
    _, count = label(cleaned, eight)
    assert count <= 2
    np.testing.assert_array_equal(binary_fill_holes(cleaned), cleaned)
    np.testing.assert_array_equal(clean_mask(cleaned), cleaned)
    filled = binary_fill_holes(mask)
    assert not cleaned[~filled].any()
    areas = np.sort(np.bincount(label(filled, eight)[0].ravel())[1:])[::-1][:2]
    assert cleaned.sum() == sum(area for area in areas if area >= 0.1 * areas[0])


@given(masks, st.data())
def test_of_sure_probabilities_the_expected_dice_is_the_dice(mask, data):
    other = data.draw(arrays(np.uint8, mask.shape, elements=st.integers(0, 1)))
    total = int(mask.sum()) + int(other.sum())
    expected = 2 * int((mask & other).sum()) / total if total else 1
    assert expect_dice(other.astype("float32"), mask) == pytest.approx(expected)


@given(masks, st.floats(0.5, 1, width=32))
def test_the_less_sure_a_network_is_the_less_dice_it_expects(mask, chance):
    probability = mask * np.float32(chance)
    expected = 2 * chance / (1 + chance) if mask.any() else 1
    assert expect_dice(probability, mask) == pytest.approx(expected, abs=1e-6)


def test_what_lies_above_the_threshold_is_lung():
    probability = np.array([[0.2, 0.4, 0.5, 0.6]], np.float32)
    assert draw_lungs(probability, (1, 4)).tolist() == [[0, 0, 0, 1]]
    assert draw_lungs(probability, (1, 4), threshold=0.3).tolist() == [[0, 1, 1, 1]]

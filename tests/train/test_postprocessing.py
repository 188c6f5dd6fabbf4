import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy.ndimage import binary_fill_holes, label

from helpers.train.postprocessing import clean_mask

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

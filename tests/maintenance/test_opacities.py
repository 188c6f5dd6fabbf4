import cv2
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.images import resize_image, resize_mask
from helpers.data.synthetic import draw_xray
from maintenance.lungs.opacities import Xrays, cover_lungs, cover_some

SIZE = (128, 128)
few = settings(max_examples=30, deadline=None)


def draw(seed: int) -> tuple[np.ndarray, np.ndarray]:
    image, mask = draw_xray("Normal", seed)
    return resize_image(image, SIZE), resize_mask(mask // 255, SIZE)


IMAGE, MASK = draw(3)


@few
@given(st.integers(0, 2**32 - 1))
def test_only_lungs_are_filled_and_filling_makes_them_brighter(seed):
    covered = cover_lungs(IMAGE, MASK, np.random.default_rng(seed))
    assert (covered.dtype, covered.shape) == (IMAGE.dtype, IMAGE.shape)
    change = covered.astype(int) - IMAGE
    far = cv2.dilate(MASK, np.ones((25, 25), np.uint8)) == 0
    assert np.abs(change[far]).max() <= 1
    assert change[MASK > 0].mean() >= 0


def test_some_lungs_become_as_bright_as_the_heart():
    found = [cover_lungs(IMAGE, MASK, np.random.default_rng(seed)) for seed in range(40)]
    means = np.array([image[MASK > 0].mean() for image in found])
    middle = slice(SIZE[1] // 2 - 8, SIZE[1] // 2 + 8)
    heart = np.median(IMAGE[60:90, middle])
    assert means.max() > 0.7 * heart
    assert IMAGE[MASK > 0].mean() < 0.6 * heart
    assert means.min() < IMAGE[MASK > 0].mean() + 15


def test_without_lungs_nothing_changes():
    nothing = np.zeros_like(MASK)
    np.testing.assert_array_equal(cover_lungs(IMAGE, nothing, np.random.default_rng(0)), IMAGE)


def test_a_share_of_the_xrays_is_covered_and_a_seed_decides_which():
    xrays = Xrays(np.stack([IMAGE] * 200), np.stack([MASK] * 200))
    first, again, other = (cover_some(xrays, 0.4, seed).images for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert 0.25 < (first != IMAGE).any(axis=(1, 2)).mean() < 0.55

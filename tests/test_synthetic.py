"""The drawn X-rays: what they hold, what they keep equal, and the data set made of them."""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.synthetic import (
    CLASS_NAMES,
    DEMO_COUNTS,
    SYNTHETIC_MARKER,
    draw_xray,
    image_seed,
    write_data_set,
)
from helpers.synthetic.xrays import MASK_SIZE, XRAY_SIZE

DISEASES = ("COVID", "Lung_Opacity", "Viral Pneumonia")
SMALL_COUNTS = {"COVID": 3, "Normal": 2, "Lung_Opacity": 1, "Viral Pneumonia": 1}
seeds = st.integers(0, 2**32 - 1)


def lungs_at_xray_size(mask: np.ndarray, grown_by: int) -> np.ndarray:
    """The mask at the X-ray's size, bool, grown (or shrunk, if negative) by so many pixels."""
    lungs = cv2.resize(mask, (XRAY_SIZE, XRAY_SIZE), interpolation=cv2.INTER_NEAREST)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(grown_by) + 1,) * 2)
    return (cv2.dilate if grown_by > 0 else cv2.erode)(lungs, disc) > 0


def difference(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Absolute difference of two uint8 X-rays, in grey levels, int."""
    return np.abs(first.astype(int) - second.astype(int))


@pytest.fixture(scope="module")
def data_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small data set on disk."""
    folder = tmp_path_factory.mktemp("synthetic")
    write_data_set(folder, SMALL_COUNTS, seed=3)
    return folder


@pytest.mark.parametrize("class_name", CLASS_NAMES)
def test_shapes_types_and_values(class_name: str) -> None:
    image, mask = draw_xray(class_name, seed=1)
    assert image.shape == (XRAY_SIZE, XRAY_SIZE) == (299, 299)
    assert mask.shape == (MASK_SIZE, MASK_SIZE) == (256, 256)
    assert image.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 255}


def test_an_unknown_class_is_named_with_the_allowed_ones() -> None:
    with pytest.raises(ValueError, match=r"'Covid'.*COVID, Normal, Lung_Opacity, Viral Pneumonia"):
        draw_xray("Covid", seed=0)


@settings(max_examples=6, deadline=None)
@given(seed=seeds, class_name=st.sampled_from(CLASS_NAMES))
def test_equal_seeds_draw_equal_pixels(seed: int, class_name: str) -> None:
    first, second = draw_xray(class_name, seed), draw_xray(class_name, seed)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


def test_seeds_draw_different_bodies() -> None:
    masks = {draw_xray("Normal", seed)[1].tobytes() for seed in range(12)}
    assert len(masks) == 12


@settings(max_examples=50, deadline=None)
@given(seed=seeds)
def test_the_mask_is_two_lungs_of_plausible_size(seed: int) -> None:
    _, mask = draw_xray("Normal", seed)
    count, _, stats, centres = cv2.connectedComponentsWithStats(mask)
    assert count == 3, "background, right lung, left lung"
    areas = stats[1:, cv2.CC_STAT_AREA]
    assert 0.12 < areas.sum() / mask.size < 0.45
    assert areas.min() > 0.3 * areas.max()
    assert np.ptp(centres[1:, 0]) > 0.2 * MASK_SIZE, "the lungs lie side by side"


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_lungs_are_darker_than_what_lies_between_and_below(seed: int) -> None:
    image, mask = draw_xray("Normal", seed)
    inside = lungs_at_xray_size(mask, -3)
    rows, columns = np.nonzero(inside)
    middle = slice(int(columns.mean()) - 6, int(columns.mean()) + 6)
    between = image[int(rows.mean()) : rows.max(), middle]
    assert image[inside].mean() + 20 < between.mean()


@settings(max_examples=10, deadline=None)
@given(seed=seeds, disease=st.sampled_from(DISEASES))
def test_classes_differ_inside_the_lungs_only(seed: int, disease: str) -> None:
    healthy, healthy_mask = draw_xray("Normal", seed)
    ill, ill_mask = draw_xray(disease, seed)
    np.testing.assert_array_equal(healthy_mask, ill_mask)
    changed = difference(healthy, ill)
    assert changed[~lungs_at_xray_size(healthy_mask, 4)].max() == 0
    assert changed[~lungs_at_xray_size(healthy_mask, 1)].max() <= 12, "blur at the border"
    assert changed[lungs_at_xray_size(healthy_mask, -3)].mean() > 1.5


def test_covid_whitens_both_lungs_more_than_the_base_rate_of_noise() -> None:
    for seed in range(8):
        healthy, mask = draw_xray("Normal", seed)
        gain = draw_xray("COVID", seed)[0].astype(int) - healthy
        lungs = lungs_at_xray_size(mask, -3)
        middle = int(np.nonzero(lungs)[1].mean())
        right, left = lungs.copy(), lungs.copy()
        right[:, middle:], left[:, :middle] = False, False
        assert gain[right].mean() > 3
        assert gain[left].mean() > 3


def test_no_two_xrays_of_a_data_set_share_their_seed() -> None:
    numbered = [
        image_seed(class_name, seed, number)
        for seed in (0, 1)
        for class_name, count in DEMO_COUNTS.items()
        for number in range(1, count + 1)
    ]
    assert len(set(numbered)) == len(numbered)


def test_the_data_set_has_the_layout_of_the_database(data_set: Path) -> None:
    for class_name, count in SMALL_COUNTS.items():
        names = {f"{class_name}-{number}.png" for number in range(1, count + 1)}
        for kind in ("images", "masks"):
            assert {path.name for path in (data_set / class_name / kind).iterdir()} == names
        table = pd.read_excel(data_set / f"{class_name}.metadata.xlsx")
        assert list(table.columns) == ["FILE NAME", "FORMAT", "SIZE", "URL"]
        assert {f"{name}.png" for name in table["FILE NAME"]} == names
        assert set(table["URL"]) == {"synthetic"}


def test_the_data_set_says_that_it_is_synthetic(data_set: Path) -> None:
    assert (data_set / SYNTHETIC_MARKER).exists()
    assert "None of them is of any patient" in (data_set / "README.md.txt").read_text()


def test_files_hold_grey_xrays_and_rgb_masks(data_set: Path) -> None:
    image, mask = draw_xray("COVID", image_seed("COVID", 3, 2))
    read_image = cv2.imread(str(data_set / "COVID/images/COVID-2.png"), cv2.IMREAD_UNCHANGED)
    read_mask = cv2.imread(str(data_set / "COVID/masks/COVID-2.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(read_image, image)
    assert read_mask.shape == (MASK_SIZE, MASK_SIZE, 3)
    for channel in range(3):
        np.testing.assert_array_equal(read_mask[..., channel], mask)


def test_equal_seeds_write_equal_files_and_others_do_not(data_set: Path, tmp_path: Path) -> None:
    write_data_set(tmp_path / "again", {"COVID": 2}, seed=3)
    write_data_set(tmp_path / "other", {"COVID": 2}, seed=4)
    for path in sorted((tmp_path / "again").rglob("*.png")):
        relative = path.relative_to(tmp_path / "again")
        assert path.read_bytes() == (data_set / relative).read_bytes()
        assert path.read_bytes() != (tmp_path / "other" / relative).read_bytes()


def test_a_data_set_of_an_unknown_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="unknown class 'Healthy'"):
        write_data_set(tmp_path, {"Healthy": 1})
    assert not any(tmp_path.iterdir())

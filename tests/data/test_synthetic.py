"""The drawn X-rays: what they hold, what they keep equal, and the data set made of them."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.synthetic import (
    CLASS_NAMES,
    DEMO_COUNTS,
    SYNTHETIC_MARKER,
    Drawing,
    draw_infected,
    draw_xray,
    image_seed,
    write_data_set,
)
from helpers.data.synthetic.data_set import Changes, change, choose_changes, plan_copies
from helpers.data.synthetic.xrays import MASK_SIZE, XRAY_SIZE

DISEASES = ("COVID", "Lung_Opacity", "Viral Pneumonia")
SMALL_COUNTS = {"COVID": 3, "Normal": 2, "Lung_Opacity": 1, "Viral Pneumonia": 1}
COPIED_COUNTS = {"COVID": 8, "Normal": 8}
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


@pytest.fixture(scope="module")
def copied_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set on disk of which half are copies."""
    folder = tmp_path_factory.mktemp("copied")
    write_data_set(folder, COPIED_COUNTS, seed=5, copies=0.5)
    return folder


def read_drawing(folder: Path, class_name: str, number: int) -> Drawing:
    """The X-ray and the masks, as stored, of a data set on disk."""
    name = f"{class_name}-{number}.png"
    paths = (folder / class_name / kind / name for kind in ("images", "masks", "infection masks"))
    return Drawing(*(cv2.imread(str(path), cv2.IMREAD_UNCHANGED) for path in paths))


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    """Intersection over union of two bool masks."""
    return (first & second).sum() / (first | second).sum()


def cut_out(mask: np.ndarray, changes: Changes) -> np.ndarray:
    """The crop of a mask at the mask's size, bool, cut at whole pixels of a larger mask."""
    size = 20 * len(mask)
    large = cv2.resize(mask, (size, size), interpolation=cv2.INTER_NEAREST)
    left, top, side = (round(share * size) for share in (*changes.corner, changes.side))
    part = large[top : top + side, left : left + side]
    return cv2.resize(part, mask.shape[::-1], interpolation=cv2.INTER_AREA) > 127


@settings(max_examples=6, deadline=None)
@given(seed=seeds, class_name=st.sampled_from(CLASS_NAMES))
def test_equal_seeds_draw_equal_pixels(seed: int, class_name: str) -> None:
    image, mask = draw_xray(class_name, seed)
    assert image.shape == (XRAY_SIZE, XRAY_SIZE) == (299, 299)
    assert mask.shape == (MASK_SIZE, MASK_SIZE) == (256, 256)
    assert image.dtype == mask.dtype == np.uint8
    assert set(np.unique(mask)) == {0, 255}
    for first, again in zip((image, mask), draw_xray(class_name, seed), strict=True):
        np.testing.assert_array_equal(first, again)


def test_an_unknown_class_is_named_with_the_allowed_ones() -> None:
    with pytest.raises(ValueError, match=r"'Covid'.*COVID, Normal, Lung_Opacity, Viral Pneumonia"):
        draw_xray("Covid", seed=0)


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
    assert changed[~lungs_at_xray_size(healthy_mask, 1)].max() <= 20, "blur at the border"
    # A single opacity may be small, but it must be seen.
    assert np.percentile(changed[lungs_at_xray_size(healthy_mask, -3)], 99) > 10


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


@settings(max_examples=30, deadline=None)
@given(seed=seeds, class_name=st.sampled_from(CLASS_NAMES), varied=st.booleans())
def test_the_infection_lies_in_the_lungs_and_is_there_but_in_normal(seed, class_name, varied):
    drawing = draw_infected(class_name, seed, varied)
    for part, same in zip(drawing, draw_xray(class_name, seed, varied), strict=False):
        np.testing.assert_array_equal(part, same)
    assert drawing.infection.dtype == np.uint8 and drawing.infection.shape == (MASK_SIZE, MASK_SIZE)
    assert set(np.unique(drawing.infection)) <= {0, 255}
    assert not drawing.infection[drawing.lungs == 0].any()
    assert drawing.infection.any() == (class_name != "Normal")


@pytest.mark.parametrize(
    ("disease", "low", "high"),
    [("COVID", 0.2, 0.5), ("Lung_Opacity", 0.1, 0.3), ("Viral Pneumonia", 0.15, 0.4)],
)
def test_the_infection_is_what_whitens_and_no_confetti(disease: str, low: float, high: float):
    shares, gains = [], []
    for seed in range(12):
        healthy, (ill, lungs, infection) = (
            draw_xray("Normal", seed)[0],
            draw_infected(disease, seed),
        )
        inside, seen = (lungs_at_xray_size(mask, -2) for mask in (lungs, infection))
        gain = ill.astype(int) - healthy
        gains.append((gain[seen].mean(), gain[inside & ~lungs_at_xray_size(infection, 2)].mean()))
        shares.append((infection > 0).sum() / (lungs > 0).sum())
        count, _, stats, _ = cv2.connectedComponentsWithStats(infection)
        assert count - 1 <= 8, "patches"
        assert np.median(stats[1:, cv2.CC_STAT_AREA]) > 0.01 * (lungs > 0).sum(), "no specks"
    assert low < np.mean(shares) < high
    within, around = np.mean(gains, axis=0)
    assert within > 2 * around


def test_no_two_originals_of_a_data_set_share_their_seed() -> None:
    numbered = [
        image_seed(class_name, seed, number)
        for seed in (0, 1)
        for class_name, count in DEMO_COUNTS.items()
        for number in range(count + 1)  # number 0 seeds the choice of the copies
    ]
    assert len(set(numbered)) == len(numbered)


def test_the_data_set_has_the_layout_of_the_database(data_set: Path) -> None:
    for class_name, count in SMALL_COUNTS.items():
        names = {f"{class_name}-{number}.png" for number in range(1, count + 1)}
        for kind in ("images", "masks", "infection masks"):
            assert {path.name for path in (data_set / class_name / kind).iterdir()} == names
        table = pd.read_excel(data_set / f"{class_name}.metadata.xlsx")
        assert list(table.columns) == ["FILE NAME", "FORMAT", "SIZE", "URL"]
        assert {f"{name}.png" for name in table["FILE NAME"]} == names
        assert set(table["URL"]) == {"synthetic"}
    assert (data_set / SYNTHETIC_MARKER).exists()
    assert "None of them is of any patient" in (data_set / "README.md.txt").read_text()


def test_files_hold_grey_xrays_and_rgb_masks(data_set: Path) -> None:
    drawn = draw_infected("COVID", image_seed("COVID", 3, 2))
    read = read_drawing(data_set, "COVID", 2)
    np.testing.assert_array_equal(read.image, drawn.image)
    for read_mask, mask in zip(read[1:], drawn[1:], strict=True):
        assert read_mask.shape == (MASK_SIZE, MASK_SIZE, 3)
        for channel in range(3):
            np.testing.assert_array_equal(read_mask[..., channel], mask)


@settings(deadline=None)
@given(count=st.integers(0, 400), share=st.floats(0, 1), seed=seeds)
def test_the_planned_copies_are_the_last_and_have_their_originals(
    count: int, share: float, seed: int
) -> None:
    plan = plan_copies(count, share, seed)
    assert len(plan) == max(0, min(round(count * share), count - 3))
    originals = range(1, count - len(plan) + 1)
    assert list(plan) == list(range(len(originals) + 1, count + 1))
    assert {original for original, _ in plan.values()} <= set(originals)
    exact = [changes is None for _, changes in plan.values()]
    assert exact == [place % 2 == 0 for place in range(len(plan))]
    assert plan == plan_copies(count, share, seed)


def test_copies_are_the_same_pixels_or_changed_alike_in_xray_and_mask(copied_set: Path) -> None:
    for class_name, count in COPIED_COUNTS.items():
        plan = plan_copies(count, 0.5, image_seed(class_name, 5, 0))
        assert len(plan) == count / 2
        for number, (drawn, changes) in plan.items():
            image, *masks = read_drawing(copied_set, class_name, number)
            original, *original_masks = read_drawing(copied_set, class_name, drawn)
            assert image.shape == (XRAY_SIZE, XRAY_SIZE)
            assert (image.tobytes() == original.tobytes()) == (changes is None)
            assert np.corrcoef(image.ravel(), original.ravel())[0, 1] > 0.9
            for mask, original_mask in zip(masks, original_masks, strict=True):
                assert mask.shape == (MASK_SIZE, MASK_SIZE, 3)
                assert set(np.unique(mask)) <= {0, 255}
                if changes is None or not original_mask.any():
                    np.testing.assert_array_equal(mask, original_mask)
                else:
                    cropped = cut_out(original_mask[..., 0], changes)
                    assert overlap(mask[..., 0] > 0, cropped) > 0.98
                    assert overlap(mask > 0, original_mask > 0) < 0.99


@settings(max_examples=40, deadline=None)
@given(seed=seeds)
def test_a_changed_xray_follows_the_crop_as_its_masks_do(seed: int) -> None:
    drawing = draw_infected("COVID", 1)
    changes = choose_changes(np.random.default_rng(seed))
    for part, mask in enumerate(drawing[1:]):
        part_alone = cv2.resize(mask, (XRAY_SIZE, XRAY_SIZE)) // 2 + 40
        image, *masks = change(drawing._replace(image=part_alone), changes)
        middle = (float(image.min()) + float(image.max())) / 2
        seen = cv2.resize((image > middle).astype(np.uint8), mask.shape) > 0
        assert overlap(seen, masks[part] > 0) > (0.96, 0.93)[part]


def test_each_change_shows() -> None:
    drawing = draw_infected("COVID", 2)
    image = drawing.image
    none = Changes((0, 0), 1, 1, 1, 1, 100)
    same = change(drawing, none)
    assert difference(same.image, image).max() <= 4, "but for JPEG"
    np.testing.assert_array_equal(same.lungs, drawing.lungs)
    np.testing.assert_array_equal(same.infection, drawing.infection)
    darker = change(drawing, replace(none, brightness=0.8)).image
    assert darker.mean() == pytest.approx(0.8 * image.mean(), rel=0.02)
    flatter = change(drawing, replace(none, contrast=0.8)).image
    assert flatter.std() == pytest.approx(0.8 * image.std(), rel=0.02)
    smaller = change(drawing, replace(none, scale=0.5)).image
    assert cv2.Laplacian(smaller, cv2.CV_64F).std() < 0.8 * cv2.Laplacian(image, cv2.CV_64F).std()
    coarse = change(drawing, replace(none, quality=50)).image
    assert difference(coarse, image).mean() > 0.5


def test_five_in_a_hundred_are_copies_unless_told_otherwise(tmp_path: Path) -> None:
    write_data_set(tmp_path, {"Normal": 40})
    pixels = [path.read_bytes() for path in tmp_path.glob("Normal/images/*")]
    assert len(set(pixels)) == 39, "two copies: one exact, one changed"


def test_copies_leave_the_originals_as_they_are(copied_set: Path, tmp_path: Path) -> None:
    write_data_set(tmp_path, {"COVID": 5}, seed=5, copies=0)
    pairs = [
        [folder / f"COVID/images/COVID-{number}.png" for folder in (tmp_path, copied_set)]
        for number in range(1, 6)
    ]
    same = [first.read_bytes() == second.read_bytes() for first, second in pairs]
    assert same == [True, True, True, True, False], "the fifth is a copy in one of them"
    assert len({first.read_bytes() for first, _ in pairs}) == 5


def test_equal_seeds_write_equal_files_and_others_do_not(copied_set: Path, tmp_path: Path) -> None:
    write_data_set(tmp_path / "again", {"COVID": 8}, seed=5, copies=0.5)
    write_data_set(tmp_path / "other", {"COVID": 8}, seed=4, copies=0.5)
    paths = [path.relative_to(tmp_path / "again") for path in (tmp_path / "again").rglob("*.png")]
    assert len(paths) == 24
    for path in paths:
        assert (tmp_path / "again" / path).read_bytes() == (copied_set / path).read_bytes()
        assert (tmp_path / "other" / path).read_bytes() != (copied_set / path).read_bytes()


@pytest.mark.parametrize("share", [-0.1, 5, float("nan")])
@pytest.mark.parametrize("name", ["copies", "agreement"])
def test_a_share_that_is_none_is_refused(tmp_path: Path, name: str, share: float) -> None:
    with pytest.raises(ValueError, match=f"{name} .*: give a share from 0 to 1"):
        write_data_set(tmp_path, SMALL_COUNTS, **{name: share})
    assert not any(tmp_path.iterdir())


@settings(max_examples=15, deadline=None)
@given(seed=seeds, disease=st.sampled_from(DISEASES))
def test_varied_xrays_too_differ_by_their_class_inside_the_lungs_only(seed, disease):
    healthy, mask = draw_xray("Normal", seed, varied=True)
    ill, same = draw_xray(disease, seed, varied=True)
    np.testing.assert_array_equal(mask, same)
    assert set(np.unique(mask)) == {0, 255}
    outside = ~lungs_at_xray_size(mask, grown_by=6)
    assert difference(healthy, ill)[outside].max(initial=0) <= 3


def test_varied_bodies_have_larger_hearts_and_their_films_other_crops():
    usual, varied = (
        np.stack([draw_xray("Normal", seed, varied)[1] > 0 for seed in range(60)])
        for varied in (False, True)
    )
    shares = [masks.mean(axis=(1, 2)) for masks in (usual, varied)]
    assert np.std(shares[1]) > 1.5 * np.std(shares[0])
    touching = [masks[:, 0].any(axis=1).mean() for masks in (usual, varied)]
    assert touching[1] > touching[0] + 0.1
    assert (usual != varied).any(axis=(1, 2)).mean() > 0.8

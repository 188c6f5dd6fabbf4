from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import eigh

from helpers.audit import duplicates
from helpers.audit.duplicates import align, even_out, find_copies, make_thumbnail
from helpers.data.images import read_xray
from helpers.data.synthetic import CLASS_NAMES, draw_xray
from tests.benchmarks.duplicates import find_among, plant_copy
from tests.support.builders import xray

PLANTED = 24
# Whether all pairs are candidates, or only those that a descriptor finds alike.
both_ways = pytest.mark.parametrize("few", [0, 1_000], ids=["by descriptor", "all pairs"])


@pytest.fixture
def quick(monkeypatch) -> None:
    """Let the descriptor learn from fewer crops than it needs to be good."""
    monkeypatch.setattr(duplicates, "CROPS", 500)


@pytest.fixture(scope="module")
def drawn() -> list[np.ndarray]:
    """Thirty-six drawn X-rays of four classes; each has a seed, and so a body, of its own."""
    return [draw_xray(CLASS_NAMES[seed % 4], seed)[0] for seed in range(36)]


@pytest.fixture(scope="module")
def planted(drawn) -> list[np.ndarray]:
    """Copies of the first of them, in their order."""
    rng = np.random.default_rng(0)
    return [plant_copy(image, rng) for image in drawn[:PLANTED]]


@both_ways
def test_planted_copies_are_found_and_no_two_others(few, drawn, planted, monkeypatch):
    monkeypatch.setattr(duplicates, "FEW", few)
    true = {(row, len(drawn) + row) for row in range(PLANTED)}
    found = find_among([*drawn, *planted])
    assert found <= true
    assert len(found) >= 0.95 * PLANTED


@both_ways
@pytest.mark.usefixtures("quick")
def test_equal_pixels_are_pairs_and_pairs_are_sorted(few, drawn, monkeypatch):
    monkeypatch.setattr(duplicates, "FEW", few)
    images = [drawn[place] for place in (0, 1, 2, 1, 0, 1)]
    pairs = find_copies([make_thumbnail(image) for image in images])
    assert pairs == [(0, 4), (1, 3), (1, 5), (3, 5)]


@both_ways
@pytest.mark.usefixtures("quick")
def test_between_two_data_sets_the_pairs_are_those_of_one_and_the_other(
    few, drawn, planted, monkeypatch
):
    monkeypatch.setattr(duplicates, "FEW", few)
    thumbnails = [make_thumbnail(image) for image in (*drawn, *planted[:12], *drawn[:3])]
    together = find_copies(thumbnails)
    for first in (1, 20, 40, 50):
        between = [(one, two - first) for one, two in together if one < first <= two]
        assert find_copies(thumbnails[:first], thumbnails[first:]) == between
    assert find_copies(thumbnails, []) == []


def test_a_mirror_image_is_no_copy(drawn):
    assert find_among([image for whole in drawn[:6] for image in (whole, whole[:, ::-1])]) == set()


def test_noise_has_no_copies_but_its_own():
    assert find_among([xray(seed) for seed in (1, 2, 3, 1)]) == {(0, 3)}


@pytest.mark.parametrize("count", [0, 1, 2])
def test_hardly_any_xrays_are_compared_too(count, drawn):
    assert find_copies([make_thumbnail(image) for image in drawn[:count]]) == []


@both_ways
@pytest.mark.usefixtures("quick")
def test_flat_xrays_are_copies_of_nothing(few, drawn, monkeypatch):
    monkeypatch.setattr(duplicates, "FEW", few)
    flat = [np.full((299, 299), level, np.uint8) for level in (0, 0, 128, 255)]
    flat[1][0, 0] = 1  # gone from the thumbnail
    assert find_among([*flat, drawn[0], drawn[0]]) == {(4, 5)}


@pytest.mark.parametrize(("count", "expected"), [(5, {(0, 4)}), (6, set())])
def test_more_than_few_xrays_are_compared_by_descriptor(count, expected, drawn, monkeypatch):
    monkeypatch.setattr(duplicates, "FEW", 5)
    # Descriptors by which no X-ray is like another: whoever asks them finds nothing.
    monkeypatch.setattr(duplicates, "_describe", lambda thumbnails: np.eye(len(thumbnails)))
    assert find_among([drawn[place] for place in (0, 1, 2, 3, 0, 5)[:count]]) == expected


@settings(max_examples=50, deadline=None)
@given(count=st.integers(0, 20), block=st.integers(1, 8), seed=st.integers(0, 99))
def test_every_pair_of_alike_descriptors_is_a_candidate_block_by_block(count, block, seed):
    vectors = np.random.default_rng(seed).normal(size=(count, 2)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "BLOCK", block)
        pairs = duplicates._similar_pairs(vectors)
    alike = vectors @ vectors.T > duplicates.SIMILAR_DESCRIPTORS
    expected = [pair for pair in combinations(range(count), 2) if alike[pair]]
    assert sorted(map(tuple, pairs.tolist())) == expected


@settings(max_examples=50, deadline=None)
@given(height=st.integers(1, 400), width=st.integers(1, 400), level=st.integers(0, 255))
def test_a_thumbnail_has_one_size_whatever_its_xray_has(height, width, level):
    thumbnail = make_thumbnail(np.full((height, width), level, np.uint8))
    assert thumbnail.shape == (96, 96)
    assert thumbnail.dtype == np.uint8
    assert (thumbnail == level).all()


def test_evening_out_takes_brightness_contrast_and_shadow_away(drawn):
    detail = np.random.default_rng(0).normal(0, 30, (48, 48)).astype(np.float32)
    shadow = np.linspace(-20, 20, 48, dtype=np.float32)
    expected = even_out(128 + detail, width=7)
    for changed in (100 + detail, 128 + 0.8 * detail, 128 + detail + shadow):
        inside = (slice(4, -4), slice(4, -4))  # the edges' surroundings are mirrored
        np.testing.assert_allclose(even_out(changed, 7)[inside], expected[inside], atol=0.2)
    assert 0.8 < expected.std() < 1.2
    assert not even_out(np.full((48, 48), 77, np.uint8), 7).any()


@pytest.mark.parametrize("count", [2, 3, 4, 7])
def test_many_images_are_evened_out_as_one_by_one(count, drawn, monkeypatch):
    monkeypatch.setattr(duplicates, "CHANNELS", 3)
    images = np.stack([make_thumbnail(image) for image in drawn[:count]])
    together = duplicates._even_out_all(images, width=7)
    alone = [even_out(image, width=7) for image in images]
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_discriminants_are_of_the_xrays_with_their_mirror_images():
    rng = np.random.default_rng(0)
    size = duplicates.DESCRIPTOR_SIZE
    chosen = rng.normal(rng.normal(size=size**2), 1, (700, size**2)).astype(np.float32)
    crops = chosen + rng.normal(0, 0.3, chosen.shape).astype(np.float32)
    mirrored = chosen.reshape(-1, size, size)[..., ::-1].reshape(chosen.shape)
    both = np.concatenate([chosen, mirrored])
    mean, axes = duplicates._discriminants(chosen, crops)
    np.testing.assert_allclose(mean, both.mean(axis=0), atol=1e-5)
    change = crops - chosen
    within = change.T @ change / len(change)
    within += np.eye(size**2) * 0.03 * np.trace(within) / size**2
    largest = eigh(np.cov(both, rowvar=False, bias=True), within, eigvals_only=True)[-80:]
    weights = np.sqrt(largest) / (largest + duplicates.CHANGES)
    between = np.cov(both @ axes, rowvar=False, bias=True)
    np.testing.assert_allclose(between, np.diag(largest * weights**2), atol=1e-3)
    np.testing.assert_allclose(axes.T @ within @ axes, np.diag(weights**2), atol=1e-4)


def test_aligning_finds_a_shift_and_nothing_in_noise(drawn):
    image = even_out(make_thumbnail(drawn[0]), width=7)
    shifted = np.roll(image, 1, axis=1)
    assert align(image, image) == pytest.approx(1, abs=1e-3)
    unmoved = np.corrcoef(image.ravel(), shifted.ravel())[0, 1]
    assert unmoved < 0.8 < 0.9 < align(image, shifted)
    noise = np.random.default_rng(0).normal(size=image.shape).astype(np.float32)
    assert align(image, noise) < 0.5
    assert align(image, np.zeros_like(image)) <= 0


@pytest.fixture(scope="module")
def patients(real_data) -> dict[str, str]:
    """The patient of each real X-ray by its name."""
    table = pd.read_csv(real_data / "radiography_sample.csv", dtype=str)
    return dict(zip(table["file"].str.removesuffix(".png"), table["patient"], strict=True))


def test_copies_of_real_xrays_are_found_and_no_patients_are_merged(real_sets, patients):
    folder = real_sets["COVID-19_Radiography_Dataset"].root / "COVID" / "images"
    files = sorted(folder.iterdir())
    rng, images = np.random.default_rng(0), [read_xray(file) for file in files]
    sources = rng.choice(len(images), 60, replace=False)
    found = find_among([*images, *(plant_copy(images[row], rng) for row in sources)])
    true = {(int(row), len(images) + place) for place, row in enumerate(sources)}
    assert len(found & true) >= 0.98 * len(true)
    names = [file.stem for file in files] + [files[row].stem for row in sources]
    pairs = {tuple(sorted((names[one], names[other]))) for one, other in found}
    strangers = {pair for pair in pairs if patients[pair[0]] != patients[pair[1]]}
    # Looked at: these show one exposure, published twice under two patients' numbers.
    assert strangers == {
        ("COVID-156", "COVID-179"),
        ("COVID-166", "COVID-235"),
        ("COVID-167", "COVID-235"),
    }

import cv2
import numpy as np
import pytest

from helpers.data.images import resize_image
from helpers.data.synthetic import draw_xray
from helpers.train.lungs import seen
from helpers.train.lungs.seen import find_seen, measure_waves, write_seen
from tests.support.builders import refused


@pytest.fixture(scope="module")
def xrays() -> list[np.ndarray]:
    return [draw_xray("COVID", seed, varied=True)[0] for seed in range(120)]


@pytest.fixture
def known(xrays, tmp_path, monkeypatch):
    """The first forty X-rays are those that were trained on."""
    monkeypatch.setattr(seen, "SEEN", tmp_path / "seen.npz")
    seen.read_seen.cache_clear()
    write_seen(xrays[:40])
    yield
    seen.read_seen.cache_clear()


def test_training_xrays_are_found_and_others_are_not(known, xrays):
    found = find_seen(xrays)
    assert found[:40].all()
    assert not found[40:].any()


def test_a_resized_or_compressed_copy_is_found(known, xrays):
    for xray in xrays[:40]:
        code = cv2.imencode(".jpg", xray, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        copies = [resize_image(xray, (512, 512)), resize_image(xray, (200, 200))]
        copies += [cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), cv2.convertScaleAbs(xray, alpha=0.9)]
        assert find_seen(copies).all()


def test_equal_pixels_are_found_whatever_their_hash(known, xrays, monkeypatch):
    monkeypatch.setattr(seen, "NEAR", -1)
    assert find_seen(xrays).tolist() == [True] * 40 + [False] * 80


def test_brightness_and_contrast_hardly_change_the_waves(xrays):
    waves = measure_waves(xrays[0])
    paler = measure_waves(cv2.convertScaleAbs(xrays[0], alpha=0.5, beta=90))
    assert waves.shape == (64,)
    assert np.abs(paler - waves).max() < 0.05 * np.abs(waves).max()


def test_a_damaged_file_is_refused(known):
    seen.SEEN.write_bytes(b"no archive")
    seen.read_seen.cache_clear()
    with refused("seen.npz", "missing or damaged", "Install covid-lungs again"):
        find_seen([])


def test_of_real_xrays_those_of_other_sets_were_not_seen(real_sets, real_indexes):
    seen.read_seen.cache_clear()
    name = "COVID-19_Radiography_Dataset"
    index = real_indexes[name][0].iloc[::4]
    found = find_seen(real_sets[name].read_xray(file) for file in index["file"])
    assert not found.any()
    index = real_indexes["shenzhen"][0].iloc[::20]
    assert find_seen(real_sets["shenzhen"].read_xray(file) for file in index["file"]).all()

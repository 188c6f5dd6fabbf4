import cv2
import numpy as np
import pytest

from helpers.data.images import resize_image, resize_mask
from helpers.data.synthetic import draw_xray
from helpers.predict import chests
from helpers.predict.chests import find_chests, measure_frames
from helpers.train import lungs
from helpers.train.inference import predict
from helpers.train.postprocessing import draw_lungs
from tests.support.builders import refused
from tests.support.strangers import make_strangers

SIZE = (256, 256)


def draw_masks(xrays: np.ndarray) -> list[np.ndarray]:
    return [draw_lungs(one, SIZE) for one in predict(lungs.load_network(), xrays)]


@pytest.fixture(scope="module")
def strangers() -> np.ndarray:
    return np.stack([resize_image(picture, SIZE) for _, picture in make_strangers(5)])


def test_pictures_of_other_things_are_no_chests(strangers):
    found = find_chests(strangers, draw_masks(strangers))
    assert found.mean() <= 0.01


def test_other_hospitals_have_chests(real_sets, real_indexes):
    for name, index in ((name, found[0]) for name, found in real_indexes.items()):
        some = index.iloc[:: max(1, len(index) // 100)]
        xrays = np.stack(
            [resize_image(real_sets[name].read_xray(file), SIZE) for file in some["file"]]
        )
        assert find_chests(xrays, draw_masks(xrays)).mean() >= 0.97, name


def test_a_crop_or_a_margin_around_a_chest_hardly_moves_its_frame():
    image, mask = draw_xray("Normal", 5)
    image, mask = resize_image(image, SIZE), resize_mask(mask // 255, SIZE)
    known = chests.describe_frames([image], [mask])
    wide = [cv2.copyMakeBorder(part, 60, 20, 50, 90, cv2.BORDER_CONSTANT) for part in (image, mask)]
    wide = resize_image(wide[0], SIZE), resize_mask(wide[1], SIZE)
    moved = measure_frames([wide[0]], [wide[1]], known).item()
    assert moved < 0.15
    # Without the frame they are far apart.
    assert measure_frames([wide[0]], [np.ones(SIZE, np.uint8)], known).item() > 2 * moved


def test_without_lungs_the_whole_picture_is_compared():
    image, _ = draw_xray("Normal", 5)
    nothing, everything = np.zeros_like(image), np.ones_like(image)
    whole = chests.describe_frames([image], [nothing])
    near = chests.measure_frames([image], [everything], whole).item()
    assert near < 0.4  # but for what is repeated around it


def test_a_damaged_file_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "frames.npz"
    monkeypatch.setattr(chests, "FRAMES", path)
    path.write_bytes(b"no archive")
    chests.read_frames.cache_clear()
    try:
        with refused("frames.npz", "missing or damaged", "Install covid-lungs again"):
            chests.read_frames()
    finally:
        chests.read_frames.cache_clear()

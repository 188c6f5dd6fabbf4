"""The lung network inside the package: its form, and its file."""

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from helpers.data.images import resize_image, resize_mask
from helpers.data.synthetic import draw_xray, image_seed
from helpers.storage.folders import project_root
from helpers.train import lungs
from helpers.train.backend import keras
from helpers.train.inference import predict
from helpers.train.lungs import network
from helpers.train.metrics import dice
from tests.support.builders import refused

README = project_root() / "README.md"


@pytest.fixture(scope="module")
def chest() -> tuple[np.ndarray, np.ndarray]:
    """A synthetic X-ray and its true mask, (299, 299) each."""
    image, mask = draw_xray("Normal", image_seed("Normal", 1, 7))
    return image, resize_mask(mask // mask.max(), image.shape)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A copy of the weights' file, for a test to change; other tests load the package's own."""
    path = tmp_path / "weights.npz"
    path.write_bytes(lungs.WEIGHTS.read_bytes())
    monkeypatch.setattr(network, "WEIGHTS", path)
    network._load.cache_clear()
    yield path
    network._load.cache_clear()


def agree(one: np.ndarray, other: np.ndarray) -> float:
    """Return the Dice coefficient of two masks."""
    return float(dice(one[None, ..., None], other[None, ..., None])[0])


@pytest.mark.parametrize("size", [(299, 299), (70, 90), (900, 640)])
def test_the_mask_has_the_height_and_width_of_the_xray(chest, size):
    image = resize_image(chest[0], size)
    mask = lungs.segment(image)
    assert (mask.shape, mask.dtype) == (size, np.uint8)
    assert set(np.unique(mask)) == {0, 1}


def test_lungs_are_found_where_they_were_drawn(chest):
    assert agree(lungs.segment(chest[0]), chest[1]) > 0.9


def test_the_network_gives_chances_and_is_loaded_once(chest):
    loaded = lungs.load_network()
    assert loaded is lungs.load_network()
    assert loaded.input_shape == loaded.output_shape == (None, 256, 256, 1)
    chances = predict(loaded, resize_image(chest[0], (256, 256))[None])
    assert (chances.shape, chances.dtype) == ((1, 256, 256), np.float32)
    assert 0 <= chances.min() < 0.05 and 0.95 < chances.max() <= 1


def test_a_mirrored_xray_gives_the_mirrored_mask(chest):
    image = resize_image(chest[0], (256, 256))
    mirrored = lungs.segment(np.ascontiguousarray(image[:, ::-1]))
    assert (mirrored[:, ::-1] == lungs.segment(image)).mean() > 0.9998


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8), np.float32),
        np.zeros((8, 8), np.uint16),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((0, 8), np.uint8),
    ],
    ids=lambda image: f"{image.dtype} {image.shape}",
)
def test_what_is_no_grey_xray_is_refused_with_what_reads_one(image):
    with pytest.raises(ValueError, match=re.escape(f"{image.dtype} {image.shape}")) as caught:
        lungs.segment(image)
    assert "read_xray returns one" in str(caught.value)


def test_weights_in_16_bits_draw_the_same_lungs_as_in_32(weights, chest):
    unet = network.build_unet(network.SETTINGS)
    trained = network._read_weights()
    noise = np.random.default_rng(0)
    exact = [value * (1 + noise.uniform(-2e-4, 2e-4, value.shape)) for value in trained]
    exact = [value.astype("float32") for value in exact]  # between what 16 bits can say
    np.savez(weights, **{f"{number:03}": value for number, value in enumerate(exact)})
    mask = lungs.segment(chest[0])
    unet.set_weights(exact)
    network._load.cache_clear()
    lungs.write_weights(unet)
    with np.load(weights) as file:
        assert {file[name].dtype for name in file} == {np.dtype("float16")}
    kept = lungs.load_network().get_weights()
    assert any((one != other).any() for one, other in zip(kept, exact, strict=True))
    assert agree(lungs.segment(chest[0]), mask) > 0.999


def flip(content: bytes, part: float) -> bytes:
    """Return a file with one bit changed, at a part of its length."""
    place = int(part * len(content))
    return content[:place] + bytes([content[place] ^ 16]) + content[place + 1 :]


def pack_otherwise(content: bytes) -> bytes:
    """Return an archive whose list says of its first file that it is packed in an unknown way."""
    place = content.index(b"PK\1\2") + 10
    return content[:place] + b"c" + content[place + 1 :]


def pack_one_array() -> bytes:
    """Return a file of one array, which is no archive of several."""
    with BytesIO() as file:
        np.save(file, np.zeros(3))
        return file.getvalue()


DAMAGES = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1000]),
    "a picture": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n"),
    "a fifth of it changed": lambda path: path.write_bytes(flip(path.read_bytes(), 0.2)),
    "its middle changed": lambda path: path.write_bytes(flip(path.read_bytes(), 0.5)),
    "its end changed": lambda path: path.write_bytes(flip(path.read_bytes(), 0.8)),
    "packed otherwise": lambda path: path.write_bytes(pack_otherwise(path.read_bytes())),
    "another network's": lambda path: np.savez(path, **{"000": np.zeros((3, 3, 1, 8), np.float16)}),
    "one array": lambda path: path.write_bytes(pack_one_array()),
    "words": lambda path: np.savez(path, **{"000": np.array(["no", "number"])}),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_weights_that_are_damaged_are_refused(damage, weights, chest):
    DAMAGES[damage](weights)
    with refused("weights.npz", "missing or damaged", "Install covid-lungs again"):
        lungs.segment(chest[0])


class Trap:
    """What makes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_code_in_the_weights_is_not_run(weights, chest, tmp_path):
    np.savez(weights, **{"000": np.array([Trap(tmp_path / "sprung")])})
    with refused("weights.npz", "missing or damaged", "restore the file"):
        lungs.segment(chest[0])
    assert not (tmp_path / "sprung").exists()


def test_every_changed_byte_is_noticed(weights):
    intact, content = network._read_weights(), weights.read_bytes()
    for part in np.random.default_rng(0).random(60):
        weights.write_bytes(flip(content, part))
        try:
            read = network._read_weights()
        except network.CovidLungsError:
            continue
        # A date or a name of the archive's list: nothing that decides a mask.
        assert all(map(np.array_equal, read, intact))


def test_a_unet_begins_with_the_weights_of_the_package():
    unet = network.build_unet(network.SETTINGS, "infection")
    lungs.give_weights(unet)
    kept = lungs.load_network().get_weights()
    assert all(map(np.array_equal, unet.get_weights(), kept))


@pytest.mark.parametrize("filters", [(24, 48, 96), (24, 48, 96, 64)])
def test_a_unet_of_other_layers_is_refused(filters):
    unet = network.build_unet(replace(network.SETTINGS, filters=filters))
    with refused("from_lungs", "this U-Net has other layers", "leave from_lungs out"):
        lungs.give_weights(unet)


def test_the_card_the_readme_and_the_package_name_one_licence():
    card, readme = (path.read_text(encoding="utf-8") for path in (lungs.CARD, README))
    assert lungs.LICENCE in card and lungs.LICENCE in " ".join(readme.split())
    assert f"version {lungs.VERSION}" in card
    assert lungs.WEIGHTS.stat().st_size <= 5e6


def test_it_is_loaded_once_also_if_several_threads_ask():
    network._load.cache_clear()
    usual = keras.config.dtype_policy().name
    with ThreadPoolExecutor(4) as pool:
        loaded = list(pool.map(lambda _: lungs.load_network(), range(4)))
    assert len({id(one) for one in loaded}) == 1
    assert keras.config.dtype_policy().name == usual

import io
import json
import random
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from builders import refused

from helpers.errors import CovidLungsError
from helpers.trained import load_model


def write_network(path: Path, *added) -> Path:
    """Write a network of one convolution and what is added to it."""
    keras.utils.set_random_seed(3)
    layers = [keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3), *added]
    keras.Sequential(layers).save(path)
    return path


def rewrite(path: Path, **members: bytes) -> None:
    """Replace parts of a .keras file, by their names without the ending."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, old in content.items():
            archive.writestr(name, members.get(name.partition(".")[0], old))


def describe(path: Path) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read("config.json").decode()


def cut_off(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def zip_within_zip(path: Path) -> None:
    inner = io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model.keras", inner.getvalue())


def other_weights(path: Path) -> None:
    """Put weights of another network beside the description."""
    other = path.with_name("other.keras")
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(5, 5)]).save(other)
    with zipfile.ZipFile(other) as archive:
        rewrite(path, model=archive.read("model.weights.h5"))


def function_of_python(path: Path) -> None:
    """Ask for a function of Python in place of the activation."""
    config = json.loads(describe(path))
    function = {"module": "os", "class_name": "function", "config": "system"}
    config["config"]["layers"][1]["config"]["activation"] = function
    rewrite(path, config=json.dumps(config).encode())


FOREIGN = {
    "cut off": (cut_off, "it is cut off, or something else"),
    "empty": (lambda path: path.write_bytes(b""), "it is cut off, or something else"),
    "of text": (lambda path: path.write_text("network"), "it is cut off, or something else"),
    "missing": (Path.unlink, "there is no such file"),
    "a zip in a zip": (zip_within_zip, "it is an archive of something else"),
    "without description": (lambda path: rewrite(path, config=b"{}"), "it is damaged, or made by"),
    "of no JSON": (lambda path: rewrite(path, config=b"{"), "it is damaged, or made by"),
    "too long": (lambda path: rewrite(path, config=b" " * 2**25), "its description is too long"),
    "without weights": (lambda path: rewrite(path, model=b""), "it is damaged, or made by"),
    "of two": (other_weights, "it is damaged, or made by"),
    "with a function": (function_of_python, "it is damaged, or made by"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_that_is_no_whole_network_is_refused(kind, tmp_path):
    path = write_network(tmp_path / "model.keras")
    change, fault = FOREIGN[kind]
    change(path)
    with refused(str(path), fault, "Train it again, or restore it"):
        load_model(path)


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "model.keras").mkdir()
    (tmp_path / "model.keras/config.json").write_text("{}")
    with refused("model.keras", "there is no such file", "Train it again"):
        load_model(tmp_path / "model.keras")


@pytest.mark.parametrize("name", ["model.h5", "model.hdf5", "model.KERAS", "model.pkl", "model"])
def test_other_formats_are_refused(name, tmp_path):
    path = write_network(tmp_path / "model.keras").rename(tmp_path / name)
    with refused(name, "only .keras files are", "Train it again"):
        load_model(path)


@pytest.mark.parametrize("unsafe", [False, True])
def test_a_lambda_layer_is_refused_and_never_run(unsafe, tmp_path, monkeypatch):
    code = f"__import__('pathlib').Path({str(tmp_path / 'harmed')!r}).touch() or x"
    harmful = keras.layers.Lambda(eval(f"lambda x: {code}"))
    path = write_network(tmp_path / "model.keras", harmful)
    (tmp_path / "harmed").unlink()  # it ran when it was built here
    if unsafe:  # as another part of the process may have asked for
        monkeypatch.setattr("keras.src.saving.serialization_lib.in_safe_mode", lambda: False)
    with refused("model.keras", "it holds code", "Train it again"):
        load_model(path)
    assert not (tmp_path / "harmed").exists()


def test_a_lambda_layer_cannot_hide(tmp_path):
    path = write_network(tmp_path / "model.keras", keras.layers.Lambda(keras.ops.relu))
    rewrite(path, config=describe(path).replace('"Lambda"', '"\\u004cambda"').encode())
    assert "Lambda" not in describe(path)
    with refused("model.keras", "it holds code", "Train it again"):
        load_model(path)


def test_a_damaged_network_is_refused_or_the_same(tmp_path):
    path, draw = write_network(tmp_path / "model.keras"), random.Random(0)
    whole, weights = path.read_bytes(), load_model(path).get_weights()
    refusals = 0
    for place in draw.sample(range(len(whole)), 60):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            found = load_model(path).get_weights()
        except CovidLungsError:
            refusals += 1
            continue
        for one, other in zip(found, weights, strict=True):
            np.testing.assert_array_equal(one, other)
    assert refusals > 30

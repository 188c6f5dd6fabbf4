import json
import random
import zipfile
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from helpers.storage.errors import CovidLungsError
from helpers.train.models import build_detector, build_unet, look_twice
from helpers.train.recipes import RECIPES
from helpers.train.trained import (
    PARTS,
    TRIED,
    TRIED_NUMBERS,
    load_model,
    refuse_strangers,
    replace_model,
)
from tests.support.builders import refused


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


def other_weights(path: Path) -> None:
    """Put weights of another network beside the description."""
    other = path.with_name("other.keras")
    keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(5, 5)]).save(other)
    with zipfile.ZipFile(other) as archive:
        rewrite(path, model=archive.read("model.weights.h5"))


DAMAGED = "it is damaged, or made by other software"
FOREIGN = {
    "cut off": (cut_off, DAMAGED),
    "empty": (lambda path: path.write_bytes(b""), DAMAGED),
    "of text": (lambda path: path.write_text("network"), DAMAGED),
    "missing": (Path.unlink, "there is no such file"),
    "a folder": (lambda path: path.unlink() or path.mkdir(), "there is no such file"),
    "without description": (lambda path: rewrite(path, config=b"{}"), DAMAGED),
    "of no JSON": (lambda path: rewrite(path, config=b"{"), DAMAGED),
    "without weights": (lambda path: rewrite(path, model=b""), DAMAGED),
    "of two": (other_weights, DAMAGED),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_that_is_no_whole_network_is_refused(kind, tmp_path):
    path = write_network(tmp_path / "model.keras")
    change, fault = FOREIGN[kind]
    change(path)
    with refused(str(path), fault, "Train it again, or restore it"):
        load_model(path)


@pytest.mark.parametrize("name", ["model.h5", "model.KERAS", "model"])
def test_other_formats_are_refused(name, tmp_path):
    path = write_network(tmp_path / "model.keras").rename(tmp_path / name)
    with refused(name, "other files than .keras may hold code", "Train it again"):
        load_model(path)


@pytest.mark.parametrize("unsafe", [False, True])
def test_a_lambda_layer_is_refused_and_never_run(unsafe, tmp_path, monkeypatch):
    code = f"__import__('pathlib').Path({str(tmp_path / 'harmed')!r}).touch() or x"
    harmful = keras.layers.Lambda(eval(f"lambda x: {code}"))
    path = write_network(tmp_path / "model.keras", harmful)
    (tmp_path / "harmed").unlink()  # it ran when it was built here
    if unsafe:  # as another part of the process may have asked for
        monkeypatch.setattr("keras.src.saving.serialization_lib.in_safe_mode", lambda: False)
    with refused("model.keras", "it holds 'Lambda'", "Train it again"):
        load_model(path)
    assert not (tmp_path / "harmed").exists()


def describe_object(name: str, module: str | None = "keras.layers", **more) -> dict:
    """Return how Keras describes an object in a file."""
    return {"module": module, "class_name": name, "config": {}, "registered_name": None, **more}


STRANGERS = {
    "TFSMLayer": describe_object("TFSMLayer", config={"filepath": "harmful"}),
    "TorchModuleWrapper": describe_object("TorchModuleWrapper", config={"module": "harmful"}),
    "RandomFlip": describe_object("RandomFlip", config={}),
    "Mine": describe_object("Mine", "builtins", registered_name="mine>Mine"),
    "Conv2D": describe_object("Conv2D", "mine.layers"),
    "ReLU": describe_object("ReLU", registered_name="mine>ReLU"),
    "function": describe_object("function", "os", config="system", registered_name="system"),
    "__lambda__": describe_object("__lambda__", None, config={"value": "harmful"}),
    "__typespec__": {"class_name": "__typespec__", "spec_name": "x", "config": []},
    "None": {"module": "os", "config": "system"},
    "popen": {"class_name": "popen", "config": {}},
    "a\nb": describe_object("a\nb" * 99),
}


@pytest.mark.parametrize("name", STRANGERS)
@pytest.mark.parametrize("place", [None, "activation", "a name that Keras does not know"])
def test_an_object_of_no_recipe_is_refused_in_any_place(name, place, tmp_path, monkeypatch):
    path = write_network(tmp_path / "model.keras", keras.layers.ReLU())
    config = json.loads(describe(path))
    layers = config["config"]["layers"]
    if place is None:
        layers[2] = STRANGERS[name]
    else:
        layers[1]["config"][place] = [{"deeper": STRANGERS[name]}]
    rewrite(path, config=json.dumps(config).encode())
    monkeypatch.setattr(keras.models, "load_model", None)  # nothing gets that far
    with refused("model.keras", f"it holds {name!r}"[:-1], "Train it again"):
        load_model(path)


def shrink(settings):
    """Return settings of a network with fewer filters of the same kinds of layers."""
    return replace(settings, filters=tuple(2 for _ in settings.filters))


def build_networks():
    """Yield every kind of network that a recipe trains or makes of a trained one."""
    for recipe in RECIPES.values():
        yield build_detector(shrink(recipe.detection))
        yield build_detector(shrink(recipe.shortcuts))
        yield build_unet(shrink(recipe.segmentation))
        if recipe.segmentation.look_twice:
            yield look_twice(build_unet(shrink(recipe.segmentation)))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_the_networks_of_every_recipe_are_read_and_have_all_the_parts(policy, tmp_path):
    usual, seen = keras.config.dtype_policy(), set()
    keras.config.set_dtype_policy(policy)
    try:
        for model in build_networks():
            replace_model(model, tmp_path)
            found = load_model(tmp_path / "model.keras")
            assert found.count_params() == model.count_params()
            seen |= {*objects(json.loads(describe(tmp_path / "model.keras")))}
    finally:
        keras.config.set_dtype_policy(usual)
    seen.add(("keras", "Sequential"))  # as the original detector is until it is kept
    seen |= {("keras.layers", name) for name in TRIED}
    seen |= {(module, name) for module, names in TRIED_NUMBERS.items() for name in names}
    assert seen == {(module, name) for module, names in PARTS.items() for name in names}


JOINING = {"Add", "Maximum", "Multiply", "Subtract"}


@pytest.mark.parametrize("name", sorted(TRIED))
def test_a_layer_that_a_reader_may_try_is_read_back(name, tmp_path):
    given = {
        "AveragePooling2D": {"pool_size": 2},
        "DepthwiseConv2D": {"kernel_size": 3},
        "Dropout": {"rate": 0.5},
        "GaussianNoise": {"stddev": 0.1},
        "GroupNormalization": {"groups": 1},
        "Rescaling": {"scale": 2.0},
        "SeparableConv2D": {"filters": 2, "kernel_size": 3},
        "SpatialDropout2D": {"rate": 0.5},
    }
    xrays = keras.Input((8, 8, 1))
    layer = getattr(keras.layers, name)(**given.get(name, {}))
    model = keras.Model(xrays, layer([xrays, xrays] if name in JOINING else xrays))
    replace_model(model, tmp_path)
    found, tried = load_model(tmp_path / "model.keras"), np.ones((1, 8, 8, 1), "float32")
    np.testing.assert_array_equal(model(tried), found(tried))


def objects(part):
    """Yield module and name of every object in a network's description."""
    if isinstance(part, dict):
        if "class_name" in part:
            yield part.get("module"), part["class_name"]
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            yield from objects(inner)


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


@pytest.mark.parametrize(
    ("module", "name"),
    [(module, name) for module, names in TRIED_NUMBERS.items() for name in sorted(names)],
)
def test_numbers_that_a_reader_may_give_a_layer_are_read_back(module, name, tmp_path):
    given = getattr(getattr(keras, module.partition(".")[2]), name)()
    place = "kernel_initializer" if module.endswith("initializers") else "kernel_regularizer"
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(1, 3, **{place: given})])
    refuse_strangers(model)
    replace_model(model, tmp_path)
    assert load_model(tmp_path / "model.keras").count_params() == 10


def test_a_network_that_could_not_be_read_back_is_refused_before_it_is_trained():
    noise = keras.layers.Lambda(lambda xrays: 2 * xrays)
    model = keras.Sequential([keras.Input((8, 8, 1)), noise, keras.layers.Flatten()])
    model.compile("adam", "binary_crossentropy")
    with refused("Lambda", "not read back", "Use one of Keras' own layers"):
        refuse_strangers(model)

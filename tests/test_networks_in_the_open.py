"""The networks, losses and calls of `compile` in the notebooks are those of the helpers."""

from functools import partial

import keras
import numpy as np
import pytest

from helpers.run.notebooks import read_cells
from helpers.train import backend, metrics, models, training
from helpers.train.checkpoint import hash_config
from helpers.train.recipes import RECIPES
from tests.test_notebooks import NOTEBOOKS

STEPS = 7


def run_cells(number: str, *names: str, **given: object) -> dict:
    """Return the variables that cells of a notebook leave, run with those given."""
    (path,) = [path for path in NOTEBOOKS if path.name.startswith(number)]
    cells = {cell["id"]: "".join(cell["source"]) for cell in read_cells(path)}
    variables = {"keras": keras, "metrics": metrics, "training": training, "backend": backend}
    variables |= {"learn": range(STEPS), "machine": backend.look_at_machine()} | given
    for name in names:
        exec(cells[f"{number}-{name}"], variables)
    return variables


def build_detector_in_the_open(settings):
    variables = run_cells("03", "model", "best", settings=settings)
    build = variables["build_best" if settings.pooled else "build_original"]
    return run_cells("03", "compile", settings=settings, model=build(settings))["model"]


def build_unet_in_the_open(settings, number="04"):
    variables = run_cells(number, "model", "unet-code", "dice", settings=settings)
    variables |= {"model": variables["build_unet"](settings)}
    return run_cells(number, "compile", **variables)["model"]


def build_detector(settings):
    model = models.build_detector(settings)
    training.compile_detector(model, settings, STEPS)
    return model


def build_unet(settings, target="lung"):
    model = models.build_unet(settings, target)
    training.compile_segmenter(model, settings, STEPS)
    return model


PARTS = {
    "detection": (build_detector_in_the_open, build_detector),
    "segmentation": (build_unet_in_the_open, build_unet),
    "infection": (
        partial(build_unet_in_the_open, number="08"),
        partial(build_unet, target="infection"),
    ),
}


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("part", PARTS)
def test_the_cells_build_and_compile_what_the_helpers_do(part, recipe):
    settings = getattr(RECIPES[recipe], part)
    cell, helper = (build(settings) for build in PARTS[part])
    for describe in ("get_config", "get_compile_config"):  # of each class its own
        described = (hash_config(getattr(model, describe)()) for model in (cell, helper))
        assert len(set(described)) == 1, describe
    assert [weight.shape for weight in cell.weights] == [weight.shape for weight in helper.weights]


def test_a_changed_filter_in_a_cell_is_another_network():
    settings = RECIPES["demo"].segmentation.override(image_size=32)
    usual = build_unet_in_the_open(settings)
    cells = run_cells("04", "model", "unet-code", settings=settings)
    inner = cells["convolve"]
    cells["convolve"] = lambda features, filters, *rest: inner(features, filters // 2, *rest)
    changed = cells["build_unet"](settings)
    assert hash_config(changed.get_config()) != hash_config(usual.get_config())


@pytest.mark.parametrize("number", ["04", "08"])
def test_the_losses_in_the_open_are_those_of_the_helpers(number):
    cells, generator = run_cells(number, "dice"), np.random.default_rng(0)
    true = generator.integers(0, 2, (3, 8, 8, 1)).astype("float32")
    true[0] = 0
    found = generator.random(true.shape, "float32")
    for name in ("dice_loss", "dice_and_cross_entropy"):
        np.testing.assert_allclose(
            cells[name](true, found), getattr(metrics, name)(true, found), rtol=1e-5
        )

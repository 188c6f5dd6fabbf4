from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.storage.errors import CovidLungsError
from helpers.train.recipes import (
    MEANINGS,
    RECIPES,
    DetectionSettings,
    SegmentationSettings,
    Settings,
    find_recipe,
)
from tests.support.builders import refused

TINY = Settings(image_size=64, filters=(4, 8), epochs=3, batch_size=2, learning_rate=1e-3)


def test_the_original_recipe_is_that_of_the_original_work():
    recipe = find_recipe("original")
    assert recipe.detection == DetectionSettings(256, (16, 32, 16), 45, 6, 1e-3)
    published = SegmentationSettings(512, (64, 128, 256, 512), 10, 2, 1e-4)
    assert recipe.segmentation == replace(published, compiled=True)  # the same steps, sooner


def test_an_unknown_recipe_is_refused():
    with refused("'Original'", "is unknown", "choose one of demo, original, best"):
        find_recipe("Original")


def test_a_given_value_replaces_the_recipe_s():
    changed = TINY.override(epochs=9, batch_size=None, image_size=32)
    assert changed == Settings(32, (4, 8), 9, 2, 1e-3)
    assert TINY.epochs == 3


@pytest.mark.parametrize("value", [0, -1, 1.5, "2", True])
def test_anything_but_a_whole_number_above_zero_is_refused(value):
    with refused(f"epochs = {value!r}", "give a whole number", "above zero"):
        TINY.override(epochs=value)


@given(size=st.integers(1, 2000))
def test_an_image_size_fits_the_network_or_is_refused_with_one_that_does(size):
    settings = RECIPES["demo"].segmentation
    try:
        assert settings.override(image_size=size).image_size == size
        assert size % 16 == 0 and size >= 32
    except CovidLungsError as error:
        assert size % 16 or size < 32
        assert f"image_size = {size}: this network shrinks its input 16 times" in str(error)
        assert "give a multiple of 16, at least 32" in str(error)


def test_patches_shrink_the_input_too():
    with refused("image_size = 96", "shrinks its input 64 times", "multiple of 64, at least 128"):
        RECIPES["best"].segmentation.override(image_size=96)


def test_the_detector_s_smallest_image_is_named():
    """At 16 pixels nothing would be left of an X-ray after three convolutions and poolings."""
    with refused("image_size = 16", "shrinks its input 8 times", "multiple of 8, at least 24"):
        RECIPES["demo"].detection.override(image_size=16)


def test_the_table_shows_every_number():
    assert TINY.table()["value"].to_dict() == {
        "image size": "64",
        "filters": "(4, 8)",
        "epochs": "3",
        "batch size": "2",
        "learning rate": "0.001",
        "standardised": "no",
        "augmentation": "none",
        "schedule": "constant",
    }


@pytest.mark.parametrize("name", RECIPES)
def test_every_setting_is_printed_with_its_meaning_on_a_line_of_the_page(name):
    for settings in (RECIPES[name].detection, RECIPES[name].segmentation, RECIPES[name].shortcuts):
        header, *lines = settings.table().to_string().splitlines()
        assert max(map(len, (header, *lines))) <= 100
        places = {
            line.index(MEANINGS[field.name])
            for line, field in zip(lines, fields(settings), strict=True)
        }
        assert len(places) == 1, "the meanings begin below one another"


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_passes_its_own_checks(name):
    for settings in (RECIPES[name].detection, RECIPES[name].segmentation):
        assert settings.override(epochs=1) == replace(settings, epochs=1)

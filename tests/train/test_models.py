from contextlib import suppress
from dataclasses import replace
from itertools import pairwise

import keras
import numpy as np
import pytest
from keras import layers

from helpers.storage.errors import CovidLungsError
from helpers.train.models import build_detector, build_unet, look_from_afar, look_twice
from helpers.train.recipes import RECIPES, DetectionSettings, SegmentationSettings

TINY = SegmentationSettings(
    image_size=32, filters=(8, 8, 4), epochs=1, batch_size=2, learning_rate=1e-3
)
PLAIN = DetectionSettings(
    image_size=32, filters=(8, 8, 4), epochs=1, batch_size=2, learning_rate=1e-3
)
POOLED = replace(PLAIN, pooled=True, standardised=True)
ORIGINAL = RECIPES["original"]
XRAYS = np.random.default_rng(0).random((3, 32, 32, 1), dtype=np.float32)
MODELS = {
    "detector": (build_detector, PLAIN, (3, 1)),
    "pooled detector": (build_detector, POOLED, (3, 1)),
    "U-Net": (build_unet, TINY, (3, 32, 32, 1)),
}


def convolution(filters: int, inputs: int, side: int = 3, bias: bool = True) -> int:
    """Return the weights of a convolution."""
    return filters * (side * side * inputs + bias)


def detector_weights(size: int, filters: tuple[int, ...]) -> int:
    """Return the detector's weights by hand: each block takes a border of one and halves."""
    total, inputs = 0, 1
    for outputs in filters:
        total += convolution(outputs, inputs)
        inputs, size = outputs, (size - 2) // 2
    return total + 256 * (size * size * inputs + 1) + 257


def unet_weights(filters: tuple[int, ...]) -> int:
    """Return the U-Net's weights by hand: two convolutions a level, each with four for norming."""

    def twice(inputs: int, outputs: int) -> int:
        both = convolution(outputs, inputs, bias=False) + convolution(outputs, outputs, bias=False)
        return both + 2 * 4 * outputs

    levels = [*filters, 2 * filters[-1]]
    down = sum(twice(*pair) for pair in pairwise([1, *levels]))
    up = sum(
        convolution(here, below, side=2) + twice(2 * here, here) for here, below in pairwise(levels)
    )
    return down + up + convolution(1, filters[0], side=1)


@pytest.mark.parametrize("settings", [PLAIN, RECIPES["demo"].detection, ORIGINAL.detection])
def test_the_detector_s_weights_by_formula(settings):
    weights = build_detector(settings).count_params()
    assert weights == detector_weights(settings.image_size, settings.filters)


@pytest.mark.parametrize("settings", [TINY, RECIPES["demo"].segmentation, ORIGINAL.segmentation])
def test_the_unet_s_weights_by_formula(settings):
    assert build_unet(settings).count_params() == unet_weights(settings.filters)


def test_the_original_detector_is_the_one_described():
    model = build_detector(ORIGINAL.detection)
    convolutions = [layer for layer in model.layers if isinstance(layer, layers.Conv2D)]
    assert isinstance(model, keras.Sequential)
    assert [layer.filters for layer in convolutions] == [16, 32, 16]
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}
    assert model.input_shape == (None, 256, 256, 1)
    assert 3.6e6 < model.count_params() < 3.8e6


def test_the_pooled_detector_ignores_where_something_is():
    keras.utils.set_random_seed(2)
    model = build_detector(replace(POOLED, image_size=64, filters=(8, 8)))
    spots = np.zeros((2, 64, 64, 1), np.float32)
    # Far from the edges, and moved by a multiple of what the poolings make one of.
    spots[0, 24:28, 24:28] = spots[1, 32:36, 36:40] = 1
    first, second = keras.ops.convert_to_numpy(model(spots))
    assert first == pytest.approx(second, abs=1e-6)
    brighter = keras.ops.convert_to_numpy(model(0.3 + 0.5 * spots))
    assert brighter[0] == pytest.approx(first, abs=1e-3), "standardised: exposure does not matter"
    empty = keras.ops.convert_to_numpy(model(np.zeros_like(spots)))
    assert abs(empty[0] - first) > 1e-4


def test_the_original_unet_is_the_one_described():
    model = build_unet(ORIGINAL.segmentation)
    filters = {layer.filters for layer in model.layers if isinstance(layer, layers.Conv2D)}
    assert filters == {64, 128, 256, 512, 1024, 1}
    assert model.input_shape == model.output_shape == (None, 512, 512, 1)
    assert 30.9e6 < model.count_params() < 31.2e6


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_probabilities(name):
    build, settings, shape = MODELS[name]
    keras.utils.set_random_seed(1)
    # Input far out of range drives a network that is not bound to 0..1 out of it.
    probabilities = keras.ops.convert_to_numpy(build(settings)(XRAYS * 1000 - 500))
    assert probabilities.shape == shape
    assert probabilities.dtype == np.float32
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    assert np.ptp(probabilities) > 0


@pytest.mark.parametrize("name", MODELS)
def test_a_prediction_does_not_depend_on_its_batch(name):
    build, settings, _ = MODELS[name]
    model = build(settings)
    together, alone = (keras.ops.convert_to_numpy(model(part)) for part in (XRAYS, XRAYS[1:2]))
    np.testing.assert_allclose(together[1:2], alone, atol=1e-6)


def shrink(settings):
    """Return settings with the smallest image size that they accept."""
    for size in range(1, 1000):
        with suppress(CovidLungsError):
            return settings.override(image_size=size)
    raise AssertionError("no size is accepted")


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_smallest_allowed_images_fit(recipe):
    """What a recipe accepts as `image_size` must not fail in a network."""
    detector = build_detector(shrink(RECIPES[recipe].detection))
    unet = build_unet(shrink(RECIPES[recipe].segmentation))
    assert detector.output_shape == (None, 1)
    assert unet.output_shape == unet.input_shape


BEST = replace(TINY, filters=(4, 8), patch=2, standardised=True)


def test_patches_are_made_small_and_large_again():
    model = build_unet(BEST)
    assert model.output_shape == (None, 32, 32, 1)
    sizes = [layer.output.shape[1] for layer in model.layers if "conv2d" in layer.name]
    assert max(sizes) == 16, "no convolution works at the full size"
    first = next(layer for layer in model.layers if isinstance(layer, layers.Conv2D))
    assert (first.kernel_size, first.strides) == ((2, 2), (2, 2))


def test_brightness_and_contrast_mean_nothing_to_a_standardising_network():
    model = build_unet(BEST)
    before, after = (keras.ops.convert_to_numpy(model(x)) for x in (XRAYS, 0.3 * XRAYS + 0.4))
    np.testing.assert_allclose(before, after, atol=1e-4)
    plain = build_unet(TINY)
    before, after = (keras.ops.convert_to_numpy(plain(x)) for x in (XRAYS, 0.3 * XRAYS + 0.4))
    assert np.abs(before - after).max() > 1e-3


def test_two_looks_are_the_mean_of_an_xray_and_its_mirror_image():
    model = build_unet(BEST)
    twice = look_twice(model)
    one, other = (keras.ops.convert_to_numpy(model(x)) for x in (XRAYS, XRAYS[:, :, ::-1]))
    found = keras.ops.convert_to_numpy(twice(XRAYS))
    np.testing.assert_allclose(found, (one + other[:, :, ::-1]) / 2, atol=1e-6)


def predict_input(size: int) -> keras.Model:
    """Return a network that predicts what it sees."""
    inputs = keras.Input((size, size, 1))
    return keras.Model(inputs, layers.Activation("linear")(inputs))


def test_a_look_from_afar_sees_the_same_place_smaller_within_a_black_margin():
    across, down = np.meshgrid(np.linspace(0, 1, 32), np.linspace(0, 1, 32))
    smooth = (0.5 * across + 0.5 * down).astype("float32")[None, ..., None]
    found = keras.ops.convert_to_numpy(look_from_afar(predict_input(32), 4)(smooth))
    np.testing.assert_allclose(found[:, 2:-2, 2:-2], smooth[:, 2:-2, 2:-2], atol=0.02)
    # A network that calls everything lung is right at the X-ray's edge as well.
    inputs = keras.Input((32, 32, 1))
    sure = keras.Model(inputs, layers.Rescaling(0.0, offset=1.0)(inputs))
    found = keras.ops.convert_to_numpy(look_from_afar(sure, 4)(smooth))
    np.testing.assert_allclose(found, 1, atol=1e-6)


def test_a_look_from_afar_can_differ_from_a_near_one():
    model = build_unet(BEST)
    near, far = (keras.ops.convert_to_numpy(m(XRAYS)) for m in (model, look_from_afar(model, 4)))
    assert far.shape == near.shape
    assert np.abs(near - far).max() > 1e-4


def test_probabilities_are_in_32_bits_in_mixed_precision():
    policy = keras.config.dtype_policy()
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        model = look_twice(build_unet(BEST))
    finally:
        keras.config.set_dtype_policy(policy)
    assert {weight.dtype for weight in model.weights} == {"float32"}
    assert keras.backend.standardize_dtype(model.output.dtype) == "float32"
    assert keras.backend.standardize_dtype(model(XRAYS).dtype) == "float32"

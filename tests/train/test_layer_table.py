import keras
import pytest
from keras import layers

from helpers.train.layer_table import describe_layers, describe_weights
from helpers.train.models import build_detector, build_unet, look_twice
from helpers.train.recipes import RECIPES

NETWORKS = {
    f"{name} {part}": build(getattr(recipe, part))
    for name, recipe in RECIPES.items()
    for part, build in (
        ("detection", build_detector),
        ("segmentation", build_unet),
        ("shortcuts", build_detector),
    )
}
OTHERS = keras.Sequential(
    [
        keras.Input((16, 16, 3)),
        layers.SeparableConv2D(4, 3),
        layers.Conv2DTranspose(5, 2, strides=2, use_bias=False),
        layers.BatchNormalization(center=False),
        layers.GlobalAveragePooling2D(),
        layers.Dense(7, use_bias=False),
    ]
)


def calculate(text: str) -> int:
    """Return what a calculation comes to."""
    return eval(text.replace("·", "*").replace(",", ""), {"__builtins__": {}})


@pytest.mark.parametrize("name", [*NETWORKS, "others"])
def test_the_weights_of_every_layer_add_up(name):
    for layer in {**NETWORKS, "others": OTHERS}[name].layers:
        calculation, _, total = describe_weights(layer).partition(" = ")
        counted = layer.count_params()
        assert calculate(calculation or "0") == calculate(total or "0") == counted, layer.name


@pytest.mark.parametrize(
    ("layer", "words"),
    [
        (0, "16 · (9 · 1 + 1) = 160"),
        (2, "32 · (9 · 16 + 1) = 4,640"),
        (6, ""),
        (7, "256 · (3,136 + 1) = 803,072"),
    ],
)
def test_the_calculation_is_the_one_that_the_notebook_explains(layer, words):
    assert describe_weights(NETWORKS["demo detection"].layers[layer]) == words


def test_a_normalisation_has_four_numbers_a_feature():
    norming = next(
        layer
        for layer in NETWORKS["demo segmentation"].layers
        if isinstance(layer, layers.BatchNormalization)
    )
    assert describe_weights(norming) == "4 · 8 = 32"


def test_the_table_of_the_demo_s_detector():
    assert describe_layers(NETWORKS["demo detection"]).splitlines() == [
        "layer         what it does               output          weights",
        "Input         the X-rays                 128 × 128 × 1",
        "Conv2D        16 filters of 3 × 3, ReLU  126 × 126 × 16  16 · (9 · 1 + 1) = 160",
        "MaxPooling2D  the highest of each 2 × 2  63 × 63 × 16",
        "Conv2D        32 filters of 3 × 3, ReLU  61 × 61 × 32    32 · (9 · 16 + 1) = 4,640",
        "MaxPooling2D  the highest of each 2 × 2  30 × 30 × 32",
        "Conv2D        16 filters of 3 × 3, ReLU  28 × 28 × 16    16 · (9 · 32 + 1) = 4,624",
        "MaxPooling2D  the highest of each 2 × 2  14 × 14 × 16",
        "Flatten       all values in one row      3,136",
        "Dense         256 weighted sums, ReLU    256             256 · (3,136 + 1) = 803,072",
        "Dense         1 weighted sum, sigmoid    1               1 · (256 + 1) = 257",
        "                                         together        812,753",
    ]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_is_described_in_a_line_that_fits(name):
    model = NETWORKS[name]
    lines = describe_layers(model).splitlines()
    given = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    assert len(lines) == len(given) + 3, "the titles, the input and the sum"
    assert "None" not in "".join(lines)
    assert max(map(len, lines)) <= 130
    for line, layer in zip(lines[2:], given, strict=False):
        kind, _, does = line.partition("  ")
        assert kind == type(layer).__name__
        assert does[:20].strip(), "what it does"
    assert lines[-1].endswith(f" {model.count_params():,}")


def test_a_network_that_looks_twice_has_the_layers_of_the_one_within():
    inner = NETWORKS["best segmentation"]
    assert describe_layers(look_twice(inner)) == describe_layers(inner)

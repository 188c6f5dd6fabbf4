"""Layer table: what each layer of a network does, what comes out, and how its weights add up."""

import math

from helpers.train.architecture import unwrap
from helpers.train.backend import keras

layers = keras.layers
TITLES = ("layer", "what it does", "output", "weights")
ACTIVATIONS = {"relu": "ReLU", "linear": ""}  # others go by Keras' name


def describe_layers(model: keras.Model) -> str:
    """Return a network's layers as a table of text, a line a layer.

    A size has no number of X-rays: the network takes any number of them at once. The weights come
    with their calculation; the last line has their sum.
    """
    model = unwrap(model)
    own = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    rows = [TITLES, ("Input", "the X-rays", _write_size(model.input_shape), "")]
    rows += [
        (
            type(layer).__name__,
            _say(layer),
            _write_size(layer.output.shape),
            describe_weights(layer),
        )
        for layer in own
    ]
    rows.append(("", "", "together", f"{model.count_params():,}"))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)
    return "\n".join(lines)


def describe_weights(layer: keras.Layer) -> str:
    """Return how a layer's number of weights comes about, "16 · (9 · 1 + 1) = 160"; "" for none.

    A filter of 3x3 has nine weights for each feature that comes in, and one more, its bias.
    """
    if not layer.count_params():
        return ""
    shapes = [weight.shape for weight in layer.weights]
    kernel = shapes[0]
    if isinstance(layer, (layers.Conv2D, layers.Conv2DTranspose, layers.Dense)):
        *window, before, after = kernel
        if isinstance(layer, layers.Conv2DTranspose):
            before, after = after, before
        each = f"{math.prod(window)} · {before:,}" if window else f"{before:,}"
        each = f"({each} + 1)" if layer.use_bias else each
        terms = f"{after:,} · {each}"
    elif len(set(shapes)) == 1:
        terms = f"{len(shapes)} · {math.prod(kernel):,}"
    else:
        terms = " + ".join(" · ".join(f"{side:,}" for side in shape) for shape in shapes)
    return f"{terms} = {layer.count_params():,}"


def _write_size(shape: tuple[int | None, ...]) -> str:
    """Return a size in words, without the number of X-rays, which comes first."""
    return " × ".join(f"{side:,}" for side in shape[1:])


def _say(layer: keras.Layer) -> str:
    """Return what a layer does; "" for a kind that no network of ours has."""
    for kind, say in WORDS.items():
        if isinstance(layer, kind):
            return say(layer)
    return ""


def _say_filters(layer: keras.Layer) -> str:
    """Return the number and size of a convolution's filters, and how they are applied."""
    words = f"{_count(layer.filters, 'filter')} of {_write_window(layer.kernel_size)}"
    if isinstance(layer, layers.Conv2DTranspose):
        return f"{words}, {_say_enlarged(layer.strides[0])}{_say_activation(layer)}"
    steps = f", in steps of {layer.strides[0]}" if layer.strides[0] > 1 else ""
    edges = ", edges padded" if layer.padding == "same" and layer.kernel_size[0] > 1 else ""
    return f"{words}{steps}{edges}{_say_activation(layer)}"


def _count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun}" + "s" * (number != 1)


def _say_enlarged(times: int) -> str:
    """Return how much larger the features become."""
    return "twice the size" if times == 2 else f"{times} times the size"


def _write_window(sides: tuple[int, int]) -> str:
    """Return the size of a window in words."""
    return f"{sides[0]} × {sides[1]}"


def _say_activation(layer: keras.Layer) -> str:
    """Return which function follows, with a comma before it."""
    name = keras.activations.serialize(layer.activation)
    words = ACTIVATIONS.get(name, name)
    return f", {words}" if words else ""


WORDS = {
    layers.Conv2DTranspose: _say_filters,
    layers.Conv2D: _say_filters,
    layers.Dense: lambda layer: _count(layer.units, "weighted sum") + _say_activation(layer),
    layers.MaxPooling2D: lambda layer: f"the highest of each {_write_window(layer.pool_size)}",
    layers.AveragePooling2D: lambda layer: f"the mean of each {_write_window(layer.pool_size)}",
    layers.GlobalAveragePooling2D: lambda layer: "the mean of each feature",
    layers.Flatten: lambda layer: "all values in one row",
    layers.BatchNormalization: lambda layer: "each feature to mean 0, variance 1; then scaled",
    layers.LayerNormalization: lambda layer: "each X-ray to mean 0, variance 1",
    layers.ReLU: lambda layer: "values below 0 become 0",
    layers.Activation: lambda layer: _say_activation(layer).removeprefix(", "),
    layers.UpSampling2D: lambda layer: _say_enlarged(layer.size[0]) + ", by interpolation",
    layers.Concatenate: lambda layer: "joins the features of two layers",
    layers.Add: lambda layer: "adds the features of two layers",
    layers.Dropout: lambda layer: f"in training {layer.rate:.0%} of the values become 0",
}

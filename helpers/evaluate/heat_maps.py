"""Heat maps: which places of an X-ray speak for COVID, and how much of that is in the lungs."""

from collections.abc import Iterator
from itertools import pairwise, product

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.stats import spearmanr

from helpers.data.threads import in_blocks
from helpers.storage.errors import CovidLungsError
from helpers.train.architecture import is_convolution
from helpers.train.backend import keras
from helpers.train.batches import scale
from helpers.train.inference import fit_batch, predict

layers = keras.layers

STEPS = 12  # of the square that hides places, along the longer side of an X-ray
ROUNDING = 1e-5  # of a logit: what float32 makes of equal X-rays in one batch


def find_heat(model: keras.Model, images: np.ndarray, averaged: bool = False) -> np.ndarray:
    """Return what each place adds to a detector's logit (HiResCAM, Draelos and Carin 2020).

    Each cell of the last convolution counts by its features times the gradient of the logit with
    respect to them. The logit is the input of the sigmoid: where a probability is 0 or 1 to the
    last digit, the gradient of the probability itself is 0.

    Args:
        model: a network whose layers stand in a row and whose output is one number.
        images: uint8, (N, height, width), of the model's input size.
        averaged: whether a feature counts everywhere by its mean gradient. That is Grad-CAM
            (Selvaraju et al. 2017), which misleads where a network weighs every place by itself.

    Returns:
        float32, (N, height, width), 0..1. The maximum of each X-ray is 1, or 0 if nothing in it
        is evidence for COVID, whatever the network predicts.

    Raises:
        CovidLungsError: the model is of another kind.
    """
    heat = np.empty(images.shape, dtype="float32")
    for rows, found in _find_batches(model, images, np.arange(len(images)), averaged):
        heat[rows] = found
    return heat


def measure_energy(
    model: keras.Model,
    images: np.ndarray,
    masks: np.ndarray,
    rows: np.ndarray,
    averaged: bool = False,
) -> np.ndarray:
    """Return `energy_in_lungs` of these rows, with the heat of one batch at a time in memory.

    The masks are of these rows alone, in their order; `averaged` is as in `find_heat`.
    """
    shares, done = np.empty(len(rows)), 0
    for batch, heat in _find_batches(model, images, rows, averaged):
        measured = slice(done, done + len(batch))
        shares[measured] = energy_in_lungs(heat, masks[measured])
        done += len(batch)
    return shares


def _find_batches(
    model: keras.Model, images: np.ndarray, rows: np.ndarray, averaged: bool
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the rows of X-rays, a batch at a time, with their heat as `find_heat` returns it."""
    body, head = cut(model)
    for batch in in_blocks(rows, fit_batch(model)):
        features, gradients = differentiate(body, head, images[batch])
        if averaged:
            gradients = gradients.mean(axis=(1, 2), keepdims=True)
        yield batch, spread(body, (features * gradients).sum(axis=-1))


def occlude(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return how far a detector's logit falls if a place is hidden (Zeiler and Fergus 2014).

    A square in the X-ray's mean grey slides over it, by half a side at a time, so that four
    squares hide each pixel. Its heat is the sum of their falls. This takes up to 169 predictions
    an X-ray. Arguments, result and errors are as in `find_heat`.
    """
    parts = [layer for half in cut(model) for layer in half.layers]
    network = keras.Sequential([keras.Input(model.input_shape[1:]), *parts])
    step = -(-max(images.shape[1:]) // STEPS)
    corners = list(product(*(range(-step, size, step) for size in images.shape[1:])))
    squares = [
        tuple(slice(max(0, start), start + 2 * step) for start in corner) for corner in corners
    ]
    heat = np.zeros(images.shape)
    for image, sums in zip(images, heat, strict=True):
        copies = np.repeat(image[None], len(squares) + 1, axis=0)  # the last stays as it is
        for copy, square in zip(copies, squares, strict=False):
            copy[square] = round(image.mean())
        *hidden, whole = predict(network, copies)
        falls = whole - np.array(hidden)
        falls[np.abs(falls) < ROUNDING * max(1, abs(whole))] = 0
        for square, fall in zip(squares, falls, strict=True):
            sums[square] += fall
    return _scale_heat(heat)


def _scale_heat(heat: np.ndarray) -> np.ndarray:
    """Return heat, (N, height, width), without what lies below 0, its peaks at 1; float32."""
    heat = np.maximum(heat, 0).astype("float32")
    peaks = heat.max(axis=(1, 2), keepdims=True)
    return np.divide(heat, peaks, out=np.zeros_like(heat), where=peaks > 0)


def cut(model: keras.Model) -> tuple[keras.Sequential, keras.Sequential]:
    """Return a model up to the last convolution and its activation, and from there to the logit."""
    row = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    # A Sequential is a row, though its layers' inputs and outputs need not be the same objects.
    in_a_row = isinstance(model, keras.Sequential) or all(
        after.input is before.output for before, after in pairwise(row)
    )
    ends = [
        place
        for place, layer in enumerate(row, start=1)
        if (is_convolution(layer) or isinstance(layer, (layers.Activation, layers.ReLU)))
        and len(layer.output.shape) == 4
    ]
    if not (in_a_row and ends and model.output_shape[1:] == (1,)):
        raise CovidLungsError(
            f"{model.name}: a heat map needs layers in a row, a convolution among them, and an "
            "output of one number. Leave its cells out for this network."
        )
    body = keras.Sequential([keras.Input(model.input_shape[1:]), *row[: ends[-1]]])
    *others, last = row[ends[-1] :]
    bare = type(last).from_config({**last.get_config(), "activation": "linear"})
    head = keras.Sequential([keras.Input(body.output_shape[1:]), *others, bare])
    bare.set_weights(last.get_weights())
    return body, head


def differentiate(
    body: keras.Sequential, head: keras.Sequential, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features of X-rays and the gradients of their logits with respect to them.

    Args:
        body: the first part of a network that was `cut`.
        head: the second part.
        images: uint8, (N, height, width), of the network's input size.

    Returns:
        Twice float32, (N, height of the features, width of the features, features).
    """
    features = body(scale(images), training=False)
    return keras.ops.convert_to_numpy(features), _gradient(head, features)


def _gradient(head: keras.Model, features) -> np.ndarray:
    """Return the gradient of each X-ray's logit with respect to its features, of their shape."""
    if keras.backend.backend() == "jax":
        import jax  # here, since only one backend need be installed

        trained = [variable.value for variable in head.trainable_variables]
        others = [variable.value for variable in head.non_trainable_variables]

        def add_logits(features):
            # Each depends on its own X-ray alone, so the sum has the gradients of all.
            return head.stateless_call(trained, others, features, training=False)[0].sum()

        return np.asarray(jax.grad(add_logits)(features))
    import tensorflow

    with tensorflow.GradientTape() as tape:
        tape.watch(features)
        logits = head(features, training=False)
    return tape.gradient(logits, features).numpy()


def spread(body: keras.Sequential, cells: np.ndarray) -> np.ndarray:
    """Return the heat of cells, (N, height, width) of the features, laid on the whole X-ray.

    The heat is that which `find_heat` returns: what lies below 0 counts as 0, and peaks are 1.
    """
    down, across = (_spread_axis(body, axis) for axis in (0, 1))
    return _scale_heat(down @ np.maximum(cells, 0) @ across.T)


def _spread_axis(body: keras.Sequential, axis: int) -> np.ndarray:
    """Return how much each cell of the features counts at each pixel of an axis: (size, cells).

    A cell counts most at the middle of its receptive field. To stretch the features over the whole
    X-ray, as is common, puts them too far out: in the demo's detector, 71 % of a heat that fills
    the lungs would lie in them instead of 91 %.
    """
    size = body.input_shape[1 + axis]
    middles = np.arange(size, dtype="float64")
    for layer in body.layers:
        if hasattr(layer, "strides"):
            middles = _slide(layer, axis, middles)
    if len(middles) != body.output_shape[1 + axis]:
        raise CovidLungsError(
            "A heat map needs convolutions without gaps, with no padding but their own. Leave its "
            "cells out for this network."
        )
    cells = np.eye(len(middles))
    # A pixel beyond the outermost middle takes that cell's value, so that an even heat stays even.
    return np.stack([np.interp(np.arange(size), middles, cell) for cell in cells], axis=1)


def _slide(layer: keras.Layer, axis: int, middles: np.ndarray) -> np.ndarray:
    """Return the middles of the fields of a convolution or pooling, given those of its inputs."""
    width = getattr(layer, "pool_size", None) or layer.kernel_size
    width, stride, count = width[axis], layer.strides[axis], len(middles)
    if layer.padding == "same":
        beyond = max(0, (-(-count // stride) - 1) * stride + width - count)
        sides = (beyond // 2, beyond - beyond // 2)
        middles = np.pad(middles, sides, "reflect", reflect_type="odd")  # goes on evenly
    return sliding_window_view(middles, width).mean(axis=1)[::stride]


def correlate(heat: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Spearman's rank correlation of two heats of each X-ray over its pixels.

    It is 1 if both put the pixels in the same order, and about 0 if they have nothing in common.
    Both are (N, height, width). float64, (N,), -1..1; NaN where a heat is the same everywhere.
    """
    correlations = np.full(len(heat), np.nan)
    for row, (one, two) in enumerate(zip(heat, other, strict=True)):
        if np.ptp(one) > 0 and np.ptp(two) > 0:
            correlations[row] = spearmanr(one.ravel(), two.ravel()).statistic
    return correlations


def energy_in_lungs(heat: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return the share of each heat map that lies in the lungs.

    This is the energy-based pointing game of Wang et al. 2020 (Score-CAM), with the lungs as the
    box. Compare it with the lungs' share of the X-ray, `masks.mean(axis=(1, 2))`, which an even
    heat would have. float64, (N,), 0..1; NaN if there is no heat at all.

    Args:
        heat: (N, height, width), nowhere below 0.
        masks: zeros and ones, (N, height, width); one is lung.
    """
    heat = heat.astype("float64")
    inside, total = (heat * masks).sum(axis=(1, 2)), heat.sum(axis=(1, 2))
    return np.divide(inside, total, out=np.full(len(heat), np.nan), where=total > 0)

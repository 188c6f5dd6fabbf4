"""Grad-CAM: where a detector finds evidence for COVID, and how much of it is in the lungs."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from helpers.data.threads import in_blocks
from helpers.train.backend import keras
from helpers.train.batches import scale
from helpers.train.inference import fit_batch

layers = keras.layers


def grad_cam(model: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return where a detector finds evidence for COVID (Grad-CAM, Selvaraju et al. 2017).

    Each feature of the last convolution counts by the mean gradient of the logit with respect to
    it. The logit is the input of the sigmoid: where a probability is 0 or 1 to the last digit, the
    gradient of the probability itself is 0.

    Args:
        model: a network whose layers stand in a row and whose output is one number.
        images: uint8, (N, height, width), of the model's input size.

    Returns:
        float32, (N, height, width), 0..1. The maximum of each X-ray is 1, or 0 if nothing in it
        is evidence for COVID, whatever the network predicts.

    Raises:
        ValueError: the model is of another kind.
    """
    heat = np.empty(images.shape, dtype="float32")
    for rows, found in _grad_cam_batches(model, images, np.arange(len(images))):
        heat[rows] = found
    return heat


def measure_energy(
    model: keras.Model, images: np.ndarray, masks: np.ndarray, rows: np.ndarray
) -> np.ndarray:
    """Return `energy_in_lungs` of these rows, with the heat of one batch at a time in memory.

    The masks are of these rows alone, in their order.
    """
    shares, done = np.empty(len(rows)), 0
    for batch, heat in _grad_cam_batches(model, images, rows):
        measured = slice(done, done + len(batch))
        shares[measured] = energy_in_lungs(heat, masks[measured])
        done += len(batch)
    return shares


def _grad_cam_batches(
    model: keras.Model, images: np.ndarray, rows: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the rows of X-rays, a batch at a time, with their heat as `grad_cam` returns it."""
    body, head = _cut(model)
    down, across = (_spread(body, axis, size) for axis, size in enumerate(images.shape[1:]))
    for batch in in_blocks(rows, fit_batch(model)):
        features = body(scale(images[batch]), training=False)
        weights = _gradient(head, features).mean(axis=(1, 2))
        cells = np.einsum("nyxf,nf->nyx", keras.ops.convert_to_numpy(features), weights)
        heat = (down @ np.maximum(cells, 0) @ across.T).astype("float32")
        peaks = heat.max(axis=(1, 2), keepdims=True)
        yield batch, np.divide(heat, peaks, out=np.zeros_like(heat), where=peaks > 0)


def _cut(model: keras.Model) -> tuple[keras.Sequential, keras.Sequential]:
    """Return a model up to the last convolution and its activation, and from there to the logit."""
    row = [layer for layer in model.layers if not isinstance(layer, layers.InputLayer)]
    # A Sequential is a row, though its layers' inputs and outputs need not be the same objects.
    in_a_row = isinstance(model, keras.Sequential) or all(
        after.input is before.output for before, after in pairwise(row)
    )
    ends = [
        place
        for place, layer in enumerate(row, start=1)
        if isinstance(layer, (layers.Conv2D, layers.Activation, layers.ReLU))
        and len(layer.output.shape) == 4
    ]
    if not (in_a_row and ends and model.output_shape[1:] == (1,)):
        raise ValueError(
            f"{model.name}: Grad-CAM needs layers in a row, a convolution among them, and an "
            "output of one number."
        )
    body = keras.Sequential([keras.Input(model.input_shape[1:]), *row[: ends[-1]]])
    *others, last = row[ends[-1] :]
    bare = type(last).from_config({**last.get_config(), "activation": "linear"})
    head = keras.Sequential([keras.Input(body.output_shape[1:]), *others, bare])
    bare.set_weights(last.get_weights())
    return body, head


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


def _spread(body: keras.Sequential, axis: int, size: int) -> np.ndarray:
    """Return how much each cell of the features counts at each pixel of an axis: (size, cells).

    A cell counts most at the middle of its receptive field. To stretch the features over the whole
    X-ray, as is common, puts them too far out: in the demo's detector, 71 % of a heat that fills
    the lungs would lie in them instead of 91 %.
    """
    middles = np.arange(size, dtype="float64")
    for layer in body.layers:
        if hasattr(layer, "strides"):
            middles = _slide(layer, axis, middles)
    if len(middles) != body.output_shape[1 + axis]:
        raise ValueError("Grad-CAM needs convolutions without gaps, and no padding but their own.")
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

"""Augmentation on a GPU: what `augmentation.augment` does, to a batch at a time.

Each function takes and returns grey values 0..255 as float32, (N, size, size), and rounds them as
X-rays of 8 bits are rounded between two changes by OpenCV.
"""

from helpers.train.augmentation import BLUR, COARSE, Changes
from helpers.train.backend import keras

ops = keras.ops


def augment_batch(images, masks, changes: Changes, noise):
    """Return X-rays and their masks as `augmentation.augment` does.

    All are tensors: X-rays and masks uint8, (N, size, size), those returned float32; `noise` as
    `draw_noise` returns it.
    """
    images = ops.cast(images, "float32")
    x, y = _find_places(changes.motion, images.shape[1])
    moved = _move(images, x, y, changes.repeats)
    masks = _move_masks(ops.cast(masks, "float32"), x, y)
    images = _blur(_cover(moved, changes.patches), changes.blur)
    images = _add_noise(images, changes.noise, changes.window, noise)
    return _expose(images, changes), masks


def _find_places(motion, size: int):
    """Return the columns and rows, (N, size, size), that new pixels come from."""
    step = ops.arange(size, dtype="float32")
    row, column = step[None, :, None], step[None, None, :]
    along = motion[..., None, None]
    x, y = (along[:, i, 0] * column + along[:, i, 1] * row + along[:, i, 2] for i in range(2))
    return x, y


def _pick(images, x, y):
    """Return the pixels at columns and rows, (N, size, size); beyond the edge those of the edge."""
    size = images.shape[1]
    x, y = ops.clip(x, 0, size - 1), ops.clip(y, 0, size - 1)
    place = ops.cast(y * size + x, "int32")
    flat = (-1, size * size)
    picked = ops.take_along_axis(ops.reshape(images, flat), ops.reshape(place, flat), axis=1)
    return ops.reshape(picked, (-1, size, size))


def _move(images, x, y, repeats):
    """Return X-rays moved, a new pixel the weighted mean of the four old ones around its place."""
    left, top = ops.floor(x), ops.floor(y)
    right, below = x - left, y - top
    upper = (1 - right) * _pick(images, left, top) + right * _pick(images, left + 1, top)
    lower = (1 - right) * _pick(images, left, top + 1) + right * _pick(images, left + 1, top + 1)
    moved = (1 - below) * upper + below * lower
    inside = _reach(x, images.shape[1]) * _reach(y, images.shape[1])
    return ops.round(moved * ops.where(repeats[:, None, None], 1.0, inside))


def _reach(places, size: int):
    """Return how much of a pixel at these places is in the image: 0 from one pixel outside."""
    return ops.clip(ops.minimum(places + 1, size - places), 0, 1)


def _move_masks(masks, x, y):
    """Return masks moved, a new pixel the nearest old one, outside it 0."""
    x, y, size = ops.round(x), ops.round(y), masks.shape[1]
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    return ops.where(inside, _pick(masks, x, y), 0.0)


def _cover(images, patches):
    """Return X-rays with their patches on them."""
    size = images.shape[1]
    grid = ops.linspace(0.0, 1.0, size // COARSE)
    across, down = grid[None, None, :], grid[None, :, None]
    kept, added = ops.ones_like(across * down), ops.zeros_like(across * down)
    for number in range(patches.shape[1]):
        of_patch = ops.unstack(patches[:, number, :, None, None], axis=1)
        x, y, angle, width, height, sharpness, hides, grey = of_patch
        along = ((across - x) * ops.cos(angle) + (down - y) * ops.sin(angle)) / width
        aside = ((down - y) * ops.cos(angle) - (across - x) * ops.sin(angle)) / height
        edge = (ops.sqrt(along**2 + aside**2) - 1) * sharpness
        weight = hides * ops.sigmoid(-edge)
        kept = kept * (1 - weight)
        added = added * (1 - weight) + weight * grey
    both = ops.image.resize(ops.stack([kept, added], axis=-1), (size, size), "bilinear")
    return ops.clip(ops.round(images * both[..., 0] + both[..., 1]), 0, 255)


def _blur(images, deviation):
    """Return X-rays after a Gaussian blur of each one's own deviation; 0 leaves one as it is."""
    size = images.shape[1]
    widest = round(6 * BLUR[1] * size + 1) // 2  # as far as OpenCV looks, too
    steps = ops.arange(-widest, widest + 1, dtype="float32")[None]
    deviation = deviation[:, None]
    near = ops.abs(steps) <= ops.floor(ops.round(6 * deviation + 1) / 2)
    weights = ops.where(near, ops.exp(-0.5 * (steps / ops.maximum(deviation, 1e-3)) ** 2), 0.0)
    weights = (weights / ops.sum(weights, axis=1, keepdims=True))[:, :, None, None]
    for axis in (1, 2):
        beyond = [[widest, widest] if axis == side else [0, 0] for side in range(3)]
        wide = ops.pad(images, beyond, "reflect")
        cut = [slice(None)] * axis
        parts = (wide[(*cut, slice(k, k + size))] for k in range(2 * widest + 1))
        images = sum(weights[:, k] * part for k, part in enumerate(parts))
    return ops.round(images)


def _add_noise(images, noise, window, field):
    """Return X-rays with each one's part of the field of noise."""
    size, side = images.shape[1], field.shape[1]
    step = ops.arange(size, dtype="int32")
    row, column = window[:, 0, None, None] + step[:, None], window[:, 1, None, None] + step
    part = ops.take(ops.reshape(field, (-1,)), row * side + column)
    return ops.clip(ops.round(images + noise[:, None, None] * part), 0, 255)


def _expose(images, changes: Changes):
    """Return X-rays as another exposure and display would show them."""
    low, high = _find_ends(images, changes.ends)
    clipped = changes.clipped
    low, high = ops.where(clipped, low, 0.0), ops.where(clipped, high + 1e-3, 1.0)
    wide = (slice(None), None, None)
    grey = (images / 255 - low[wide]) / (high - low)[wide]
    grey = ops.clip(grey, 0, 1) ** changes.exponent[wide]
    grey = (grey - 0.5) * changes.contrast[wide] + 0.5 + changes.brightness[wide]
    return ops.clip(ops.round(255 * grey), 0, 255)


def _find_ends(images, shares):
    """Return the grey values, in 0..1, that two shares of each X-ray's pixels do not exceed."""
    some = images[:, ::COARSE, ::COARSE]
    some = ops.sort(ops.reshape(some, (-1, some.shape[1] * some.shape[2])), axis=1)
    place = shares * (some.shape[1] - 1)
    below = ops.floor(place)
    first = ops.take_along_axis(some, ops.cast(below, "int32"), axis=1)
    after = ops.take_along_axis(some, ops.cast(ops.ceil(place), "int32"), axis=1)
    ends = (first + (after - first) * (place - below)) / 255
    return ends[:, 0], ends[:, 1]

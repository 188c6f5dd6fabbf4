"""Network pictures: one X-ray as a network sees it, level by level and epoch by epoch."""

import io
import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image, ImageDraw, ImageFont

from helpers.data.images import draw_outlines, resize_image
from helpers.report.pictures import PREDICTED_COLOUR, TRUE_COLOUR, draw_numbers
from helpers.report.plots import ORANGE
from helpers.train.architecture import find_stages, find_way_down, name_levels, unwrap
from helpers.train.backend import keras
from helpers.train.batches import scale
from helpers.train.recipes import THRESHOLD

WIDTH = 7.6  # inches, of every figure
MAPS, FILTERS = 5, 4  # shown of a level, and of the first convolution, at most
COLUMNS = 4  # of filters, and of the frames of a filmstrip, at most
WIDEST = 1.15  # a receptive field that is drawn, as a share of the X-ray's side
FRAME = 384  # pixels a side of a filmstrip's frame: on a small one an outline would be coarse
SIDES, LARGEST = (320, 288, 256, 224, 192, 160), 60_000  # of an animation, in pixels and bytes
GREYS = 64  # shades of an animation; each more makes its file larger
PAUSE, LAST_PAUSE = 500, 2000  # milliseconds that a frame of it is shown


def _new(
    columns: int, heights: list[float], left: float = 0.05, above: float = 0.05
) -> tuple[Figure, np.ndarray]:
    """Return a figure and bare axes in rows of these heights, with room for words around them."""
    height, ratios = sum(heights) + above + 0.25, {"height_ratios": heights}
    size = {"figsize": (WIDTH, height), "gridspec_kw": ratios, "squeeze": False}
    figure, axes = plt.subplots(len(heights), columns, **size)
    below = 0.25 / height  # the data set's label
    sides = (left / WIDTH, below, 0.995, 1 - above / height)
    figure.subplots_adjust(*sides, wspace=0.04, hspace=0.04)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.axis("off")
    return figure, axes


def draw_learnt_filters(model: keras.Model, image: np.ndarray) -> Figure:
    """Draw filters of a network's first convolution with their numbers, and what they respond to.

    Of many filters those are drawn whose responses differ most over the X-ray, uint8 (height,
    width) of the network's size.
    """
    first = next(one for stage in find_stages(model) for one in stage.convolutions)
    weights = keras.ops.convert_to_numpy(first.weights[0])[:, :, 0]
    (responses,) = _compute(model, image, [first])
    chosen = _pick(responses, FILTERS)
    rows = math.ceil(len(chosen) / COLUMNS)
    figure, axes = _new(COLUMNS, [1.35, WIDTH / COLUMNS + 0.1] * rows, left=0.25)
    for count, number in enumerate(chosen):
        row, column = divmod(count, COLUMNS)
        numbers, response = axes[2 * row, column], axes[2 * row + 1, column]
        draw_numbers(numbers, weights[..., number])
        place = {"ha": "right", "va": "center", "transform": numbers.transAxes}
        numbers.text(-0.06, 0.5, f"filter\n{number + 1}", fontsize=9, **place)
        _draw_map(response, responses[..., number])
    return figure


def draw_feature_maps(model: keras.Model, image: np.ndarray) -> Figure:
    """Draw what a network makes of an X-ray, a row for each level on its way down.

    Of each level those feature maps are drawn that differ most over the X-ray, uint8 (height,
    width) of the network's size; each has its own grey scale.
    """
    down = zip(name_levels(model), find_way_down(model), strict=True)
    levels = [(name, stage) for name, stage in down if stage.convolutions]
    found = _compute(model, image, [stage.operations[-1] for _, stage in levels])
    left = 1.2
    side = (WIDTH - left) / MAPS
    figure, axes = _new(MAPS, [side] * len(levels), left)
    for row, (name, stage), maps in zip(axes, levels, found, strict=True):
        height, width, count = stage.shape
        words = f"{name}\n{height} × {width},\n{count:,} maps"
        row[0].text(-0.06, 0.5, words, ha="right", va="center", transform=row[0].transAxes)
        for axis, number in zip(row, _pick(maps, MAPS), strict=False):
            _draw_map(axis, maps[..., number])
    return figure


def _compute(model: keras.Model, image: np.ndarray, operations: list) -> list[np.ndarray]:
    """Return the results of some operations for an X-ray, each (height, width, features)."""
    probe = keras.Model(unwrap(model).inputs[0], [one.output for one in operations])
    found = keras.tree.flatten(probe(scale(image[np.newaxis]), training=False))
    return [keras.ops.convert_to_numpy(one)[0].astype("float32") for one in found]


def _pick(maps: np.ndarray, count: int) -> list[int]:
    """Return the numbers of the maps that differ most over the X-ray, in their order."""
    # The edge and the air beside a patient may be all that a map tells apart: leave extremes out.
    spread = np.ptp(np.percentile(maps, (5, 95), axis=(0, 1)), axis=0)
    spread += 0.001 * maps.std(axis=(0, 1))  # decides between maps that differ in extremes alone
    return sorted(np.argsort(-spread, kind="stable")[:count].tolist())


def _draw_map(axis: Axes, values: np.ndarray) -> None:
    """Draw a feature map in greys, from its lowest to its highest values, if it has several."""
    low, high = np.percentile(values, (1, 99))  # a single high value would leave the rest dark
    axis.imshow(values, cmap="gray", vmin=low, vmax=max(high, low + 1e-6))
    if np.ptp(values) == 0:
        place = {"ha": "center", "va": "center", "transform": axis.transAxes}
        axis.text(0.5, 0.5, "no response\nto this X-ray", color="white", fontsize=9, **place)


def draw_receptive_fields(image: np.ndarray, fields: pd.DataFrame) -> Figure:
    """Draw on an X-ray what one value in the middle of each level sees of it.

    `fields` are what `architecture.receptive_fields` returns for a network that takes X-rays of
    this size, uint8 (height, width).
    """
    figure = plt.figure(figsize=(WIDTH, 5.4))
    axis = figure.add_axes((0.01, 0.05, 0.98, 0.94))
    size, centre = len(image), (len(image) - 1) / 2
    axis.imshow(image, cmap="gray", vmin=0, vmax=255)
    last = fields.groupby("level", sort=False)["pixels"].last()
    reach = max([size, *(side for side in last if side <= WIDEST * size)]) / 2
    places = centre + np.linspace(-0.9 * reach, 0.25 * reach, len(last))
    for (name, side), place in zip(last.iloc[::-1].items(), places, strict=True):
        corner = centre - side / 2
        words = f"{name}: {side} pixels" + (", wider than the X-ray" if side > size else "")
        axis.text(centre + 1.16 * reach, place, words, va="center", fontsize=11)
        if side <= WIDEST * size:
            square = {"fill": False, "edgecolor": ORANGE, "linewidth": 2}
            axis.add_patch(Rectangle((corner, corner), side, side, **square))
            ends = [corner + side, centre + 1.14 * reach], [corner, place]
            axis.plot(*ends, color=ORANGE, linewidth=1)
    axis.set(xlim=(centre - 1.02 * reach, centre + 2.6 * reach))
    axis.set(ylim=(centre + 1.02 * reach, centre - 1.02 * reach), anchor="W")
    axis.axis("off")
    return figure


def draw_filmstrip(
    image: np.ndarray,
    true_mask: np.ndarray,
    frames: np.ndarray,
    epochs: Sequence[int],
    dice: Sequence[float],
) -> Figure:
    """Draw an X-ray with the outline of what a network predicts after each of some epochs.

    Args:
        image: the X-ray, uint8 (height, width).
        true_mask: zeros and ones, of any size; its outline is green, the predicted one orange.
        frames: probabilities, float32 (N, height, width), as `filmstrip.read_filmstrip` returns.
        epochs: after how many epochs each was predicted.
        dice: the Dice coefficient of each.
    """
    columns = math.ceil(len(frames) / math.ceil(len(frames) / COLUMNS))
    rows = math.ceil(len(frames) / columns)
    figure, axes = _new(columns, [WIDTH / columns + 0.25] * rows, above=0.2)
    for axis, frame, epoch, score in zip(axes.flat, frames, epochs, dice, strict=False):
        axis.imshow(_outline(image, true_mask, frame, FRAME))
        axis.set_title(_say_epoch(epoch, score), fontsize=10)
    figure.text(0.005, 0.005, "true mask green, predicted orange", va="bottom", fontsize=9)
    return figure


def _say_epoch(epoch: int, dice: float) -> str:
    """Return the words on a frame."""
    return f"{f'epoch {epoch}' if epoch else 'before training'}, Dice {dice:.2f}"


def _outline(image: np.ndarray, true: np.ndarray, frame: np.ndarray, side: int) -> np.ndarray:
    """Return an X-ray with both outlines, uint8 RGB, its longer side of so many pixels."""
    height, width = (round(length * side / max(image.shape)) for length in image.shape)
    predicted = resize_image(frame, (height, width)) > THRESHOLD
    both = (true, TRUE_COLOUR), (predicted, PREDICTED_COLOUR)
    return draw_outlines(resize_image(image, (height, width)), *both)


def animate_filmstrip(
    image: np.ndarray,
    true_mask: np.ndarray,
    frames: np.ndarray,
    epochs: Sequence[int],
    dice: Sequence[float],
) -> bytes:
    """Return a filmstrip as an animated GIF, two frames a second; arguments as `draw_filmstrip`.

    Show it with `IPython.display.Image(data=..., format="gif")`. It has at most 60 kB, if need be
    by being smaller.
    """
    words = [_say_epoch(*one) for one in zip(epochs, dice, strict=True)]
    for side in SIDES:
        drawn = [_outline(image, true_mask, frame, side) for frame in frames]
        animation = _write_gif([_write_on(*one) for one in zip(drawn, words, strict=True)])
        if len(animation) <= LARGEST:
            break
    return animation


def _write_on(drawn: np.ndarray, words: str) -> Image.Image:
    """Return a picture with words above it."""
    height, width = drawn.shape[:2]
    size = width // 16
    picture = Image.new("RGB", (width, height + 2 * size))
    picture.paste(Image.fromarray(drawn), (0, 2 * size))
    font = ImageFont.load_default(size)
    ImageDraw.Draw(picture).text((width / 2, size), words, "white", font, anchor="mm")
    return picture


def _write_gif(pictures: list[Image.Image]) -> bytes:
    """Return pictures as an animated GIF in few greys and the outlines' colours."""
    greys = np.linspace(0, 255, GREYS).round().astype(int).repeat(3).tolist()
    palette = Image.new("P", (1, 1))
    palette.putpalette([*greys, *TRUE_COLOUR, *PREDICTED_COLOUR])
    first, *others = (one.quantize(palette=palette, dither=Image.Dither.NONE) for one in pictures)
    pauses = [PAUSE] * len(others) + [LAST_PAUSE]
    content = io.BytesIO()
    first.save(content, "GIF", save_all=True, append_images=others, duration=pauses, loop=0)
    return content.getvalue()

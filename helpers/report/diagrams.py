"""Diagrams: a network drawn as it is built, with the sizes of its features."""

from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from helpers.report.plots import BLUE, GREEN, GREY, ORANGE
from helpers.train.architecture import (
    Stage,
    find_enlarging,
    find_stages,
    find_window,
    is_convolution,
    unwrap,
)
from helpers.train.backend import keras

layers = keras.layers
SHOWN = (layers.Dense, layers.Conv2D, layers.MaxPooling2D)  # in a box even where no size changes
INK, PALE = "#444444", "#9CC9E3"  # of text and arrows; of joined features, a pale blue
WIDTH = 9.0  # of a diagram; all lengths are inches
INPUT, LEFT, APART = 0.6, 1.85, 1.05  # where the input and a U's left side stand; what follows it
WIDEST, TALLEST, LEAST = 0.75, 1.15, (0.1, 0.24)  # blocks of a U
ROW, HIGHEST = 4.2, 2.2  # the diagram of a CNN, and its highest box
BETWEEN, ABOVE, BELOW = 0.42, 0.7, 1.05  # two levels of a U; room for words above and below it


class Block(NamedTuple):
    """A rectangle that stands for features: its middle, its width and its height."""

    x: float
    y: float
    width: float
    height: float

    @property
    def sides(self) -> tuple[float, float]:
        """Where it begins and ends, from left to right."""
        return self.x - self.width / 2, self.x + self.width / 2

    @property
    def ends(self) -> tuple[float, float]:
        """Where it begins and ends, from below."""
        return self.y - self.height / 2, self.y + self.height / 2

    def draw(self, axis: Axes, colour: str) -> None:
        """Draw it in a colour."""
        corner = (self.sides[0], self.ends[0])
        axis.add_patch(Rectangle(corner, self.width, self.height, facecolor=colour, lw=0))


def draw_unet(model: keras.Model) -> Figure:
    """Draw a network that goes down and up again: its levels, its skips and all sizes.

    All is read from the network, so one without skips is drawn without. The higher a block, the
    larger its features; the wider, the more of them. Neither is to scale.
    """
    stages = find_stages(model)
    last = _find_last(stages)
    blocks, height = _place(stages, last)
    figure, axis = _new(height)
    for number, (stage, block) in enumerate(zip(stages, blocks, strict=True)):
        block.draw(axis, BLUE if 0 < number <= last else GREY)
        for source in stage.joined:
            _draw_skip(axis, blocks[source], block)
        if number:
            _draw_step(axis, stage, blocks[number - 1], block)
    _write_sizes(axis, stages, blocks, last)
    _write_note(axis, model)
    _explain(figure, stages[: last + 1])
    return figure


def _new(height: float) -> tuple[Figure, Axes]:
    """Return a figure of this height, and axes in inches from its lower left corner."""
    figure = plt.figure(figsize=(WIDTH, height))
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height))
    axis.axis("off")
    return figure, axis


def _find_last(stages: list[Stage]) -> int:
    """Return the number of the last stage of the U; what follows begins with a convolution."""
    for number, stage in enumerate(stages[2:], start=2):
        if is_convolution(stage.operations[0]) and find_window(stage.operations[0])[1] == 1:
            return number - 1
    return len(stages) - 1


def _place(stages: list[Stage], last: int) -> tuple[list[Block], float]:
    """Return the block of each stage, in the form of a U, and the height that they need."""
    counts = np.sqrt([stage.shape for stage in stages])  # the root, so that small ones are seen
    heights, _, widths = (counts / counts.max(axis=0)).T * [[TALLEST], [1], [WIDEST]]
    widths, heights = np.maximum(widths, LEAST[0]), np.maximum(heights, LEAST[1])
    levels = [max(0, stage.level) for stage in stages]
    bottom = int(np.argmax(levels))
    tallest = np.zeros(max(levels) + 1)
    np.maximum.at(tallest, levels, heights)
    total = ABOVE + tallest.sum() + BETWEEN * max(levels) + BELOW
    middles = total - ABOVE - tallest.cumsum() + tallest / 2 - BETWEEN * np.arange(len(tallest))
    right = WIDTH - LEFT - APART * max(0, len(stages) - last - 2)
    across = [LEFT] * bottom + [right] * (len(stages) - bottom)
    across[0], across[bottom] = INPUT, (LEFT + right) / 2
    for number in range(last + 1, len(stages)):
        across[number] = WIDTH - INPUT - APART * (len(stages) - 1 - number)
        levels[number] = levels[last]
    return [
        Block(*one) for one in zip(across, middles[levels], widths, heights, strict=True)
    ], total


def _draw_skip(axis: Axes, source: Block, block: Block) -> None:
    """Draw the features that a block joins, beside it, and the arrow that brings them."""
    joined = Block(block.sides[0] - source.width / 2, block.y, source.width, block.height)
    joined.draw(axis, PALE)
    _draw_arrow(axis, (source.sides[1], source.y), (joined.sides[0], block.y), GREY)


def _draw_step(axis: Axes, stage: Stage, before: Block, after: Block) -> None:
    """Draw the arrow from a block to the next; one within a level is labelled."""
    colour = GREEN if stage.enlarges else ORANGE
    if before.y == after.y:
        start, end = before.sides[1], after.sides[0]
        _draw_arrow(axis, (start, before.y), (end, after.y), INK)
        place = ((start + end) / 2, after.y + 0.07)
        axis.text(*place, _say_step(stage), ha="center", va="bottom", fontsize=8, color=INK)
    elif before.x == after.x:
        facing = (1, 0) if after.y > before.y else (0, 1)
        start, end = before.ends[facing[0]], after.ends[facing[1]]
        _draw_arrow(axis, (before.x, start), (after.x, end), colour)
    elif after.y < before.y:
        _draw_arrow(axis, (before.x, before.ends[0]), (after.sides[0], after.y), colour, "90,0")
    else:
        _draw_arrow(axis, (before.sides[1], before.y), (after.x, after.ends[0]), colour, "0,90")


def _draw_arrow(axis: Axes, start: tuple, end: tuple, colour: str, angles: str = "") -> None:
    """Draw an arrow; with the angles of its two ends it has a corner."""
    style = {"arrowstyle": "-|>", "color": colour, "lw": 1.8, "shrinkA": 2, "shrinkB": 2}
    if angles:
        first, second = angles.split(",")
        style["connectionstyle"] = f"angle,angleA={first},angleB={second},rad=0"
    axis.annotate("", end, start, arrowprops=style)


def _write_sizes(axis: Axes, stages: list[Stage], blocks: list[Block], last: int) -> None:
    """Write the size of each block's features: within the U, or below what stands outside it."""
    middle = max(range(last + 1), key=lambda number: stages[number].level)
    for number, (stage, block) in enumerate(zip(stages, blocks, strict=True)):
        x, y, across, up = block.x, block.ends[0] - 0.06, "center", "top"
        if 0 < number < middle:
            x, y, across, up = block.sides[1] + 0.08, block.y + 0.04, "left", "bottom"
        elif middle < number <= last:
            joined = sum(blocks[source].width for source in stage.joined)
            x, y, across, up = block.sides[0] - joined - 0.1, block.y + 0.04, "right", "bottom"
        axis.text(x, y, _write(stage.shape), ha=across, va=up, fontsize=9)
    for block, word in ((blocks[0], "input"), (blocks[-1], "output")):
        if block not in blocks[1 : last + 1]:
            place = (block.x, block.ends[1] + 0.06)
            axis.text(*place, word, ha="center", va="bottom", fontsize=9)


def _write(shape: tuple[int, ...]) -> str:
    """Return a size in words."""
    return " × ".join(f"{side:,}" for side in shape)


def _say_step(stage: Stage) -> str:
    """Return what brings features to a stage within a level, if it is no part of a block."""
    operation = stage.operations[0]
    if stage.enlarges:
        return f"{_name(operation)}\n× {find_enlarging(operation)}"
    width, stride = find_window(operation)
    if stride > 1:
        return f"{_name(operation)}\n{width} × {width},\nin steps of {stride}"
    return f"{_name(operation)}\n{width} × {width}" if width == 1 else ""


def _name(operation: keras.Operation) -> str:
    """Return the name of an operation that changes the size."""
    kinds = {
        layers.Conv2DTranspose: "transposed convolution",
        layers.UpSampling2D: "upsampling",
        layers.MaxPooling2D: "max pooling",
        layers.AveragePooling2D: "mean pooling",
    }
    return next(
        (name for kind, name in kinds.items() if isinstance(operation, kind)), "convolution"
    )


def _explain(figure: Figure, stages: list[Stage]) -> None:
    """Write below a U what its colours mean; `stages` are those of the U, and the input."""
    entries: list[Artist] = [Patch(color=BLUE, label=_say_block(stages[1:]))]
    steps = [stage.operations[0] for stage in stages[2:]]
    down = {_name(one): find_window(one)[1] for one in steps if find_window(one)[1] > 1}
    up = {_name(one): find_enlarging(one) for one in steps if find_enlarging(one) > 1}
    for steps, colour, marker, size in ((down, ORANGE, "v", "half"), (up, GREEN, "^", "twice")):
        for name, times in steps.items():
            label = f"{name}: {size} the size" if times == 2 else name
            entries.append(Line2D([], [], color=colour, marker=marker, lw=1.8, label=label))
    joined = [one for stage in stages if stage.joined for one in stage.operations]
    if joined:
        how = "joined" if any("Concatenate" in type(one).__name__ for one in joined) else "added"
        entries.append(Line2D([], [], color=GREY, marker=">", lw=1.8, label="skip connection"))
        entries.append(Patch(color=PALE, label=f"features of the way down, {how}"))
    above_label = 0.2 / figure.get_figheight()  # the data set's, which is written last
    place = {"loc": "lower center", "bbox_to_anchor": (0.5, above_label)}
    figure.legend(handles=entries, ncols=2, frameon=False, fontsize=9, **place)


def _say_block(stages: list[Stage]) -> str:
    """Return what happens in each block of a U."""
    windows = [[find_window(one) for one in stage.convolutions] for stage in stages]
    kept = [[width for width, stride in stage if stride == 1] for stage in windows]
    widths, counts = {width for stage in kept for width in stage}, {len(stage) for stage in kept}
    often = {(1,): " once", (2,): " twice", (3,): " three times"}.get(tuple(counts), "")
    width = f", filters of {max(widths)} × {max(widths)}" if len(widths) == 1 else ""
    return f"convolve{often}{width}"


class Box(NamedTuple):
    """A box of a CNN's row: the size of its features, and the layers that make them."""

    shape: tuple[int, ...]
    layers: list[keras.Layer]


def draw_cnn(model: keras.Model) -> Figure:
    """Draw a CNN as a row of boxes, with their sizes and weights below.

    The higher a box, the larger its features; the wider, the more of them. Neither is to scale.
    Neighbouring convolutions of one size share a box, with what follows and changes no size.
    """
    boxes = _list_boxes(unwrap(model))
    blocks = _place_boxes([box.shape for box in boxes])
    figure, axis = _new(ROW)
    size = min(9.0, 105 / len(boxes))  # points, so that neighbours' words do not touch
    for number, (box, block) in enumerate(zip(boxes, blocks, strict=True)):
        words, colour = _say_box(box)
        block.draw(axis, colour)
        if number:
            start, end = blocks[number - 1].sides[1], block.sides[0]
            _draw_arrow(axis, (start, block.y), (end, block.y), INK)
        weights = sum(layer.count_params() for layer in box.layers)
        sides = _write(box.shape[:2]) + (f"\n× {box.shape[2]:,}" if box.shape[2:] else "")
        for text, top in ((words, 1.45), (sides, 1.02), (f"{weights:,}\nweights", 0.59)):
            if weights or text != "0\nweights":
                axis.text(block.x, top, text, ha="center", va="top", fontsize=size)
    _write_note(axis, model)
    return figure


def _list_boxes(model: keras.Model) -> list[Box]:
    """Return the boxes of a CNN's row, from the X-ray to the probability."""
    boxes = [Box(tuple(model.input_shape[1:]), [])]
    for layer in model.layers:
        shape, last = tuple(layer.output.shape[1:]), boxes[-1]
        again = is_convolution(layer) and any(map(is_convolution, last.layers))
        if shape == last.shape and (again or not isinstance(layer, SHOWN)):
            last.layers.append(layer)
        else:
            boxes.append(Box(shape, [layer]))
    return boxes


def _place_boxes(shapes: list[tuple[int, ...]]) -> list[Block]:
    """Return where the boxes stand, for sizes of features or, without places, their number."""
    slot = (WIDTH - 0.2) / len(shapes)
    most = np.sqrt(np.max([shape for shape in shapes if len(shape) == 3], axis=0))
    rows = max([4096, *(shape[0] for shape in shapes if len(shape) == 1)])
    blocks = []
    for number, shape in enumerate(shapes):
        if len(shape) == 3:
            height, _, width = np.sqrt(shape) / most * [HIGHEST, 1, 0.65 * slot]
        else:  # a number in each place of a row: the logarithm, so that one of them is seen
            height, width = HIGHEST * np.log(1 + shape[0]) / np.log(1 + rows), 0
        x = 0.1 + slot * (number + 0.5)
        blocks.append(Block(x, 2.65, max(width, LEAST[0]), max(height, LEAST[0])))
    return blocks


def _say_box(box: Box) -> tuple[str, str]:
    """Return the words below a box, and its colour."""
    count = sum(map(is_convolution, box.layers))
    if count:
        return "convolve" + {1: "", 2: "\ntwice"}.get(count, f"\n{count} times"), BLUE
    if not box.layers or isinstance(box.layers[0], layers.InputLayer):
        return "X-ray", GREY
    first = box.layers[0]
    if hasattr(first, "pool_size"):
        return _name(first).replace(" ", "\n"), ORANGE
    words = {
        layers.Dense: ("dense", GREEN),
        layers.Flatten: ("one row", GREY),
        layers.GlobalAveragePooling2D: ("average", GREY),
    }
    known = (said for kind, said in words.items() if isinstance(first, kind))
    return next(known, (type(first).__name__, GREY))


def _write_note(axis: Axes, model: keras.Model) -> None:
    """Write above a diagram what its sizes are, and the number of all weights."""
    note = f"height × width × number of features · {unwrap(model).count_params():,} weights"
    place = (WIDTH / 2, axis.get_ylim()[1] - 0.2)
    axis.text(*place, note, ha="center", va="center", fontsize=10, color=INK)

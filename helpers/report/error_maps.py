"""Error maps: where a predicted mask misses lung or infection, and where it takes too much."""

import math
import textwrap
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from helpers.data.images import resize_image
from helpers.data.sources import DataSet
from helpers.train.postprocessing import draw_infection, draw_lungs

# Okabe and Ito's orange and sky blue, which colour-blind readers can distinguish, also on grey.
MISSED, EXTRA = (230, 159, 0), (86, 180, 233)
ZOOM = 4  # times as large as in the whole X-ray
RIM = 0.01  # of the image's diagonal, 3.6 pixels at 256: as far as an outline is a matter of taste
PANEL = 2.7  # inches of an X-ray that is looked at closely
COLUMNS = 4  # X-rays side by side
LETTERS = 28  # of a line above an X-ray, where four stand side by side


class Case(NamedTuple):
    """An X-ray with its masks, all of the true mask's size, (height, width)."""

    image: np.ndarray  # uint8
    true: np.ndarray  # zeros and ones, one is the target
    predicted: np.ndarray  # the same
    target: str = "lung"  # or "infection"


def read_cases(data_set: DataSet, rows: pd.DataFrame, probabilities: np.ndarray) -> list[Case]:
    """Return the case of each row of the index, with the cleaned mask of its probabilities.

    The network's probabilities of lung are float32, (rows, height, width).
    """
    return list(_read(data_set, rows[["file", "mask"]], probabilities, draw_lungs, "lung"))


def read_infection(data_set: DataSet, rows: pd.DataFrame, probabilities: np.ndarray) -> list[Case]:
    """Return the case of each row of the index, as `read_cases` does, with the infection masks.

    Each row has one. The predicted masks are not cleaned.
    """
    files = rows[["file", "infection_mask"]]
    return list(_read(data_set, files, probabilities, draw_infection, "infection"))


def _read(
    data_set: DataSet,
    files: pd.DataFrame,
    probabilities: np.ndarray,
    draw: Callable[[np.ndarray, tuple[int, int]], np.ndarray],
    target: str,
) -> Iterable[Case]:
    """Yield the case of each X-ray with its mask; both files are named in a row."""
    for (file, mask), probability in zip(files.to_numpy(), probabilities, strict=True):
        true = data_set.read_mask(mask)
        image = resize_image(data_set.read_xray(file), true.shape)
        yield Case(image, true, draw(probability, true.shape), target)


def paint_errors(case: Case) -> np.ndarray:
    """Return the X-ray with its missed pixels in orange and its extra ones in blue, uint8 RGB."""
    canvas = cv2.cvtColor(case.image, cv2.COLOR_GRAY2RGB)
    canvas[case.true > case.predicted] = MISSED
    canvas[case.predicted > case.true] = EXTRA
    return canvas


def find_largest_error(case: Case) -> tuple[slice, slice]:
    """Return the rows and columns of the square that holds the most wrong pixels.

    Its side is a quarter of the image's shorter side.
    """
    wrong = (case.true != case.predicted).astype(np.float32)
    side = max(1, min(wrong.shape) // ZOOM)
    sums = cv2.integral(wrong)  # of all that is above and to the left
    inside = sums[side:, side:] - sums[:-side, side:] - sums[side:, :-side] + sums[:-side, :-side]
    top, left = np.unravel_index(inside.argmax(), inside.shape)
    return slice(int(top), int(top) + side), slice(int(left), int(left) + side)


def find_near_outline(true: np.ndarray) -> np.ndarray:
    """Return which pixels lie within RIM of a mask's outline, at least its neighbours: bool."""
    within, outside = (
        cv2.distanceTransform(mask, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for mask in (true, 1 - true)
    )
    return np.maximum(within, outside) <= max(1.5, RIM * np.hypot(*true.shape))


def count_near_outline(case: Case) -> tuple[int, int]:
    """Return how many wrong pixels lie within RIM of the true outline, and how many there are."""
    wrong = case.true != case.predicted
    return int(find_near_outline(case.true)[wrong].sum()), int(wrong.sum())


def write_caption(name: str, score: float, reason: str) -> str:
    """Return the lines above a case: its class, its Dice, and a likely reason, broken to fit."""
    return "\n".join([name, f"Dice {score:.3f}", *textwrap.wrap(reason, LETTERS)])


def draw_whole_and_zoomed(cases: Sequence[Case], captions: Sequence[str]) -> Figure:
    """Draw each case's error map, and below it the square with the most wrong pixels, enlarged."""
    figure, axes = _new(2, len(cases), captions, cases[0].target)
    for (above, below), case, caption in zip(axes.T, cases, captions, strict=True):
        place = find_largest_error(case)
        _show(above, paint_errors(case), caption)
        rows, columns = place
        corner, side = (columns.start - 0.5, rows.start - 0.5), rows.stop - rows.start
        above.add_patch(Rectangle(corner, side, side, fill=False, color="white", lw=1.5))
        _show(below, paint_errors(case)[place], f"the square, {ZOOM} times as large")
    return figure


def draw_side_by_side(cases: Sequence[Case], captions: Sequence[str]) -> Figure:
    """Draw each case's error map, up to four in a row."""
    columns = min(len(cases), COLUMNS)
    figure, axes = _new(math.ceil(len(cases) / columns), columns, captions, cases[0].target)
    for axis, case, caption in zip(axes.flat, cases, captions, strict=False):
        _show(axis, paint_errors(case), caption)
    return figure


def draw_below_xrays(cases: Sequence[Case], captions: Sequence[str]) -> Figure:
    """Draw each case's X-ray as it is, and below it the error map, which may hide what it marks."""
    figure, axes = _new(2, len(cases), captions, cases[0].target)
    for (above, below), case, caption in zip(axes.T, cases, captions, strict=True):
        _show(above, cv2.cvtColor(case.image, cv2.COLOR_GRAY2RGB), caption)
        _show(below, paint_errors(case), "")
    return figure


def _new(
    rows: int, columns: int, captions: Sequence[str], target: str
) -> tuple[Figure, np.ndarray]:
    """Return a figure with room for its legend and the data set's label, and its empty axes."""
    side = min(PANEL, 10 / columns)
    lines = 1 + max(caption.count("\n") for caption in captions)
    height = (side + 0.1 + 0.18 * lines) * rows + 0.6
    size = side * columns + 0.2, height
    figure, axes = plt.subplots(rows, columns, figsize=size, layout="compressed", squeeze=False)
    figure.get_layout_engine().set(rect=(0, 0.3 / height, 1, 1 - 0.6 / height))
    for axis in axes.flat:
        axis.set_axis_off()
    names = {f"missed {target}": MISSED, f"extra: no {target}": EXTRA}
    patches = [Patch(color=np.divide(colour, 255), label=name) for name, colour in names.items()]
    figure.legend(handles=patches, loc="upper center", ncols=len(patches), frameon=False)
    return figure, axes


def _show(axis: Axes, image: np.ndarray, title: str) -> None:
    """Show an image with a title, its pixels as squares where they are enlarged."""
    axis.imshow(image, vmin=0, vmax=255, interpolation="nearest")
    axis.set_title(title, fontsize=9)

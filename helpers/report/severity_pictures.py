"""Severity pictures: how much of which part of the lungs an infection takes, on the X-ray."""

import cv2
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from helpers.data.images import draw_outlines, resize_image, resize_mask
from helpers.evaluate.zones import ZONES, infected_shares, number_zones
from helpers.report.pictures import (
    INFECTION_COLOUR,
    PREDICTED_COLOUR,
    TRUE_COLOUR,
    paint_infection,
)

SIDE = 512  # pixels of the longer side at which zones are drawn, so that lines are alike
PANEL = 4.0  # inches of an X-ray
Masks = tuple[np.ndarray, np.ndarray]  # of infection and lungs: zeros and ones, of any size


def draw_zones(image: np.ndarray, predicted: Masks, true: Masks | None = None) -> Figure:
    """Draw the six zones on an X-ray, uint8 (height, width), each with its infected share.

    Where the truth is known, it stands at the left, and beside it what was predicted. Shares are
    those of the infection mask at its own size, as in the tables of a run and of predictions.
    """
    panels = {} if true is None else {"true": (true, TRUE_COLOUR)}
    panels["predicted"] = (predicted, PREDICTED_COLOUR)
    height, width = image.shape
    figure, axes = _new(len(panels), height / width)
    for axis, (name, (masks, colour)) in zip(axes, panels.items(), strict=True):
        share = _show_zones(axis, image, *masks, colour)
        axis.set_title(f"{name}: {share}", fontsize=11)
    return figure


def _show_zones(
    axis: Axes,
    image: np.ndarray,
    infection: np.ndarray,
    lungs: np.ndarray,
    colour: tuple[int, int, int],
) -> str:
    """Show zones and shares of an X-ray, and return in words how much of the lungs is infected."""
    size = _find_size(image)
    infection, lungs = (mask.astype(np.uint8) for mask in (infection, lungs))
    shares = infected_shares(infection, resize_mask(lungs, infection.shape))
    infection, lungs = (resize_mask(mask, size) for mask in (infection, lungs))
    zones = number_zones(lungs)
    canvas = paint_infection(resize_image(image, size), infection, lungs, colour)
    canvas[_find_borders(zones)] = colour
    axis.imshow(canvas)
    for number, name in enumerate(ZONES, start=1):
        if (zones == number).any():
            row, column = (places.mean() for places in np.nonzero(zones == number))
            _write(axis, column, row, f"{shares[name]:.1%}")
    for place, side, edge in ((0.02, "right", "left"), (0.98, "left", "right")):
        style = {"ha": edge, "va": "top", "fontsize": 9, "transform": axis.transAxes}
        axis.text(place, -0.02, f"patient's {side}", **style)
    share = shares["infected_share"]
    return "no lungs" if np.isnan(share) else f"{share:.1%} of the lungs"


def _find_size(image: np.ndarray) -> tuple[int, int]:
    """Return height and width of an image whose longer side is SIDE pixels long."""
    height, width = (max(1, round(SIDE * side / max(image.shape))) for side in image.shape)
    return height, width


def _find_borders(zones: np.ndarray) -> np.ndarray:
    """Return where a zone meets another, two pixels wide: bool, (height, width)."""
    borders = np.zeros(zones.shape, bool)
    for one, other, place in (
        (zones[:-1], zones[1:], borders[:-1]),
        (zones[:, :-1], zones[:, 1:], borders[:, :-1]),
    ):
        place |= (one != other) & (one > 0) & (other > 0)
    return cv2.dilate(borders.view(np.uint8), np.ones((2, 2), np.uint8)) == 1


def _write(axis: Axes, column: float, row: float, words: str) -> None:
    """Write words on an X-ray, white with a dark rim, so that they are read on any grey."""
    rim = [withStroke(linewidth=3, foreground="black")]
    style = {"ha": "center", "va": "center", "color": "white", "fontsize": 11}
    axis.text(column, row, words, weight="bold", path_effects=rim, **style)


def draw_map(mean_xray: np.ndarray, mean: np.ndarray, threshold: float) -> Figure:
    """Draw how often each place is infected, and the answer that this gives for every X-ray.

    `mean_xray` (0 to 255), the mean of X-rays, and `mean`, the map, are of one shape; `mean` and
    `threshold` are what `infection_map.fit_map` returns.
    """
    figure, (left, right) = _new(2, mean.shape[0] / mean.shape[1])
    grey = resize_image(mean_xray, _find_size(mean_xray)).astype(np.uint8)
    answer = (mean > threshold).astype(np.uint8)
    shown = left.imshow(100 * mean, cmap="inferno", vmin=0)
    left.set_title("how often each place is infected", fontsize=11)
    figure.colorbar(shown, ax=left, label="% of the training X-rays, healthy ones too")
    right.imshow(draw_outlines(grey, (answer, INFECTION_COLOUR)))
    right.set_title(f"above {threshold:.1%}: the same answer\nfor every X-ray", fontsize=11)
    return figure


def _new(columns: int, ratio: float) -> tuple[Figure, np.ndarray]:
    """Return a figure for X-rays side by side, `ratio` times as high as wide, and its axes."""
    size = (PANEL * columns + 0.4, PANEL * ratio + 0.8)
    figure, axes = plt.subplots(1, columns, figsize=size, layout="compressed", squeeze=False)
    figure.get_layout_engine().set(rect=(0, 0.25 / size[1], 1, 1 - 0.25 / size[1]), w_pad=0.08)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    return figure, axes[0]

"""Heat pictures: X-rays under heat that shows which places spoke for COVID."""

import textwrap
from collections.abc import Sequence

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helpers.data.images import draw_outlines, resize_image, resize_mask
from helpers.data.sources import DataSet
from helpers.evaluate.heat_maps import energy_in_lungs
from helpers.evaluate.lung_masks import DRAWN
from helpers.report.pictures import TRUE_COLOUR, draw_grid
from helpers.split.index import has_masks


def draw_heat(
    data_set: DataSet,
    rows: pd.DataFrame,
    heats: dict[str, np.ndarray],
    masks: Sequence[np.ndarray],
    captions: list[str],
) -> Figure:
    """Draw X-rays, and below each the same under its heats, with the lungs and their share of it.

    `heats` are float32, (rows, height, width), 0..1, by the method's name, as
    `heat_maps.find_heat` returns them. The masks, zeros and ones, of any size, give the shares, and
    stand for those that the data set lacks.
    """
    images = [data_set.read_xray(file) for file in rows["file"]]
    lungs = [
        data_set.read_mask(row.mask) if row.mask else mask
        for row, mask in zip(rows.itertuples(), masks, strict=True)
    ]
    grid, titles = [images], list(captions)
    for heat in heats.values():
        mixed = zip(images, heat, lungs, strict=True)
        grid.append([_outline_heat(*parts) for parts in mixed])
        small = np.stack([resize_mask(mask, heat.shape[1:]) for mask in masks])
        titles += map(_describe_share, energy_in_lungs(heat, small))
    whose = "" if has_masks(rows) else f",\n{textwrap.fill(DRAWN, 20)}"
    first, *others = heats
    names = ["X-ray", f"{first}:\nheat, strongest\nwhere yellow;\nlungs green{whose}", *others]
    return draw_grid(grid, titles, names, largest=2.3, letters=10)


def draw_heat_found(image: np.ndarray, mask: np.ndarray, heats: dict[str, np.ndarray]) -> Figure:
    """Draw an X-ray, and beside it the same under its heats with a predicted mask's outline.

    `heats` are float32, (1, height, width), 0..1, of any size, by the method's name.
    """
    titles = [f"{name}:\nstrongest where yellow,\npredicted lungs green" for name in heats]
    mixed = [_outline_heat(image, heat, mask) for (heat,) in heats.values()]
    return draw_grid([[image, *mixed]], ["X-ray", *titles], largest=2.3, letters=11)


def _outline_heat(image: np.ndarray, heat: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Return an X-ray under its heat with the lungs outlined, in green: heat has orange."""
    return draw_outlines(_lay_heat(image, heat), (lungs, TRUE_COLOUR))


def _describe_share(inside: float) -> str:
    """Return in words the lungs' share of a heat, NaN if there is none."""
    return "no heat" if np.isnan(inside) else f"{inside:.0%} of the heat in the lungs"


def _lay_heat(image: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return an X-ray under its heat, uint8 RGB (height, width, 3)."""
    inferno = plt.get_cmap("inferno")  # perceptually uniform, and without the outline's green
    colours = inferno(resize_image(cells, image.shape))[..., :3] * 255
    return cv2.addWeighted(cv2.merge([image] * 3), 0.5, colours.astype(np.uint8), 0.5, 0)

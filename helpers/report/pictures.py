"""Pictures: X-rays with their masks, side by side and as outlines."""

from pathlib import PurePosixPath

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from helpers.data.images import draw_outlines, resize_image
from helpers.data.sources import DataSet
from helpers.evaluate.postprocessing import draw_lungs
from helpers.train.augmentation import Strength, augment

TRUE_COLOUR, PREDICTED_COLOUR = (0, 230, 160), (255, 140, 0)
HEAT_COLOURS = plt.get_cmap("inferno")  # perceptually uniform, and without the outline's green


def pick_examples(
    table: pd.DataFrame, per_class: int, seed: int, by: tuple[str, ...] = ("class",)
) -> pd.DataFrame:
    """Return `per_class` rows of each class (fewer if it has fewer), chosen by the seed.

    With more columns in `by`, that many rows of each combination of their values.
    """
    shuffled = table.sample(frac=1, random_state=seed)
    return shuffled.groupby(list(by)).head(per_class).sort_values([*by, "file"])


def draw_masks(data_set: DataSet, rows: pd.DataFrame) -> Figure:
    """Draw each X-ray, its mask, and the mask's outline on it, a column an X-ray."""
    columns = []
    for row in rows.itertuples():
        image, mask = data_set.read_xray(row.file), data_set.read_mask(row.mask)
        columns.append([image, mask * 255, draw_outlines(image, (mask, TRUE_COLOUR))])
    figure, axes = _grid(list(zip(*columns, strict=True)))
    for axis, name in zip(axes[0], rows["class"], strict=True):
        axis.set_title(name)
    _name_rows(axes, ["X-ray", "mask", "outline"])
    return figure


def draw_xrays(data_set: DataSet, rows: pd.DataFrame, captions: list[str], columns: int) -> Figure:
    """Draw X-rays in a grid, each with its caption above it."""
    images = [data_set.read_xray(file) for file in rows["file"]]
    grid = [images[start : start + columns] for start in range(0, len(images), columns)]
    figure, axes = _grid(grid)
    for axis, caption in zip(axes.flat, captions, strict=False):
        axis.set_title(caption, fontsize=9)
    return figure


def draw_pairs(data_set: DataSet, pairs: list[tuple[str, str]], names: list[str]) -> Figure:
    """Draw two X-rays one above the other, a column a pair, with the names of the two rows."""
    columns = [[data_set.read_xray(file) for file in pair] for pair in pairs]
    figure, axes = _grid(list(zip(*columns, strict=True)))
    for axis, file in zip(axes.T.flat, (file for pair in pairs for file in pair), strict=True):
        axis.set_title(PurePosixPath(file).stem, fontsize=9)
    _name_rows(axes, names)
    return figure


def draw_predictions(
    data_set: DataSet, rows: pd.DataFrame, probabilities: np.ndarray, captions: list[str]
) -> Figure:
    """Draw each X-ray with the true and the predicted mask and both outlines, a column an X-ray.

    Args:
        data_set: where the files are.
        rows: the index's rows to draw.
        probabilities: float32, (rows, height, width), of lung.
        captions: the words above each X-ray.
    """
    columns = []
    for row, probability in zip(rows.itertuples(), probabilities, strict=True):
        image, true = data_set.read_xray(row.file), data_set.read_mask(row.mask)
        predicted = draw_lungs(probability, true.shape)
        outlined = draw_outlines(image, (true, TRUE_COLOUR), (predicted, PREDICTED_COLOUR))
        columns.append([image, true * 255, predicted * 255, outlined])
    figure, axes = _grid(list(zip(*columns, strict=True)))
    for axis, caption in zip(axes[0], captions, strict=True):
        axis.set_title(caption, fontsize=9)
    _name_rows(
        axes, ["X-ray", "true mask", "predicted", "outlines:\ntrue green,\npredicted orange"]
    )
    return figure


def draw_augmented(
    image: np.ndarray, mask: np.ndarray, strength: Strength, count: int, seed: int
) -> Figure:
    """Draw an X-ray with its mask's outline, and beside it `count` augmentations of both."""
    pairs = [(image, mask)]
    pairs += [
        augment(image, mask, strength, np.random.default_rng((seed, number)))
        for number in range(count)
    ]
    figure, axes = _grid([[draw_outlines(one, (outline, TRUE_COLOUR)) for one, outline in pairs]])
    axes[0, 0].set_title("as it is", fontsize=9)
    axes[0, 1].set_title("as training may show it", fontsize=9, loc="left")
    return figure


def _grid(images: list, largest: float = 2.0) -> tuple[Figure, np.ndarray]:
    """Return a figure of images, given row by row, with nothing around them.

    Each is as wide and high as there is room, and `largest` inches at most.
    """
    rows, columns = len(images), max(len(row) for row in images)
    size = min(largest, 9.0 / columns)
    figure, axes = plt.subplots(
        rows,
        columns,
        figsize=(size * columns + 0.9, size * rows + 0.9),
        layout="compressed",
        squeeze=False,
    )
    label = 0.25 / figure.get_figheight()  # room for the data set's label below
    figure.get_layout_engine().set(rect=(0, label, 1, 1 - label), w_pad=0.03, h_pad=0.03)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for row_of_axes, row in zip(axes, images, strict=True):
        for axis, image in zip(row_of_axes, row, strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255)
    return figure, axes


def _name_rows(axes: np.ndarray, names: list[str]) -> None:
    """Write a name at the left of each row."""
    for axis, name in zip(axes[:, 0], names, strict=True):
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=9)


def draw_views(views: dict[str, np.ndarray], names: list[str]) -> Figure:
    """Draw some views, uint8 (N, height, width) each, of N X-rays: a column a view, a row an X-ray.

    Args:
        views: under the name that is written above its column.
        names: what is written at the left of each row.
    """
    figure, axes = _grid(list(zip(*views.values(), strict=True)))
    for axis, name in zip(axes[0], views, strict=True):
        axis.set_title(name.replace("_", " "), fontsize=9)
    _name_rows(axes, names)
    return figure


def draw_filters(data_set: DataSet, row: pd.Series) -> Figure:
    """Draw an X-ray and what a vertical-edge and a horizontal-edge filter of 3x3 make of it."""
    image = data_set.read_xray(row["file"])
    vertical = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=np.float32)  # Sobel's
    answers = [
        np.abs(cv2.filter2D(image.astype(np.float32), -1, kernel))
        for kernel in (vertical, vertical.T)
    ]
    figure, axes = _grid([[image, *(np.clip(answer, 0, 255) for answer in answers)]])
    titles = ["X-ray", "answer to vertical edges", "answer to horizontal edges"]
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    return figure


def draw_probability(data_set: DataSet, row: pd.Series, probability: np.ndarray) -> Figure:
    """Draw an X-ray beside its probability of lung, (height, width) in 0..1, with a colour bar."""
    image = data_set.read_xray(row["file"])
    figure, axes = _grid([[image, image]])
    enlarged = resize_image(probability, image.shape)
    shown = axes[0, 1].imshow(enlarged, cmap="viridis", vmin=0, vmax=1)
    figure.colorbar(shown, ax=axes[0, 1], label="probability of lung")
    return figure


def draw_heat(
    data_set: DataSet, rows: pd.DataFrame, heat: np.ndarray, captions: list[str]
) -> Figure:
    """Draw each X-ray, and below it once more under its heat, with the lungs' outline if known.

    Args:
        data_set: where the files are.
        rows: the index's rows to draw.
        heat: float32, (rows, height, width), 0..1, as `grad_cam.grad_cam` returns it.
        captions: the words above each X-ray.
    """
    columns = []
    for row, cells in zip(rows.itertuples(), heat, strict=True):
        image = data_set.read_xray(row.file)
        outlines = [(data_set.read_mask(row.mask), TRUE_COLOUR)] if row.mask else []
        columns.append([image, draw_outlines(_lay_heat(image, cells), *outlines)])
    figure, axes = _grid(list(zip(*columns, strict=True)))
    for axis, caption in zip(axes[0], captions, strict=True):
        axis.set_title(caption, fontsize=9)
    _name_rows(axes, ["X-ray", "under its heat,\nyellow the most;\nlungs green"])
    return figure


def _lay_heat(image: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return an X-ray under its heat, uint8 RGB (height, width, 3)."""
    colours = HEAT_COLOURS(resize_image(cells, image.shape))[..., :3] * 255
    return cv2.addWeighted(cv2.merge([image] * 3), 0.5, colours.astype(np.uint8), 0.5, 0)


def draw_lungs_found(image: np.ndarray, mask: np.ndarray) -> Figure:
    """Draw an X-ray, uint8 (height, width), and beside it the outline of a predicted mask on it."""
    figure, axes = _grid([[image, draw_outlines(image, (mask, PREDICTED_COLOUR))]], largest=4.0)
    for axis, title in zip(axes[0], ["X-ray", "lungs as predicted"], strict=True):
        axis.set_title(title, fontsize=9)
    return figure


def draw_heat_found(image: np.ndarray, mask: np.ndarray, heat: np.ndarray) -> Figure:
    """Draw an X-ray, and beside it the same under its heat with a predicted mask's outline.

    Args:
        image: uint8, (height, width).
        mask: zeros and ones, of any size.
        heat: float32, 0..1, of any size, as `grad_cam.grad_cam` returns one.
    """
    # In green: there is orange among the heat's colours.
    mixed = draw_outlines(_lay_heat(image, heat), (mask, TRUE_COLOUR))
    figure, axes = _grid([[image, mixed]], largest=4.0)
    titles = ["X-ray", "under its heat, yellow the most; lungs as predicted, green"]
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    return figure

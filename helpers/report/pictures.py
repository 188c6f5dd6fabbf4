"""Pictures: X-rays with their masks, side by side and as outlines."""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from helpers.data.images import draw_outlines, resize_image, resize_mask
from helpers.data.sources import DataSet
from helpers.report.plots import BLUE, ORANGE
from helpers.train import postprocessing
from helpers.train.augmentation import Strength, augment, draw_changes, draw_noise
from helpers.train.postprocessing import draw_lungs

TRUE_COLOUR, PREDICTED_COLOUR = (0, 230, 160), (255, 140, 0)
OTHER_COLOUR = (80, 170, 255)  # of a second network's mask
INFECTION_COLOUR = (255, 70, 220)  # differs from orange for colour-blind readers, too
TINT = 0.25  # of an infection's colour, so that what lies below can be seen


def pick_examples(
    table: pd.DataFrame, per_class: int, seed: int, by: tuple[str, ...] = ("class",)
) -> pd.DataFrame:
    """Return `per_class` rows of each class (fewer if it has fewer), chosen by the seed.

    With more columns in `by`, that many rows of each combination of their values.
    """
    shuffled = table.sample(frac=1, random_state=seed)
    return shuffled.groupby(list(by)).head(per_class).sort_values([*by, "file"])


def draw_masks(data_set: DataSet, rows: pd.DataFrame) -> Figure:
    """Draw each X-ray, its mask, and the mask's outline on it, a column per X-ray."""
    columns = []
    for row in rows.itertuples():
        image, mask = data_set.read_xray(row.file), data_set.read_mask(row.mask)
        columns.append([image, mask * 255, draw_outlines(image, (mask, TRUE_COLOUR))])
    figure = draw_grid(zip(*columns, strict=True), names=["X-ray", "mask", "outline"])
    for axis, name in zip(figure.axes, rows["class"], strict=False):
        axis.set_title(name)
    return figure


def draw_xrays(data_set: DataSet, rows: pd.DataFrame, captions: list[str], columns: int) -> Figure:
    """Draw X-rays in a grid, each with its caption above it."""
    images = [data_set.read_xray(file) for file in rows["file"]]
    rows_of_images = (images[i : i + columns] for i in range(0, len(images), columns))
    return draw_grid(rows_of_images, captions, largest=2.9)


def draw_pairs(data_set: DataSet, pairs: list[tuple[str, str]], names: list[str]) -> Figure:
    """Draw two X-rays one above the other, a column per pair, with the names of the two rows.

    They are large enough to compare ribs and vessels if there are at most three pairs.
    """
    rows = list(zip(*pairs, strict=True))
    stems = [PurePosixPath(file).stem for row in rows for file in row]
    return draw_grid(
        ([data_set.read_xray(file) for file in row] for row in rows), stems, names, 2.9
    )


def draw_predictions(
    data_set: DataSet, rows: pd.DataFrame, probabilities: np.ndarray, captions: list[str]
) -> Figure:
    """Draw each X-ray with its true and predicted mask and both outlines, a column per X-ray.

    `probabilities` of lung are float32, (rows, height, width), for these rows of the index.
    """
    columns = []
    for row, probability in zip(rows.itertuples(), probabilities, strict=True):
        image, true = data_set.read_xray(row.file), data_set.read_mask(row.mask)
        predicted = draw_lungs(probability, true.shape)
        outlined = draw_outlines(image, (true, TRUE_COLOUR), (predicted, PREDICTED_COLOUR))
        columns.append([image, true * 255, predicted * 255, outlined])
    names = ["X-ray", "true mask", "predicted", "outlines:\ntrue green,\npredicted orange"]
    return draw_grid(zip(*columns, strict=True), captions, names)


def draw_infection(
    data_set: DataSet,
    rows: pd.DataFrame,
    probabilities: np.ndarray,
    true_lungs: Sequence[np.ndarray],
    predicted_lungs: Sequence[np.ndarray],
    captions: list[str],
) -> Figure:
    """Draw each X-ray with its true and its predicted lungs and infection, a column per X-ray.

    `probabilities` of infection are float32, (rows, height, width), for these rows of the index,
    each with an infection mask. The lungs are zeros and ones, of any size.
    """
    columns = []
    given = zip(rows.itertuples(), probabilities, true_lungs, predicted_lungs, strict=True)
    for row, probability, true, predicted in given:
        image = data_set.read_xray(row.file)
        infection = data_set.read_mask(row.infection_mask)
        found = postprocessing.draw_infection(probability, infection.shape)
        columns.append(
            [
                image,
                paint_infection(image, infection, true, TRUE_COLOUR),
                paint_infection(image, found, predicted, PREDICTED_COLOUR),
            ]
        )
    lungs = {"true": "green", "predicted": "orange"}
    names = [f"{name}:\nlungs {colour},\ninfection pink" for name, colour in lungs.items()]
    return draw_grid(zip(*columns, strict=True), captions, ["X-ray", *names], largest=2.6)


def paint_infection(
    image: np.ndarray, infection: np.ndarray, lungs: np.ndarray, colour: tuple[int, int, int]
) -> np.ndarray:
    """Return an X-ray with the outline of the lungs, and the infection tinted and outlined.

    The X-ray is uint8 grey, (height, width); the masks are zeros and ones, of any size. The colour
    is that of the lungs. The result is uint8 RGB.
    """
    tinted = cv2.merge([image] * 3)
    within = resize_mask(infection.astype(np.uint8), image.shape) == 1
    tint = TINT * np.array(INFECTION_COLOUR)
    tinted[within] = ((1 - TINT) * tinted[within] + tint).astype(np.uint8)
    return draw_outlines(tinted, (lungs, colour), (infection, INFECTION_COLOUR))


def draw_augmented(
    image: np.ndarray, mask: np.ndarray, strength: Strength, count: int, seed: int
) -> Figure:
    """Draw an X-ray with its mask's outline, and beside it `count` augmentations of both."""
    changes = draw_changes(strength, (seed, 1), count, len(image))
    noise = draw_noise((seed, 2), len(image))
    changed = [augment(image, mask, changes.of(number), noise) for number in range(count)]
    pairs = [(image, mask), *changed]
    outlined = [draw_outlines(one, (outline, TRUE_COLOUR)) for one, outline in pairs]
    figure = draw_grid([outlined], ["as it is"])
    figure.axes[1].set_title("as training may show it", fontsize=9, loc="left")
    return figure


def draw_views(views: dict[str, np.ndarray], names: list[str]) -> Figure:
    """Draw views of some X-rays, uint8 (N, height, width) by name: a column per view.

    `names` are written at the left of the N rows.
    """
    titles = [name.replace("_", " ") for name in views]
    return draw_grid(zip(*views.values(), strict=True), titles, names)


def draw_filters(data_set: DataSet, row: pd.Series) -> Figure:
    """Draw an X-ray, and two filters of 3x3 (Sobel's): their numbers, and what they respond to."""
    image = data_set.read_xray(row["file"])
    vertical = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=np.float32)
    sizes = {"width_ratios": [2.3, 0.95, 2.3, 0.95, 2.3]}
    figure, axes = plt.subplots(1, 5, figsize=(9, 2.8), gridspec_kw=sizes)
    figure.subplots_adjust(0.005, 0.09, 0.995, 0.9, 0.08)
    axes[0].imshow(image, cmap="gray", vmin=0, vmax=255)
    axes[0].set_title("X-ray", fontsize=9)
    for name, kernel, pair in (
        ("vertical", vertical, axes[1:3]),
        ("horizontal", vertical.T, axes[3:]),
    ):
        response = np.maximum(cv2.filter2D(image.astype(np.float32), -1, kernel), 0)
        draw_numbers(pair[0], kernel)
        pair[0].set_title(f"filter for\n{name} edges", fontsize=9)
        pair[1].imshow(response, cmap="gray", vmin=0, vmax=255)
        pair[1].set_title(f"response to {name} edges", fontsize=9)
    for axis in axes:
        axis.axis("off")
    return figure


def draw_numbers(axis: Axes, weights: np.ndarray) -> None:
    """Draw a filter, (height, width), as a table of its numbers: blue above 0, orange below."""
    colours = LinearSegmentedColormap.from_list("weights", [ORANGE, "white", BLUE])
    most = 1.5 * max(float(np.abs(weights).max()), 1e-6)  # paler, so that numbers are read on it
    axis.imshow(weights, cmap=colours, vmin=-most, vmax=most)
    digits = 0 if (weights == weights.round()).all() else 2
    for (row, column), weight in np.ndenumerate(weights):
        text = f"{round(float(weight), digits) + 0.0:.{digits}f}".replace("-", "−")  # no "−0"
        axis.text(column, row, text, ha="center", va="center", fontsize=min(8, 25 / len(weights)))
    for edge in np.arange(len(weights) + 1) - 0.5:
        axis.axhline(edge, color="white", linewidth=1.5)
        axis.axvline(edge, color="white", linewidth=1.5)


def draw_probability(data_set: DataSet, row: pd.Series, probability: np.ndarray) -> Figure:
    """Draw an X-ray beside its probability of lung, (height, width) in 0..1, with a colour bar."""
    image = data_set.read_xray(row["file"])
    figure = draw_grid([[image, image]])
    axis = figure.axes[1]
    shown = axis.imshow(resize_image(probability, image.shape), cmap="viridis", vmin=0, vmax=1)
    figure.colorbar(shown, ax=axis, label="probability of lung")
    return figure


def draw_lungs_found(image: np.ndarray, mask: np.ndarray) -> Figure:
    """Draw an X-ray, uint8 (height, width), and beside it the outline of a predicted mask on it."""
    outlined = draw_outlines(image, (mask, PREDICTED_COLOUR))
    return draw_grid([[image, outlined]], ["X-ray", "predicted lungs"], largest=4.0)


def draw_two_found(image: np.ndarray, mask: np.ndarray, own: np.ndarray) -> Figure:
    """Draw the outline of the mask that a run's network predicts, and beside it both outlines.

    `mask` is that of the package's network.
    """
    alone = draw_outlines(image, (own, OTHER_COLOUR))
    both = draw_outlines(image, (mask, PREDICTED_COLOUR), (own, OTHER_COLOUR))
    titles = ["your run's lungs", "yours blue, the package's orange"]
    return draw_grid([[alone, both]], titles, largest=4.0)


def draw_infection_found(image: np.ndarray, mask: np.ndarray, infection: np.ndarray) -> Figure:
    """Draw an X-ray, and beside it the outlines of its predicted lungs and infection."""
    outlined = draw_outlines(image, (mask, PREDICTED_COLOUR), (infection, INFECTION_COLOUR))
    return draw_grid([[image, outlined]], ["X-ray", "lungs orange, infection pink"], largest=4.0)


def draw_thresholds(
    image: np.ndarray, probability: np.ndarray, thresholds: Sequence[float]
) -> Figure:
    """Draw an X-ray with the outline of what counts as lung at each of some thresholds.

    `probability` of lung is float32, 0..1, of any size.
    """
    masks = [draw_lungs(probability, image.shape, threshold) for threshold in thresholds]
    outlined = [draw_outlines(image, (mask, PREDICTED_COLOUR)) for mask in masks]
    titles = [
        f"above {threshold}:\n{mask.mean():.1%} of the image"
        for threshold, mask in zip(thresholds, masks, strict=True)
    ]
    return draw_grid([outlined], titles, largest=2.6, letters=11)


def draw_grid(
    images: Iterable[Sequence[np.ndarray]],
    titles: Iterable[str] = (),
    names: Sequence[str] = (),
    largest: float = 2.0,
    letters: float = 9,
) -> Figure:
    """Draw images, given row by row, each `largest` inches wide at most.

    The axes are in reading order. The first ones have `titles` above them; `names` stand at the
    left of the rows, both in `letters` of so many points.
    """
    images = list(images)
    rows, columns = len(images), max(len(row) for row in images)
    size = min(largest, 9.0 / columns)
    width, height = size * columns + 0.9, size * rows + 0.9
    figure, axes = plt.subplots(
        rows, columns, figsize=(width, height), layout="compressed", squeeze=False
    )
    label = 0.25 / height  # room for the data set's label below
    figure.get_layout_engine().set(rect=(0, label, 1, 1 - label), w_pad=0.03, h_pad=0.03)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
    for row_of_axes, row in zip(axes, images, strict=True):
        for axis, image in zip(row_of_axes, row, strict=False):
            axis.imshow(image, cmap="gray", vmin=0, vmax=255)
    for axis, title in zip(axes.flat, titles, strict=False):
        axis.set_title(title, fontsize=letters)
    for axis, name in zip(axes[:, 0], names, strict=False):
        axis.set_ylabel(name, rotation=0, ha="right", va="center", fontsize=letters)
    return figure

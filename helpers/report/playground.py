"""Playground: what a slider moves, and what becomes of masks, errors and scores."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from helpers.evaluate.segmentation import measure_distances
from helpers.report.error_maps import Case, paint_errors
from helpers.report.plots import BLUE, GREY, ORANGE
from helpers.train.metrics import dice, iou
from helpers.train.postprocessing import draw_lungs

if TYPE_CHECKING:  # an optional extra, which only a notebook in a browser needs
    from ipywidgets import VBox

HEIGHT, WIDTH, SIDE = 24, 40, 12  # of the picture of two boxes, and of each box, in pixels
TRUE_LEFT = 4  # where the true box begins; the other one is moved to the right
LARGEST_SHIFT = WIDTH - SIDE - 2 * TRUE_LEFT
PANEL = 3.3  # inches
LEGEND = "orange: missed; blue: extra"


def offer_slider(
    draw: Callable[[float], Figure | np.ndarray],
    name: str,
    values: Sequence[float],
    first: float,
    describe: Callable[[float], str] | None = None,
) -> "VBox | None":
    """Show and return a slider over a picture that is drawn anew for each of its values.

    Without ipywidgets it says how to install it, and returns None.

    Args:
        draw: returns the picture of a value, uint8 RGB or a figure, closed once it is shown.
        name: stands before the slider.
        values: that the slider offers, in order.
        first: the one that it starts with.
        describe: returns a line on a value, to stand above the picture.
    """
    try:
        from ipywidgets import Image, Label, SelectionSlider, VBox
    except ImportError:
        print("For a slider: `uv sync --extra jupyter`. A picture nearby shows a few settings.")
        return None
    from IPython.display import display  # a notebook has it

    # Drawn when it is released: a figure takes too long to follow the mouse.
    slider = SelectionSlider(
        options=list(values), value=first, description=name, continuous_update=False
    )
    line, picture = Label(), Image(format="png")

    def follow(_=None) -> None:
        """Show what belongs to the slider's value."""
        picture.value = _to_png(draw(slider.value))
        line.value = describe(slider.value) if describe else ""

    slider.observe(follow, "value")
    follow()
    box = VBox([slider, line, picture] if describe else [slider, picture])
    display(box)
    return box


def _to_png(drawn: Figure | np.ndarray) -> bytes:
    """Return a picture as the bytes of a PNG. A figure is closed, so that no cell shows it too."""
    if isinstance(drawn, np.ndarray):
        return cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))[1].tobytes()
    with io.BytesIO() as file:
        drawn.savefig(file, format="png", dpi=90)
        plt.close(drawn)
        return file.getvalue()


def score_pair(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return IoU, Dice and 95 % Hausdorff distance in pixels of two masks, (height, width)."""
    pair = true[None, ..., None], predicted[None, ..., None]
    far = measure_distances(true, predicted)["hausdorff_95"]
    return {"IoU": float(iou(*pair)[0]), "Dice": float(dice(*pair)[0]), "Hausdorff": far}


def place_boxes(shift: int) -> tuple[np.ndarray, np.ndarray]:
    """Return masks, (HEIGHT, WIDTH), of a box and of the same box `shift` pixels to its right."""
    true, predicted = np.zeros((2, HEIGHT, WIDTH), np.uint8)
    top = (HEIGHT - SIDE) // 2
    true[top : top + SIDE, TRUE_LEFT : TRUE_LEFT + SIDE] = 1
    left = TRUE_LEFT + shift
    predicted[top : top + SIDE, left : left + SIDE] = 1
    return true, predicted


def draw_boxes(shifts: Sequence[int]) -> Figure:
    """Draw the true box and the one that is moved, a column a shift, with their scores."""
    size = 2.5 * len(shifts), 2.6
    figure, axes = plt.subplots(1, len(shifts), figsize=size, layout="constrained", squeeze=False)
    for axis, shift in zip(axes.flat, shifts, strict=True):
        true, predicted = place_boxes(shift)
        scores = score_pair(true, predicted)
        shared = np.where(true & predicted, 255, 50).astype(np.uint8)
        axis.imshow(paint_errors(Case(shared, true, predicted)))
        axis.set_title(
            f"moved by {shift} pixels\nIoU {scores['IoU']:.2f}, Dice {scores['Dice']:.2f}\n"
            f"95 % Hausdorff {scores['Hausdorff']:.0f} pixels",
            fontsize=10,
        )
        axis.set_axis_off()
    figure.supxlabel(f"white: in both; {LEGEND}", fontsize=9)
    return figure


def read_test(run_folder: Path) -> pd.DataFrame | None:
    """Return the detector's predictions of the test split.

    None if the run has no detector, or the test split not both classes.
    """
    path = run_folder / "detection" / "predictions.csv"
    if not path.is_file():
        return None
    table = pd.read_csv(path)
    test = table[table["split"] == "test"]
    return test if test["label"].nunique() == 2 else None


def count_confusion(test: pd.DataFrame, threshold: float) -> np.ndarray:
    """Return the X-rays that are COVID (first row) or not, and called so (first column) or not."""
    called = test["probability"] > threshold
    return np.array(
        [
            [((test["label"] == label) & (called == answer)).sum() for answer in (True, False)]
            for label in (1, 0)
        ]
    )


def draw_thresholds(
    image: np.ndarray,
    true: np.ndarray,
    probability: np.ndarray,
    test: pd.DataFrame | None,
    thresholds: Sequence[float],
) -> Figure:
    """Draw what each threshold makes of a test X-ray's lungs, and of the detector's predictions.

    A row a threshold: the errors of the mask, the confusion matrix, and the point on the ROC
    curve. Without a detector there are the masks alone, side by side.

    Args:
        image: the X-ray, uint8 (height, width).
        true: its mask, zeros and ones, of the same shape.
        probability: of lung, float32, of the same shape.
        test: as `read_test` returns it.
        thresholds: for lung and for COVID alike.
    """
    rows, columns = (1, len(thresholds)) if test is None else (len(thresholds), 3)
    width, height = PANEL * columns, (PANEL + 0.3) * rows + 0.4
    figure, axes = plt.subplots(
        rows, columns, figsize=(width, height), layout="constrained", squeeze=False
    )
    figure.get_layout_engine().set(rect=(0, 0.3 / height, 1, 1 - 0.3 / height))
    masks = axes.flat if test is None else axes[:, 0]
    for axis, threshold in zip(masks, thresholds, strict=True):
        predicted = draw_lungs(probability, true.shape, threshold)
        _draw_mask(axis, Case(image, true, predicted), threshold)
    if test is not None:
        for (_, middle, right), threshold in zip(axes, thresholds, strict=True):
            _draw_confusion(middle, test, threshold)
            _draw_roc(right, test, threshold)
    figure.text(0.005, 0.005, LEGEND, ha="left", va="bottom", fontsize=9, color="#555555")
    return figure


def _draw_mask(axis: Axes, case: Case, threshold: float) -> None:
    """Draw the errors of a mask under its threshold and scores."""
    scores = score_pair(case.true, case.predicted)
    axis.imshow(paint_errors(case), interpolation="nearest")
    axis.set_title(
        f"threshold {threshold:.2f}\nDice {scores['Dice']:.3f}, IoU {scores['IoU']:.3f}",
        fontsize=10,
    )
    axis.set_axis_off()


def _draw_confusion(axis: Axes, test: pd.DataFrame, threshold: float) -> None:
    """Draw a confusion matrix, each cell as blue as its share of its row."""
    counts = count_confusion(test, threshold)
    shares = counts / counts.sum(axis=1, keepdims=True)
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1.5)
    for (row, column), count in np.ndenumerate(counts):
        axis.text(column, row, f"{count}", ha="center", va="center", fontsize=13)
    axis.set_xticks([0, 1], ["COVID", "not COVID"])
    axis.set_yticks([0, 1], ["COVID", "not"], rotation=90, va="center")
    axis.set(xlabel="predicted", ylabel="truth")
    axis.set_title(f"COVID if above {threshold:.2f}", fontsize=10)


def _draw_roc(axis: Axes, test: pd.DataFrame, threshold: float) -> None:
    """Draw the ROC curve, with the point where the threshold puts the detector."""
    alarms, found, _ = roc_curve(test["label"], test["probability"])
    (hits, misses), (wrong, right) = count_confusion(test, threshold)
    sensitivity, alarm = hits / (hits + misses), wrong / (wrong + right)
    axis.plot([0, 1], [0, 1], ":", color=GREY)
    axis.plot(alarms, found, color=BLUE)
    axis.plot(alarm, sensitivity, "D", color=ORANGE, ms=9)
    axis.set(xlabel="1 − specificity", ylabel="sensitivity", box_aspect=1)
    axis.set(xlim=(-0.04, 1.04), ylim=(-0.04, 1.04))
    axis.set_title(
        f"sensitivity {sensitivity:.2f}\nspecificity {1 - alarm:.2f}",
        fontsize=10,
    )

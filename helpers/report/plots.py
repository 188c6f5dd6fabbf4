"""Plots: counts, splits, learning curves and scores as charts; how a figure is finished."""

import io
from functools import partial
from itertools import cycle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from sklearn.metrics import precision_recall_curve, roc_curve

from helpers.data.sources import DataSet
from helpers.evaluate.calibration import apply_temperature, reliability_table
from helpers.evaluate.detection import confusion_by_class
from helpers.evaluate.intervals import Estimate
from helpers.split.splits import FRACTIONS
from helpers.storage.files import make_folder, replacing
from helpers.train.recipes import THRESHOLD

# Okabe and Ito's colours, which colour-blind readers can distinguish.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#999999"
PINK, DARK = "#CC79A7", "#444444"
COLOURS = 96  # of a chart, shades of the edges of its letters among them
LARGEST_TABLE = 24  # rows or columns of a table drawn as an image, or of a filter
SPLIT_COLOURS = dict(zip(FRACTIONS, (BLUE, ORANGE, GREEN), strict=True))


def use_notebook_style() -> None:
    """Store a notebook's charts as PNG, and its X-rays as JPEG, which take a third of the room."""
    import matplotlib_inline.backend_inline  # noqa: F401  # it would register its own formats later
    from IPython import get_ipython  # a notebook has both

    if shell := get_ipython():  # a notebook's code may also run without one
        for kind in ("png", "jpeg"):
            formatter = shell.display_formatter.formatters[f"image/{kind}"]
            formatter.for_type(Figure, partial(_encode, kind=kind))


def _encode(figure: Figure, kind: str) -> bytes | None:
    """Return a figure as a file of the kind that suits it, None if that is another one."""
    from IPython.core.pylabtools import print_figure

    if not figure.axes or (kind == "jpeg") != has_photographs(figure):
        return None
    if kind == "jpeg":
        return print_figure(figure, "jpeg", pil_kwargs={"quality": 68})
    encoded = io.BytesIO()
    with Image.open(io.BytesIO(print_figure(figure, "png"))) as chart:
        # A chart has few colours: as a palette it takes a quarter of the room.
        chart.convert("RGB").quantize(COLOURS).save(encoded, "png", optimize=True)
    return encoded.getvalue()


def has_photographs(figure: Figure) -> bool:
    """Return whether a figure holds images, and not only charts or tables drawn as images."""
    shown = (image.get_array() for axis in figure.axes for image in axis.images)
    return any(min(array.shape[:2]) > LARGEST_TABLE for array in shown)


def finish(figure: Figure, run_folder: Path, name: str, data_set: DataSet) -> None:
    """Write on a figure which X-rays it shows, and save it as `figures/<name>.png`."""
    sign(figure, data_set.label)
    path = run_folder / "figures" / f"{name}.png"
    make_folder(path.parent)
    with replacing(path) as partial:
        figure.savefig(partial, dpi=110, metadata={"Software": None})


def sign(figure: Figure, label: str) -> None:
    """Write on a figure which X-rays it shows."""
    figure.text(0.995, 0.005, label, ha="right", va="bottom", fontsize=9, color="#555555")


def _new(columns: int = 1, height: float = 3.6) -> tuple[Figure, np.ndarray]:
    """Return a figure with room for the data set's label below, and its axes in a row."""
    size = (8.0, height)
    figure, axes = plt.subplots(1, columns, figsize=size, layout="constrained", squeeze=False)
    figure.get_layout_engine().set(rect=(0, 0.07, 1, 0.93))
    for axis in axes[0]:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes[0]


def draw_counts(counts: dict[str, int]) -> Figure:
    """Draw the X-rays of each class as bars."""
    figure, (axis,) = _new(height=1.2 + 0.45 * len(counts))
    names = list(counts)[::-1]
    bars = axis.barh(names, [counts[name] for name in names], color=BLUE)
    axis.bar_label(bars, fmt="{:,.0f}", padding=4)
    axis.set(xlabel="X-rays", title=f"{sum(counts.values()):,} usable X-rays")
    axis.margins(x=0.12)
    return figure


def draw_sources(counts: pd.DataFrame) -> Figure:
    """Draw the X-rays of each source (a row) and class (a column), for the 15 largest sources."""
    counts = counts.loc[counts.sum(axis=1).sort_values(ascending=False).index[:15]]
    figure, (axis,) = _new(height=1.6 + 0.45 * len(counts))
    _draw_table(axis, counts > 0, 3, counts.map("{:,}".format))
    axis.set_title("X-rays by source and class")
    return figure


def _draw_table(axis: Axes, shades: pd.DataFrame, darkest: float, texts: pd.DataFrame) -> None:
    """Draw a table of texts, each cell as blue as its shade, from 0 to `darkest`."""
    axis.imshow(shades, cmap="Blues", vmin=0, vmax=darkest, aspect="auto")
    for (row, column), text in np.ndenumerate(texts.to_numpy()):
        axis.text(column, row, text, ha="center", va="center")
    axis.set_xticks(range(texts.shape[1]), texts.columns)
    axis.set_yticks(range(len(texts)), texts.index)


def draw_split(split: pd.DataFrame) -> Figure:
    """Draw how each class is divided, as shares, with the number of X-rays in each piece."""
    counts = pd.crosstab(split["class"], split["split"])[list(SPLIT_COLOURS)].iloc[::-1]
    shares = counts.div(counts.sum(axis=1), axis=0)
    figure, (axis,) = _new(height=1.4 + 0.45 * len(counts))
    left = np.zeros(len(counts))
    for name, colour in SPLIT_COLOURS.items():
        bars = axis.barh(counts.index, shares[name], left=left, color=colour, label=name)
        axis.bar_label(bars, counts[name], label_type="center", color="white", fontweight="bold")
        left += shares[name].to_numpy()
    axis.set(xlabel="share of the class", xlim=(0, 1), title="Every class is divided alike")
    axis.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def draw_history(history: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Draw learning curves of training and validation: the columns of `titles`, each titled."""
    figure, axes = _new(columns=len(titles))
    best = history.loc[history["val_loss"].idxmin(), "epoch"]
    for axis, (name, title) in zip(axes, titles.items(), strict=True):
        for prefix, label, colour in (("", "training", BLUE), ("val_", "validation", ORANGE)):
            values = history[prefix + name]
            axis.plot(history["epoch"], values, "o-", ms=3, color=colour, label=label)
        axis.axvline(best, color=GREY, linestyle=":", label="kept epoch")
        axis.set(xlabel="epoch", title=title)
        axis.xaxis.get_major_locator().set_params(integer=True)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="lower left", ncols=3, frameon=False)
    return figure


def draw_detection(predictions: pd.DataFrame, figures: dict[str, Estimate]) -> Figure:
    """Draw the test split's ROC and precision-recall curve, with 0.5 and the chosen threshold.

    `predictions` and `figures` are what `detection.detection_predictions` and
    `detection.detection_metrics` return.
    """
    test = predictions[predictions["split"] == "test"]
    figure, (left, right) = _new(columns=2, height=4.6)
    alarms, found, _ = roc_curve(test["label"], test["probability"])
    precision, recall, _ = precision_recall_curve(test["label"], test["probability"])
    share = test["label"].mean()
    left.plot([0, 1], [0, 1], ":", color=GREY, label="guessing")
    left.plot(alarms, found, color=BLUE)
    left.set(xlabel="1 − specificity", ylabel="sensitivity")
    right.plot([0, 1], [share, share], ":", color=GREY)
    right.plot(recall, precision, color=BLUE, drawstyle="steps-post")
    right.set(xlabel="sensitivity (recall)", ylabel="precision")
    _mark_thresholds(left, right, test, figures["threshold"].value)
    titles = {"ROC": figures["auroc"], "precision-recall": figures["average_precision"]}
    for axis, (title, area) in zip((left, right), titles.items(), strict=True):
        axis.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), box_aspect=1)
        axis.set_title(f"{title}: area {area.text(3)}", fontsize=11)
    left.legend(loc="lower right", fontsize=9, frameon=False)
    return figure


def _mark_thresholds(left: Axes, right: Axes, test: pd.DataFrame, chosen: float) -> None:
    """Mark 0.5 and the chosen threshold on a ROC and a precision-recall curve."""
    for threshold, name, marker, size, filling in (
        (chosen, f"chosen on validation: {chosen:.3g}", "D", 7, ORANGE),
        (THRESHOLD, f"threshold {THRESHOLD}", "o", 14, "none"),  # around it, if both are in a place
    ):
        called = test["probability"] > threshold
        alarms, found = (called[test["label"] == label].mean() for label in (0, 1))
        style = {"color": ORANGE, "ls": "none", "ms": size, "mew": 2, "mfc": filling}
        left.plot(alarms, found, marker, label=name, **style)
        right.plot(found, test["label"][called].mean(), marker, **style)


def draw_confusion(predictions: pd.DataFrame) -> Figure:
    """Draw how many test X-rays of each class are called COVID, at the threshold of 0.5."""
    counts = confusion_by_class(predictions, THRESHOLD)
    figure, (axis,) = _new(height=1.7 + 0.5 * len(counts))
    shares = counts.div(counts.sum(axis=1), axis=0)
    _draw_table(axis, shares, 1.5, counts.map("{:,}".format) + shares.map(" ({:.1%})".format))
    axis.set(xlabel="predicted", ylabel="true class")
    axis.set_title(f"COVID if the probability is above {THRESHOLD}", fontsize=11)
    return figure


def draw_reliability(
    predictions: pd.DataFrame, groups: pd.Series, figures: dict[str, Estimate]
) -> Figure:
    """Draw the share of COVID in bins of the test X-rays' probability, before and after scaling.

    Arguments as for `draw_detection`; `groups` has the group of each row, by the same index.
    """
    test = predictions[predictions["split"] == "test"]
    figure, axes = _new(columns=2, height=4.9)
    temperature = figures["temperature"].value
    scaled = apply_temperature(test["probability"], temperature)
    for axis, probability, name, title in (
        (axes[0], test["probability"], "calibration_error", "as predicted"),
        (axes[1], scaled, "calibration_error_scaled", f"at temperature {temperature:.2f}"),
    ):
        _draw_bins(axis, reliability_table(test["label"], probability, groups))
        error, chance = (figures[name + suffix].value for suffix in ("", "_by_chance"))
        axis.set_title(f"{title}\nerror {error:.3f}, by chance {chance:.3f}", fontsize=11)
    axes[0].set_ylabel("share that is COVID")
    return figure


def _draw_bins(axis: Axes, bins: pd.DataFrame) -> None:
    """Draw bins as points with their intervals, each with its number of X-rays."""
    axis.plot([0, 1], [0, 1], ":", color=GREY)
    places = bins[["probability", "share"]].to_numpy().T  # Matplotlib warns of a Series of one bin
    reach = np.array([bins["share"] - bins["low"], bins["high"] - bins["share"]])
    axis.errorbar(*places, reach, fmt="o", ms=4, color=BLUE)
    for row in bins.itertuples():
        place = row.probability, row.share
        axis.annotate(row.n, place, (5, 3), textcoords="offset points", fontsize=8)
    limits = (-0.03, 1.06)
    axis.set(xlabel="probability of COVID", xlim=limits, ylim=limits, box_aspect=1)


def draw_probabilities(predictions: pd.DataFrame) -> Figure:
    """Draw each test X-ray's probability of COVID as a dot, class by class."""
    test = predictions[predictions["split"] == "test"]
    figure = _draw_dots(test, "probability", "probability of COVID")
    figure.axes[0].axvline(THRESHOLD, color=GREY, linestyle=":")
    return figure


def draw_views(figures: dict[str, Estimate], names: list[str], what: str = "COVID") -> Figure:
    """Draw the AUROCs `auroc_<view>` of the named views with their intervals, a row per view.

    `what` is what the networks were trained to recognise.
    """
    figure, (axis,) = _new(height=1.2 + 0.42 * len(names))
    for place, name in enumerate(reversed(names)):
        _draw_estimate(axis, figures[f"auroc_{name}"], place, BLUE)
    axis.axvline(0.5, color=GREY, linestyle=":")
    axis.text(0.503, len(names) - 0.45, "guessing", color="#555555", fontsize=9)
    axis.set(ylim=(-0.5, len(names) - 0.2), xlabel=f"AUROC of {what}, with 95 % interval")
    axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in reversed(names)])
    return figure


def draw_transfer(figures: dict[str, tuple[Estimate, Estimate]], elsewhere: str) -> Figure:
    """Draw metrics on the own test split, blue, and on the data set `elsewhere`, orange below.

    `figures` holds both by the metric's name, from top to bottom.
    """
    figure, (axis,) = _new(height=1.2 + 0.7 * len(figures))
    for place, pair in enumerate(reversed(figures.values())):
        for shift, found, colour in zip((0.15, -0.2), pair, (BLUE, ORANGE), strict=True):
            _draw_estimate(axis, found, place + shift, colour)
    names = dict(zip((BLUE, ORANGE), ("own test split", elsewhere), strict=True))
    dots = [axis.plot([], [], "o-", color=colour, label=name)[0] for colour, name in names.items()]
    figure.legend(handles=dots, loc="outside upper center", ncols=2, frameon=False)
    axis.set(ylim=(-0.6, len(figures) - 0.3), xlabel="score, with 95 % interval")
    axis.set_yticks(range(len(figures)), list(reversed(figures)))
    return figure


def _draw_estimate(axis: Axes, found: Estimate, place: float, colour: str) -> None:
    """Draw a metric as a dot with its value, and its interval as a bar, at a height."""
    if found.value is None:
        return
    if found.low is not None:
        axis.plot([found.low, found.high], [place, place], color=colour, lw=2)
    axis.plot(found.value, place, "o", color=colour)
    where = {"textcoords": "offset points", "ha": "center", "fontsize": 9}
    axis.annotate(f"{found.value:.3f}", (found.value, place), (0, 6), **where)


def draw_scores(scores: pd.DataFrame) -> Figure:
    """Draw the Dice coefficient of every test image, class by class, with each class's median."""
    return _draw_dots(scores, "dice", "Dice coefficient")


def draw_agreement(severity: pd.DataFrame, metrics: dict[str, Estimate]) -> Figure:
    """Draw true against predicted infected shares, and their differences (Bland and Altman 1986).

    Args:
        severity: of the X-rays with infection, as `infection.measure_infection` returns it.
        metrics: what `infection.infection_metrics` returns.
    """
    true, predicted = (100 * severity[name] for name in ("true_infected_share", "infected_share"))
    figure, (left, right) = _new(columns=2, height=4.5)
    middle, difference = (true + predicted) / 2, predicted - true
    colours = (BLUE, ORANGE, GREEN, PINK, GREY)
    for (name, part), colour in zip(severity.groupby("class"), cycle(colours), strict=False):
        style = {"marker": "o", "ls": "none", "ms": 5, "alpha": 0.7, "mew": 0, "color": colour}
        left.plot(true[part.index], predicted[part.index], label=name, **style)
        right.plot(middle[part.index], difference[part.index], **style)
    largest = 1.05 * max(true.max(), predicted.max(), 1)
    left.axline((0, 0), slope=1, ls=":", color=GREY)
    left.set(xlim=(-0.02 * largest, largest), ylim=(-0.02 * largest, largest), box_aspect=1)
    left.set(xlabel="true share of the lungs (%)", ylabel="predicted share of the lungs (%)")
    left.set_title(f"rank correlation {metrics['severity_spearman'].text(2)}", fontsize=11)
    right.set(xlabel="mean of true and predicted share (%)", box_aspect=1)
    right.set(ylabel="predicted − true (percentage points)")
    right.set_title("differences and limits of agreement", fontsize=11)
    _mark_limits(right, metrics)
    if severity["class"].nunique() > 1:
        figure.legend(loc="outside lower left", ncols=3, frameon=False)
    return figure


def _mark_limits(axis: Axes, metrics: dict[str, Estimate]) -> None:
    """Mark the mean difference and the limits of agreement, with their intervals as bands."""
    axis.axhline(0, color=GREY, ls=":")
    lines = {"lower limit": "severity_low", "mean": "severity_bias", "upper limit": "severity_high"}
    known = {name: metrics[key] for name, key in lines.items() if metrics[key].value is not None}
    for name, found in known.items():
        axis.axhline(100 * found.value, color=DARK, ls="-" if name == "mean" else "--", lw=1.5)
        if found.low is not None:
            axis.axhspan(100 * found.low, 100 * found.high, color=GREY, alpha=0.25, lw=0)
    bottom, top = axis.get_ylim()
    place = -np.inf
    for name, found in known.items():  # from below, and never one on another
        place = max((100 * found.value - bottom) / (top - bottom), place + 0.11)
        words = f"{name}\n{100 * found.value:+.1f}".replace("-", "\N{MINUS SIGN}")
        axis.text(1.02, place, words, transform=axis.transAxes, va="center", fontsize=9)


def _draw_dots(table: pd.DataFrame, column: str, label: str) -> Figure:
    """Draw a column as jittered dots in a row for each class."""
    classes = sorted(table["class"].unique(), reverse=True)
    figure, (axis,) = _new(height=1.4 + 0.5 * len(classes))
    for height, name in enumerate(classes):
        values = table.loc[table["class"] == name, column].to_numpy()
        jitter = np.random.default_rng(0).uniform(-0.25, 0.25, len(values))
        axis.plot(values, height + jitter, "o", ms=5, alpha=0.6, color=BLUE, markeredgewidth=0)
        middle = np.median(values)
        axis.plot([middle, middle], [height - 0.35, height + 0.35], color=ORANGE, lw=2.5)
    axis.set(yticks=range(len(classes)), yticklabels=classes, xlabel=label)
    axis.set_title("One dot per X-ray of the test split; the bar is the median", fontsize=11)
    return figure

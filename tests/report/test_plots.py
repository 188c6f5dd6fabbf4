import io
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers.data.sources import DataSet
from helpers.data.synthetic import draw_xray
from helpers.evaluate.detection import detection_metrics
from helpers.evaluate.intervals import Estimate
from helpers.report import plots
from helpers.split.splits import read_split
from tests.support.builders import make_run

pytestmark = pytest.mark.usefixtures("figures", "runs")
HISTORY = pd.DataFrame(
    {
        "epoch": [1, 2, 3],
        "accuracy": [0.5, 0.7, 0.9],
        "loss": [0.7, 0.5, 0.3],
        "val_accuracy": [0.5, 0.8, 0.7],
        "val_loss": [0.7, 0.4, 0.6],
    }
)
PREDICTIONS = pd.DataFrame(
    {
        "file": list("abcdefgh"),
        "class": ["COVID", "COVID", "Normal", "Normal", "Normal", "Normal", "COVID", "Normal"],
        "split": ["test"] * 5 + ["train", "validation", "validation"],
        "label": [1, 1, 0, 0, 0, 0, 1, 0],
        "probability": [0.9, 0.3, 0.8, 0.1, 0.2, 0.99, 0.85, 0.82],
    }
)
GROUPS = PREDICTIONS["file"]
METRICS = detection_metrics(PREDICTIONS, GROUPS)
SCORES = pd.DataFrame({"class": ["COVID", "Normal", "Normal"], "dice": [0.8, 0.9, 0.7]})
SOURCES = pd.DataFrame(
    {"COVID": [1200, 0, 7], "Normal": [0, 34, 0]}, index=["a.org", "b.edu", "unknown"]
)
VIEWS = {
    "auroc_whole": Estimate(0.98, 8, 0.9, 0.995),
    "auroc_mask_shape": Estimate(1.0, 8),
    "auroc_border": Estimate(None, 0),
}
SEVERITY = pd.DataFrame(
    {
        "class": ["COVID", "COVID", "Lung_Opacity", "COVID"],
        "true_infected_share": [0.1, 0.5, 0.3, np.nan],
        "infected_share": [0.2, 0.4, 0.3, 0.2],
    }
)
AGREEMENT = {
    "severity_spearman": Estimate(0.94, 3, 0.9, 0.97),
    "severity_bias": Estimate(0.01, 3, -0.02, 0.04),
    "severity_low": Estimate(-0.02, 3, -0.03, -0.01),
    "severity_high": Estimate(0.04, 3, 0.03, 0.05),
}
FIGURES = {
    "agreement": lambda: plots.draw_agreement(SEVERITY, AGREEMENT),
    "counts": lambda: plots.draw_counts({"COVID": 1200, "Normal": 34}),
    "sources": lambda: plots.draw_sources(SOURCES),
    "history": lambda: plots.draw_history(HISTORY, {"accuracy": "accuracy", "loss": "log loss"}),
    "detection": lambda: plots.draw_detection(PREDICTIONS, METRICS),
    "confusion": lambda: plots.draw_confusion(PREDICTIONS),
    "reliability": lambda: plots.draw_reliability(PREDICTIONS, GROUPS, METRICS),
    "probabilities": lambda: plots.draw_probabilities(PREDICTIONS),
    "views": lambda: plots.draw_views(VIEWS, ["whole", "mask_shape"]),
    "transfer": lambda: plots.draw_transfer(BOTH, "tiny"),
    "scores": lambda: plots.draw_scores(SCORES),
}
BOTH = {
    "IoU": (Estimate(0.96, 40, 0.95, 0.97), Estimate(0.91, 90, 0.9, 0.92)),
    "auroc": (Estimate(0.98, 40, 0.9, 0.99), Estimate(None, 0)),
}
DATA_SET = DataSet("tiny", None, synthetic=False)


def texts(artist) -> list[str]:
    """Return every word in a figure."""
    return [text.get_text() for text in artist.findobj(plt.Text) if text.get_text()]


def rows(axis) -> list[str]:
    """Return the names of a chart's rows, from the first to the last."""
    return [label.get_text() for label in axis.get_yticklabels()]


def test_own_and_external_scores_stand_one_above_the_other():
    figure = plots.draw_transfer(BOTH, "another clinic")
    axis = figure.axes[0]
    assert rows(axis) == ["auroc", "IoU"]
    places = {text.get_text(): text.xy[1] for text in axis.texts}
    assert places["0.960"] > places["0.910"] > places["0.980"], "IoU first, the own score above"
    assert {"own test split", "another clinic"} <= set(texts(figure))


def test_each_view_has_its_score_and_its_interval():
    axis = plots.draw_views(VIEWS, ["whole", "mask_shape", "border"], "source = a.org").axes[0]
    assert rows(axis) == ["border", "mask shape", "whole"]
    assert {"0.980", "1.000", "guessing"} <= set(texts(axis))
    assert "source = a.org" in axis.get_xlabel()
    lines = [(list(line.get_xdata()), list(line.get_ydata())) for line in axis.lines]
    assert lines[:3] == [([1.0], [1]), ([0.9, 0.995], [2, 2]), ([0.98], [2])]


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_says_what_it_shows_and_is_the_same_byte_for_byte(name, tmp_path):
    for place in ("first", "second"):
        (tmp_path / place).mkdir()
        figure = FIGURES[name]()
        plots.finish(figure, tmp_path / place, name, DATA_SET)
        assert texts(figure).count("X-rays: tiny") == 1
    first, second = (tmp_path / place / "figures" / f"{name}.png" for place in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()
    assert Image.open(first).info.keys() <= {"dpi"}, "neither date nor version"


@pytest.mark.parametrize("name", FIGURES)
def test_no_figure_is_cut_off_or_wider_than_a_notebook(name):
    figure = FIGURES[name]()
    figure.canvas.draw()
    (left, bottom), (right, top) = figure.get_tightbbox().get_points()
    width, height = figure.get_size_inches()
    assert width <= 8
    assert min(left, bottom) >= 0
    assert right <= width
    assert top <= height


def test_counts_are_written_beside_their_bars():
    figure = plots.draw_counts({"COVID": 1200, "Normal": 34})
    assert rows(figure.axes[0]) == ["Normal", "COVID"]
    assert {"1,200", "34", "1,234 usable X-rays"} <= set(texts(figure))
    assert [bar.get_width() for bar in figure.axes[0].patches] == [34, 1200]


def test_every_source_and_class_has_its_count_in_a_cell_of_its_own():
    axis = plots.draw_sources(SOURCES).axes[0]
    cells = {tuple(map(int, text.get_position())): text.get_text() for text in axis.texts}
    assert [cells[0, row] for row in range(3)] == ["1,200", "0", "7"]
    assert [cells[1, row] for row in range(3)] == ["0", "34", "0"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["COVID", "Normal"]
    assert rows(axis) == ["a.org", "b.edu", "unknown"]
    (image,) = axis.images
    np.testing.assert_array_equal(image.get_array(), [[1, 0], [0, 1], [1, 0]])


def test_the_split_s_pieces_fill_every_class(data_set, runs):
    make_run(runs / "a", data_set)
    split = read_split(runs / "a", data_set)
    figure = plots.draw_split(split)
    bars = figure.axes[0].patches
    assert len(bars) == 6
    for row in {bar.get_y() for bar in bars}:
        assert sum(bar.get_width() for bar in bars if bar.get_y() == row) == pytest.approx(1)
    counts = pd.crosstab(split["class"], split["split"])
    drawn = [text for text in texts(figure.axes[0]) if text.isdigit()]
    assert sorted(drawn) == sorted(str(count) for count in counts.to_numpy().flat)


def test_learning_curves_mark_the_kept_epoch():
    figure = plots.draw_history(HISTORY, {"accuracy": "accuracy", "loss": "log loss"})
    for axis, name in zip(figure.axes, ("accuracy", "loss"), strict=True):
        training, validation, kept = axis.lines
        assert list(training.get_ydata()) == list(HISTORY[name])
        assert list(validation.get_ydata()) == list(HISTORY[f"val_{name}"])
        assert list(kept.get_xdata()) == [2, 2], "of the lowest validation loss"


def points(axis) -> dict[str, tuple[float, float]]:
    """Return the places of the marked thresholds by their marker."""
    lines = [line for line in axis.lines if line.get_marker() in "oD"]
    return {line.get_marker(): (*line.get_xdata(), *line.get_ydata()) for line in lines}


def test_the_curves_are_those_of_the_test_split_with_both_thresholds_marked():
    left, right = plots.draw_detection(PREDICTIONS, METRICS).axes
    # Of the six pairs of ill and healthy only 0.3 below 0.8 is ranked wrongly.
    assert left.get_title() == f"ROC: area {METRICS['auroc'].text(3)}"
    assert left.get_title().startswith("ROC: area 0.833 [")
    assert right.get_title() == f"precision-recall: area {METRICS['average_precision'].text(3)}"
    # Above 0.5 one of two ill and one of three healthy, above 0.835 one of two and none.
    assert points(left) == {"o": pytest.approx((1 / 3, 1 / 2)), "D": (0, 1 / 2)}
    assert points(right) == {"o": (1 / 2, 1 / 2), "D": (1 / 2, 1)}
    assert "chosen on validation: 0.835" in texts(left)


def test_the_area_below_each_curve_is_the_one_written_above():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"label": rng.integers(0, 2, 60), "split": ["test"] * 50 + ["train"] * 10})
    table["probability"] = (0.3 * table["label"] + rng.random(60)).round(1) / 2
    figures = detection_metrics(table, table.index.to_series().astype(str))
    for axis, name in zip(
        plots.draw_detection(table, figures).axes, ("auroc", "average_precision"), strict=True
    ):
        curve = axis.lines[1]
        x, y = curve.get_data()
        steps = curve.get_drawstyle() == "steps-post"
        area = np.sum(-np.diff(x) * y[:-1]) if steps else np.trapezoid(y, x)
        assert area == pytest.approx(figures[name].value, abs=1e-9)


def test_each_class_has_its_counts_and_shares():
    (axis,) = plots.draw_confusion(PREDICTIONS).axes
    # Row by row: the classes COVID and Normal, called COVID or not.
    expected = ["1 (50.0%)", "1 (50.0%)", "1 (33.3%)", "2 (66.7%)"]
    cells = {text.get_position(): text.get_text() for text in axis.texts}
    assert [cells[place] for place in ((0, 0), (1, 0), (0, 1), (1, 1))] == expected
    assert [label.get_text() for label in axis.get_xticklabels()] == ["COVID", "not COVID"]
    assert rows(axis) == ["COVID", "Normal"]


def test_each_bin_of_the_reliability_diagram_has_its_number_of_xrays():
    figures = METRICS | {"temperature": METRICS["temperature"]._replace(value=2.0)}
    left, right = plots.draw_reliability(PREDICTIONS, GROUPS, figures).axes
    before, after = ([round(text.xy[0], 3) for text in axis.texts] for axis in (left, right))
    assert before == [0.1, 0.2, 0.3, 0.8, 0.9]
    assert after == [0.25, 0.364, 0.667, 0.75], "the odds' square roots; two share a bin"
    assert [text.xy[1] for text in left.texts] == [0, 0, 1, 0, 1]
    assert [text.get_text() for text in left.texts] == ["1"] * 5
    assert [text.get_text() for text in right.texts] == ["1", "2", "1", "1"]
    error, chance = (
        METRICS[name].value for name in ("calibration_error", "calibration_error_by_chance")
    )
    assert left.get_title() == f"as predicted\nerror {error:.3f}, by chance {chance:.3f}"
    assert right.get_title().startswith("at temperature 2.00\n")


def test_every_test_xray_is_a_dot_in_its_class_s_row():
    axis = plots.draw_probabilities(PREDICTIONS).axes[0]
    dots = [line.get_xdata() for line in axis.lines if line.get_marker() == "o"]
    assert [sorted(values) for values in dots] == [[0.1, 0.2, 0.8], [0.3, 0.9]]
    medians = [line.get_xdata()[0] for line in axis.lines[1:4:2]]
    assert medians == pytest.approx([0.2, 0.6])
    assert rows(axis) == ["Normal", "COVID"]


@pytest.mark.parametrize(
    ("shown", "kind"), [(draw_xray("COVID", 1)[0], "jpeg"), (np.eye(6), "png")]
)
def test_a_notebook_stores_xrays_as_jpeg_and_charts_as_small_png(shown, kind):
    figure, axis = plt.subplots()
    axis.imshow(shown, cmap="gray")
    stored = {name: plots._encode(figure, name) for name in ("png", "jpeg")}
    assert [name for name, content in stored.items() if content] == [kind]
    with Image.open(io.BytesIO(stored[kind])) as picture:
        assert picture.format.lower() == kind
        assert min(picture.size) > 300
    chart = io.BytesIO()
    figure.savefig(chart, format="png")
    assert len(stored[kind]) < 0.8 * len(chart.getvalue())


def test_true_and_predicted_shares_and_their_differences_are_dots():
    left, right = plots.draw_agreement(SEVERITY, AGREEMENT).axes
    dots = [line.get_xydata() for line in left.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots[0][:2], [[10, 20], [50, 40]])
    np.testing.assert_allclose(dots[1], [[30, 30]])
    dots = [line.get_xydata() for line in right.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(dots[0][:2], [[15, 10], [45, -10]])
    np.testing.assert_allclose(dots[1], [[30, 0]])
    assert left.get_title() == "rank correlation 0.94 [0.90, 0.97]"


@pytest.mark.parametrize(("low", "high"), [(-2, 4), (0.9, 1.1)])
def test_limits_of_agreement_are_marked_with_their_values_and_none_covers_another(low, high):
    limits = {"severity_low": Estimate(low / 100, 3), "severity_high": Estimate(high / 100, 3)}
    figure = plots.draw_agreement(SEVERITY, AGREEMENT | limits)
    axis = figure.axes[1]
    heights = {round(line.get_ydata()[0], 6) for line in axis.lines if line.get_marker() != "o"}
    assert heights == {0, 1, low, high}
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axis.texts]
    names, values = zip(*(text.get_text().split("\n") for text in axis.texts), strict=True)
    assert names == ("lower limit", "mean", "upper limit")
    assert [float(value.replace("\N{MINUS SIGN}", "-")) for value in values] == [low, 1, high]
    assert all(one.y1 <= other.y0 for one, other in pairwise(boxes))


def test_what_is_not_known_of_agreement_is_not_drawn():
    unknown = dict.fromkeys(AGREEMENT, Estimate(None, 0))
    figure = plots.draw_agreement(SEVERITY[:2], unknown)
    assert not figure.axes[1].texts
    assert not figure.legends, "a single class needs none"

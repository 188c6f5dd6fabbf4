"""Remarks on infection: each sentence follows the data."""

import numpy as np
import pytest

from helpers.evaluate.intervals import Estimate
from helpers.report import remarks


def metrics_of(**values: tuple[float, float, float] | float | None) -> dict[str, Estimate]:
    """Return metrics of 40 X-rays, each a value or (value, low, high); none of no X-ray."""
    made = {}
    for name, value in values.items():
        if value is None:
            made[name] = Estimate(None, 0)
        else:
            value, *interval = value if isinstance(value, tuple) else (value,)
            made[name] = Estimate(value, 40, *interval)
    return made


def severity_of(**changed) -> str:
    """Return the remark on severity, of values that may be changed."""
    usual = {
        "spearman": (0.94, 0.92, 0.97),
        "bias": (-0.005, -0.035, 0.026),
        "low": (-0.237, -0.3, -0.2),
        "high": (0.227, 0.2, 0.3),
    }
    given = {f"severity_{name}": value for name, value in (usual | changed).items()}
    return remarks.remark_on_severity(metrics_of(**given))


@pytest.mark.parametrize(
    ("specificity", "expected"),
    [
        (
            (0.9, 0.77, 0.96),
            "In 36 of 40 X-rays without infection it finds none: spec",
        ),
        (None, "No X-ray is without infection: there is no specificity."),
    ],
)
def test_what_is_found_is_counted(specificity, expected):
    given = metrics_of(sensitivity=(0.975, 0.87, 1.0), specificity=specificity)
    first, second = remarks.remark_on_finding(given).splitlines()
    assert first.startswith("In 39 of 40 X-rays with infection it finds some: sensitivity 0.975 [")
    assert second.startswith(expected)


def test_infected_pixels_are_few():
    masks = np.zeros((2, 10, 10), np.uint8)
    assert "no network can learn" in remarks.remark_on_infected_pixels(masks)
    masks[0, 0, :7] = 1
    said = remarks.remark_on_infected_pixels(masks)
    assert said.startswith("3.5% of all pixels")
    assert "right about 96.5% of them" in said


@pytest.mark.parametrize(
    ("invented", "outside", "expected"),
    [
        (
            (0.002, 0.001, 0.004),
            0.05,
            ["calls 0.2% [0.1%, 0.4%] of the lungs", "5.0% lies"],
        ),
        (None, (0.05, 0.03, 0.08), ["No X-ray is without infection", "5.0% [3.0%, 8.0%] lies"]),
        (0.0, None, ["calls 0.0% of the lungs", "no infection at all"]),
    ],
)
def test_what_is_invented_is_told(invented, outside, expected):
    given = metrics_of(invented_share=invented, outside_lungs=outside, specificity=invented)
    for line, part in zip(remarks.remark_on_invented(given).splitlines(), expected, strict=True):
        assert part in line


def test_x_rays_without_predicted_lungs_are_told_from_none_at_all():
    given = metrics_of(invented_share=None, outside_lungs=0.05, specificity=0.9)
    first = remarks.remark_on_invented(given).splitlines()[0]
    assert first.startswith("On no X-ray without infection are lungs predicted: ")
    given["invented_share"] = Estimate(0.002, 30)
    first = remarks.remark_on_invented(given).splitlines()[0]
    assert first.startswith("On the 30 X-rays without infection and with predicted lungs it calls")


@pytest.mark.parametrize(
    ("gain", "expected"),
    [
        (
            (0.3, 0.26, 0.35),
            "0.300 higher, X-ray by X-ray: a gain of 0.300 [0.260, 0.350]. So",
        ),
        ((0.01, -0.02, 0.04), "Chance alone may explain it"),
        (
            (-0.2, -0.3, -0.1),
            "0.200 lower, X-ray by X-ray: a gain of -0.200 [-0.300, -0.100]. It",
        ),
        (0.3, "0.300 higher, of too few patients or X-rays for an interval."),
        ((0.0004, -0.02, 0.04), "The network's is as high, X-ray by X-ray: a gain of 0.000 ["),
        (-0.0004, "The network's is as high, of too few"),
    ],
)
def test_the_network_is_held_against_an_answer_that_is_always_the_same(gain, expected):
    said = remarks.remark_on_map(metrics_of(map_dice=(0.41, 0.35, 0.47), map_dice_gain=gain))
    assert said.startswith("Always giving the same answer would have reached a Dice of 0.410 [")
    assert expected in said


def test_without_infection_there_is_no_map_to_compare():
    assert "no Dice" in remarks.remark_on_map(metrics_of(map_dice=None, map_dice_gain=None))


def test_severity_is_told_in_ranks_and_points():
    ranks, bias, limits = severity_of().splitlines()
    assert (
        ranks
        == "Rank correlation 0.94 [0.92, 0.97]: its order of the X-rays is nearly that of the "
        "masks."
    )
    assert bias == (
        "On average it is 0.5 percentage points below the true share, which may be chance."
    )
    assert limits.startswith(
        "95 of 100 differences would lie between −23.7 and +22.7 points, if they are spread like "
        "a bell curve: "
    )
    assert limits.endswith("where it says 30%, the truth may be 7% to 54%.")


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"spearman": (0.7, 0.5, 0.8)}, "is roughly that of the masks."),
        ({"spearman": (0.3, 0.1, 0.5)}, "is hardly that of the masks."),
        ({"spearman": (-0.2, -0.5, 0.1)}, "Rank correlation −0.20 [−0.50, 0.10]: its order"),
        ({"spearman": None}, "There is no rank correlation"),
        ({"bias": (0.05, 0.02, 0.08)}, "it is 5.0 percentage points above the true share.\n"),
        ({"low": (-0.8, -0.9, -0.7), "high": 0.4}, "the truth may be 0% to 100%."),
        (
            {"spearman": None, "low": None, "high": None},
            "Fewer than three X-rays with infection and lungs in both masks: ",
        ),
    ],
)
def test_severity_follows_the_metrics(changed, expected):
    assert expected in severity_of(**changed)

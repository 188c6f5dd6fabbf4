"""Remarks on views: each sentence follows the data."""

import pytest

from helpers.evaluate.intervals import Estimate
from helpers.report import remarks


def aurocs(**lows: float | None) -> dict[str, Estimate]:
    """An AUROC of 0.7 for each view, with this lower limit."""
    return {f"auroc_{name}": Estimate(0.7, 40, low, 0.9) for name, low in lows.items()}


@pytest.mark.parametrize(
    ("lows", "expected"),
    [
        (
            {"whole": 0.6, "border": 0.5},
            ["above 0.5: whole 0.700.", "or below: border 0.700.", "is shown to suffice"],
        ),
        (
            {"whole": 0.6, "mask_shape": 0.51},
            ["0.5: whole 0.700, mask shape 0.700.", "or below: none."],
        ),
        (
            {"whole": 0.6, "mask_shape": 0.51},
            ["the lungs: mask shape 0.700.", "a shortcut"],
        ),
        (
            {"whole": 0.4, "border": 0.3},
            ["above 0.5: none.", "better than guessing"],
        ),
    ],
)
def test_views_are_told_apart_by_the_lower_limit_of_their_aurocs(lows, expected):
    said = remarks.remark_on_views(aurocs(**lows), lows)
    assert [words for words in expected if words not in said] == []
    assert said.splitlines()[3:] == [
        "The verdict decides: it allows for several views, and is stricter."
    ]


def test_views_without_an_interval_are_not_called_guessed():
    one_class = {"auroc_whole": Estimate(None, 0), "auroc_border": Estimate(0.7, 3)}
    said = remarks.remark_on_views(one_class, ["whole", "border"])
    assert said.startswith("Without an interval no AUROC shows anything")
    assert "guessing" not in said
    some = one_class | aurocs(border=0.6)
    assert "or below: none." in remarks.remark_on_views(some, ["whole", "border"])

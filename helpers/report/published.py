"""Published: what others report on lung masks, beside a run of ours."""

import pandas as pd

from helpers.evaluate.intervals import Estimate
from helpers.storage.tables import as_html

# Work, X-rays, IoU, Dice, and what is and is not comparable; figures as the authors give them.
WORKS = [
    (
        "Rahman et al. 2021, Comput. Biol. Med.",
        "18,479 of this database's family",
        "0.943",
        "0.969",
        "same family of X-rays, another split, masks from a network",
    ),
    (
        "Tahir et al. 2021, COVID-QU-Ex",
        "33,920",
        "0.961",
        "0.980",
        "masks made by networks and corrected by people; another split",
    ),
    (
        "Teixeira et al. 2021, Montgomery, Shenzhen, JSRT",
        "a random 5 % of the sources pooled",
        "-",
        "0.991",
        "not comparable: copies and patients are not kept in one split",
    ),
    (
        "imlab-uiip/lung-segmentation-2d, JSRT",
        "247, 5-fold",
        "0.971",
        "0.985",
        "one hospital, careful masks, X-rays without opacities over the lungs",
    ),
    (
        "imlab-uiip/lung-segmentation-2d, Montgomery",
        "138, 5-fold",
        "0.956",
        "0.972",
        "one hospital, careful masks",
    ),
    (
        "IlliaOvcharenko/lung-segmentation",
        "-",
        "0.927",
        "0.961",
        "its README's figure, on a split of its own",
    ),
]
COLUMNS = ["work", "X-rays", "IoU", "Dice", "comparable?"]


def published_table(label: str, figures: dict[str, Estimate]) -> pd.DataFrame:
    """Return the published figures below those of a run, as a table to read.

    Args:
        label: what the run's X-rays are, as `DataSet.label` says it.
        figures: as `scores.mean_scores` returns them.
    """
    overlap = (f"{figures[score].value:.3f}" for score in ("iou", "dice"))
    ours = ("this run", f"{figures['dice'].n:,}, {label}", *overlap, "one split, one seed")
    return pd.DataFrame([ours, *WORKS], columns=COLUMNS)


def published_html(label: str, figures: dict[str, Estimate]) -> str:
    """Return `published_table` for a notebook, its texts whole."""
    return as_html(published_table(label, figures))

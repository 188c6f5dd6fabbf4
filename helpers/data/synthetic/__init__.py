"""Synthetic chest X-rays: the demo data set, drawn by this program; of no patient."""

from helpers.data.synthetic.copies import Changes, Copy, plan_copies
from helpers.data.synthetic.traces import SHORTCUTS, plan_shortcuts
from helpers.data.synthetic.xrays import (
    CLASS_NAMES,
    DEMO_COUNTS,
    SYNTHETIC_MARKER,
    draw_xray,
    image_seed,
    write_data_set,
)

__all__ = [
    "CLASS_NAMES",
    "DEMO_COUNTS",
    "SHORTCUTS",
    "SYNTHETIC_MARKER",
    "Changes",
    "Copy",
    "draw_xray",
    "image_seed",
    "plan_copies",
    "plan_shortcuts",
    "write_data_set",
]

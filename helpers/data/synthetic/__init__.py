"""Synthetic chest X-rays: the demo data set, drawn by this program; of no patient."""

from helpers.data.synthetic.data_set import (
    DEMO_COUNTS,
    SHORTCUTS,
    SYNTHETIC_MARKER,
    image_seed,
    write_data_set,
)
from helpers.data.synthetic.xrays import CLASS_NAMES, Drawing, draw_infected, draw_xray

__all__ = [
    "CLASS_NAMES",
    "DEMO_COUNTS",
    "SHORTCUTS",
    "SYNTHETIC_MARKER",
    "Drawing",
    "draw_infected",
    "draw_xray",
    "image_seed",
    "write_data_set",
]

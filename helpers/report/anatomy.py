"""Anatomy: a drawn chest X-ray with the names of what it shows."""

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from helpers.data.synthetic import draw_xray
from helpers.report.plots import ORANGE, sign

SEED = 59  # of an X-ray without wires, whose letter R stands on the patient's right
# Where to point in it, in its pixels, x to the right and y down: by name, left and right labels.
LEFT_LABELS = {
    "collar bone": (62, 40),
    "right lung:\nair, dark": (107, 110),
    "a rib:\nbone, bright": (85, 166),
    "diaphragm,\nbelow it the belly": (95, 203),
    "air beside the body:\nblack": (33, 245),
}
RIGHT_LABELS = {
    "shoulder": (268, 42),
    "left lung": (193, 110),
    "heart: fluid, bright": (185, 165),
    "spine": (153, 235),
}
MARGIN = 125  # pixels beside the X-ray, for the labels


def draw_labelled_chest() -> Figure:
    """Draw a synthetic chest X-ray with arrows to lungs, heart, bones and diaphragm, signed."""
    image, _ = draw_xray("Normal", SEED)
    side = len(image)
    figure, axis = plt.subplots(figsize=(8.6, 5.2), layout="constrained")
    axis.imshow(image, cmap="gray", vmin=0, vmax=255)
    axis.set(xlim=(-MARGIN, side + MARGIN), xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    for labels, x, alignment in ((LEFT_LABELS, -12, "right"), (RIGHT_LABELS, side + 12, "left")):
        for name, place in labels.items():
            style = {"arrowstyle": "->", "color": ORANGE, "lw": 1.8}
            axis.annotate(name, place, (x, place[1]), ha=alignment, va="center", arrowprops=style)
    for x, name in ((0, "patient's right"), (side, "patient's left")):
        alignment = "left" if x == 0 else "right"
        axis.text(x, -6, name, ha=alignment, va="bottom", fontweight="bold")
    sign(figure, "synthetic X-rays")
    return figure

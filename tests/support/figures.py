"""Figures: what a test looks for in one."""

import numpy as np
from matplotlib.figure import Figure


def shown(figure: Figure) -> list[np.ndarray]:
    """Return the images in a figure, row by row."""
    return [np.asarray(image.get_array()) for axis in figure.axes for image in axis.images]

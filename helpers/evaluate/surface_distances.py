"""Distances: how far apart the outlines of two masks lie.

The outline of a mask is its pixels that have one beside, above or below them that is no lung;
the image's own edge counts as no lung. Distances are those between the centres of pixels
(Euclidean, by SciPy's exact distance transform), and definitions those of Metrics Reloaded
(Maier-Hein et al., Nature Methods 21, 2024).
"""

import math

import numpy as np
from scipy import ndimage

DISTANCES = [
    "hausdorff_95",
    "average_surface_distance",
    "surface_dice",
    "hausdorff_95_of_diagonal",
    "average_surface_distance_of_diagonal",
]
TOLERANCE = 0.005  # of the image's diagonal, 1.8 pixels at 256: outlines so close count as equal


def measure_distances(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return the distances of DISTANCES between the outlines of two masks.

    - `hausdorff_95`: the distance within which 95 % of each outline lie from the other, the
      larger of the two (Huttenlocher et al. 1993), in pixels.
    - `average_surface_distance`: the mean over the pixels of both outlines of the distance to the
      other (average symmetric surface distance), in pixels.
    - `surface_dice`: the share of both outlines that lies within TOLERANCE of the other
      (Nikolov et al. 2018).
    - the first two as a share of the image's diagonal.

    Two empty masks agree: distances 0, surface Dice 1. If one is empty, its outline is nowhere:
    distances NaN, surface Dice 0.

    Args:
        true: zeros and ones, (height, width).
        predicted: of the same shape.
    """
    diagonal = math.hypot(*true.shape)
    there, back = outline_distances(true, predicted)
    if len(there) and len(back):
        both = np.concatenate([there, back])
        far = max(np.percentile(there, 95), np.percentile(back, 95))
        mean, close = both.mean(), (both <= TOLERANCE * diagonal).mean()
    elif len(there) or len(back):
        far, mean, close = math.nan, math.nan, 0.0
    else:
        far, mean, close = 0.0, 0.0, 1.0
    values = far, mean, close, far / diagonal, mean / diagonal
    return dict(zip(DISTANCES, map(float, values), strict=True))


def outline_distances(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return how far each pixel of each outline is from the other outline, in pixels.

    Infinite where the other mask is empty; of length 0 where a mask itself is.
    """
    one, other = draw_outline(first), draw_outline(second)
    return _distances_to(other)[one], _distances_to(one)[other]


def draw_outline(mask: np.ndarray) -> np.ndarray:
    """Return where the outline of a mask is: bool, of the same shape."""
    lung = mask.astype(bool)
    return lung & ~ndimage.binary_erosion(lung)  # outside the image nothing is lung


def _distances_to(outline: np.ndarray) -> np.ndarray:
    """Return the distance of every pixel from the nearest of an outline."""
    if not outline.any():
        return np.full(outline.shape, math.inf)
    return ndimage.distance_transform_edt(~outline)

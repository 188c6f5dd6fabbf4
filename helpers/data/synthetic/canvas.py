"""Canvas: the drawing board of the synthetic X-rays, from shapes to layers of density.

Body coordinates: x to the right of the picture and y down, both in canvas units, with the origin
in the middle of the chest. A unit is about half a pixel of the X-ray. The canvas is finer than the
X-ray, so that edges come out smooth. A board is uint8 (SIZE, SIZE), for shapes; a layer is
float32 of the same shape, for densities.
"""

from collections.abc import Iterable, Sequence
from math import cos, sin

import cv2
import numpy as np

EXTENT = 720  # units from edge to edge
SIZE = 480  # pixels from edge to edge
PIXELS_PER_UNIT = SIZE / EXTENT
FRACTION_BITS = 4  # OpenCV takes sub-pixel coordinates as fixed-point integers
TURN = np.linspace(0, 2 * np.pi, 32)
CIRCLE = np.stack([np.cos(TURN), np.sin(TURN)], axis=1)


def to_pixels(points: np.ndarray) -> np.ndarray:
    """Return body coordinates (N, 2) as fixed-point canvas pixels, int32 (N, 2)."""
    scaled = (np.asarray(points) + EXTENT / 2) * PIXELS_PER_UNIT * 2**FRACTION_BITS
    return np.round(scaled).astype(np.int32)


def empty_board() -> np.ndarray:
    """Return a black board."""
    return np.zeros((SIZE, SIZE), np.uint8)


def fill_shapes(
    shapes: list[np.ndarray], board: np.ndarray | None = None, level: float = 1
) -> np.ndarray:
    """Fill polygons, each (N, 2), on a board or a new one, at a `level` from 0 to 1."""
    board = empty_board() if board is None else board
    for shape in shapes:
        cv2.fillPoly(board, [to_pixels(shape)], round(255 * level), cv2.LINE_AA, FRACTION_BITS)
    return board


def stroke_paths(
    paths: Iterable[np.ndarray], width: float, board: np.ndarray, level: float = 1
) -> np.ndarray:
    """Draw paths, each (N, 2), on a board, at a `level` from 0 to 1."""
    at_once = isinstance(paths, np.ndarray)  # vessels are thousands
    pixels = list(to_pixels(paths)) if at_once else [to_pixels(path) for path in paths]
    grey, thick = round(255 * level), max(1, round(width * PIXELS_PER_UNIT))
    cv2.polylines(board, pixels, False, grey, thick, cv2.LINE_AA, FRACTION_BITS)
    return board


def as_layer(board: np.ndarray, weight: float = 1) -> np.ndarray:
    """Return a board as a layer, from 0 to `weight`."""
    return np.multiply(board, np.float32(weight / 255), dtype=np.float32)


def soften(board: np.ndarray, sigma: float) -> np.ndarray:
    """Return a board or layer blurred by a Gaussian of `sigma` canvas units; boards are faster."""
    pixels = sigma * PIXELS_PER_UNIT
    if pixels < 3:
        return cv2.GaussianBlur(board, (0, 0), pixels)
    factor = 2 if pixels < 6 else 4  # wide blurs need no fine board, which saves time
    coarse = cv2.resize(board, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    coarse = cv2.GaussianBlur(coarse, (0, 0), pixels / factor)
    return cv2.resize(coarse, board.shape, interpolation=cv2.INTER_LINEAR)


def soft_layer(board: np.ndarray, sigma: float, weight: float = 1) -> np.ndarray:
    """Return a board as a blurred layer, from 0 to `weight`."""
    return as_layer(soften(board, sigma), weight)


def draw_noise(rng: np.random.Generator, grain: float) -> np.ndarray:
    """Return a layer of noise, mean 0 and deviation about 1, with spots `grain` units wide."""
    cells = max(4, round(EXTENT / grain))
    coarse = rng.standard_normal((cells, cells), dtype=np.float32)
    return cv2.resize(coarse, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)


def smooth_path(x: Sequence[float], y: Sequence[float], count: int = 60) -> np.ndarray:
    """Return a smooth curve (count, 2) through the points (x, y): Catmull-Rom splines."""
    points = np.stack([x, y], axis=1).astype(float)
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    position = np.linspace(0, len(points) - 1, count)
    start = np.minimum(position.astype(int), len(points) - 2)
    t = (position - start)[:, None]
    before, here, there, after = (padded[start + offset] for offset in range(4))
    return 0.5 * (
        2 * here
        + (there - before) * t
        + (2 * before - 5 * here + 4 * there - after) * t**2
        + (3 * here - before - 3 * there + after) * t**3
    )


def round_shape(
    centre: tuple[float, float], radii: tuple[float, float], angle: float = 0.0
) -> np.ndarray:
    """Return the closed outline (32, 2) of an ellipse turned by `angle` radians."""
    along, across = (cos(angle), sin(angle)), (-sin(angle), cos(angle))
    return CIRCLE * radii @ (along, across) + centre

"""Disease: how much of the air in a drawn lung each pattern fills, from 0 to 1, and where it shows.

A reader of X-rays draws a line around the area that a pattern whitens, not around each thread of
it. `shade_findings` gives the mean fill of the neighbourhood, and OUTLINES the level where the line
runs.
"""

from typing import NamedTuple

import numpy as np

from helpers.data.synthetic import canvas
from helpers.data.synthetic.anatomy import SIDES, Build, hila


class Outline(NamedTuple):
    """How far a reader's eye joins what a pattern fills, and from which mean fill on it is seen.

    Attributes:
        reach: of the neighbourhood, the deviation of a Gaussian in canvas units.
        level: mean fill of the neighbourhood on the line, 0 to 1.
    """

    reach: float
    level: float


DENSE, NET = Outline(9, 0.2), Outline(26, 0.115)  # the gaps of a net are part of it
OUTLINES = {"COVID": DENSE, "Normal": DENSE, "Lung_Opacity": DENSE, "Viral Pneumonia": NET}


def draw_findings(
    class_name: str, build: Build, lungs: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return the filled share of the lungs (bool mask) for a class: a layer, all 0 for Normal."""
    if class_name == "COVID":
        fill = draw_ground_glass(lungs, rng)
    elif class_name == "Lung_Opacity":
        fill = draw_consolidations(lungs, rng)
    elif class_name == "Viral Pneumonia":
        fill = draw_interstitial(build, lungs, rng)
    else:
        return np.zeros(lungs.shape, np.float32)
    soft = canvas.soften(lungs.astype(np.float32), 2.5)
    return np.clip(fill, 0, 1) * np.maximum(2 * soft - 1, 0)  # fades at the border


def shade_findings(class_name: str, fill: np.ndarray, lungs: np.ndarray) -> np.ndarray:
    """Return a layer above 0 where a reader sees the findings of a class, below 0 elsewhere.

    It is the mean fill of the neighbourhood within the lungs, less the level of the class's
    outline. `fill` is what `draw_findings` returns for the lungs, a bool mask.
    """
    reach, level = OUTLINES[class_name]
    air = lungs.astype(np.float32)
    near = np.maximum(canvas.soften(air, reach), np.float32(0.01))  # else 0 where no lung is near
    return canvas.soften(fill * air, reach) / near - np.float32(level)


def place_in_lung(lungs: np.ndarray, side: int, height: float, depth: float) -> tuple[float, float]:
    """Return a point (x, y) in a lung.

    `height` goes from 0 at the apex to 1 at the base, `depth` from 0 at the mediastinum to 1 at
    the chest wall.
    """
    middle = lungs.shape[1] // 2
    half = lungs[:, middle:] if side > 0 else lungs[:, :middle][:, ::-1]
    rows = np.flatnonzero(half.any(axis=1))
    row = rows[round(height * (len(rows) - 1))]
    columns = np.flatnonzero(half[row])
    column = columns[0] + depth * (columns[-1] - columns[0])
    return side * column / canvas.PIXELS_PER_UNIT, (row - middle) / canvas.PIXELS_PER_UNIT


def draw_ground_glass(lungs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the fill of COVID: hazy patches on both sides, along the chest wall, low down."""
    board = canvas.empty_board()
    for side in SIDES:
        for _ in range(rng.integers(3, 6)):
            spot = place_in_lung(lungs, side, rng.beta(4.0, 2.0), rng.uniform(0.65, 1.0))
            radii = (rng.uniform(24, 44), rng.uniform(36, 70))
            patch = canvas.round_shape(spot, radii, side * rng.normal(-0.15, 0.3))
            canvas.fill_shapes([patch], board, rng.uniform(0.65, 1))
    mottle = 1 + 0.25 * canvas.draw_noise(rng, 24) + 0.16 * canvas.draw_noise(rng, 8)
    return canvas.soft_layer(board, 13, rng.uniform(0.75, 1.02)) * np.clip(mottle, 0.2, 2)


def draw_consolidations(lungs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the fill of lung opacity: dense areas, mostly on one side, some cut by a fissure."""
    first = rng.choice(SIDES)
    fill = np.zeros(lungs.shape, np.float32)
    for _ in range(rng.choice([1, 2, 3], p=[0.55, 0.33, 0.12])):
        side = first if rng.random() < 0.88 else -first
        spot = place_in_lung(lungs, side, rng.uniform(0.2, 0.95), rng.uniform(0.1, 0.85))
        radii = rng.uniform(38, 85, 2)
        area = canvas.fill_shapes([canvas.round_shape(spot, radii, rng.uniform(0, np.pi))])
        softness = 16
        if rng.random() < 0.3:  # a fissure stops the filling
            below = np.array([(-200, -20), (200, 20), (200, 200), (-200, 200)])
            canvas.fill_shapes([below + spot + rng.uniform(0, 30)], area, 0)
            softness = 6
        area = canvas.soften(area, softness)
        ragged = canvas.as_layer(area) * (
            1 + 0.22 * canvas.draw_noise(rng, 40) + 0.12 * canvas.draw_noise(rng, 14)
        )
        fill = np.maximum(fill, rng.uniform(0.62, 0.95) * np.clip(1.3 * ragged - 0.15, 0, 1))
    return fill


def draw_interstitial(build: Build, lungs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the fill of viral pneumonia: net, streaks from the lung roots, nodules; both sides."""
    board, haze = canvas.empty_board(), canvas.empty_board()
    for side, root in zip(SIDES, hila(build), strict=True):
        angles = rng.uniform(-1.4, 1.4, (45, 1)) + (0 if side > 0 else np.pi)
        angles = angles + np.cumsum(rng.normal(0, 0.2, (45, 4)), axis=1)
        start = np.array(root) + rng.normal(0, (14, 26), (45, 2))
        steps = np.stack([np.cos(angles), np.sin(angles)], axis=2) * rng.uniform(5, 26, (45, 1, 1))
        canvas.stroke_paths(start[:, None] + np.cumsum(steps, axis=1), 2, board, 0.7)
        for _ in range(rng.integers(12, 35)):
            spot = place_in_lung(lungs, side, rng.uniform(0.1, 0.95), rng.uniform(0, 0.9))
            canvas.fill_shapes([canvas.round_shape(spot, rng.uniform(1.5, 4, 2))], board, 0.8)
        canvas.fill_shapes([canvas.round_shape(root, (80, 120))], haze)
    threads = canvas.draw_noise(rng, 12) + 0.3 * canvas.draw_noise(rng, 6)
    net = np.clip(1 - np.abs(threads) / 0.4, 0, 1)
    patchy = np.clip(0.6 + 0.4 * canvas.draw_noise(rng, 90), 0.1, 1.2)
    strength = rng.uniform(0.7, 1.1)
    fill = 0.34 * strength * canvas.soften(net, 1.2) * patchy
    fill += canvas.soft_layer(board, 1.2, 0.4 * strength)
    return fill + canvas.soft_layer(haze, 38, 0.12 * strength)

"""What disease looks like in a drawn lung: how much of the air each pattern fills.

Every function gives a layer from 0 (air) to 1 (filled), float32, that is 0 outside the lungs.
"""

import numpy as np

from helpers.data.synthetic.anatomy import SIDES, Build, hila
from helpers.data.synthetic.canvas import (
    PIXELS_PER_UNIT,
    as_layer,
    draw_noise,
    empty_board,
    fill_shapes,
    round_shape,
    soften,
    stroke_paths,
)


def draw_findings(
    class_name: str, build: Build, lungs: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Filled share of the lungs (bool mask) for one class; all 0 for Normal."""
    patterns = {
        "COVID": draw_ground_glass,
        "Lung_Opacity": draw_consolidations,
        "Viral Pneumonia": draw_interstitial,
    }
    if class_name not in patterns:
        return np.zeros(lungs.shape, np.float32)
    fill = patterns[class_name](build, lungs, rng)
    inside = np.maximum(2 * soften(lungs.astype(np.float32), 2.5) - 1, 0)  # fades at the border
    return np.clip(fill, 0, 1) * inside


def place_in_lung(lungs: np.ndarray, side: int, height: float, depth: float) -> tuple[float, float]:
    """Point (x, y) in a lung.

    `height` goes from 0 at the apex to 1 at the base, `depth` from 0 at the mediastinum to 1 at
    the chest wall.
    """
    middle = lungs.shape[1] // 2
    half = lungs[:, middle:] if side > 0 else lungs[:, :middle][:, ::-1]
    rows = np.flatnonzero(half.any(axis=1))
    row = rows[round(height * (len(rows) - 1))]
    columns = np.flatnonzero(half[row])
    column = columns[0] + depth * (columns[-1] - columns[0])
    return side * column / PIXELS_PER_UNIT, (row - middle) / PIXELS_PER_UNIT


def draw_ground_glass(build: Build, lungs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """COVID: hazy patches on both sides, along the chest wall, more toward the base."""
    board = empty_board()
    for side in SIDES:
        for _ in range(rng.integers(3, 6)):
            spot = place_in_lung(lungs, side, rng.beta(4.0, 2.0), rng.uniform(0.65, 1.0))
            radii = (rng.uniform(24, 44), rng.uniform(36, 70))
            patch = round_shape(spot, radii, side * rng.normal(-0.15, 0.3))
            fill_shapes([patch], board, rng.uniform(0.65, 1))
    mottle = 1 + 0.25 * draw_noise(rng, 24) + 0.16 * draw_noise(rng, 8)
    return as_layer(soften(board, 13), rng.uniform(0.75, 1.02)) * np.clip(mottle, 0.2, 2)


def draw_consolidations(build: Build, lungs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Lung opacity: one to three dense areas, mostly on one side, some cut off by a fissure."""
    first = rng.choice(SIDES)
    fill = np.zeros(lungs.shape, np.float32)
    for _ in range(rng.choice([1, 2, 3], p=[0.55, 0.33, 0.12])):
        side = first if rng.random() < 0.88 else -first
        spot = place_in_lung(lungs, side, rng.uniform(0.2, 0.95), rng.uniform(0.1, 0.85))
        radii = rng.uniform(38, 85, 2)
        area = fill_shapes([round_shape(spot, radii, rng.uniform(0, np.pi))], empty_board())
        softness = 16
        if rng.random() < 0.3:  # a fissure stops the filling
            below = np.array([(-200, -20), (200, 20), (200, 200), (-200, 200)])
            fill_shapes([below + spot + rng.uniform(0, 30)], area, 0)
            softness = 6
        area = soften(area, softness)
        ragged = as_layer(area) * (1 + 0.22 * draw_noise(rng, 40) + 0.12 * draw_noise(rng, 14))
        fill = np.maximum(fill, rng.uniform(0.62, 0.95) * np.clip(1.3 * ragged - 0.15, 0, 1))
    return fill


def draw_interstitial(build: Build, lungs: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Viral pneumonia: a coarse net, streaks from the lung roots, small nodules on both sides."""
    board, haze = empty_board(), empty_board()
    for side, root in zip(SIDES, hila(build), strict=True):
        angles = rng.uniform(-1.4, 1.4, (45, 1)) + (0 if side > 0 else np.pi)
        angles = angles + np.cumsum(rng.normal(0, 0.2, (45, 4)), axis=1)
        start = np.array(root) + rng.normal(0, (14, 26), (45, 2))
        steps = np.stack([np.cos(angles), np.sin(angles)], axis=2) * rng.uniform(5, 26, (45, 1, 1))
        stroke_paths(start[:, None] + np.cumsum(steps, axis=1), 2, board, 0.7)
        for _ in range(rng.integers(12, 35)):
            spot = place_in_lung(lungs, side, rng.uniform(0.1, 0.95), rng.uniform(0, 0.9))
            fill_shapes([round_shape(spot, rng.uniform(1.5, 4, 2))], board, 0.8)
        fill_shapes([round_shape(root, (80, 120))], haze)
    net = np.clip(1 - np.abs(draw_noise(rng, 12) + 0.3 * draw_noise(rng, 6)) / 0.4, 0, 1)
    patchy = np.clip(0.6 + 0.4 * draw_noise(rng, 90), 0.1, 1.2)
    strength = rng.uniform(0.7, 1.1)
    fill = 0.34 * strength * soften(net, 1.2) * patchy
    fill += as_layer(soften(board, 1.2), 0.4 * strength)
    return fill + as_layer(soften(haze, 38), 0.12 * strength)

"""The soft parts of a drawn chest: body outline, lungs, heart, vessels, air below the diaphragm.

All measures are in canvas units (see canvas.py); densities are relative to the thickness of an
average trunk, which counts as 1. `side` is -1 for the right lung, which lies on the left of the
picture, and +1 for the left lung.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from helpers.data.synthetic.canvas import (
    CANVAS_EXTENT,
    CANVAS_SIZE,
    PIXELS_PER_UNIT,
    as_layer,
    draw_noise,
    empty_board,
    fill_shapes,
    round_shape,
    smooth_path,
    soften,
    stroke_paths,
)

SIDES = (-1, 1)
VESSEL_ANGLES = (-1.45, -1.15, -0.75, -0.3, 0.25, 0.65, 0.95, 1.2, 1.45)  # from level, downward


@dataclass(frozen=True)
class Build:
    """Measures of one body, in canvas units. Pairs are (right, left)."""

    apex: float  # y of the top of the lungs
    base: float  # y of the costophrenic angles
    half_width: float  # from the midline to the widest inner chest wall
    apex_offset: float  # x of the lungs' tops
    taper: float  # how slowly the chest widens downward
    domes: tuple[float, float]  # y of the tops of the diaphragm
    heart: float  # reach of the left heart border from the midline
    atrium: float  # reach of the right heart border
    knob: float  # reach of the aortic knob
    vessel_width: float  # half-width of the upper mediastinum
    wall: float  # soft tissue between ribs and skin
    shoulder: float  # y of the shoulders
    abduction: float  # how far the elbows are from the trunk
    inclination: float  # how steeply the ribs run down

    @property
    def height(self) -> float:
        """Height of the lungs at the chest wall."""
        return self.base - self.apex


def choose_build(rng: np.random.Generator) -> Build:
    """Measures of a random, plausible body."""
    apex, base = rng.uniform(-245, -210), rng.uniform(125, 205)
    half_width = rng.uniform(192, 226)
    right_dome = base - rng.uniform(38, 78)
    return Build(
        apex=apex,
        base=base,
        half_width=half_width,
        apex_offset=rng.uniform(62, 82),
        taper=rng.uniform(0.24, 0.37),
        domes=(right_dome, right_dome + rng.uniform(6, 24)),
        heart=half_width * rng.uniform(0.46, 0.72),
        atrium=rng.uniform(42, 64),
        knob=rng.uniform(42, 58),
        vessel_width=rng.uniform(27, 36),
        wall=rng.uniform(20, 52),
        shoulder=apex + rng.uniform(-30, 20),
        abduction=rng.uniform(0, 1),
        inclination=rng.uniform(110, 185),
    )


def chest_half_width(build: Build, y: np.ndarray) -> np.ndarray:
    """Distance from the midline to the inner chest wall at the heights y (N,)."""
    share = np.clip((np.asarray(y, dtype=float) - build.apex) / build.height, 0, 1)
    return build.apex_offset + (build.half_width - build.apex_offset) * share**build.taper


def diaphragm(build: Build, side: int) -> np.ndarray:
    """Path (60, 2) of one dome of the diaphragm, from the midline to the chest wall."""
    top = build.domes[0 if side < 0 else 1]
    reach = np.linspace(0, 1, 60) * build.half_width
    summit = 0.47 * build.half_width
    outer = np.clip((reach - summit) / (build.half_width - summit), 0, 1)
    inner = np.clip((summit - reach) / summit, 0, 1)
    y = top + (build.base - top) * outer**2.3 + 18 * inner**2
    return np.stack([side * reach, y], axis=1)


def lung_outline(build: Build, side: int) -> np.ndarray:
    """Polygon (N, 2) of one side's lung from the midline on: also what lies behind the heart."""
    down = build.apex + build.height * np.linspace(0, 1, 80) ** 2
    outer = np.stack([side * chest_half_width(build, down), down], axis=1)
    dome = diaphragm(build, side)[::-1]
    rise = np.linspace(0, 1, 30)[::-1]
    inner_x = build.apex_offset * (1 - np.sin(rise * np.pi / 2))
    inner = np.stack([side * inner_x, build.apex + 85 * rise**1.4], axis=1)
    return np.vstack([outer, dome, inner])


def mediastinum_outline(build: Build) -> np.ndarray:
    """Polygon (N, 2) of the shadow of heart, aorta and great vessels."""
    top, low = build.apex, build.base
    step = build.height / 100
    right = [
        (-build.vessel_width - 6, top - 60),
        (-build.vessel_width, top + 10 * step),
        (-build.vessel_width - 3, top + 38 * step),
        (-build.atrium * 0.85, top + 58 * step),
        (-build.atrium, top + 75 * step),
        (-build.atrium * 0.9, low),
    ]
    left = [
        (build.vessel_width + 6, top - 60),
        (build.vessel_width - 2, top + 14 * step),
        (build.knob, top + 28 * step),
        (build.knob - 6, top + 37 * step),
        (build.knob, top + 45 * step),
        (0.62 * build.heart, top + 60 * step),
        (0.92 * build.heart, top + 76 * step),
        (build.heart, top + 88 * step),
        (0.9 * build.heart, low + 10),
    ]
    return np.vstack([smooth_path(right), smooth_path(left)[::-1]])


def body_outlines(build: Build) -> list[np.ndarray]:
    """Polygons (N, 2) of the trunk with neck and of both arms."""
    skin = build.half_width + build.wall
    neck, shoulder = 0.3 * build.half_width, build.shoulder
    flank = [
        (neck, -420),
        (neck + 4, shoulder - 75),
        (neck + 55, shoulder - 32),
        (skin - 5, shoulder + 5),
        (skin + 42, shoulder + 55),
        (skin + 22, shoulder + 140),
        (skin - 2, shoulder + 250),
        (skin - 8, build.base),
        (skin - 4, 420),
    ]
    path = smooth_path(flank, 90)
    shapes = [np.vstack([path, path[::-1] * (-1, 1)])]
    for side in SIDES:
        elbow = skin + 20 + 130 * build.abduction
        arm = smooth_path(
            [
                (side * (skin - 40), shoulder + 10),
                (side * (skin + 50), shoulder + 42),
                (side * (elbow + 80), shoulder + 250),
                (side * (elbow + 110), shoulder + 620),
                (side * (elbow + 20), shoulder + 620),
                (side * (elbow - 2), shoulder + 250),
                (side * (skin - 18), shoulder + 110),
            ],
            80,
        )
        shapes.append(arm)
    return shapes


def thickness(board: np.ndarray, rim: float, weight: float = 1) -> np.ndarray:
    """Layer 0 to `weight` of a rounded body with this silhouette, at its thickest `rim` inside."""
    inside = (board[::2, ::2] > 127).astype(np.uint8)
    steps = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    depth = steps * np.float32(2 / (PIXELS_PER_UNIT * rim))
    rounded = weight * np.sqrt(1 - (1 - np.minimum(depth, 1)) ** 2)
    rounded = cv2.blur(rounded, (5, 5))  # a slope this steep shows the steps of the pixels
    return cv2.resize(rounded, board.shape, interpolation=cv2.INTER_LINEAR)


def draw_body(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Density layer of trunk and arms without lungs, heart and bones."""
    trunk_outline, *arm_outlines = body_outlines(build)
    trunk = fill_shapes([trunk_outline], empty_board())
    arms = fill_shapes(arm_outlines, empty_board())
    body = np.maximum(thickness(trunk, 170, 1.0), thickness(arms, 70, 0.55))
    body += as_layer(soften(cv2.min(trunk, arms), 3.0), 0.09)  # the folds of the armpits
    height = np.linspace(-CANVAS_EXTENT / 2, CANVAS_EXTENT / 2, CANVAS_SIZE, dtype=np.float32)
    thicker = np.interp(height, (build.apex, build.base), (0.9, 1.12)).astype(np.float32)
    body *= thicker[:, None] + 0.03 * draw_noise(rng, 60)
    return body


def draw_breasts(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Density layer of breast shadows; faint or absent in two of three bodies."""
    weight = rng.uniform(0.07, 0.17) if rng.random() < 0.35 else rng.uniform(0, 0.03)
    drop = build.apex + rng.uniform(0.72, 0.95) * build.height
    shapes = []
    for side in SIDES:
        centre = (side * rng.uniform(0.58, 0.68) * build.half_width, drop)
        shapes.append(round_shape(centre, (rng.uniform(80, 110), rng.uniform(75, 105)), side * 0.4))
    return thickness(soften(fill_shapes(shapes, empty_board()), 3.0), 70, weight)


def draw_gas(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Density layer of what windpipe, stomach and bowel lack, because they hold gas."""
    board = empty_board()
    fork = build.apex + 0.36 * build.height
    right_bronchus = smooth_path([(-5, fork - 4), (-24, fork + 20), (-46, fork + 46)])
    left_bronchus = smooth_path([(-5, fork - 4), (20, fork + 22), (50, fork + 38)])
    stroke_paths([right_bronchus, left_bronchus], 11, board, 0.28)
    stroke_paths([np.array([(0, -400), (-2, build.apex), (-5, fork)])], 21, board, 0.6)
    shapes = [gastric_bubble(build, rng)] if rng.random() < 0.55 else []
    for _ in range(rng.integers(0, 3)):
        centre = (rng.uniform(-170, 170), build.base + rng.uniform(45, 170))
        radii = (rng.uniform(14, 36), rng.uniform(8, 18))
        shapes.append(round_shape(centre, radii, rng.uniform(0, np.pi)))
    fill_shapes(shapes, board, rng.uniform(0.25, 0.75))
    return as_layer(soften(board, 3.5), 0.3)


def gastric_bubble(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Closed outline (32, 2) of the gas in the stomach, below the left dome."""
    top, radii = build.domes[1] + rng.uniform(14, 28), (rng.uniform(20, 48), rng.uniform(12, 26))
    bubble = round_shape((rng.uniform(60, 125), top + radii[1]), radii, rng.uniform(-0.2, 0.2))
    level = top + radii[1] * rng.uniform(1.0, 2.0)
    bubble[:, 1] = np.minimum(bubble[:, 1], level)  # gas stands on a level of fluid
    return bubble


def hila(build: Build) -> tuple[tuple[float, float], tuple[float, float]]:
    """Centres (x, y) of the right and the left lung root; the left one stands higher."""
    y = build.apex + 0.47 * build.height
    return (-build.vessel_width - 16, y + 8), (build.vessel_width + 20, y - 8)


def draw_vessels(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Board of the pulmonary vessels, which fork and thin out from the lung roots."""
    board = empty_board()
    for side, root in zip(SIDES, hila(build), strict=True):
        angle = rng.normal(VESSEL_ANGLES, 0.12)
        angle = angle if side > 0 else np.pi - angle
        ends = np.array(root) + rng.normal(0, (6, 20), (len(angle), 2))
        length, width, level = 0.17 * build.half_width, 7.5, 0.8
        for _ in range(7):
            bends = angle[:, None] + np.cumsum(rng.normal(0, 0.17, (len(angle), 4)), axis=1)
            reach = length * rng.uniform(0.5, 1.3, (len(angle), 1)) / 4
            steps = np.stack([np.cos(bends) * reach, np.sin(bends) * reach], axis=2)
            paths = ends[:, None] + np.concatenate([0 * steps[:, :1], steps.cumsum(1)], axis=1)
            stroke_paths(paths, width, board, level)
            kept = rng.random(2 * len(angle)) < 0.85  # not every branch forks
            spread = np.tile([-1.0, 1.0], len(angle)) * rng.uniform(0.15, 0.7, 2 * len(angle))
            ends = np.repeat(paths[:, -1], 2, axis=0)[kept]
            angle = (np.repeat(bends[:, -1], 2) + spread)[kept]
            length, width, level = 0.86 * length, 0.66 * width, 0.82 * level
    return soften(board, 1.2)

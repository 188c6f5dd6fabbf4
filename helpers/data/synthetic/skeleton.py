"""The bones of a drawn chest: spine, ribs, clavicles, shoulder blades and upper arms.

Bones are drawn as tubes: a dim inside between two bright edges, as the dense shell of a bone
throws them on a radiograph. Layers and coordinates as in canvas.py.
"""

import numpy as np

from helpers.data.synthetic.anatomy import SIDES, Build, chest_half_width
from helpers.data.synthetic.canvas import (
    as_layer,
    empty_board,
    fill_shapes,
    round_shape,
    smooth_path,
    soften,
    stroke_paths,
)

RIB_ANGLES = np.linspace(0.02, 2.55, 68)  # radians around the chest, pi / 2 at the side


def draw_tubes(
    shapes: list[np.ndarray], edge_width: float, board: np.ndarray, inside: float, edge: float = 1
) -> np.ndarray:
    """Draw bones with these outlines, each (N, 2): level `inside` between edges of level `edge`.

    An outline that does not return to its start has no edge there.
    """
    fill_shapes(shapes, board, inside)
    return stroke_paths(shapes, edge_width, board, edge)


def ribbon(path: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    """Closed outline (2N + 1, 2) of a band of this width, or widths (N,), along a path (N, 2)."""
    along = np.gradient(path, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    half = np.broadcast_to(np.asarray(width, dtype=float) / 2, len(path))[:, None]
    ahead, behind = path + normal * half, path - normal * half
    return np.vstack([ahead, behind[::-1], ahead[:1]])


def rib_path(build: Build, side: int, number: int) -> np.ndarray:
    """Centre line (68, 2) of a rib, seen from the front.

    It runs from the spine around the side, which it reaches at point 41, to the front, and sinks
    on its way, so that its front end lies below its back.
    """
    start = build.apex - 14 + number * build.height / 9.3
    sink = build.inclination * (0.5 + 0.1 * number)
    y = start + sink * (1 - np.cos(RIB_ANGLES)) / 2
    reach = 8 + (chest_half_width(build, y) + 3 - 8) * np.sin(RIB_ANGLES) ** 0.8
    return np.stack([side * reach, y], axis=1)


def draw_ribs(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Density layer of the ribs: the posterior parts bright, the anterior ones faint."""
    height, strength = rng.uniform(13, 19), rng.uniform(0.8, 1.2)
    behind, front, flanks = [], [], []
    for side in SIDES:
        for number in range(10):
            rib = rib_path(build, side, number) + np.array([0, rng.normal(0, 1.5)])
            behind.append(flat_band(rib[:44], height))
            flanks.append(rib[31:50])
            if number < 7:
                front.append(flat_band(rib[39:], height + 3))
    posterior = draw_tubes(behind, 2, empty_board(), 0.55)
    anterior = draw_tubes(front, 2, empty_board(), 0.3, 0.55)
    stroke_paths(flanks, 7, anterior)
    return as_layer(soften(posterior, 1.0), 0.17 * strength) + as_layer(
        soften(anterior, 2.0), 0.16 * strength
    )


def flat_band(path: np.ndarray, height: float) -> np.ndarray:
    """Outline (2N, 2), open at the start, of an upright band: edge-on where the path runs down."""
    half = np.array([0, height / 2])
    return np.vstack([path - half, (path + half)[::-1]])


def spine_x(y: np.ndarray | float, bend: float) -> np.ndarray | float:
    """Offset in x of the middle of the spine at the height y, for a gentle sideways bend."""
    return bend * np.sin((y + 40) / 170)


def draw_spine(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Density layer of the vertebrae with discs, pedicles and spinous processes."""
    bend, width = rng.normal(0, 3), rng.uniform(36, 44)
    bodies, pedicles, processes = [], [], []
    y = -370.0
    while y < 380:
        x, half = spine_x(y, bend), width / 2 * np.interp(y, [-300, 100, 380], [0.8, 1.0, 1.25])
        pitch = build.height / 9.3 * np.interp(y, [-300, build.apex, 200], [0.66, 0.86, 1.14])
        right = np.array([(half, -0.38 * pitch), (0.88 * half, 0), (half, 0.38 * pitch)])
        bodies.append(np.vstack([right, -right, right[:1]]) + np.array([x, y]))
        pedicles += [round_shape((x + s * 0.6 * half, y - 0.12 * pitch), (4, 6.5)) for s in SIDES]
        processes.append(round_shape((x + rng.normal(0, 1), y + 0.28 * pitch), (3, 0.3 * pitch)))
        y += pitch
    column = np.array([(spine_x(y, bend), y) for y in np.linspace(-380, 380, 40)])
    front = stroke_paths([column], width * 0.95, empty_board(), 0.5)
    draw_tubes(bodies, 3, front, 0.75, 0.9)
    back = draw_tubes(pedicles + processes, 2, empty_board(), 0.6)
    return as_layer(soften(front, 2.4), 0.22) + as_layer(soften(back, 1.8), 0.09)


def draw_clavicles(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Density layer of both collar bones."""
    low = build.apex + rng.uniform(45, 110)
    shapes = []
    for side in SIDES:
        medial = low + rng.normal(0, 4)
        lateral = build.shoulder + 24 + rng.normal(0, 5)
        path = smooth_path(
            [
                (side * 26, medial),
                (side * 75, 0.85 * medial + 0.15 * lateral + 2),
                (side * 140, 0.35 * medial + 0.65 * lateral - 12),
                (side * (build.half_width + 14), lateral),
            ]
        )
        widths = np.interp(
            np.linspace(0, 1, len(path)), [0, 0.05, 0.15, 0.6, 0.95, 1], [12, 22, 16, 13, 16, 7]
        )
        shapes.append(ribbon(path, widths))
    return as_layer(soften(draw_tubes(shapes, 3, empty_board(), 0.6), 1.4), 0.2)


def draw_shoulders(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Density layer of shoulder blades and upper arms."""
    blades, arms = [], []
    for side in SIDES:
        x, y = build.half_width + build.wall * 0.6 + rng.normal(8, 4), build.shoulder + 62
        tuck = rng.uniform(-35, 15)
        blade = [(x, y), (x - 18, y + 70), (x - 48 + tuck, y + 165), (x - 70 + tuck, y + 110)]
        blade += [(x - 72 + tuck, y + 20), (x - 40, y - 14), (x, y)]
        blades.append(smooth_path([(side * a, b) for a, b in blade]))
        blades.append(round_shape((side * (x + 6), y + 14), (9, 24)))
        head = (x + 36, y + 12)
        elbow = (head[0] + 20 + 140 * build.abduction, y + 640)
        shaft = smooth_path([(side * (head[0] + 4), head[1]), (side * elbow[0], elbow[1])])
        arms.append(ribbon(shaft, 30))
        arms.append(round_shape((side * head[0], head[1]), (31, 33)))
    board = draw_tubes(blades, 5, empty_board(), 0.3, 0.6)
    return as_layer(soften(draw_tubes(arms, 5, board, 0.6), 2.0), 0.18)

"""Anatomy: a healthy chest, from its measures to layers of soft parts, air and bones.

Coordinates, boards and layers as in canvas.py. Densities are relative to the thickness of an
average trunk, which counts as 1. `side` is -1 for the right lung, which lies on the left of the
picture, and +1 for the left lung.
"""

import cv2
import numpy as np

from helpers.data.synthetic import canvas

SIDES = (-1, 1)
VESSEL_ANGLES = (-1.45, -1.15, -0.75, -0.3, 0.25, 0.65, 0.95, 1.2, 1.45)  # from level, downward
RIB_ANGLES = np.linspace(0.02, 2.55, 68)  # radians around the chest, pi / 2 at the side


class Build:
    """The measures of a random, plausible body, in canvas units. Pairs are (right, left)."""

    def __init__(self, rng: np.random.Generator):
        self.apex = rng.uniform(-245, -210)  # y of the top of the lungs
        self.base = rng.uniform(125, 205)  # y of the costophrenic angles
        self.height = self.base - self.apex  # of the lungs at the chest wall
        self.half_width = rng.uniform(192, 226)  # from the midline to the widest inner chest wall
        right_dome = self.base - rng.uniform(38, 78)
        self.apex_offset = rng.uniform(62, 82)  # x of the lungs' tops
        self.taper = rng.uniform(0.24, 0.37)  # how slowly the chest widens downward
        self.domes = (right_dome, right_dome + rng.uniform(6, 24))  # y of the diaphragm's tops
        self.heart = self.half_width * rng.uniform(0.46, 0.72)  # reach of the left heart border
        self.atrium = rng.uniform(42, 64)  # reach of the right heart border from the midline
        self.knob = rng.uniform(42, 58)  # reach of the aortic knob
        self.vessel_width = rng.uniform(27, 36)  # half-width of the upper mediastinum
        self.wall = rng.uniform(20, 52)  # soft tissue between ribs and skin
        self.shoulder = self.apex + rng.uniform(-30, 20)  # y of the shoulders
        self.abduction = rng.uniform(0, 1)  # how far the elbows are from the trunk
        self.inclination = rng.uniform(110, 185)  # how steeply the ribs run down
        self.drift = 0.0  # of heart and vessels to the left of the body, as when it is turned

    def vary(self, rng: np.random.Generator) -> None:
        """Take measures that the usual bodies lack: of children, large hearts, turned bodies."""
        self.half_width = width = rng.uniform(140, 222)
        self.apex_offset = width * rng.uniform(0.26, 0.44)
        self.taper = rng.uniform(0.2, 0.5)
        self.heart = width * rng.uniform(0.42, 0.93)
        self.atrium = width * rng.uniform(0.18, 0.48)
        self.vessel_width = width * rng.uniform(0.12, 0.34)
        self.knob = self.vessel_width + width * rng.uniform(0, 0.09)
        self.drift = width * rng.uniform(-0.2, 0.2)
        right_dome = self.base - rng.uniform(30, 120)
        self.domes = (right_dome, right_dome + rng.uniform(-15, 35))
        self.wall = rng.uniform(8, 55)
        self.inclination = rng.uniform(30, 185)


def chest_half_width(build: Build, y: np.ndarray) -> np.ndarray:
    """Return the distance from the midline to the inner chest wall at the heights y (N,)."""
    share = np.clip((y - build.apex) / build.height, 0, 1)
    return build.apex_offset + (build.half_width - build.apex_offset) * share**build.taper


def lung_outline(build: Build, side: int) -> np.ndarray:
    """Return the polygon (N, 2) of a lung from the midline on, what the heart hides included."""
    down = build.apex + build.height * np.linspace(0, 1, 80) ** 2
    wall = np.stack([side * chest_half_width(build, down), down], axis=1)
    top, summit = build.domes[0 if side < 0 else 1], 0.47 * build.half_width
    reach = np.linspace(0, 1, 60) * build.half_width
    outer = np.clip((reach - summit) / (build.half_width - summit), 0, 1)
    inner = np.clip((summit - reach) / summit, 0, 1)
    dome = np.stack([side * reach, top + (build.base - top) * outer**2.3 + 18 * inner**2], axis=1)
    rise = np.linspace(0, 1, 30)[::-1]
    middle_x = build.apex_offset * (1 - np.sin(rise * np.pi / 2))
    middle = np.stack([side * middle_x, build.apex + 85 * rise**1.4], axis=1)
    return np.vstack([wall, dome[::-1], middle])


def mediastinum_outline(build: Build) -> np.ndarray:
    """Return the polygon (N, 2) of the shadow of heart, aorta and great vessels."""
    top, low, percent = build.apex, build.base, build.height / 100
    vessels, atrium, knob, heart = build.vessel_width, build.atrium, build.knob, build.heart
    x = [vessels + 6, vessels, vessels + 3, atrium * 0.85, atrium, atrium * 0.9]
    y = [top - 60, *(top + percent * np.array([10, 38, 58, 75])), low]
    right = canvas.smooth_path(x, y) * (-1, 1)
    x = [vessels + 6, vessels - 2, knob, knob - 6, knob]
    x += [0.62 * heart, 0.92 * heart, heart, 0.9 * heart]
    y = [top - 60, *(top + percent * np.array([14, 28, 37, 45, 60, 76, 88])), low + 10]
    outline = np.vstack([right, canvas.smooth_path(x, y)[::-1]])
    return outline + np.array([build.drift, 0])


def trunk_outline(build: Build) -> np.ndarray:
    """Return the polygon (N, 2) of the trunk with the neck."""
    neck, skin = 0.3 * build.half_width, build.half_width + build.wall
    x = [neck, neck + 4, neck + 55, *(skin + np.array([-5, 42, 22, -2, -8, -4]))]
    y = [-420, *(build.shoulder + np.array([-75, -32, 5, 55, 140, 250])), build.base, 420]
    path = canvas.smooth_path(x, y, 90)
    return np.vstack([path, path[::-1] * (-1, 1)])


def arm_outline(build: Build, side: int) -> np.ndarray:
    """Return the polygon (N, 2) of an arm."""
    skin = build.half_width + build.wall
    elbow = skin + 20 + 130 * build.abduction
    x = [skin - 40, skin + 50, elbow + 80, elbow + 110, elbow + 20, elbow - 2, skin - 18]
    y = build.shoulder + np.array([10, 42, 250, 620, 620, 250, 110])
    return canvas.smooth_path(x, y, 80) * (side, 1)


def thickness(board: np.ndarray, rim: float, weight: float = 1) -> np.ndarray:
    """Return a layer, 0 to `weight`, of a round body of this outline, thickest `rim` inside."""
    inside = (board[::2, ::2] > 127).astype(np.uint8)
    steps = cv2.distanceTransform(inside, cv2.DIST_L2, 3)
    depth = steps * np.float32(2 / (canvas.PIXELS_PER_UNIT * rim))
    rounded = weight * np.sqrt(1 - (1 - np.minimum(depth, 1)) ** 2)
    rounded = cv2.blur(rounded, (5, 5))  # a slope this steep shows the steps of the pixels
    return cv2.resize(rounded, board.shape, interpolation=cv2.INTER_LINEAR)


def draw_body(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Return the density layer of trunk and arms without lungs, heart and bones."""
    trunk = canvas.fill_shapes([trunk_outline(build)])
    arms = canvas.fill_shapes([arm_outline(build, side) for side in SIDES])
    body = np.maximum(thickness(trunk, 170, 1.0), thickness(arms, 70, 0.55))
    body += canvas.soft_layer(cv2.min(trunk, arms), 3.0, 0.09)  # the folds of the armpits
    reach = canvas.EXTENT / 2
    height = np.linspace(-reach, reach, canvas.SIZE, dtype=np.float32)
    thicker = np.interp(height, (build.apex, build.base), (0.9, 1.12)).astype(np.float32)
    body *= thicker[:, None] + 0.03 * canvas.draw_noise(rng, 60)
    return body


def draw_breasts(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Return the density layer of breast shadows; faint or absent in two of three bodies."""
    weight = rng.uniform(0.07, 0.17) if rng.random() < 0.35 else rng.uniform(0, 0.03)
    drop = build.apex + rng.uniform(0.72, 0.95) * build.height
    shapes = []
    for side in SIDES:
        centre = (side * rng.uniform(0.58, 0.68) * build.half_width, drop)
        radii = (rng.uniform(80, 110), rng.uniform(75, 105))
        shapes.append(canvas.round_shape(centre, radii, side * 0.4))
    return thickness(canvas.soften(canvas.fill_shapes(shapes), 3.0), 70, weight)


def draw_gas(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Return the layer of the density that windpipe, stomach and bowel lack, being full of gas."""
    board = canvas.empty_board()
    fork = build.apex + 0.36 * build.height
    right_bronchus = canvas.smooth_path([-5, -24, -46], [fork - 4, fork + 20, fork + 46])
    left_bronchus = canvas.smooth_path([-5, 20, 50], [fork - 4, fork + 22, fork + 38])
    canvas.stroke_paths([right_bronchus, left_bronchus], 11, board, 0.28)
    canvas.stroke_paths([np.array([(0, -400), (-2, build.apex), (-5, fork)])], 21, board, 0.6)
    shapes = []
    if rng.random() < 0.55:  # the gas in the stomach, below the left dome
        top, radii = (
            build.domes[1] + rng.uniform(14, 28),
            (rng.uniform(20, 48), rng.uniform(12, 26)),
        )
        centre = (rng.uniform(60, 125), top + radii[1])
        bubble = canvas.round_shape(centre, radii, rng.uniform(-0.2, 0.2))
        level = top + radii[1] * rng.uniform(1.0, 2.0)
        bubble[:, 1] = np.minimum(bubble[:, 1], level)  # gas stands on a level of fluid
        shapes.append(bubble)
    for _ in range(rng.integers(0, 3)):
        centre = (rng.uniform(-170, 170), build.base + rng.uniform(45, 170))
        radii = (rng.uniform(14, 36), rng.uniform(8, 18))
        shapes.append(canvas.round_shape(centre, radii, rng.uniform(0, np.pi)))
    canvas.fill_shapes(shapes, board, rng.uniform(0.25, 0.75))
    return canvas.soft_layer(board, 3.5, 0.3)


def hila(build: Build) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the centres (x, y) of the right and the left lung root; the left one is higher."""
    y = build.apex + 0.47 * build.height
    right, left = build.drift - build.vessel_width - 16, build.drift + build.vessel_width + 20
    return (right, y + 8), (left, y - 8)


def draw_vessels(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Return a board of the pulmonary vessels, which fork and thin out from the lung roots."""
    board = canvas.empty_board()
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
            canvas.stroke_paths(paths, width, board, level)
            kept = rng.random(2 * len(angle)) < 0.85  # not every branch forks
            spread = np.tile([-1.0, 1.0], len(angle)) * rng.uniform(0.15, 0.7, 2 * len(angle))
            ends = np.repeat(paths[:, -1], 2, axis=0)[kept]
            angle = (np.repeat(bends[:, -1], 2) + spread)[kept]
            length, width, level = 0.86 * length, 0.66 * width, 0.82 * level
    return canvas.soften(board, 1.2)


def draw_tubes(
    shapes: list[np.ndarray],
    width: float,
    inside: float,
    edge: float = 1,
    on: np.ndarray | None = None,
) -> np.ndarray:
    """Draw bones of these outlines, each (N, 2), on a board: dim between bright edges.

    The dense shell of a bone throws such edges on a radiograph. An outline that does not return to
    its start has no edge there.
    """
    return canvas.stroke_paths(shapes, width, canvas.fill_shapes(shapes, on, inside), edge)


def ribbon(path: np.ndarray, width: np.ndarray | float) -> np.ndarray:
    """Return the closed outline (2N + 1, 2) of a band along a path (N, 2); widths may be (N,)."""
    along = np.gradient(path, axis=0)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1)
    normal /= np.linalg.norm(normal, axis=1, keepdims=True) + 1e-9
    offset = normal * np.broadcast_to(width, len(path))[:, None] / 2
    ahead, behind = path + offset, path - offset
    return np.vstack([ahead, behind[::-1], ahead[:1]])


def flat_band(path: np.ndarray, height: float) -> np.ndarray:
    """Return the outline (2N, 2), open at the start, of an upright band, edge-on at the flank."""
    half = np.array([0, height / 2])
    return np.vstack([path - half, (path + half)[::-1]])


def rib_path(build: Build, side: int, number: int) -> np.ndarray:
    """Return the centre line (68, 2) of a rib from the spine around the side to the front.

    It reaches the side at point 41, and sinks on its way: its front end lies below its back.
    """
    start = build.apex - 14 + number * build.height / 9.3
    sink = build.inclination * (0.5 + 0.1 * number)
    y = start + sink * (1 - np.cos(RIB_ANGLES)) / 2
    reach = 8 + (chest_half_width(build, y) + 3 - 8) * np.sin(RIB_ANGLES) ** 0.8
    return np.stack([side * reach, y], axis=1)


def draw_ribs(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Return the density layer of the ribs: their backs bright, their fronts faint."""
    height, strength = rng.uniform(13, 19), rng.uniform(0.8, 1.2)
    behind, front, flanks = [], [], []
    for side in SIDES:
        for number in range(10):
            rib = rib_path(build, side, number) + np.array([0, rng.normal(0, 1.5)])
            behind.append(flat_band(rib[:44], height))
            flanks.append(rib[31:50])
            if number < 7:
                front.append(flat_band(rib[39:], height + 3))
    posterior = draw_tubes(behind, 2, 0.55)
    anterior = draw_tubes(front, 2, 0.3, 0.55)
    canvas.stroke_paths(flanks, 7, anterior)
    ribs = canvas.soft_layer(posterior, 1.0, 0.17 * strength)
    return ribs + canvas.soft_layer(anterior, 2.0, 0.16 * strength)


def draw_spine(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Return the density layer of the vertebrae with discs, pedicles and spinous processes."""
    bend, width = rng.normal(0, 3), rng.uniform(36, 44)

    def middle(y: float) -> float:
        """Return the x of the spine's middle, which bends gently sideways."""
        return bend * np.sin((y + 40) / 170)

    bodies, pedicles, processes = [], [], []
    y = -370.0
    while y < 380:
        x, half = middle(y), width / 2 * np.interp(y, [-300, 100, 380], [0.8, 1.0, 1.25])
        pitch = build.height / 9.3 * np.interp(y, [-300, build.apex, 200], [0.66, 0.86, 1.14])
        right = np.array([(half, -0.38 * pitch), (0.88 * half, 0), (half, 0.38 * pitch)])
        bodies.append(np.vstack([right, -right, right[:1]]) + np.array([x, y]))
        for side in SIDES:
            place = (x + side * 0.6 * half, y - 0.12 * pitch)
            pedicles.append(canvas.round_shape(place, (4, 6.5)))
        place = (x + rng.normal(0, 1), y + 0.28 * pitch)
        processes.append(canvas.round_shape(place, (3, 0.3 * pitch)))
        y += pitch
    column = np.array([(middle(y), y) for y in np.linspace(-380, 380, 40)])
    front = canvas.stroke_paths([column], width * 0.95, canvas.empty_board(), 0.5)
    draw_tubes(bodies, 3, 0.75, 0.9, front)
    back = draw_tubes(pedicles + processes, 2, 0.6)
    return canvas.soft_layer(front, 2.4, 0.22) + canvas.soft_layer(back, 1.8, 0.09)


def draw_clavicles(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Return the density layer of both collar bones."""
    low = build.apex + rng.uniform(45, 110)
    places, widths = [0, 0.05, 0.15, 0.6, 0.95, 1], [12, 22, 16, 13, 16, 7]
    shapes = []
    for side in SIDES:
        medial = low + rng.normal(0, 4)
        lateral = build.shoulder + 24 + rng.normal(0, 5)
        x = [26, 75, 140, build.half_width + 14]
        bend = [0.85 * medial + 0.15 * lateral + 2, 0.35 * medial + 0.65 * lateral - 12]
        path = canvas.smooth_path(x, [medial, *bend, lateral]) * (side, 1)
        shapes.append(ribbon(path, np.interp(np.linspace(0, 1, len(path)), places, widths)))
    return canvas.soft_layer(draw_tubes(shapes, 3, 0.6), 1.4, 0.2)


def draw_shoulders(build: Build, rng: np.random.Generator) -> np.ndarray:
    """Return the density layer of shoulder blades and upper arms."""
    blades, arms = [], []
    for side in SIDES:
        x, y = build.half_width + build.wall * 0.6 + rng.normal(8, 4), build.shoulder + 62
        tuck = rng.uniform(-35, 15)
        blade_x = [x, x - 18, x - 48 + tuck, x - 70 + tuck, x - 72 + tuck, x - 40, x]
        blade_y = y + np.array([0, 70, 165, 110, 20, -14, 0])
        blades.append(canvas.smooth_path(blade_x, blade_y) * (side, 1))
        blades.append(canvas.round_shape((side * (x + 6), y + 14), (9, 24)))
        head = x + 36
        shaft = canvas.smooth_path([head + 4, head + 20 + 140 * build.abduction], [y + 12, y + 640])
        arms.append(ribbon(shaft * (side, 1), 30))
        arms.append(canvas.round_shape((side * head, y + 12), (31, 33)))
    board = draw_tubes(blades, 5, 0.3, 0.6)
    return canvas.soft_layer(draw_tubes(arms, 5, 0.6, on=board), 2.0, 0.18)

"""From densities to a film: pose of the patient, exposure, blur, grain and the letters on it."""

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, radians, sin

import cv2
import numpy as np

from helpers.data.synthetic.canvas import (
    CANVAS_EXTENT,
    PIXELS_PER_UNIT,
    as_layer,
    empty_board,
    smooth_path,
    soften,
    stroke_paths,
)

FIELD_SIZE = 600  # canvas units that a film shows at scale 1
FULL_DENSITY = 1.35  # what comes out white
NOTES = ("AP", "PA", "PORTABLE", "SUPINE", "SITTING", "ERECT")


@dataclass(frozen=True)
class Pose:
    """Where the body stands before the film."""

    shift: tuple[float, float]  # canvas units
    scale: tuple[float, float]  # of width and height
    angle: float  # radians
    wobble: np.ndarray  # (2, 5, 5) displacements in canvas units: no body is built by rule


def choose_pose(rng: np.random.Generator) -> Pose:
    """A random, plausible pose."""
    scale = rng.uniform(0.92, 1.16)
    return Pose(
        shift=(rng.normal(0, 7), rng.uniform(-35, 30)),
        scale=(scale * rng.uniform(0.96, 1.04), scale),
        angle=radians(min(max(rng.normal(0, 2.2), -6), 6)),
        wobble=rng.normal(0, 3.2, (2, 5, 5)).astype(np.float32),
    )


def apply_pose(layer: np.ndarray, pose: Pose, size: int) -> np.ndarray:
    """The posed layer, float32 (size, size), of a canvas layer."""
    centre = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5) * FIELD_SIZE
    x, y = centre[None, :], centre[:, None]
    cosine, sine = cos(pose.angle), sin(pose.angle)
    across = (cosine * x + sine * y) / pose.scale[0] - pose.shift[0]
    down = (cosine * y - sine * x) / pose.scale[1] - pose.shift[1]
    wobble = [cv2.resize(part, (size, size), interpolation=cv2.INTER_CUBIC) for part in pose.wobble]
    middle = CANVAS_EXTENT / 2
    return cv2.remap(
        layer,
        (across + wobble[0] + middle) * PIXELS_PER_UNIT - 0.5,
        (down + wobble[1] + middle) * PIXELS_PER_UNIT - 0.5,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def even_out(density: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The density as a scanner's software shows it: large differences reduced, detail kept."""
    return density - rng.uniform(0.0, 0.35) * (soften(density, 45) - 0.55)


def choose_exposure(rng: np.random.Generator) -> Callable[[np.ndarray], np.ndarray]:
    """A random characteristic curve: density to grey level, both float32 of any shape.

    The curve does not look at the picture, so that a finding cannot change the grey outside it.
    """
    gain, gamma = rng.uniform(0.8, 1.3), rng.uniform(1.0, 1.3)
    black, white = rng.uniform(0, 16), rng.uniform(228, 256)
    if rng.random() < 0.12:  # the under- and overexposed ones
        gamma *= 0.68 if rng.random() < 0.5 else 1.35

    def expose(density: np.ndarray) -> np.ndarray:
        opacity = (1 - np.exp(-gain * np.maximum(density, 0))) / (1 - np.exp(-gain * FULL_DENSITY))
        return black + (white - black) * opacity**gamma

    return expose


def draw_grain(rng: np.random.Generator, size: int) -> np.ndarray:
    """Grain of the film in grey levels, float32 (size, size): fine noise with a short reach."""
    amplitude, reach = rng.uniform(0.8, 3.6), rng.uniform(0.4, 0.75)
    grain = cv2.GaussianBlur(rng.standard_normal((size, size), np.float32), (0, 0), reach)
    return amplitude * grain / grain.std()


def draw_lines(rng: np.random.Generator) -> np.ndarray:
    """Density layer of electrodes with their wires, on one X-ray of six."""
    board = empty_board()
    if rng.random() < 1 / 6:
        for _ in range(rng.integers(1, 4)):
            spot = rng.uniform((-220, -200), (220, 160))
            edge = (np.sign(spot[0]) * 380, rng.uniform(-300, 340))
            bend = (spot + edge) / 2 + rng.normal(0, 70, 2)
            stroke_paths([smooth_path([tuple(spot), tuple(bend), edge])], 3, board, 0.5)
            stroke_paths([np.array([spot, spot])], 16, board, 0.6)
            stroke_paths([np.array([spot, spot])], 7, board, 1)
    return as_layer(soften(board, 0.8), 0.3)


def draw_letters(rng: np.random.Generator, size: int) -> np.ndarray:
    """Grey levels, float32 (size, size), of the side marker and a note, 0 elsewhere."""
    board = np.zeros((size, size), np.uint8)
    side = rng.choice(["R", "L"])
    left = rng.uniform(0.02, 0.10) * size
    x = left if side == "R" else size - left - 0.06 * size
    place = (round(x), round(rng.uniform(0.07, 0.22) * size))
    letter_scale, level = rng.uniform(0.45, 0.8), rng.uniform(180, 255)
    note, note_shown, marker_shown = rng.choice(NOTES), rng.random() < 0.25, rng.random() < 0.85
    if marker_shown:
        cv2.putText(
            board, side, place, cv2.FONT_HERSHEY_DUPLEX, letter_scale, level, 1, cv2.LINE_AA
        )
    if note_shown:
        below = (min(place[0], size - 60), place[1] + 14)
        cv2.putText(board, note, below, cv2.FONT_HERSHEY_SIMPLEX, 0.38, level, 1, cv2.LINE_AA)
    return board.astype(np.float32)

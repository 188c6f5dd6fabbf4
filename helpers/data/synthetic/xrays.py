"""X-rays: a drawn chest on a film, with the exact masks of its lungs and of what is infected.

No X-ray of a patient is behind these pictures. A picture sums up the densities of a drawn body,
as rays do on their way through a real one, and turns the sum into grey levels.
"""

from math import cos, radians, sin
from typing import NamedTuple

import cv2
import numpy as np

from helpers.data.synthetic import anatomy, canvas
from helpers.data.synthetic.disease import draw_findings, shade_findings

CLASS_NAMES = ("COVID", "Normal", "Lung_Opacity", "Viral Pneumonia")
XRAY_SIZE = 299  # pixels, as in the COVID-19 Radiography Database
MASK_SIZE = 256
FIELD_SIZE = 600  # canvas units that a film shows at scale 1
FULL_DENSITY = 1.35  # what comes out white
NOTES = ("AP", "PA", "PORTABLE", "SUPINE", "SITTING", "ERECT")


class Drawing(NamedTuple):
    """A drawn X-ray with what is true of it.

    Attributes:
        image: uint8 (299, 299).
        lungs: mask, uint8 (256, 256) with 255 in the lungs and 0 elsewhere, heart and mediastinum
            left out.
        infection: mask likewise of the part of the lungs that a reader would outline as infected;
            all 0 for Normal.
    """

    image: np.ndarray
    lungs: np.ndarray
    infection: np.ndarray


def draw_xray(class_name: str, seed: int, varied: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Draw one chest X-ray and the mask of its lungs: `image` and `lungs` of `draw_infected`."""
    drawing = draw_infected(class_name, seed, varied)
    return drawing.image, drawing.lungs


def draw_infected(class_name: str, seed: int, varied: bool = False) -> Drawing:
    """Draw one chest X-ray with the masks of its lungs and of what is infected in them.

    Body, pose, exposure and grain come from the seed alone: X-rays of two classes with the same
    seed differ inside the lungs only.

    Args:
        class_name: one of CLASS_NAMES.
        seed: decides everything but the signs of the class.
        varied: whether most bodies are unlike those of the demo (children, large hearts), and most
            films cropped or tilted, for a network that must know such X-rays, too.

    Raises:
        ValueError: for a class that is not in CLASS_NAMES.
    """
    if class_name not in CLASS_NAMES:
        raise ValueError(f"unknown class {class_name!r}: use one of {', '.join(CLASS_NAMES)}")
    rng = np.random.default_rng([seed, 0])
    finding_rng = np.random.default_rng([seed, 1 + CLASS_NAMES.index(class_name)])
    build = anatomy.Build(rng)
    pose = Pose(rng)
    if varied:
        vary(build, pose, np.random.default_rng([seed, 1 + len(CLASS_NAMES)]))
    healthy, fillable, lungs = draw_chest(build, rng)
    fill = draw_findings(class_name, build, lungs, finding_rng)
    # A scanner's software reduces large differences and keeps the detail.
    evened = healthy - rng.uniform(0.0, 0.35) * (canvas.soften(healthy, 45) - 0.55)
    image = develop(evened + fill * fillable, pose, rng)
    inside = pose.apply(lungs.astype(np.float32), MASK_SIZE) > 0.5
    seen = pose.apply(shade_findings(class_name, fill, lungs), MASK_SIZE) > 0
    return Drawing(image, as_mask(inside), as_mask(inside & seen))


def as_mask(inside: np.ndarray) -> np.ndarray:
    """Return a bool mask as one of 0 and 255, uint8."""
    return inside.astype(np.uint8) * 255


class Pose:
    """A random, plausible pose of the body before the film."""

    def __init__(self, rng: np.random.Generator):
        scale = rng.uniform(0.92, 1.16)
        self.shift = (rng.normal(0, 7), rng.uniform(-35, 30))  # canvas units
        self.scale = (scale * rng.uniform(0.96, 1.04), scale)  # of width and height
        self.angle = radians(min(max(rng.normal(0, 2.2), -6), 6))
        # Displacements in canvas units: no real body is built by rule.
        self.wobble = rng.normal(0, 3.2, (2, 5, 5)).astype(np.float32)

    def vary(self, rng: np.random.Generator) -> None:
        """Take a pose of a tightly cropped, tilted or distant chest."""
        scale = rng.uniform(0.8, 1.6)
        self.scale = (scale * rng.uniform(0.85, 1.2), scale)
        self.shift = (rng.normal(0, 14), rng.uniform(-45, 60))
        self.angle = radians(min(max(rng.normal(0, 4), -14), 14))
        self.wobble = rng.normal(0, rng.uniform(2, 7), (2, 5, 5)).astype(np.float32)

    def apply(self, layer: np.ndarray, size: int) -> np.ndarray:
        """Return a canvas layer as the film sees it, float32 (size, size)."""
        centre = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5) * FIELD_SIZE
        x, y = centre[None, :], centre[:, None]
        cosine, sine = cos(self.angle), sin(self.angle)
        across = (cosine * x + sine * y) / self.scale[0] - self.shift[0]
        down = (cosine * y - sine * x) / self.scale[1] - self.shift[1]
        cubic, middle = cv2.INTER_CUBIC, canvas.EXTENT / 2
        right, low = (cv2.resize(w, (size, size), interpolation=cubic) for w in self.wobble)
        return cv2.remap(
            layer,
            (across + right + middle) * canvas.PIXELS_PER_UNIT - 0.5,
            (down + low + middle) * canvas.PIXELS_PER_UNIT - 0.5,
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )


def vary(build: anatomy.Build, pose: Pose, rng: np.random.Generator) -> None:
    """Make most bodies and most poses, each by itself, unlike those of the demo."""
    if rng.random() < 0.65:
        build.vary(rng)
    if rng.random() < 0.7:
        pose.vary(rng)


def draw_chest(build: anatomy.Build, rng: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Return a healthy chest: its density, what filled air adds to it, and the lungs' bool mask."""
    air = canvas.fill_shapes([anatomy.lung_outline(build, side) for side in anatomy.SIDES])
    shadow = canvas.fill_shapes([anatomy.mediastinum_outline(build)])
    lungs = (air > 127) & (shadow < 128)
    edge = canvas.soft_layer(air, 1.5)
    silhouette = edge * canvas.soft_layer(shadow, 2.0)
    missing = rng.uniform(0.56, 0.66) * edge * (0.62 + anatomy.thickness(air, 75, 0.38))
    vessels = canvas.as_layer(anatomy.draw_vessels(build, rng), 0.2)
    vessels += 0.017 * canvas.draw_noise(rng, 6)
    vessels *= canvas.as_layer(air) * (1 - 0.6 * silhouette)
    roots = [canvas.round_shape(root, (17, 36)) for root in anatomy.hila(build)]
    density = anatomy.draw_body(build, rng)
    density += anatomy.draw_breasts(build, rng)
    density -= anatomy.draw_gas(build, rng)
    density += silhouette * (0.2 + anatomy.thickness(shadow, 60, 0.24))
    density += canvas.soft_layer(canvas.fill_shapes(roots), 8, 0.17)
    density += anatomy.draw_spine(build, rng)
    density += anatomy.draw_ribs(build, rng) * (0.4 + 0.6 * edge - 0.35 * silhouette)
    density += anatomy.draw_clavicles(build, rng)
    density += anatomy.draw_shoulders(build, rng)
    density += draw_lines(rng)
    density += vessels - missing
    return density, 0.85 * (missing - vessels), lungs


def draw_lines(rng: np.random.Generator) -> np.ndarray:
    """Return the density layer of electrodes with their wires, on one X-ray of six."""
    board = canvas.empty_board()
    if rng.random() < 1 / 6:
        for _ in range(rng.integers(1, 4)):
            spot = rng.uniform((-220, -200), (220, 160))
            edge = (np.sign(spot[0]) * 380, rng.uniform(-300, 340))
            bend = (spot + edge) / 2 + rng.normal(0, 70, 2)
            wire = canvas.smooth_path(*np.transpose([spot, bend, edge]))
            canvas.stroke_paths([wire], 3, board, 0.5)
            canvas.stroke_paths([np.array([spot, spot])], 16, board, 0.6)
            canvas.stroke_paths([np.array([spot, spot])], 7, board, 1)
    return canvas.soft_layer(board, 0.8, 0.3)


def develop(density: np.ndarray, pose: Pose, rng: np.random.Generator) -> np.ndarray:
    """Return the X-ray, uint8 (299, 299), of a density layer: posed, exposed, blurred, with grain.

    The exposure does not look at the picture, so that a finding cannot change the grey outside it.
    """
    gain, gamma = rng.uniform(0.8, 1.3), rng.uniform(1.0, 1.3)
    black, white = rng.uniform(0, 16), rng.uniform(228, 256)
    if rng.random() < 0.12:  # the under- and overexposed ones
        gamma *= 0.68 if rng.random() < 0.5 else 1.35
    posed = np.maximum(pose.apply(canvas.soften(density, 0.8), XRAY_SIZE), 0)
    opacity = (1 - np.exp(-gain * posed)) / (1 - np.exp(-gain * FULL_DENSITY))
    grey = black + (white - black) * opacity**gamma
    grey = cv2.GaussianBlur(grey, (0, 0), rng.uniform(0.2, 0.65))
    amplitude, reach = rng.uniform(0.8, 3.6), rng.uniform(0.4, 0.75)
    noise = rng.standard_normal((XRAY_SIZE, XRAY_SIZE), np.float32)
    grain = cv2.GaussianBlur(noise, (0, 0), reach)
    grey = np.maximum(grey + amplitude * grain / grain.std(), draw_letters(rng))
    return np.clip(np.round(grey), 0, 255).astype(np.uint8)


def draw_letters(rng: np.random.Generator) -> np.ndarray:
    """Return the side marker and a note in grey levels, uint8 (299, 299), 0 elsewhere."""
    board = np.zeros((XRAY_SIZE, XRAY_SIZE), np.uint8)
    side = rng.choice(["R", "L"])
    left = rng.uniform(0.02, 0.10) * XRAY_SIZE
    x = round(left if side == "R" else XRAY_SIZE - left - 0.06 * XRAY_SIZE)
    y = round(rng.uniform(0.07, 0.22) * XRAY_SIZE)
    scale, level = rng.uniform(0.45, 0.8), rng.uniform(180, 255)
    note, note_shown, side_shown = rng.choice(NOTES), rng.random() < 0.25, rng.random() < 0.85
    if side_shown:
        cv2.putText(board, side, (x, y), cv2.FONT_HERSHEY_DUPLEX, scale, level, 1, cv2.LINE_AA)
    if note_shown:
        below = (min(x, XRAY_SIZE - 60), y + 14)
        cv2.putText(board, note, below, cv2.FONT_HERSHEY_SIMPLEX, 0.38, level, 1, cv2.LINE_AA)
    return board

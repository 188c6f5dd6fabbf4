"""Augmentation: the same chest as if another hospital had taken the X-ray."""

from typing import NamedTuple

import cv2
import numpy as np

COARSE = 4  # pixels that become one where a coarse X-ray will do


class Strength(NamedTuple):
    """How far an X-ray is changed at most, or (chance) how often.

    Attributes:
        turn: degrees to either side.
        stretch: natural logarithm of the factor by which a side grows or shrinks.
        shift: share of a side.
        gamma: standard deviation of the natural logarithm of the grey values' exponent.
        exposure: chance of too little contrast, and of cut-off bright and dark ends.
        blur: chance of blur, and of noise.
        opacity: chance of bright patches, as dense pneumonia leaves them.
    """

    turn: float
    stretch: float
    shift: float
    gamma: float
    exposure: float
    blur: float
    opacity: float


STRENGTHS = {
    "light": Strength(turn=10, stretch=0.1, shift=0.06, gamma=0.2, exposure=0, blur=0, opacity=0),
    "strong": Strength(
        turn=15, stretch=0.2, shift=0.08, gamma=0.45, exposure=0.7, blur=0.3, opacity=0.5
    ),
}


def augment(
    image: np.ndarray, mask: np.ndarray, strength: Strength, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return an X-ray and its mask, moved together; the X-ray's grey values change, too.

    Both are uint8, (size, size), the mask zeros and ones. A generator in the same state gives the
    same result.
    """
    motion = _draw_motion(len(image), strength, generator)
    border = generator.choice([cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE])
    image = cv2.warpAffine(image, motion, image.shape, borderMode=int(border))
    mask = cv2.warpAffine(mask, motion, mask.shape, flags=cv2.INTER_NEAREST)
    if generator.random() < strength.opacity:
        image = _cover(image, generator)
    if generator.random() < strength.blur:
        image = cv2.GaussianBlur(image, (0, 0), generator.uniform(0.002, 0.012) * len(image))
    if generator.random() < strength.blur:
        noise = generator.standard_normal(image.shape, dtype=np.float32)
        noisy = image + 255 * generator.uniform(0.01, 0.06) * noise
        image = np.clip(noisy, 0, 255).astype(np.uint8)
    return cv2.LUT(image, _expose(image, strength, generator)), mask


def _draw_motion(size: int, strength: Strength, generator: np.random.Generator) -> np.ndarray:
    """Return a random affine motion about the centre, mirrored in half of the cases."""
    turn = np.deg2rad(generator.uniform(-strength.turn, strength.turn))
    stretch = np.exp(generator.uniform(-strength.stretch, strength.stretch, 2))
    stretch[0] *= generator.choice([-1, 1])
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    linear = turned * stretch
    middle = (size - 1) / 2
    shift = generator.uniform(-strength.shift, strength.shift, 2) * size
    return np.column_stack([linear, middle - linear.sum(axis=1) * middle + shift])


def _cover(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return an X-ray with one to three bright, soft-edged ellipses on it."""
    size = len(image) // COARSE
    across, down = np.meshgrid(*2 * [np.linspace(0, 1, size, dtype=np.float32)])
    kept, added = np.ones_like(across), np.zeros_like(across)
    for _ in range(generator.integers(1, 4)):
        x, y = generator.uniform(0.1, 0.9, 2)
        angle = generator.uniform(0, np.pi)
        width, height = generator.uniform(0.05, 0.25, 2)
        along = ((across - x) * np.cos(angle) + (down - y) * np.sin(angle)) / width
        aside = ((down - y) * np.cos(angle) - (across - x) * np.sin(angle)) / height
        edge = (np.hypot(along, aside) - 1) * generator.uniform(4, 12)
        weight = generator.uniform(0.2, 0.9) / (1 + np.exp(np.minimum(edge, 50)))
        kept = kept * (1 - weight)
        added = added * (1 - weight) + weight * 255 * generator.uniform(0.6, 0.95)
    kept, added = (cv2.resize(part, image.shape) for part in (kept, added))
    return (image * kept + added).astype(np.uint8)


def _expose(image: np.ndarray, strength: Strength, generator: np.random.Generator) -> np.ndarray:
    """Return what another exposure and display make of each of the 256 grey values."""
    grey = np.linspace(0, 1, 256)
    if generator.random() < strength.exposure:
        ends = generator.uniform(0, 0.05), generator.uniform(0.92, 1)
        low, high = np.quantile(image[::COARSE, ::COARSE], ends) / 255
        grey = (grey - low) / (high - low + 1e-3)
    grey = np.clip(grey, 0, 1) ** np.exp(generator.normal(0, strength.gamma))
    if generator.random() < strength.exposure:
        grey = (grey - 0.5) * generator.uniform(0.5, 1.2) + 0.5 + generator.uniform(-0.15, 0.15)
    return np.round(255 * np.clip(grey, 0, 1)).astype(np.uint8)

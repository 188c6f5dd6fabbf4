"""Opacities: lungs of real and drawn X-rays, filled as pneumonia and effusions fill them.

A network that has seen clear lungs only leaves a filled part out of the lung. So lungs are made as
bright as what surrounds them, in regions of random shape, mostly from the base upward.
"""

from typing import NamedTuple

import cv2
import numpy as np

COARSE = 4  # pixels that become one where a coarse X-ray will do
REACH = 5  # coarse pixels over which the surroundings of the lungs are averaged


def cover_lungs(image: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return an X-ray, uint8 (size, size), with parts of its lungs filled.

    `mask` is zeros and ones of the same shape; an X-ray without lungs stays as it is.
    """
    size = (len(image) // COARSE,) * 2
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    lung = cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    if not (lung > 0.5).any():
        return image
    weight = _draw_region(lung, rng) * cv2.GaussianBlur(lung, (0, 0), 0.8) * rng.uniform(0.3, 1)
    target = np.maximum(_draw_brightness(small, lung, rng), small)
    weight, target, coarse = (cv2.resize(part, image.shape) for part in (weight, target, small))
    detail = (image - coarse) * (1 - weight * rng.uniform(0, 0.6))  # ribs shine through
    filled = coarse * (1 - weight) + target * weight + detail
    return np.clip(np.rint(filled), 0, 255).astype(np.uint8)


def _draw_brightness(small: np.ndarray, lung: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return how bright filled lung is: as what surrounds it, or of one brightness."""
    if rng.random() < 0.3:
        level = np.quantile(small[lung <= 0.5], rng.uniform(0.5, 0.95))
        return np.full_like(small, level * rng.uniform(0.8, 1))
    outside = 1 - lung
    around, share = (cv2.GaussianBlur(part, (0, 0), REACH) for part in (small * outside, outside))
    return around / (share + 1e-3) * rng.uniform(0.8, 1.05)


def _draw_region(lung: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the share, 0 to 1, to which each coarse pixel is filled, within lungs or without."""
    cells = rng.integers(2, 6)
    noise = rng.standard_normal((cells, cells), dtype=np.float32)
    field = cv2.resize(noise, lung.shape, interpolation=cv2.INTER_CUBIC)
    slope = np.linspace(-1, 1, len(lung), dtype=np.float32)
    field += rng.uniform(-0.5, 2.5) * slope[:, None]  # more at the base
    if rng.random() < 0.4:  # more in one lung
        field += rng.uniform(-4, 4) * slope
    level = np.quantile(field[lung > 0.5], rng.uniform(0, 0.8))
    return 1 / (1 + np.exp(np.clip((level - field) / rng.uniform(0.05, 0.6), -30, 30)))


class Xrays(NamedTuple):
    """X-rays and their masks: uint8 (N, size, size) each, the masks zeros and ones."""

    images: np.ndarray
    masks: np.ndarray


def cover_some(xrays: Xrays, share: float, seed: int) -> Xrays:
    """Return X-rays with the lungs of a share of them filled."""
    rng = np.random.default_rng(seed)
    pairs = zip(*xrays, strict=True)
    images = [cover_lungs(*pair, rng) if rng.random() < share else pair[0] for pair in pairs]
    return Xrays(np.stack(images), xrays.masks)

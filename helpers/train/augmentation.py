"""Augmentation: the same chest as if another hospital had taken the X-ray.

`draw_changes` decides what happens to each X-ray. `augment` does it by OpenCV, and
`gpu_augmentation` does the same to many X-rays at a time on a GPU.
"""

from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
from scipy.special import ndtri

COARSE = 4  # pixels that become one where a coarse X-ray will do
LINEAR, NEAREST = (kind | cv2.WARP_INVERSE_MAP for kind in (cv2.INTER_LINEAR, cv2.INTER_NEAREST))
BLUR = (0.002, 0.012)  # standard deviation, as a share of the side
PATCHES = 3  # bright ones, at most
NUMBERS = 46  # drawn for an X-ray


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


class Changes(NamedTuple):
    """What happens to each of N X-rays: arrays with a row an X-ray, or one of them for one X-ray.

    Attributes:
        motion: (N, 2, 3); times (x, y, 1) of a new pixel, it gives the place that it comes from.
        repeats: (N,), whether pixels from beyond the edge repeat it; else they are black.
        patches: (N, PATCHES, 8), of each bright ellipse x, y (shares of the side), angle in
            radians, half width, half height, sharpness of its edge, how much it hides, grey value.
        blur: (N,), standard deviation in pixels, 0 for none.
        noise: (N,), standard deviation in grey values, 0 for none.
        window: (N, 2), the row and column of the field of noise where this X-ray's begins.
        clipped: (N,), whether both ends of the grey values are cut off.
        ends: (N, 2), the shares of the pixels at which they are.
        exponent: (N,), of the grey values in 0..1.
        contrast: (N,), a factor about the middle grey.
        brightness: (N,), what is added, in 0..1.
    """

    motion: np.ndarray
    repeats: np.ndarray
    patches: np.ndarray
    blur: np.ndarray
    noise: np.ndarray
    window: np.ndarray
    clipped: np.ndarray
    ends: np.ndarray
    exponent: np.ndarray
    contrast: np.ndarray
    brightness: np.ndarray

    def of(self, rows: np.ndarray | int) -> "Changes":
        """Return what happens to some of the X-rays, or to one."""
        return Changes(*(values[rows] for values in self))


def draw_changes(strength: Strength, seed: tuple[int, ...], count: int, size: int) -> Changes:
    """Return what happens to X-rays of `size` pixels a side.

    Seed and row decide the changes of an X-ray, however many rows there are.
    """
    numbers = iter(np.random.default_rng(seed).random((count, NUMBERS)).T)
    motion = _draw_motions(numbers, strength, size)
    repeats = _happens(numbers, 0.5)
    patches = _draw_patches(numbers, strength)
    blurred, blur = _happens(numbers, strength.blur), _between(numbers, *BLUR) * size
    noisy, noise = _happens(numbers, strength.blur), _between(numbers, 0.01, 0.06) * 255
    window = np.stack([_between(numbers, 0, size), _between(numbers, 0, size)], axis=1)
    clipped = _happens(numbers, strength.exposure)
    ends = np.stack([_between(numbers, 0, 0.05), _between(numbers, 0.92, 1)], axis=1)
    exponent = np.exp(strength.gamma * ndtri(next(numbers)))
    faded = _happens(numbers, strength.exposure)
    contrast, brightness = _between(numbers, 0.5, 1.2), _between(numbers, -0.15, 0.15)
    drawn = {
        "motion": motion,
        "patches": patches,
        "blur": blur * blurred,
        "noise": noise * noisy,
        "ends": ends,
        "exponent": exponent,
        "contrast": np.where(faded, contrast, 1),
        "brightness": brightness * faded,
    }
    drawn = {name: values.astype(np.float32) for name, values in drawn.items()}
    return Changes(repeats=repeats, window=window.astype(np.int32), clipped=clipped, **drawn)


def draw_noise(seed: tuple[int, ...], size: int) -> np.ndarray:
    """Return a field of noise of which each X-ray has a part, float32, (2 * size, 2 * size).

    It has mean 0 and standard deviation 1. Noise of its own for each X-ray would take longer to
    draw than all the rest.
    """
    return np.random.default_rng(seed).standard_normal((2 * size, 2 * size), dtype=np.float32)


def _between(numbers: Iterator[np.ndarray], low: float, high: float) -> np.ndarray:
    """Return the next number of each X-ray, made one between two limits."""
    return low + (high - low) * next(numbers)


def _happens(numbers: Iterator[np.ndarray], chance: float) -> np.ndarray:
    """Return for each X-ray whether something of this chance happens."""
    return next(numbers) < chance


def _draw_motions(numbers: Iterator[np.ndarray], strength: Strength, size: int) -> np.ndarray:
    """Return a random affine motion of each X-ray about its centre, mirrored in half of the cases.

    As `Changes.motion` it leads from the new pixels back to the old ones.
    """
    turn = np.deg2rad(_between(numbers, -strength.turn, strength.turn))
    across, down = (
        np.exp(-_between(numbers, -strength.stretch, strength.stretch)) for _ in range(2)
    )
    across *= np.where(_happens(numbers, 0.5), -1, 1)
    shift = [_between(numbers, -strength.shift, strength.shift) * size for _ in range(2)]
    cosine, sine = np.cos(turn), np.sin(turn)
    linear = np.array([[cosine * across, sine * across], [-sine * down, cosine * down]])
    middle = (size - 1) / 2
    # The new pixel at middle + shift comes from the middle.
    begin = middle - (linear * (middle + np.array(shift))).sum(axis=1)
    return np.concatenate([linear, begin[:, None]], axis=1).transpose(2, 0, 1)


def _draw_patches(numbers: Iterator[np.ndarray], strength: Strength) -> np.ndarray:
    """Return one to three patches of some X-rays; those that hide nothing of the others."""
    covered = _happens(numbers, strength.opacity)
    count = np.floor(_between(numbers, 1, PATCHES + 1))
    limits = [(0.1, 0.9), (0.1, 0.9), (0, np.pi), (0.05, 0.25), (0.05, 0.25), (4, 12), (0.2, 0.9)]
    limits += [(0.6 * 255, 0.95 * 255)]
    patches = np.array(
        [[_between(numbers, low, high) for low, high in limits] for _ in range(PATCHES)]
    ).transpose(2, 0, 1)
    patches[..., 6] *= (covered * count)[:, None] > np.arange(PATCHES)
    return patches


def augment(
    image: np.ndarray, mask: np.ndarray, change: Changes, noise: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return an X-ray and its mask, moved together; the X-ray's grey values change, too.

    Both are uint8, (size, size), the mask zeros and ones; the change is that of one X-ray, `noise`
    as `draw_noise` returns it.
    """
    border = cv2.BORDER_REPLICATE if change.repeats else cv2.BORDER_CONSTANT
    image = cv2.warpAffine(image, change.motion, image.shape, flags=LINEAR, borderMode=border)
    mask = cv2.warpAffine(mask, change.motion, mask.shape, flags=NEAREST)
    if change.patches[:, 6].any():
        image = _cover(image, change.patches)
    if change.blur:
        image = cv2.GaussianBlur(image, (0, 0), float(change.blur))
    if change.noise:
        row, column = change.window
        part = noise[row : row + len(image), column : column + len(image)]
        image = _to_grey(image + change.noise * part)
    return cv2.LUT(image, _expose(image, change)), mask


def _cover(image: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """Return an X-ray with its patches on it."""
    grid = np.linspace(0, 1, len(image) // COARSE, dtype=np.float32)
    across, down = np.meshgrid(grid, grid)
    kept, added = np.ones_like(across), np.zeros_like(across)
    for x, y, angle, width, height, sharpness, hides, grey in patches:
        along = ((across - x) * np.cos(angle) + (down - y) * np.sin(angle)) / width
        aside = ((down - y) * np.cos(angle) - (across - x) * np.sin(angle)) / height
        edge = (np.hypot(along, aside) - 1) * sharpness
        weight = hides / (1 + np.exp(np.minimum(edge, 50)))
        kept = kept * (1 - weight)
        added = added * (1 - weight) + weight * grey
    kept, added = (cv2.resize(part, image.shape) for part in (kept, added))
    return _to_grey(image * kept + added)


def _to_grey(values: np.ndarray) -> np.ndarray:
    """Return values as grey values of an X-ray, uint8."""
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _expose(image: np.ndarray, change: Changes) -> np.ndarray:
    """Return what another exposure and display make of each of the 256 grey values."""
    grey = np.linspace(0, 1, 256)
    if change.clipped:
        low, high = np.quantile(image[::COARSE, ::COARSE], change.ends) / 255
        grey = (grey - low) / (high - low + 1e-3)
    grey = np.clip(grey, 0, 1) ** change.exponent
    grey = (grey - 0.5) * change.contrast + 0.5 + change.brightness
    return _to_grey(255 * grey)

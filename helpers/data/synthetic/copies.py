"""Copies of drawn X-rays, exact and changed, as published databases hold them."""

from dataclasses import dataclass

import cv2
import numpy as np

MIN_ORIGINALS = 3  # of a class: one each for training, validation and test


@dataclass(frozen=True)
class Changes:
    """What happened to an X-ray on its way from one database to another."""

    corner: tuple[float, float]  # left and top of the crop, as shares of the side
    side: float  # of the crop, as a share of the side
    scale: float  # of the size in which it was stored meanwhile
    contrast: float  # factor of the distances from the mean grey level
    brightness: float  # factor of the mean grey level
    quality: int  # of the JPEG


@dataclass(frozen=True)
class Copy:
    """A copy of the X-ray of the same class with the number `original`; exact without changes."""

    original: int
    changes: Changes | None


def plan_copies(count: int, share: float, seed: int) -> dict[int, Copy]:
    """Return what is a copy of what among the X-rays 1 to count of a class.

    The last ones by number are the copies, `share` of them all, rounded; at least MIN_ORIGINALS
    are none. They are exact and changed by turns.

    Args:
        count: number of X-rays of the class.
        share: from 0 to 1.
        seed: `image_seed` of the class's number 0, which no X-ray has.

    Returns:
        The copies by their number.

    Raises:
        ValueError: for a share below 0 or above 1.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"copies {share}: give a share from 0 to 1")
    rng = np.random.default_rng(seed)
    originals = max(count - round(count * share), min(count, MIN_ORIGINALS))
    plan = {}
    for number in range(originals + 1, count + 1):
        original, changes = int(rng.integers(1, originals + 1)), choose_changes(rng)
        plan[number] = Copy(original, changes if (number - originals) % 2 == 0 else None)
    return plan


def choose_changes(rng: np.random.Generator) -> Changes:
    """Random changes that leave the X-ray easy to recognise."""
    side = rng.uniform(0.95, 1)
    return Changes(
        corner=(rng.uniform(0, 1 - side), rng.uniform(0, 1 - side)),
        side=side,
        scale=rng.uniform(0.5, 2),
        contrast=rng.uniform(0.8, 1.2),
        brightness=rng.uniform(0.8, 1.2),
        quality=int(rng.integers(50, 91)),
    )


def change(image: np.ndarray, mask: np.ndarray, changes: Changes) -> tuple[np.ndarray, np.ndarray]:
    """The changed X-ray and its mask, which is cropped alike; shapes and types stay.

    Args:
        image: uint8 (height, width).
        mask: uint8 of 0 and 255, square, of any size.
        changes: what to do.
    """
    cropped = crop(image, changes)
    stored = cv2.resize(cropped, None, fx=changes.scale, fy=changes.scale)
    grey = cv2.resize(stored, image.shape[::-1]).astype(np.float32)
    mean = grey.mean()
    grey = (grey - mean) * changes.contrast + mean * changes.brightness
    grey = np.clip(np.round(grey), 0, 255).astype(np.uint8)
    packed = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, changes.quality])[1]
    changed_mask = np.where(crop(mask, changes) > 127, 255, 0).astype(np.uint8)
    return cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), changed_mask


def crop(pixels: np.ndarray, changes: Changes) -> np.ndarray:
    """The cropped part of uint8 pixels (side, side), enlarged to their size."""
    size = pixels.shape[0]
    corner = size * np.array(changes.corner) + (changes.side - 1) / 2  # of centres of pixels
    matrix = np.array([[changes.side, 0, corner[0]], [0, changes.side, corner[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(
        pixels, matrix, (size, size), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )

"""Images: X-rays and masks as arrays, read, resized and outlined with OpenCV."""

import hashlib
from pathlib import Path

import cv2
import numpy as np

from helpers.errors import CovidLungsError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"})


def read_xray(path: Path) -> np.ndarray:
    """Return an X-ray as uint8 grey, shape (height, width).

    Colour, palette and alpha images become grey by luminance; the alpha channel is ignored.
    16-bit images are scaled by the smallest bit depth that holds their brightest pixel, since
    12-bit detectors store their values in 16-bit files.

    Raises:
        CovidLungsError: the file is missing, empty or cannot be decoded.
    """
    pixels = _decode(path)
    if pixels.ndim == 3:
        pixels = pixels[..., :3]  # before its depth is measured: alpha is always full
    if pixels.dtype != np.uint8:
        bits = max(8, int(pixels.max()).bit_length())
        pixels = np.round(pixels.astype(np.float64) * (255 / (2**bits - 1))).astype(np.uint8)
    if pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BGR2GRAY)


def read_mask(path: Path) -> np.ndarray:
    """Return a lung mask as uint8 zeros and ones, shape (height, width); one is lung.

    A pixel is lung if any channel is above half of the file's brightest value, so {0, 255},
    {0, 1} and JPEG-smeared masks all read right.

    Raises:
        CovidLungsError: the file is missing, empty or cannot be decoded.
    """
    pixels = _decode(path)
    if pixels.ndim == 3:
        pixels = pixels[..., :3].max(axis=-1)
    return (pixels > pixels.max() / 2).astype(np.uint8)


def _decode(path: Path) -> np.ndarray:
    """Return a file's pixels as stored: uint8 or uint16, with the channels it has."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CovidLungsError(
            f"{path.name}: cannot be read ({error.strerror}). Restore it from the archive."
        ) from error
    if not content:
        raise CovidLungsError(f"{path.name}: the file is empty. Restore it from the archive.")
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # more pixels than OpenCV accepts
        pixels = None
    if pixels is None or _is_cut_short(content) or pixels.dtype not in (np.uint8, np.uint16):
        raise CovidLungsError(
            f"{path.name}: cannot be decoded as an 8- or 16-bit image. Restore it from the archive."
        )
    return pixels


def _is_cut_short(content: bytes) -> bool:
    """Return whether a JPEG has no end after its last scan: OpenCV 4 fills the rest with grey."""
    end, last_scan = content.rfind(b"\xff\xd9"), content.rfind(b"\xff\xda")
    return content.startswith(b"\xff\xd8") and end < last_scan


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an image or probabilities at (height, width): by area to shrink, else bilinear."""
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, size[::-1], interpolation=interpolation)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a mask at (height, width) by nearest neighbour, so that it stays binary."""
    return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def fingerprint(pixels: np.ndarray) -> str:
    """Return 16 hexadecimal digits that are equal for equal shape and pixels only (SHA-256)."""
    digest = hashlib.sha256(repr(pixels.shape).encode())
    digest.update(np.ascontiguousarray(pixels))
    return digest.hexdigest()[:16]


def draw_outlines(
    image: np.ndarray, *outlines: tuple[np.ndarray, tuple[int, int, int]]
) -> np.ndarray:
    """Return an RGB copy of a grey image with the outlines of masks drawn on it.

    Args:
        image: uint8, (height, width).
        outlines: pairs of a 0/1 mask of any size and an RGB colour.
    """
    canvas = cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    for mask, colour in outlines:
        mask = resize_mask(mask.astype(np.uint8), image.shape)
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(canvas, contours, -1, colour, thickness=2, lineType=cv2.LINE_AA)
    return canvas

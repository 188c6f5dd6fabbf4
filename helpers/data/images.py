"""Images: X-rays and masks as arrays, read, resized and outlined."""

from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from posixpath import splitext  # pathlib takes several times as long

import cv2
import numpy as np
import xxhash

from helpers.data.decoding import BadImageError, Picture, decode
from helpers.data.depths import to_grey
from helpers.data.dicom import MARK, MARK_PLACE, is_dicom
from helpers.data.labels import is_label_map

# The endings that are read as images, with the format that each promises.
FORMATS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".bmp": "bmp",
    ".tif": "tiff",
    ".tiff": "tiff",
    ".dcm": "dicom",
    ".dicom": "dicom",
}
SUFFIXES = frozenset(FORMATS)
# Other endings of pictures: such files are read or refused by their content, never passed over.
ENDINGS = SUFFIXES | {".jfif", ".jpe", ".webp", ".gif", ".jp2", ".heic", ".avif", ".tga", ".pgm"}
DIRECTORY = "DICOMDIR"  # of a medium's DICOM files; it holds no picture
LABEL_MAP = ("label_map_mask", "the mask has several labels, of which any may be lung")
SAVE_LUNGS = "Save the lungs as 255 and all else as 0"


def is_picture(path: str | Path) -> bool:
    """Return whether a file is a picture by its ending, or DICOM of any name, as on clinics' discs.

    One that cannot be opened is none by its content.
    """
    if f".{str(path).rpartition('.')[2].lower()}" in ENDINGS:
        return True
    path = Path(path)
    if path.name == DIRECTORY or not path.is_file():  # opening a pipe would wait for ever
        return False
    try:
        with FileIO(path) as opened:
            return is_dicom(opened.read(MARK_PLACE + len(MARK)))
    except OSError:
        return False


def find_stem(name: str) -> str:
    """Return a name without a picture's ending; clinics' numbers, such as 1.2.840.7, stay."""
    stem, ending = splitext(name)
    return stem if ending.lower() in ENDINGS else name


def read_xray(path: str | Path) -> np.ndarray:
    """Return an X-ray as a viewer shows it: uint8 grey, (height, width).

    Raises:
        BadImageError: as `decoding.decode` does.
    """
    picture = decode(path)
    return to_grey(picture.pixels, picture.depth)


def read_mask(path: str | Path) -> np.ndarray:
    """Return a lung mask as `to_mask` makes it of a file's picture.

    Raises:
        BadImageError: as `decoding.decode` does, or it is no mask of lungs alone.
    """
    return as_mask(decode(path), path)


def as_mask(picture: Picture, path: str | Path) -> np.ndarray:
    """Return the picture in a file as a lung mask, as `to_mask` does.

    Raises:
        BadImageError: it is no mask of lungs alone.
    """
    brightest = brightest_channel(picture.pixels)
    if is_label_map(brightest):
        finding, reason = LABEL_MAP
        raise BadImageError(finding, path, reason, SAVE_LUNGS)
    return to_mask(brightest)


def join_halves(halves: Sequence[np.ndarray], name: str) -> np.ndarray:
    """Return the union of masks that lie in files of their own; of one, itself.

    Args:
        halves: zeros and ones, (height, width) each.
        name: of the files, for the error.

    Raises:
        BadImageError: they differ in size.
    """
    if len({half.shape for half in halves}) > 1:
        raise BadImageError("half_a_mask", name, "the mask's files differ in size")
    return np.maximum.reduce(halves)


def to_mask(brightest: np.ndarray) -> np.ndarray:
    """Return a picture as a lung mask: uint8 zeros and ones, (height, width); one is lung.

    A pixel is lung if it is above half of the picture's brightest value, so {0, 255}, {0, 1} and
    JPEG-smeared masks all read right.

    Args:
        brightest: of each pixel, as `brightest_channel` returns it.
    """
    return (brightest > brightest.max() // 2).view(np.uint8)


def brightest_channel(pixels: np.ndarray) -> np.ndarray:
    """Return the largest of a pixel's colour channels: (height, width)."""
    if pixels.ndim == 2:
        return pixels
    brightest, *others = cv2.split(pixels)
    for other in others:
        cv2.max(brightest, other, brightest)
    return brightest


def resize_image(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return an image or probabilities at (height, width), by area if that halves it.

    Else bilinear, which takes a quarter of the time and skips no pixel until a side is halved.
    """
    halves = 2 * size[0] <= image.shape[0] or 2 * size[1] <= image.shape[1]
    interpolation = cv2.INTER_AREA if halves else cv2.INTER_LINEAR
    return cv2.resize(image, size[::-1], interpolation=interpolation)


def resize_mask(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return a mask at (height, width) by nearest neighbour, so that it stays binary."""
    return cv2.resize(mask, size[::-1], interpolation=cv2.INTER_NEAREST_EXACT)


def fingerprint(pixels: np.ndarray) -> str:
    """Return 16 hexadecimal digits (XXH3) that are equal for equal shape and pixels only.

    Two X-rays that differ get equal ones by chance once in 2^64 pairs; forgery is not prevented.

    Args:
        pixels: uint8, (height, width).
    """
    # The width, as the seed, tells shapes of as many pixels apart.
    return xxhash.xxh3_64_hexdigest(np.ascontiguousarray(pixels), seed=pixels.shape[1])


def draw_outlines(
    image: np.ndarray, *outlines: tuple[np.ndarray, tuple[int, int, int]]
) -> np.ndarray:
    """Return an RGB copy of an image with the outlines of masks drawn on it.

    Args:
        image: uint8, grey (height, width) or RGB (height, width, 3).
        outlines: pairs of a 0/1 mask of any size and an RGB colour.
    """
    canvas = image.copy() if image.ndim == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2RGB)
    for mask, colour in outlines:
        mask = resize_mask(mask.astype(np.uint8), canvas.shape[:2])
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        # Smoothed lines would look the same and take four times as long.
        cv2.drawContours(canvas, contours, -1, colour, thickness=2)
    return canvas

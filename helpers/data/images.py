"""Images: X-rays and masks as arrays, read from files, resized and outlined."""

import stat
from collections.abc import Sequence
from io import FileIO
from pathlib import Path
from posixpath import basename  # pathlib takes several times as long

import cv2
import numpy as np
import xxhash

from helpers.data.decoding import (
    LARGEST_FILE,
    BadImageError,
    Picture,
    decode_picture,
    to_grey,
    too_large,
)
from helpers.data.dicom import START, is_dicom, read_dicom

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
# Other endings of pictures: such files are read or refused by their content, never passed over.
ENDINGS = {*FORMATS, ".jfif", ".jpe", ".webp", ".gif", ".jp2", ".heic", ".avif", ".tga", ".pgm"}
LABEL_MAP = ("label_map_mask", "the mask has several labels, and any of them may be lung")
# Of a mask with several labels: levels, how much they differ inside an area, as JPEG makes them,
# how far two labels are apart, and the smallest share of the pixels that is no letter or smear.
LEVELS, SMOOTH, APART, SHARE = 256, 8, 32, 0.01


def is_picture(path: str) -> bool:
    """Return whether a file is a picture by its ending, or DICOM of any name, as on CDs."""
    if f".{path.rpartition('.')[2].lower()}" in ENDINGS:
        return True
    # DICOMDIR lists a medium's files and holds no picture; opening a pipe would wait for ever.
    if basename(path) == "DICOMDIR" or not Path(path).is_file():
        return False
    try:
        with FileIO(path) as opened:
            return is_dicom(opened.read(START))
    except OSError:
        return False


def find_stem(name: str) -> str:
    """Return a name without a picture's ending; clinics' numbers, such as 1.2.840.7, stay."""
    stem, _, ending = name.rpartition(".")
    return stem if f".{ending.lower()}" in ENDINGS and stem.strip(".") else name


def decode(path: str | Path) -> Picture:
    """Return the picture in a file of any kind, as a viewer shows it.

    Raises:
        BadImageError: the file is missing, empty, too large, damaged, no picture, or one that
            viewers show differently.
    """
    content = read_file(path)
    try:
        if is_dicom(content):
            return Picture(read_dicom(content), "dicom", channels=1, depth=8)
        return decode_picture(content)
    except BadImageError as error:
        raise error.of(path) from None


def read_file(path: str | Path) -> bytes:
    """Return a file's bytes, at least one.

    Raises:
        BadImageError: it is missing, empty, too large, or no file, such as a pipe without an end.
    """
    try:
        status = Path(path).stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise OSError(None, "a folder, pipe or device")
        if status.st_size > LARGEST_FILE:
            raise too_large().of(path)
        with FileIO(path) as opened:  # a buffer would only copy it once more
            content = opened.read()
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise BadImageError("unreadable_file", reason).of(path) from error
    if not content:
        raise BadImageError("empty_file", "the file is empty").of(path)
    return content


def read_xray(path: str | Path) -> np.ndarray:
    """Return an X-ray as a viewer shows it: uint8 grey, (height, width).

    Raises:
        BadImageError: as `decode` does.
    """
    picture = decode(path)
    return to_grey(picture.pixels, picture.depth)


def read_mask(path: str | Path) -> np.ndarray:
    """Return the mask in a file, as `to_mask` does.

    Raises:
        BadImageError: as `decode` does, or the mask has several labels.
    """
    return as_mask(decode(path), path)


def as_mask(picture: Picture, path: str | Path) -> np.ndarray:
    """Return a file's picture as a mask, as `to_mask` does.

    Raises:
        BadImageError: the mask has several labels.
    """
    brightest = brightest_channel(picture.pixels)
    if is_label_map(brightest):
        raise BadImageError(*LABEL_MAP, "Save the lungs as 255 and all else as 0").of(path)
    return to_mask(brightest)


def join_halves(halves: Sequence[np.ndarray], name: str) -> np.ndarray:
    """Return the union of masks of zeros and ones, (height, width) each.

    Raises:
        BadImageError: they differ in size; it names the file `name`.
    """
    if len({half.shape for half in halves}) > 1:
        raise BadImageError("half_a_mask", "the mask's files differ in size").of(name)
    return np.maximum.reduce(halves)


def to_mask(brightest: np.ndarray) -> np.ndarray:
    """Return the output of `brightest_channel` as a mask: uint8, (height, width); one is lung.

    A pixel is lung if it is above half of the picture's brightest value, so {0, 255}, {0, 1} and
    JPEG-smeared masks all read right.
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


def is_label_map(brightness: np.ndarray) -> bool:
    """Return whether areas of three or more levels make up a mask.

    JPEG and resizing smear the outline of a mask over many levels, but neighbours are alike only
    inside an area: only pixels that hardly differ from those around them count. A mask whose
    brightest level is but a letter beside an area of another level is refused, too. `brightness`
    is uint8 or uint16, (height, width).
    """
    largest = int(brightness.max())
    lit, full = np.count_nonzero(brightness), np.count_nonzero(brightness == largest)
    if lit == full or largest == 0:
        return False  # two levels at most, 0 among them
    levels = np.round(brightness * ((LEVELS - 1) / largest)).astype(np.uint8)
    differences = cv2.morphologyEx(levels, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    counts = np.bincount(levels[differences <= SMOOTH], minlength=LEVELS)
    if (levels > LEVELS // 2).sum() < SHARE * levels.size < counts[APART : LEVELS // 2].sum():
        return True
    for _ in range(3):
        most = int(counts.argmax())
        if counts[max(0, most - SMOOTH) : most + SMOOTH + 1].sum() < SHARE * levels.size:
            return False
        counts[max(0, most - APART) : most + APART + 1] = 0
    return True


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
    """Return 16 hexadecimal digits (XXH3) of uint8 pixels, (height, width), and their shape.

    Two X-rays that differ get equal ones by chance once in 2^64 pairs; forgery is not prevented.
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

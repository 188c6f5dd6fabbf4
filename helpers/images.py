"""Images: X-rays and masks as arrays, read, resized and outlined with OpenCV."""

from io import FileIO
from pathlib import Path

import cv2
import numpy as np
import xxhash

from helpers.dicom import DicomError, is_dicom, read_dicom
from helpers.errors import CovidLungsError

# The endings that are read as images, with the format that each promises.
FORMATS = {
    ".png": "png",
    ".jpg": "jpeg",
    ".jpeg": "jpeg",
    ".bmp": "bmp",
    ".tif": "tiff",
    ".tiff": "tiff",
}
SUFFIXES = frozenset(FORMATS)
SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"BM": "bmp",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
}


class BadImageError(CovidLungsError):
    """A file that cannot be decoded whole.

    Attributes:
        finding: the name of the fault in an audit.
        reason: what is wrong, without the file's name and the remedy.
        remedy: what helps, without the full stop.
    """

    def __init__(
        self, finding: str, name: str, reason: str, remedy: str = "Restore it from the archive"
    ):
        super().__init__(f"{name}: {reason}. {remedy}.")
        self.finding, self.reason, self.remedy = finding, reason, remedy


def read_xray(path: Path) -> np.ndarray:
    """Return an X-ray as `to_grey` makes it of an image, or `read_dicom` of a DICOM file.

    Raises:
        BadImageError: the file is missing, empty or cannot be decoded.
    """
    content = _read(path)
    if not is_dicom(content):
        return to_grey(_decode(content, path)[0])
    try:
        return read_dicom(content)
    except DicomError as error:
        raise BadImageError("undecodable_file", path.name, error.reason, error.remedy) from None


def read_mask(path: Path) -> np.ndarray:
    """Return a lung mask as `to_mask` makes it of a file.

    Raises:
        BadImageError: the file is missing, empty or cannot be decoded.
    """
    return to_mask(decode(path)[0])


def to_grey(pixels: np.ndarray) -> np.ndarray:
    """Return decoded pixels as an X-ray: uint8 grey, shape (height, width).

    Colour, palette and alpha images become grey by luminance; the alpha channel is ignored.
    16-bit images are scaled by the smallest bit depth that holds their brightest pixel, since
    12-bit detectors store their values in 16-bit files.
    """
    if pixels.ndim == 3:
        pixels = pixels[..., :3]  # before its depth is measured: alpha is always full
    if pixels.dtype != np.uint8:
        bits = max(8, int(pixels.max()).bit_length())
        pixels = np.round(pixels.astype(np.float64) * (255 / (2**bits - 1))).astype(np.uint8)
    if pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BGR2GRAY)


def to_mask(pixels: np.ndarray) -> np.ndarray:
    """Return decoded pixels as a lung mask: uint8 zeros and ones, (height, width); one is lung.

    A pixel is lung if any channel is above half of the file's brightest value, so {0, 255},
    {0, 1} and JPEG-smeared masks all read right.
    """
    brightest = brightest_channel(pixels)
    return (brightest > brightest.max() // 2).view(np.uint8)


def brightest_channel(pixels: np.ndarray) -> np.ndarray:
    """Return the largest of a pixel's colour channels, alpha left out: (height, width)."""
    if pixels.ndim == 2:
        return pixels
    brightest, *others = cv2.split(pixels)[:3]
    for other in others:
        cv2.max(brightest, other, brightest)
    return brightest


def decode(path: str | Path) -> tuple[np.ndarray, str]:
    """Return a file's pixels as stored, uint8 or uint16 with the channels it has, and its format.

    The format is that of the content, such as `png`, whatever the file's name says.

    Raises:
        BadImageError: the file is missing, empty or cannot be decoded.
    """
    return _decode(_read(path), path)


def _read(path: str | Path) -> bytes:
    """Return a file's bytes, at least one."""
    try:
        with FileIO(path) as opened:  # a buffer would only copy it once more
            content = opened.read()
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise BadImageError("unreadable_file", Path(path).name, reason) from error
    if not content:
        raise BadImageError("empty_file", Path(path).name, "the file is empty")
    return content


def _decode(content: bytes, path: str | Path) -> tuple[np.ndarray, str]:
    """Return what `decode` returns of the file at a path that has these bytes."""
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # more pixels than OpenCV accepts
        pixels = None
    found = _format_of(content)
    cut = _is_cut_short(content, found)
    if pixels is None or cut or pixels.dtype not in (np.uint8, np.uint16):
        reason = "the file is cut short" if cut else "cannot be decoded as an 8- or 16-bit image"
        finding = "truncated_file" if cut else "undecodable_file"
        raise BadImageError(finding, Path(path).name, reason)
    return pixels, found


def _format_of(content: bytes) -> str:
    """Return the image format by a file's first bytes, or `unknown`."""
    known = (name for start, name in SIGNATURES.items() if content.startswith(start))
    return next(known, "unknown")


def _is_cut_short(content: bytes, found: str) -> bool:
    """Return whether a PNG or JPEG lacks its end; decoders may fill the rest with grey."""
    if found == "png":
        return content.rfind(b"IEND\xaeB`\x82") < 0  # from the end, where it mostly is
    # A JPEG's end comes after its last scan; where it has neither, both are -1.
    return found == "jpeg" and content.rfind(b"\xff\xd9") <= content.rfind(b"\xff\xda")


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

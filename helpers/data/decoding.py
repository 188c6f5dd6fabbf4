"""Decoding: the one place where the file of a picture becomes pixels, as a viewer shows them."""

import io
import os
import stat
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from helpers.data.depths import find_depth, to_grey
from helpers.data.dicom import LARGEST, LARGEST_FILE, DicomError, is_dicom, read_dicom
from helpers.data.headers import Header, read_header
from helpers.storage.errors import CovidLungsError

SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"BM": "bmp",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
}
OPAQUE = 2 / 255  # share of the brightest grey that transparency may hide
# Noise to append to a JPEG: where pixels are missing, decoders put grey, but with the noise they
# put something else. It holds all bytes but 255, and the eight markers that may be waited for.
MIXED = bytes(place * 167 % 255 for place in range(1, 256))
MORE = b"".join(MIXED + bytes([0xFF, 0xD0 + number]) for number in range(8)) * 2
FILLED, ABOUT = 128, 2  # that grey, and by how much other parts of the picture change it
CONVERT = "Save it as a PNG, grey, of 8 bits"
NO_IMAGE = "cannot be decoded as an 8- or 16-bit image"


class BadImageError(CovidLungsError):
    """A file that cannot be decoded whole, or not for certain as a viewer shows it.

    Attributes:
        finding: the name of the fault in an audit.
        reason: what is wrong, without the file's name and the remedy.
        remedy: what helps, without the full stop.
    """

    def __init__(
        self,
        finding: str,
        path: str | Path,
        reason: str,
        remedy: str = "Restore it from the archive",
    ):
        super().__init__(f"{Path(path).name}: {reason}. {remedy}.")
        self.finding, self.reason, self.remedy = finding, reason, remedy


class Picture(NamedTuple):
    """A picture as a viewer shows it.

    Attributes:
        pixels: uint8 or uint16, upright, (height, width) or, blue first, (height, width, 3).
        format: of the content, such as `png`, whatever the file's name says.
        channels: that are stored, alpha among them.
        depth: bits of the values: 8 if the pixels are uint8.
    """

    pixels: np.ndarray
    format: str
    channels: int
    depth: int


def decode(path: str | Path) -> Picture:
    """Return the picture in a file.

    What is transparent counts as black, as the air around a patient is.

    Raises:
        BadImageError: the file is missing, empty, too large, damaged, no picture, or one that
            viewers show differently.
    """
    content = read_file(path)
    if is_dicom(content):
        try:
            return Picture(read_dicom(content), "dicom", channels=1, depth=8)
        except DicomError as error:
            raise BadImageError(error.finding, path, error.reason, error.remedy) from None
    known = (kind for start, kind in SIGNATURES.items() if content.startswith(start))
    found = next(known, None)
    if found is None:
        raise BadImageError("undecodable_file", path, NO_IMAGE)
    try:
        header = read_header(content, found)
    except ValueError:
        raise BadImageError("undecodable_file", path, NO_IMAGE) from None
    _refuse_unfit(header, path)
    pixels = _decode(content, header, path)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    pixels, alpha = _split_alpha(pixels, header)
    depth = 8 if pixels.dtype == np.uint8 else find_depth(pixels, header.depths)
    if alpha is not None:
        _refuse_hidden(pixels, alpha, depth, found, path)
    if header.inverted and pixels.dtype == np.uint16:  # OpenCV inverts those of 8 bits itself
        white = np.uint16(2**depth - 1)
        pixels = white - np.minimum(pixels, white)
    return Picture(_turn(pixels, header.orientation), found, channels, depth)


def read_file(path: str | Path) -> bytes:
    """Return a file's bytes, at least one.

    Raises:
        BadImageError: it is missing, empty, too large, or no file, such as a pipe without an end.
    """
    try:
        with FileIO(path, opener=_open) as opened:  # a buffer would only copy it once more
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise OSError(None, "a pipe or device")
            if status.st_size > LARGEST_FILE:
                raise _too_large(path)
            content = opened.read()
    except OSError as error:
        reason = f"cannot be read ({error.strerror})"
        raise BadImageError("unreadable_file", path, reason) from error
    if not content:
        raise BadImageError("empty_file", path, "the file is empty")
    return content


def _open(path: str | Path, flags: int) -> int:
    """Return the number of an opened file; a pipe that nobody writes to is not waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _too_large(path: str | Path) -> BadImageError:
    """Return what is raised before a file takes more memory than any X-ray needs."""
    return BadImageError("oversized_file", path, "larger than any X-ray", "Save it smaller")


def _refuse_unfit(header: Header, path: str | Path) -> None:
    """Refuse a file by its header, before it takes any memory."""
    if header.cut:
        raise BadImageError("truncated_file", path, "the file is cut short")
    if header.width * header.height > LARGEST:
        raise _too_large(path)
    if header.unfit:
        raise BadImageError("unclear_file", path, header.unfit, CONVERT)


def _decode(content: bytes, header: Header, path: str | Path) -> np.ndarray:
    """Return the pixels as OpenCV decodes them, of 8 or 16 bits, whole."""
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise BadImageError("undecodable_file", path, NO_IMAGE)
    if header.end:  # a JPEG
        last = int(to_grey(pixels[-1:, -1:])[0, 0])
        doubtful = header.layered or abs(last - FILLED) <= ABOUT
        if doubtful and not _is_whole(content, header.end, pixels):
            raise BadImageError("truncated_file", path, "the file is cut short")
    return pixels


def _is_whole(content: bytes, end: int, pixels: np.ndarray) -> bool:
    """Return whether a JPEG shows all of its pixels, if bytes before its end change none.

    Those after the last pixel are passed over; only where pixels are missing are they decoded.
    Pillow does it, since OpenCV would print a warning of them.

    Args:
        content: of the file.
        end: the place of its end.
        pixels: as OpenCV decoded them.
    """
    scans = content[:end].rstrip(b"\xff")  # any number of which may stand before a marker
    try:
        longer = _decode_by_pillow(scans + MORE + content[end:])
        expected = pixels if pixels.ndim == 2 else pixels[..., ::-1]  # red first
        if np.array_equal(longer, expected):
            return True
        # Where the two decoders differ, and in four inks, Pillow is compared with itself.
        return np.array_equal(longer, _decode_by_pillow(content))
    except Exception:  # of many kinds
        return False


def _decode_by_pillow(content: bytes) -> np.ndarray:
    """Return the pixels of a JPEG, red first."""
    return np.asarray(Image.open(io.BytesIO(content), formats=["JPEG"]))


def _split_alpha(pixels: np.ndarray, header: Header) -> tuple[np.ndarray, np.ndarray | None]:
    """Return pixels without their alpha, and that as shares of 0..1; None if all are opaque."""
    opaque = np.iinfo(pixels.dtype).max
    if header.key is not None:
        alpha = np.where(pixels == header.key, 0, opaque)
    elif pixels.ndim == 3 and pixels.shape[2] == 4:
        pixels, alpha = cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR), pixels[..., 3]
    else:
        return pixels, None
    return pixels, None if alpha.min() == opaque else alpha / opaque


def _refuse_hidden(
    pixels: np.ndarray, alpha: np.ndarray, depth: int, found: str, path: str | Path
) -> None:
    """Refuse a picture in which transparency hides what is not black: viewers show it, or not.

    Args:
        pixels: (height, width) or (height, width, 3).
        alpha: 0..1, (height, width).
        depth: bits of the pixels.
        found: the format.
        path: of the file.
    """
    if found == "bmp" and not alpha.any():
        return  # in a BMP that is a byte which nothing uses
    brightest = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    hidden = (brightest * (1 - alpha)).max() > OPAQUE * (2**depth - 1)
    if hidden or found == "tiff":  # in which OpenCV has made black of what is hidden
        reason = "it has transparent pixels, which viewers show differently"
        raise BadImageError("unclear_file", path, reason, CONVERT)


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels upright that are stored in an orientation of EXIF's."""
    if orientation == 1:
        return pixels
    if orientation > 4:  # rows are stored as columns
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])

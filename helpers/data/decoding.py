"""Decoding: the bytes of a PNG, JPEG, BMP or TIFF become pixels, as a viewer shows them."""

import io
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from helpers.data.headers import Header, read_bmp, read_jpeg, read_png, read_tiff
from helpers.storage.errors import CovidLungsError

SIGNATURES = {
    b"\x89PNG\r\n\x1a\n": "png",
    b"\xff\xd8\xff": "jpeg",
    b"BM": "bmp",
    b"II*\0": "tiff",
    b"MM\0*": "tiff",
}
READERS = {"png": read_png, "jpeg": read_jpeg, "bmp": read_bmp, "tiff": read_tiff}
LARGEST = 2**26  # pixels of a picture, four times as many as the finest detectors have
LARGEST_FILE = 4 * LARGEST  # bytes: as many pixels of 16 bits, and as much again
DEPTHS = (8, 9, 10, 11, 12, 13, 14, 15)  # that detectors have; their files mostly have 16
# Share of the values that may be too bright for the depth: letters are burned in at the brightest
# value that a file can hold, whatever the detector's depth is.
BEYOND = 0.01
OPAQUE = 2 / 255  # share of the brightest grey that transparency may hide
# Noise to append to a JPEG: where pixels are missing, decoders fill in grey, but with the noise
# something else. It holds all bytes but 255, and the eight markers that a decoder may wait for.
MIXED = bytes(place * 167 % 255 for place in range(1, 256))
MORE = b"".join(MIXED + bytes([0xFF, 0xD0 + number]) for number in range(8)) * 2
FILLED, ABOUT = 128, 2  # that grey, and how far other parts of the picture can change it
CONVERT = "Save it as a PNG, grey, of 8 bits"


class BadImageError(CovidLungsError):
    """A file that cannot be decoded whole, or that viewers may show differently.

    Attributes:
        finding: the name of the fault in an audit.
        reason: what is wrong, without the file's name and the remedy.
        remedy: what helps, without the full stop.
    """

    def __init__(
        self, finding: str, reason: str, remedy: str = "Restore it from the archive", name: str = ""
    ):
        super().__init__(f"{name}: {reason}. {remedy}.")
        self.finding, self.reason, self.remedy = finding, reason, remedy

    def of(self, path: str | Path) -> "BadImageError":
        """Return the same error with the name of the file."""
        return BadImageError(self.finding, self.reason, self.remedy, Path(path).name)


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


def decode_picture(content: bytes) -> Picture:
    """Return the picture in the bytes of a PNG, JPEG, BMP or TIFF.

    What is transparent counts as black, as the air around a patient is.

    Raises:
        BadImageError: it is too large, damaged, no picture, or one that viewers show differently.
    """
    found = next((kind for start, kind in SIGNATURES.items() if content.startswith(start)), None)
    if found is None:
        raise _no_image()
    header = _read_header(content, found)
    pixels = _decode(content, header)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    pixels, alpha = _split_alpha(pixels, header)
    depth = 8 if pixels.dtype == np.uint8 else find_depth(pixels, header.depth)
    if alpha is not None:
        _refuse_hidden(pixels, alpha, depth, found)
    if header.inverted and pixels.dtype == np.uint16:  # OpenCV inverts those of 8 bits itself
        white = np.uint16(2**depth - 1)
        pixels = white - np.minimum(pixels, white)
    return Picture(_turn(pixels, header.orientation), found, channels, depth)


def find_depth(values: np.ndarray, stated: int = 0) -> int:
    """Return the bits of the smallest depth that holds an X-ray's values; 16 if no other does.

    Files of 16 bits mostly hold the values of a detector with fewer, and seldom say so. One value
    of a hundred may be beyond, so that neither a single pixel nor a letter decides.

    Args:
        values: integers, none below 0.
        stated: the only depth that is possible beside 16, where a header states it.
    """
    few = BEYOND * values.size
    for bits in (stated,) if stated else DEPTHS:
        if bits < 16 and np.count_nonzero(values >= 2**bits) <= few:
            return bits
    return 16


def reduce_depth(values: np.ndarray, bits: int) -> np.ndarray:
    """Return uint16 values of a depth as uint8, of the same shape; what is beyond is white."""
    white = 2**bits - 1
    greys = np.minimum(np.arange(2**16), white) * (255 / white)
    return np.round(greys).astype(np.uint8)[values]


def to_grey(pixels: np.ndarray, bits: int | None = None) -> np.ndarray:
    """Return decoded pixels as an X-ray: uint8 grey, (height, width); colours by luminance.

    Args:
        pixels: uint8 or uint16, (height, width) or, blue first, (height, width, 3).
        bits: the depth of uint16 values; None: as `find_depth` finds it.
    """
    if pixels.dtype != np.uint8:
        pixels = reduce_depth(pixels, find_depth(pixels) if bits is None else bits)
    if pixels.ndim == 2:
        return pixels
    return cv2.cvtColor(np.ascontiguousarray(pixels), cv2.COLOR_BGR2GRAY)


def _no_image() -> BadImageError:
    """Return what is raised of a file that is no picture, or damaged."""
    return BadImageError("undecodable_file", "cannot be decoded as an 8- or 16-bit image")


def _cut_short() -> BadImageError:
    """Return what is raised of a file that lacks its end, or pixels before it."""
    return BadImageError("truncated_file", "the file is cut short")


def too_large() -> BadImageError:
    """Return what is raised before a file takes more memory than any X-ray needs."""
    return BadImageError("oversized_file", "larger than any X-ray", "Save it smaller")


def _read_header(content: bytes, found: str) -> Header:
    """Return the header of a file that is fit to be decoded."""
    try:
        header = READERS[found](content)
    except EOFError:
        raise _cut_short() from None
    except Exception:  # Pillow alone raises many kinds
        raise _no_image() from None
    if header.unfit:
        reason = f"a {found.upper()} of a rare kind, or of several pictures"
        raise BadImageError("unclear_file", reason, CONVERT)
    if header.width * header.height > LARGEST:
        raise too_large()
    return header


def _decode(content: bytes, header: Header) -> np.ndarray:
    """Return the pixels as OpenCV decodes them, of 8 or 16 bits, whole."""
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:
        pixels = None
    if pixels is None or pixels.dtype not in (np.uint8, np.uint16):
        raise _no_image()
    if header.end:  # a JPEG
        last = int(to_grey(pixels[-1:, -1:])[0, 0])
        doubtful = header.layered or abs(last - FILLED) <= ABOUT
        if doubtful and not _is_whole(content, header.end, pixels):
            raise _cut_short()
    return pixels


def _is_whole(content: bytes, end: int, pixels: np.ndarray) -> bool:
    """Return whether a JPEG has all of its pixels: then noise before its end changes none.

    Decoders read on after the last pixel only where pixels are missing. Pillow decodes the noise,
    since OpenCV would print a warning. `end` is the place of the end, `pixels` are OpenCV's.
    """
    scans = content[:end].rstrip(b"\xff")  # as many as there are before a marker
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


def _refuse_hidden(pixels: np.ndarray, alpha: np.ndarray, depth: int, found: str) -> None:
    """Refuse a picture in which transparency, of 0..1, hides what is not black."""
    if found == "bmp" and not alpha.any():
        return  # in a BMP that is a byte which nothing uses
    brightest = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    hidden = (brightest * (1 - alpha)).max() > OPAQUE * (2**depth - 1)
    if hidden or found == "tiff":  # in which OpenCV has made black of what is hidden
        reason = "it has transparent pixels, which viewers show differently"
        raise BadImageError("unclear_file", reason, CONVERT)


def _turn(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels upright that are stored in an orientation of EXIF's."""
    if orientation == 1:
        return pixels
    if orientation > 4:  # rows are stored as columns
        pixels = pixels.swapaxes(0, 1)
    rows = -1 if orientation in (3, 4, 7, 8) else 1
    columns = -1 if orientation in (2, 3, 6, 7) else 1
    return np.ascontiguousarray(pixels[::rows, ::columns])

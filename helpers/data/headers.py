"""Headers: what the file of a picture says of itself, read before anything is decoded."""

import io
import re
import struct
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from helpers.data.depths import DEPTHS

ORIENTATION = 274  # the tag, in EXIF and TIFF alike
MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")  # of a JPEG, but not those inside a scan
END, SCAN, EXIF, ADOBE = 0xD9, 0xDA, 0xE1, 0xEE
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = 0xC2
SHOWN_FRAMES = (0xC0, 0xC1, PROGRESSIVE)  # the others are shown by few viewers
COEFFICIENTS = 64  # of a block in a JPEG
# Of TIFF: tags, and the photometric interpretations that OpenCV shows right.
SUBFILE, BITS, PHOTOMETRIC, SAMPLES, MOST, PLANES, VALUES = 254, 258, 262, 277, 281, 284, 339
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS, YCBCR = 0, 1, 2, 3, 5, 6
PAGES = 16  # that are looked at: those of a pyramid, all but one of them reduced


# What Pillow warns of is shown all the same, as in viewers, or refused.
warnings.filterwarnings("ignore", module="PIL")


class Header(NamedTuple):
    """What the header of a picture says.

    Attributes:
        width: pixels, as stored.
        height: pixels, as stored.
        orientation: how to turn the picture, as EXIF counts: 1 is upright.
        depths: of values of more than 8 bits, as `depths.find_depth` takes them.
        inverted: whether such values are the darker the larger they are.
        key: the grey that is transparent, as it is decoded, or None.
        end: where the end of a JPEG is.
        layered: whether a JPEG is coded in several passes, or in four inks.
        cut: whether the end, or something before it, is missing.
        unfit: why it cannot be shown for certain, or "".
    """

    width: int
    height: int
    orientation: int = 1
    depths: tuple[int, ...] = DEPTHS
    inverted: bool = False
    key: int | None = None
    end: int = 0
    layered: bool = False
    cut: bool = False
    unfit: str = ""


def read_header(content: bytes, found: str) -> Header:
    """Return what the header of a file says.

    Args:
        content: of the file.
        found: its format: `png`, `jpeg`, `bmp` or `tiff`.

    Raises:
        ValueError: the header is damaged.
    """
    read = {"png": _read_png, "jpeg": _read_jpeg, "bmp": _read_bmp, "tiff": _read_tiff}[found]
    try:
        return read(content)
    except Exception as error:  # Pillow alone raises many kinds
        raise ValueError("a damaged header") from error


def _read_png(content: bytes) -> Header:
    """Return what the chunks of a PNG say."""
    said: dict[bytes, bytes] = {}
    place = 8
    while place + 12 <= len(content) and b"IEND" not in said:
        length, name = struct.unpack_from(">I4s", content, place)
        said[name] = b"" if name == b"IDAT" else content[place + 8 : place + 8 + length]
        place += 12 + length
    if b"IEND" not in said:
        return Header(0, 0, cut=True)
    width, height, bits, colours = struct.unpack_from(">IIBB", said[b"IHDR"])
    key = said.get(b"tRNS") if colours == 0 else None  # OpenCV knows the others
    return Header(
        width,
        height,
        _read_orientation(said.get(b"eXIf")),
        # Values of fewer bits should have been scaled up to 16, but often are stored as they are.
        depths=_only(max(said.get(b"sBIT", b"\0"))),
        key=key and int.from_bytes(key) * max(1, 255 // (2**bits - 1)),
        unfit="a PNG of several pictures" if b"acTL" in said else "",
    )


def _only(bits: int) -> tuple[int, ...]:
    """Return the depths that are possible where a header gives one of 8 to 16 bits, or none."""
    return tuple(depth for depth in DEPTHS if depth == bits) if bits >= 8 else DEPTHS


def _read_orientation(exif: bytes | None) -> int:
    """Return the orientation that EXIF data give; damaged ones turn nothing, as in viewers."""
    if exif is None:
        return 1
    tags = Image.Exif()
    try:
        tags.load(exif)
        orientation = tags.get(ORIENTATION)
    except Exception:  # of many kinds
        return 1
    return orientation if orientation in range(1, 9) else 1


def _read_jpeg(content: bytes) -> Header:
    """Return what the segments of a JPEG say."""
    segments = list(_segments(content))
    end, _, place = segments[-1]
    if end != END:
        return Header(0, 0, cut=True)
    kind, frame = next((kind, said) for kind, said, _ in segments if kind in FRAMES)
    scans = [said for kind, said, _ in segments if kind == SCAN]
    exifs = (said for kind, said, _ in segments if kind == EXIF and said.startswith(b"Exif\0"))
    bits, height, width, parts = struct.unpack_from(">BHHB", frame)
    unfit = ""
    if kind not in SHOWN_FRAMES or bits != 8:
        unfit = "a JPEG of a kind that few viewers show"
    elif parts == 4 and not any(kind == ADOBE for kind, _, _ in segments):
        unfit = "a JPEG in four inks that does not say what they are"
    return Header(
        width,
        height,
        _read_orientation(next(exifs, None)),
        end=place,
        layered=kind == PROGRESSIVE or len(scans) > 1 or parts == 4,
        cut=not _has_all_scans(frame[6 : 6 + 3 * parts : 3], scans, kind == PROGRESSIVE),
        unfit=unfit,
    )


def _segments(content: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield the segments of a JPEG to its end: what each is, what it says, and its place."""
    yield 0, b"", 0
    place = 2
    while match := MARKER.search(content, place):
        kind, start = match[1][0], match.end()
        if kind == END:
            yield kind, b"", match.start()
            return
        place = start + int.from_bytes(content[start : start + 2])
        yield kind, content[start + 2 : place], match.start()


def _has_all_scans(parts: bytes, scans: list[bytes], progressive: bool) -> bool:
    """Return whether a JPEG's scans give each coefficient of each part to its last bit."""
    missing = {part: [True] * COEFFICIENTS for part in parts}
    for scan in scans:
        first, last, bits = scan[-3:] if progressive else (0, COEFFICIENTS - 1, 0)
        for part in scan[1 : 1 + 2 * scan[0] : 2]:
            missing[part][first : last + 1] = [bits % 16 > 0] * (last + 1 - first)
    return not any(any(coefficients) for coefficients in missing.values())


def _read_bmp(content: bytes) -> Header:
    """Return what the header of a BMP says."""
    if content[14] == 12:  # as OS/2 writes it
        width, height, _, bits = struct.unpack_from("<4H", content, 18)
        packed = 0
    else:
        width, height, _, bits, packed = struct.unpack_from("<iiHHI", content, 18)
    usual = bits in (1, 4, 8, 24, 32) and packed in (0, 3)  # as they are, or with masks
    unfit = "" if usual else f"a BMP of {bits} bits a pixel, packed by method {packed}"
    return Header(width, abs(height), unfit=unfit)


def _read_tiff(content: bytes) -> Header:
    """Return what the first page of a TIFF says, its orientation aside: OpenCV turns it."""
    pages = _read_pages(content)
    page = pages[0]
    bits, samples = max(page.get(BITS, (1,))), page.get(SAMPLES, 1)
    meaning, most = page.get(PHOTOMETRIC), page.get(MOST, (0,))[0]
    whole = [place for place, page in enumerate(pages) if not page.get(SUBFILE, 0) & 1]
    shown = (BLACK_IS_ZERO, WHITE_IS_ZERO, RGB, PALETTE, INKS, YCBCR)[: 3 if bits > 8 else None]
    unfit = ""
    if len(pages) > 1 and whole != [0]:
        unfit = "a TIFF of several pictures"
    elif set(page.get(VALUES, (1,))) != {1}:
        unfit = "a TIFF of values with signs or fractions"
    elif meaning not in shown or samples == 2 or (bits > 8 and page.get(PLANES) == 2):
        unfit = f"a TIFF of {samples} × {bits} bits a pixel, in colours or layers of a rare kind"
    depths = DEPTHS if bits == 16 else ()  # OpenCV scales those of 10 to 14 up
    if bits == 16 and most in [2**depth - 1 for depth in DEPTHS]:  # else some pixel's value
        depths = _only(most.bit_length())
    return Header(
        page[256], page[257], depths=depths, inverted=meaning == WHITE_IS_ZERO, unfit=unfit
    )


def _read_pages(content: bytes) -> list[dict]:
    """Return what each page of a TIFF says, by the numbers of its tags."""
    file, pages = io.BytesIO(content), {}
    directory = ImageFileDirectory_v2(content[:8])
    while directory.next and len(pages) < PAGES:
        place = directory.next
        if place in pages:  # Pillow stays where it is if a directory is cut short
            raise ValueError("a circle of directories, or one that is cut short")
        file.seek(place)
        directory.load(file)
        pages[place] = dict(directory)
    return list(pages.values())

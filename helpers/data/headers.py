"""Headers: what the file of a picture says of itself, read before anything is decoded."""

import io
import re
import struct
import warnings
from collections.abc import Iterator
from typing import NamedTuple

from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

ORIENTATION = 274  # the tag, in EXIF and TIFF alike
MARKER = re.compile(rb"\xff([^\x00\xff\xd0-\xd7])")  # of a JPEG, but not those inside a scan
END, SCAN, EXIF, ADOBE = 0xD9, 0xDA, 0xE1, 0xEE
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
PROGRESSIVE = 0xC2
SHOWN_FRAMES = (0xC0, 0xC1, PROGRESSIVE)  # the others are shown by few viewers
COEFFICIENTS = 64  # of a block in a JPEG
# Of TIFF: tags, and the photometric interpretations that OpenCV shows right.
BITS, PHOTOMETRIC, SAMPLES, MOST, PLANES, VALUES = 258, 262, 277, 281, 284, 339
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS, YCBCR = 0, 1, 2, 3, 5, 6

# Pillow warns of files that viewers show all the same.
warnings.filterwarnings("ignore", module="PIL")


class Header(NamedTuple):
    """What the header of a picture says.

    Attributes:
        width, height: pixels, as stored.
        orientation: how to turn the picture, as EXIF counts: 1 is upright.
        depth: bits that values of 16 really have, or 0 where it does not say.
        inverted: whether such values are the darker the larger they are.
        key: the grey that is transparent, as it is decoded, or None.
        end: where the end of a JPEG is.
        layered: whether a JPEG is coded in several passes, or in four inks.
        unfit: whether it is of a kind that viewers show differently.
    """

    width: int
    height: int
    orientation: int = 1
    depth: int = 0
    inverted: bool = False
    key: int | None = None
    end: int = 0
    layered: bool = False
    unfit: bool = False


def read_png(content: bytes) -> Header:
    """Return what the chunks of a PNG say."""
    said: dict[bytes, bytes] = {}
    place = 8
    while b"IEND" not in said:
        if place + 12 > len(content):
            raise EOFError
        length, name = struct.unpack_from(">I4s", content, place)
        said[name] = b"" if name == b"IDAT" else content[place + 8 : place + 8 + length]
        place += 12 + length
    width, height, bits, colours = struct.unpack_from(">IIBB", said[b"IHDR"])
    key = said.get(b"tRNS") if colours == 0 else None  # OpenCV knows the others
    depth = max(said.get(b"sBIT", b"\0"))
    return Header(
        width,
        height,
        _read_orientation(said.get(b"eXIf")),
        # Values of fewer bits should have been scaled up to 16, but often are stored as they are.
        depth=depth if depth >= 8 else 0,
        key=key and int.from_bytes(key) * max(1, 255 // (2**bits - 1)),
        unfit=b"acTL" in said,  # several pictures
    )


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


def read_jpeg(content: bytes) -> Header:
    """Return what the segments of a JPEG say."""
    segments = list(_segments(content))
    kind, frame = next((kind, said) for kind, said, _ in segments if kind in FRAMES)
    scans = [said for kind, said, _ in segments if kind == SCAN]
    exifs = (said for kind, said, _ in segments if kind == EXIF and said.startswith(b"Exif\0"))
    bits, height, width, parts = struct.unpack_from(">BHHB", frame)
    if not _has_all_scans(frame[6 : 6 + 3 * parts : 3], scans, kind == PROGRESSIVE):
        raise EOFError
    names_inks = parts != 4 or any(kind == ADOBE for kind, _, _ in segments)
    return Header(
        width,
        height,
        _read_orientation(next(exifs, None)),
        end=segments[-1][2],
        layered=kind == PROGRESSIVE or len(scans) > 1 or parts == 4,
        unfit=kind not in SHOWN_FRAMES or bits != 8 or not names_inks,
    )


def _segments(content: bytes) -> Iterator[tuple[int, bytes, int]]:
    """Yield the segments of a JPEG to its end: what each is, what it says, and its place."""
    place = 2
    while match := MARKER.search(content, place):
        kind, start = match[1][0], match.end()
        if kind == END:
            yield kind, b"", match.start()
            return
        place = start + int.from_bytes(content[start : start + 2])
        yield kind, content[start + 2 : place], match.start()
    raise EOFError


def _has_all_scans(parts: bytes, scans: list[bytes], progressive: bool) -> bool:
    """Return whether a JPEG's scans give each coefficient of each part to its last bit."""
    missing = {part: [True] * COEFFICIENTS for part in parts}
    for scan in scans:
        first, last, bits = scan[-3:] if progressive else (0, COEFFICIENTS - 1, 0)
        for part in scan[1 : 1 + 2 * scan[0] : 2]:
            missing[part][first : last + 1] = [bits % 16 > 0] * (last + 1 - first)
    return not any(any(coefficients) for coefficients in missing.values())


def read_bmp(content: bytes) -> Header:
    """Return what the header of a BMP says."""
    width, height, _, bits, packed = struct.unpack_from("<iiHHI", content, 18)
    # 12 is the length of OS/2's header, which says less.
    usual = (
        content[14] != 12 and bits in (1, 4, 8, 24, 32) and packed in (0, 3)
    )  # as they are, or with masks
    return Header(width, abs(height), unfit=not usual)


def read_tiff(content: bytes) -> Header:
    """Return what the first page of a TIFF says, its orientation aside: OpenCV turns it."""
    page = ImageFileDirectory_v2(content[:8])
    place, file = page.next, io.BytesIO(content)
    file.seek(place)
    page.load(file)
    if page.next == place:  # Pillow stays where it is if the directory is cut short
        raise ValueError
    bits, samples = max(page.get(BITS, (1,))), page.get(SAMPLES, 1)
    meaning, most = page.get(PHOTOMETRIC), page.get(MOST, (0,))[0]
    shown = (BLACK_IS_ZERO, WHITE_IS_ZERO, RGB, PALETTE, INKS, YCBCR)[: 3 if bits > 8 else None]
    layered = samples == 2 or (bits > 8 and page.get(PLANES) == 2)
    signed = set(page.get(VALUES, (1,))) != {1}  # or fractions
    # OpenCV scales values of 10 to 14 bits up to 16. Of 16 bits, `most` may be some pixel's value.
    depth = most.bit_length() if most in [2**depth - 1 for depth in range(8, 16)] else 0
    return Header(
        page[256],
        page[257],
        depth=depth if bits == 16 else 16,
        inverted=meaning == WHITE_IS_ZERO,
        unfit=page.next > 0 or meaning not in shown or layered or signed,
    )

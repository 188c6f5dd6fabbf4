"""Picture files of rare kinds, byte by byte, that no library writes as the tests need them."""

import io
import struct

import cv2
import numpy as np
from PIL import Image

SHORT, LONG = 3, 4  # types of TIFF's values
TYPES = {SHORT: "H", LONG: "I"}


def pack_bits(values: np.ndarray, bits: int) -> bytes:
    """Return rows of values with so many bits each, the highest first, filled up to bytes."""
    shifts = np.arange(bits - 1, -1, -1)
    places = (values.astype(np.int64)[..., None] >> shifts & 1).astype(np.uint8)
    return np.packbits(places.reshape(len(values), -1), axis=1).tobytes()


def tiff(
    values: np.ndarray,
    bits: int,
    photometric: int,
    order: str = "<",
    planes: int = 1,
    pages: int = 1,
    **tags: list[int],
) -> bytes:
    """Return a TIFF of values, (height, width) or (height, width, samples).

    `tags`, such as `t274=[3]`, come on top; pages are copies.
    """
    height, width = values.shape[:2]
    samples = 1 if values.ndim == 2 else values.shape[2]
    layers = [values] if planes == 1 else [values[..., place] for place in range(samples)]
    rows = [np.reshape(layer, (height, -1)) for layer in layers]
    whole = bits in (8, 16, 32)
    parts = [
        row.astype(f"{order}i{bits // 8}" if row.min() < 0 else f"{order}u{bits // 8}").tobytes()
        if whole
        else pack_bits(row, bits)
        for row in rows
    ]
    said = {256: [width], 257: [height], 258: [bits] * samples, 259: [1], 262: [photometric]}
    said |= {277: [samples], 278: [height], 284: [planes]}
    said |= {int(name[1:]): list(content) for name, content in tags.items()}
    return _lay_out(parts, said, order, pages)


def _lay_out(parts: list[bytes], said: dict[int, list[int]], order: str, pages: int) -> bytes:
    content = bytearray((b"II*\0" if order == "<" else b"MM\0*") + bytes(4))
    link = 4
    for _ in range(pages):
        places = []
        for part in parts:
            places.append(len(content))
            content += part + bytes(len(part) % 2)
        page = said | {273: places, 279: [len(part) for part in parts]}
        start = len(content)
        struct.pack_into(f"{order}I", content, link, start)
        later = start + 2 + 12 * len(page) + 4
        entries, outside = b"", b""
        for tag in sorted(page):
            kind = LONG if tag in (273, 279) else SHORT
            value = struct.pack(f"{order}{len(page[tag])}{TYPES[kind]}", *page[tag])
            if len(value) > 4:
                value, outside = struct.pack(f"{order}I", later + len(outside)), outside + value
            entries += struct.pack(f"{order}HHI", tag, kind, len(page[tag])) + value.ljust(4, b"\0")
        content += struct.pack(f"{order}H", len(page)) + entries
        link = len(content)
        content += bytes(4) + outside
    return bytes(content)


def bmp(
    rows: np.ndarray, bits: int, palette: np.ndarray | None = None, packed: int = 0, **kind: object
) -> bytes:
    """Return a BMP.

    Args:
        rows: bytes of each row, from the top, uint8 (height, bytes).
        bits: a pixel.
        palette: greys of the values that rows hold.
        packed: how: 0 as it is, 1 by run lengths, 3 with masks.
        kind: `width`; `top_down`; `masks`, of red, green, blue and alpha; `early`, as of OS/2;
            `content` in place of the rows.
    """
    height, width = len(rows), kind.get("width", rows.shape[1] * 8 // bits)
    down = bool(kind.get("top_down"))
    filled = np.pad(rows if down else rows[::-1], ((0, 0), (0, -rows.shape[1] % 4)))
    pixels = kind.get("content") or filled.tobytes()
    greys = np.zeros(0, np.uint8) if palette is None else palette.astype(np.uint8)
    if kind.get("early"):
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
        colours = np.repeat(greys, 3).tobytes()
    else:
        masks = struct.pack(f"<{len(kind.get('masks', ()))}I", *kind.get("masks", ()))
        size = 40 if len(masks) <= 12 else 108
        head = struct.pack(
            "<IiiHHIIiiII",
            size,
            width,
            -height if down else height,
            1,
            bits,
            packed,
            len(pixels),
            0,
            0,
            len(greys),
            0,
        ) + masks.ljust(size - 40 if size > 40 else 0, b"\0")
        colours = np.column_stack([greys] * 3 + [greys * 0]).tobytes()
    start = 14 + len(head) + len(colours)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + head + colours + pixels


def jpeg(pixels: np.ndarray, **options: object) -> bytes:
    """Return a JPEG as Pillow writes it, of grey, RGB or, with four channels, CMYK."""
    buffer = io.BytesIO()
    mode = {3: "RGB", 4: "CMYK"}.get(pixels.shape[-1]) if pixels.ndim == 3 else None
    image = (
        Image.frombytes("CMYK", pixels.shape[1::-1], pixels.tobytes())
        if mode == "CMYK"
        else (Image.fromarray(pixels))
    )
    image.save(buffer, "JPEG", **{"quality": 98} | options)
    return buffer.getvalue()


def without(content: bytes, marker: int) -> bytes:
    """Return a JPEG without its first segment of a kind."""
    start = content.index(bytes([0xFF, marker]))
    return content[:start] + content[start + 2 + int.from_bytes(content[start + 2 : start + 4]) :]


def ycck(grey: np.ndarray) -> bytes:
    """Return a grey picture as a JPEG in four inks, three of which are coded as YCbCr."""
    inks = np.dstack([grey, grey * 0 + 127, grey * 0 + 127, grey * 0])
    content = bytearray(jpeg(inks))  # Pillow turns them round, as the format wants it
    place = content.index(b"Adobe")
    content[place + 11] = 2
    return bytes(content)


def exif(orientation: int) -> bytes:
    """Return EXIF data that say nothing but an orientation."""
    tags = Image.Exif()
    tags[274] = orientation
    return tags.tobytes()


def stored(shown: np.ndarray, orientation: int) -> np.ndarray:
    """Return a picture as it is stored to be shown by an orientation of EXIF's."""
    turned = {
        1: shown,
        2: shown[:, ::-1],
        3: shown[::-1, ::-1],
        4: shown[::-1],
        5: shown.swapaxes(0, 1),
        6: np.rot90(shown, 1),
        7: np.rot90(shown, 2).swapaxes(0, 1),
        8: np.rot90(shown, -1),
    }
    return np.ascontiguousarray(turned[orientation])


def smooth(height: int = 120, width: int = 90) -> np.ndarray:
    """Return a picture of all greys that JPEG keeps and that no turn leaves as it is."""
    rows, columns = np.mgrid[:height, :width] / (height, width)[0]
    field = rows + 0.4 * columns + 0.1 * np.sin(4 * rows * columns)
    return cv2.normalize(field, None, 0, 255, cv2.NORM_MINMAX).round().astype(np.uint8)

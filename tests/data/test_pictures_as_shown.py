"""Every kind of picture file is read as a viewer shows it, or refused by name.

Each row of the table is a file made from one picture. What is read is equal to it; of a JPEG,
within 2 grey levels.
"""

import io

import cv2
import numpy as np
import pytest
from PIL import Image

from helpers.audit.scan import scan
from helpers.data.images import BadImageError, fingerprint, read_mask, read_xray
from helpers.data.sources import DataSet
from tests.support.builders import png, png_chunk
from tests.support.picture_files import (
    bmp,
    exif,
    jpeg,
    pack_bits,
    smooth,
    stored,
    tiff,
    without,
    ycck,
)

SHOWN = smooth()
TOLERANCE = {"JPEG": 2, "TIFF, JPEG within": 2, "TIFF, YCbCr": 2}  # grey levels; of others none
SEVEN = (1, 3, 5, 6, 7, 8, 2, 4)
WHITE, BLACK, RGB, PALETTE, INKS, LAB = 0, 1, 2, 3, 5, 8


def deep(bits: int, shown: np.ndarray = SHOWN) -> np.ndarray:
    """Return the picture with values of so many bits."""
    return np.round(shown.astype(float) * ((2**bits - 1) / 255)).astype(np.int64)


def in_png(values: np.ndarray, bits: int, colours: int, *chunks: bytes) -> bytes:
    rows = np.reshape(values, (len(values), -1))
    pixels = [
        row.astype(">u2").tobytes() if bits == 16 else pack_bits(row[None], bits) for row in rows
    ]
    return png(values.shape[:2], bits, colours, pixels, *chunks)


def by_pillow(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def coloured(values: np.ndarray, *more: int) -> np.ndarray:
    """Return grey in three channels, and further ones of one value."""
    return np.dstack([values] * 3 + [np.full_like(values, value) for value in more])


GREYS = np.arange(256)
REVERSED = png_chunk(b"PLTE", np.repeat(GREYS[::-1], 3).astype(np.uint8).tobytes())
SIXTEEN = png_chunk(b"PLTE", np.repeat(GREYS[::17], 3).astype(np.uint8).tobytes())
FOUR = np.round(SHOWN / 17).astype(int)  # of 16 levels
TWO, ONE = np.round(SHOWN / 85).astype(int), (SHOWN > 127).astype(int)
HALF = np.tile(np.arange(90) % 2 * 255, (120, 1))  # every second column is transparent
TURNED = {order: stored(SHOWN, order) for order in SEVEN}
MASKS_OF_32 = (0xFF0000, 0xFF00, 0xFF)
IMAGE, COLOURS = Image.fromarray(SHOWN), cv2.merge([SHOWN] * 3)

PNG = {
    "8 bits": in_png(SHOWN, 8, 0),
    "8 bits, RGB": in_png(coloured(SHOWN), 8, 2),
    "8 bits, opaque": in_png(np.dstack([SHOWN, SHOWN * 0 + 255]), 8, 4),
    "8 bits, RGB, opaque": in_png(coloured(SHOWN, 255), 8, 6),
    "palette": in_png(255 - SHOWN.astype(int), 8, 3, REVERSED),
    "palette, opaque": in_png(
        255 - SHOWN.astype(int), 8, 3, REVERSED, png_chunk(b"tRNS", b"\xff" * 9)
    ),
    "16 bits": in_png(deep(16), 16, 0),
    "16 bits, RGB": in_png(coloured(deep(16)), 16, 2),
    "16 bits, opaque": in_png(np.dstack([deep(16), deep(16) * 0 + 65535]), 16, 4),
    "16 bits, RGB, opaque": in_png(coloured(deep(16), 65535), 16, 6),
    **{f"{bits} bits of 16": in_png(deep(bits), 16, 0) for bits in range(8, 16)},
    **{
        f"{bits} bits of 16, as it says": in_png(
            deep(bits), 16, 0, png_chunk(b"sBIT", bytes([bits]))
        )
        for bits in range(8, 17)
    },
    "12 bits scaled to 16, as it says": in_png(deep(12) * 16, 16, 0, png_chunk(b"sBIT", b"\x0c")),
    "interlaced": by_pillow(IMAGE, "PNG", interlace=1),
    "with gamma": in_png(SHOWN, 8, 0, png_chunk(b"gAMA", (100_000).to_bytes(4))),
    **{
        f"orientation {order}": in_png(turned, 8, 0, png_chunk(b"eXIf", exif(order)[6:]))
        for order, turned in TURNED.items()
    },
    "16 bits, orientation 8": in_png(deep(16, TURNED[8]), 16, 0, png_chunk(b"eXIf", exif(8)[6:])),
    "damaged EXIF": in_png(SHOWN, 8, 0, png_chunk(b"eXIf", b"MM no EXIF at all")),
    "hidden grey": in_png(np.dstack([SHOWN, HALF]), 8, 4),
    "hidden colours": in_png(np.dstack([coloured(SHOWN), HALF]), 8, 6),
    "hidden colours, 16 bits": in_png(np.dstack([coloured(deep(16)), HALF * 257]), 16, 6),
    "hidden by a palette": in_png(
        255 - SHOWN.astype(int), 8, 3, REVERSED, png_chunk(b"tRNS", bytes(100))
    ),
    "hidden by a grey": in_png(SHOWN, 8, 0, png_chunk(b"tRNS", b"\0\x80")),
    "hidden by a grey, 16 bits": in_png(
        deep(16), 16, 0, png_chunk(b"tRNS", int(deep(16)[60, 45]).to_bytes(2))
    ),
    "moving": by_pillow(IMAGE, "PNG", save_all=True, append_images=[Image.fromarray(255 - SHOWN)]),
}
OTHERS = {  # made from other pictures than that one
    "black where it is transparent": (
        in_png(np.dstack([SHOWN * (HALF > 0), HALF]), 8, 4),
        SHOWN * (HALF > 0),
    ),
    "4 bits": (in_png(FOUR, 4, 0), FOUR * 17),
    "2 bits": (in_png(TWO, 2, 0), TWO * 85),
    "1 bit": (in_png(ONE, 1, 0), ONE * 255),
    "palette of 4 bits": (in_png(FOUR, 4, 3, SIXTEEN), FOUR * 17),
    "TIFF, 1 bit": (tiff(ONE, 1, BLACK), ONE * 255),
    "TIFF, 1 bit, white is 0": (tiff(1 - ONE, 1, WHITE), ONE * 255),
    "TIFF, 4 bits": (tiff(FOUR, 4, BLACK), FOUR * 17),
    "TIFF, 4 bits, white is 0": (tiff(15 - FOUR, 4, WHITE), FOUR * 17),
    "BMP, 4 bits": (
        bmp((FOUR[:, ::2] << 4 | FOUR[:, 1::2]).astype(np.uint8), 4, GREYS[::17]),
        FOUR * 17,
    ),
    "BMP, 1 bit": (bmp(np.packbits(ONE, axis=1), 1, np.array([0, 255]), width=90), ONE * 255),
    "BMP, 1 bit, white is 0": (
        bmp(np.packbits(1 - ONE, axis=1), 1, np.array([255, 0]), width=90),
        ONE * 255,
    ),
}
JPEG = {
    "grey": jpeg(SHOWN),
    "RGB": jpeg(COLOURS),
    "RGB as it is": jpeg(COLOURS, keep_rgb=True),
    "full chroma": jpeg(COLOURS, subsampling=0),
    "progressive": jpeg(SHOWN, progressive=True),
    "progressive, RGB": jpeg(COLOURS, progressive=True),
    "restarts": jpeg(SHOWN, restart_marker_blocks=5),
    "CMYK": jpeg(255 - coloured(SHOWN, 255)),
    "CMYK in black only": jpeg(np.dstack([SHOWN * 0] * 3 + [255 - SHOWN])),
    "CMYK, progressive": jpeg(255 - coloured(SHOWN, 255), progressive=True),
    "CMYK that says nothing of its inks": without(jpeg(255 - coloured(SHOWN, 255)), 0xEE),
    "YCCK": ycck(SHOWN),
    **{f"orientation {order}": jpeg(turned, exif=exif(order)) for order, turned in TURNED.items()},
    "progressive, orientation 6": jpeg(TURNED[6], exif=exif(6), progressive=True),
    "damaged EXIF": jpeg(SHOWN, exif=b"Exif\0\0MM no EXIF at all"),
}
TIFF = {
    **{
        f"{bits} bits, {name}, {order}": tiff(
            deep(bits) if meaning == BLACK else 2**bits - 1 - deep(bits), bits, meaning, order
        )
        for bits in (8, 10, 12, 14, 16, 32)
        for meaning, name in ((BLACK, "black is 0"), (WHITE, "white is 0"))
        for order in "<>"
    },
    "12 bits of 16": tiff(deep(12), 16, BLACK),
    "12 bits of 16, white is 0": tiff(4095 - deep(12), 16, WHITE),
    "8 bits of 16, white is 0": tiff(255 - deep(8), 16, WHITE),
    "12 bits of 16, as it says": tiff(deep(12), 16, BLACK, t281=[4095]),
    "12 bits of 16, but for a pixel, as it says": tiff(deep(12), 16, BLACK, t281=[4096]),
    **{f"RGB, {bits} bits": tiff(coloured(deep(bits)), bits, RGB) for bits in (8, 16)},
    **{f"planes, {bits} bits": tiff(coloured(deep(bits)), bits, RGB, planes=2) for bits in (8, 16)},
    **{
        f"RGB and alpha of kind {kind}, {bits} bits": tiff(
            coloured(deep(bits), 2**bits - 1), bits, RGB, t338=[kind]
        )
        for kind in range(3)
        for bits in (8, 16)
    },
    **{
        f"grey and alpha, {bits} bits": tiff(
            np.dstack([deep(bits), deep(bits) * 0 + 2**bits - 1]), bits, BLACK, t338=[2]
        )
        for bits in (8, 16)
    },
    **{
        f"hidden colours of kind {kind}": tiff(
            np.dstack([coloured(SHOWN), HALF]), 8, RGB, t338=[kind]
        )
        for kind in range(3)
    },
    "palette": tiff(255 - deep(8), 8, PALETTE, t320=[*(GREYS[::-1] * 257)] * 3),
    "CMYK": tiff(coloured(255 - deep(8), 0), 8, INKS),
    "CMYK, 16 bits": tiff(coloured(65535 - deep(16), 0), 16, INKS),
    "Lab": by_pillow(Image.merge("LAB", [IMAGE, *[Image.new("L", IMAGE.size)] * 2]), "TIFF"),
    "YCbCr": by_pillow(IMAGE.convert("YCbCr"), "TIFF"),
    **{
        f"orientation {order}, {bits} bits": tiff(deep(bits, turned), bits, BLACK, t274=[order])
        for order, turned in TURNED.items()
        for bits in (8, 16)
    },
    "white is 0, orientation 6, 16 bits": tiff(65535 - deep(16, TURNED[6]), 16, WHITE, t274=[6]),
    "signed, 8 bits": tiff(deep(8) - 128, 8, BLACK, t339=[2]),
    "signed, 16 bits": tiff(deep(16) - 2**15, 16, BLACK, t339=[2]),
    "signed, 16 bits, none below 0": tiff(deep(15), 16, BLACK, t339=[2]),
    "fractions": by_pillow(Image.fromarray((SHOWN / 255).astype(np.float32)), "TIFF"),
    "two pages": tiff(deep(8), 8, BLACK, pages=2),
    "lossless": by_pillow(IMAGE, "TIFF", compression="tiff_lzw"),
    "lossless, RGB": by_pillow(Image.fromarray(COLOURS), "TIFF", compression="tiff_deflate"),
    "JPEG within": by_pillow(IMAGE, "TIFF", compression="jpeg", quality=98),
}
FIVE = (SHOWN >> 3).astype("<u2")
RUNS = b"".join(
    b"".join(bytes([1, grey]) for grey in row) + b"\0\0" for row in SHOWN[::-1].tolist()
)
BMP = {
    "8 bits": bmp(SHOWN, 8, GREYS),
    "8 bits, from the top": bmp(SHOWN, 8, GREYS, top_down=True),
    "palette": bmp(255 - SHOWN, 8, GREYS[::-1]),
    "OS/2": bmp(SHOWN, 8, GREYS, early=True),
    "24 bits": bmp(COLOURS.reshape(120, -1), 24),
    "24 bits, from the top": bmp(COLOURS.reshape(120, -1), 24, top_down=True),
    **{
        f"32 bits, the fourth byte {fourth}": bmp(coloured(SHOWN, fourth).reshape(120, -1), 32)
        for fourth in (0, 128, 255)
    },
    "32 bits, masks": bmp(coloured(SHOWN, 0).reshape(120, -1), 32, packed=3, masks=MASKS_OF_32),
    **{
        f"32 bits, masks, alpha {alpha}": bmp(
            coloured(SHOWN, alpha).reshape(120, -1), 32, packed=3, masks=(*MASKS_OF_32, 0xFF000000)
        )
        for alpha in (0, 128, 255)
    },
    "16 bits": bmp((FIVE << 10 | FIVE << 5 | FIVE).view(np.uint8), 16),
    "runs": bmp(SHOWN, 8, GREYS, packed=1, content=RUNS + b"\0\1"),
    "runs that end early": bmp(SHOWN, 8, GREYS, packed=1, content=RUNS[: len(RUNS) // 2] + b"\0\1"),
}
FILES = {
    f"{kind}, {name}": (content, SHOWN)
    for kind, files in {"PNG": PNG, "JPEG": JPEG, "TIFF": TIFF, "BMP": BMP}.items()
    for name, content in files.items()
} | OTHERS
# What may be refused, since viewers differ or OpenCV does not know it; all else must be read.
REFUSED = {
    *(f"PNG, hidden {what}" for what in ("grey", "colours", "colours, 16 bits", "by a palette")),
    *(f"PNG, hidden by a grey{bits}" for bits in ("", ", 16 bits")),
    "PNG, moving",
    "JPEG, CMYK that says nothing of its inks",
    *(f"TIFF, 32 bits, {name} is 0, {order}" for name in ("black", "white") for order in "<>"),
    "TIFF, planes, 16 bits",
    *(f"TIFF, grey and alpha, {bits} bits" for bits in (8, 16)),
    *(f"TIFF, hidden colours of kind {kind}" for kind in range(3)),
    *(f"TIFF, {name}" for name in ("CMYK, 16 bits", "Lab", "fractions", "two pages")),
    *(f"TIFF, signed, {bits}" for bits in ("8 bits", "16 bits", "16 bits, none below 0")),
    *(f"TIFF, 4 bits{meaning}" for meaning in ("", ", white is 0")),
    "BMP, OS/2",
    "BMP, 32 bits, masks, alpha 128",
    *(f"BMP, {name}" for name in ("16 bits", "runs", "runs that end early")),
}


@pytest.mark.parametrize("name", FILES)
def test_a_picture_is_read_as_it_is_shown_or_refused(name, tmp_path):
    content, shown = FILES[name]
    (tmp_path / "a.png").write_bytes(content)
    if name in REFUSED:
        with pytest.raises(BadImageError, match=r"^a\.png: .+\. .+\.$") as caught:
            read_xray(tmp_path / "a.png")
        assert caught.value.finding in ("unclear_file", "undecodable_file")
        return
    read = read_xray(tmp_path / "a.png")
    assert read.dtype == np.uint8
    assert read.shape == shown.shape
    tolerance = TOLERANCE.get(name, TOLERANCE.get(name.partition(",")[0], 0))
    assert np.abs(read.astype(int) - shown).max() <= tolerance


def test_the_table_names_what_it_refuses():
    assert set(FILES) >= REFUSED


def test_a_data_set_is_read_by_the_same_rules(tmp_path):
    folders = [tmp_path / "COVID" / part for part in ("images", "masks")]
    for number, (content, _) in enumerate(FILES.values()):
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{number}.png").write_bytes(content)
    files, _, _ = scan(DataSet("tiny", tmp_path, synthetic=False))
    assert len(files) == 2 * len(FILES)
    for row in files.itertuples():
        read = read_xray if row.part == "images" else read_mask
        try:
            pixels = fingerprint(read(tmp_path / row.file))
        except BadImageError as error:
            assert (row.fault, row.reason) == (error.finding, error.reason)
        else:
            assert (row.fault, row.pixels) == ("", pixels)


MASK = np.kron(np.array([[0, 1, 0, 0, 1], [0, 1, 0, 1, 1]]), np.ones((30, 18), int))


@pytest.mark.parametrize("order", SEVEN)
def test_masks_are_turned_as_their_x_rays_are(order, tmp_path):
    turned = stored(MASK * 255, order).astype(np.uint8)
    for content in (
        in_png(turned, 8, 0, png_chunk(b"eXIf", exif(order)[6:])),
        jpeg(turned, exif=exif(order)),
        tiff(turned, 8, BLACK, t274=[order]),
    ):
        (tmp_path / "a").write_bytes(content)
        np.testing.assert_array_equal(read_mask(tmp_path / "a"), MASK)


MASK_FILES = {
    "palette of two colours": in_png(MASK, 8, 3, png_chunk(b"PLTE", b"\0\0\0\x80\0\0")),
    "1 bit": in_png(MASK, 1, 0),
    "16 bits of 0 and 1": in_png(MASK, 16, 0),
    "nothing but lungs is opaque": in_png(np.dstack([MASK * 255] * 2), 8, 4),
    "TIFF, white is 0": tiff(1 - MASK, 1, WHITE),
    "TIFF of 16 bits, white is 0": tiff(65535 * (1 - MASK), 16, WHITE),
    "CMYK": jpeg((255 - coloured(MASK * 255, 255)).astype(np.uint8)),
}


@pytest.mark.parametrize("kind", MASK_FILES)
def test_masks_of_rare_kinds_read_alike(kind, tmp_path):
    (tmp_path / "a").write_bytes(MASK_FILES[kind])
    np.testing.assert_array_equal(read_mask(tmp_path / "a"), MASK)

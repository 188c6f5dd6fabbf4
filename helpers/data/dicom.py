"""DICOM: X-rays as machines write them, turned into grey pixels.

Only the parts of a header that say how pixels are stored and shown are read. Nothing about the
patient gets into this program, and so into its files and messages.
"""

import io
import re
import warnings
import zlib
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from helpers.data.decoding import (
    BEYOND,
    CONVERT,
    LARGEST,
    LARGEST_FILE,
    BadImageError,
    find_depth,
    too_large,
)

if TYPE_CHECKING:  # an optional extra, which takes a quarter of a second to import
    from pydicom import Dataset

MARK, MARK_PLACE = b"DICM", 128  # after a preamble of any content
# The beginning without a preamble: an early element of group 2 or 8, least byte first, and its
# kind or, where kinds are implicit, its even length.
BARE = re.compile(
    rb"[\x02\x08]\0[\0-\x7f]\0(?:AE|CS|DA|DT|LO|OB|SH|TM|UI|UL|US|[\x02-\xfe]\0\0\0)", re.DOTALL
)
PARTS = """
    Rows Columns SamplesPerPixel NumberOfFrames PhotometricInterpretation PlanarConfiguration
    BitsAllocated BitsStored HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit
    ModalityLUTSequence RescaleSlope RescaleIntercept VOILUTSequence VOILUTFunction WindowCenter
    WindowWidth PresentationLUTShape ExtendedOffsetTable ExtendedOffsetTableLengths PixelData
""".split()  # noqa: SIM905
SHAPES = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}  # by DICOM PS3.3 C.8.11.3.1.2
ALLOCATED = (8, 16)  # bits that a pixel takes in the file; 12 bits are stored in 16
DEFLATED = b"1.2.840.10008.1.2.1.99"
GROUP_END = 144  # where the first element ends: the length of the group that it opens
EXPLICIT = "1.2.840.10008.1.2.1"


def is_dicom(start: bytes) -> bool:
    """Return whether a file is DICOM by its first 132 bytes, with a preamble or without."""
    marked = start[MARK_PLACE : MARK_PLACE + len(MARK)] == MARK
    return marked or BARE.match(start) is not None


def read_dicom(content: bytes) -> np.ndarray:
    """Return the X-ray in a DICOM file as it is meant to be seen: uint8 grey, (height, width).

    The header's first table or window decides what is black and white. Without either, the depth
    of the pixels does, from 0 or, where pixels are below, the lowest value. Padding is black, like
    the air around a patient.

    Raises:
        BadImageError: it holds no picture, several, a coloured one, or one that cannot be decoded.
    """
    try:
        _refuse_bomb(content)
        dataset = _parse(content)
        _refuse_unfit(dataset)
        return _show(_decode(dataset), dataset)
    except BadImageError:
        raise
    except Exception:  # pydicom raises many kinds, with words for programmers
        raise _damaged() from None


def _damaged(what: str = "a damaged DICOM file") -> BadImageError:
    """Return what is raised of a file that cannot be decoded."""
    return BadImageError("undecodable_file", what)


def _unclear(what: str, remedy: str) -> BadImageError:
    """Return what is raised of a sound file that is no X-ray, or not for certain."""
    return BadImageError("unclear_file", f"a DICOM file {what}", remedy)


def _parse(content: bytes) -> "Dataset":
    """Return the parts of a file that are needed."""
    pydicom = _import_pydicom()
    dataset = pydicom.dcmread(io.BytesIO(content), force=True, specific_tags=PARTS)
    if "TransferSyntaxUID" not in dataset.file_meta:  # without a header of its own
        implicit, _ = dataset.original_encoding
        syntax = pydicom.uid.ImplicitVRLittleEndian if implicit else EXPLICIT
        dataset.file_meta.TransferSyntaxUID = syntax
    return dataset


def _refuse_bomb(content: bytes) -> None:
    """Refuse a small file that would fill the memory once it is inflated."""
    if DEFLATED not in content[: 2 * MARK_PLACE + 1024]:
        return
    start = GROUP_END + int.from_bytes(content[GROUP_END - 4 : GROUP_END], "little")
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    inflater.decompress(content[start:], LARGEST_FILE)
    if inflater.unconsumed_tail:
        raise too_large()


@cache  # warnings' filters may not be changed while other threads work
def _import_pydicom() -> ModuleType:
    """Return pydicom without its warnings: such files are decoded all the same, or refused."""
    try:
        import pydicom
    except ImportError:
        raise _unclear(
            "that this installation cannot read",
            "Install pydicom with `uv sync --extra dicom`, or in Colab with `%pip install pydicom`",
        ) from None
    warnings.filterwarnings("ignore", module="pydicom")
    return pydicom


def _refuse_unfit(dataset: "Dataset") -> None:
    """Refuse what is not one grey picture of a usual depth."""
    if "PixelData" not in dataset:
        raise _damaged("a DICOM file without a picture, or cut short")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise _unclear(f"of {frames} pictures", "Save the one that you mean as a file of its own")
    meaning, shape = dataset.PhotometricInterpretation, dataset.get("PresentationLUTShape")
    if meaning not in SHAPES:
        raise _unclear("in colour, as no X-ray is", "Give the X-ray itself")
    if shape and shape != SHAPES[meaning]:
        raise _unclear(f"that says both {meaning} and {shape}", CONVERT)
    allocated, bits, high = dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit
    if allocated not in ALLOCATED or dataset.SamplesPerPixel != 1:
        raise _unclear(f"of {allocated * dataset.SamplesPerPixel} bits a pixel", "Save 8 or 16")
    if not 0 < bits <= high + 1 <= allocated:
        raise _damaged()
    if dataset.Rows * dataset.Columns > LARGEST:
        raise too_large()


def _decode(dataset: "Dataset") -> np.ndarray:
    """Return the pixels as stored, 8 or 16 bits, signed or not: (height, width)."""
    from pydicom.pixels import get_decoder

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax.is_encapsulated:
        try:
            can = get_decoder(syntax).is_available
        except NotImplementedError:  # a form that pydicom does not know
            can = False
        if not can:
            raise _unclear(
                f"compressed by {syntax.name}, which pydicom cannot decode here",
                "Save it uncompressed, such as with `gdcmconv --raw`",
            )
    bits, used = dataset.BitsStored, dataset.HighBit + 1
    dataset.BitsStored = used  # pydicom clears the bits above, but knows of none below
    stored = dataset.pixel_array >> (used - bits)
    dataset.BitsStored = bits
    return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def _show(stored: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Return stored pixels as grey: the grey of every possible value is computed once."""
    values = _give_sign(np.arange(2**dataset.BitsStored), dataset)
    padding = _find_padding(stored, dataset)
    levels = _shade(values, stored[~padding], dataset)
    if not np.isfinite(levels).all():
        raise _damaged()
    greys = np.round(levels).astype(np.uint8)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        greys = 255 - greys
    # Values below 0 count from the end, as they stand there.
    return np.where(padding, np.uint8(0), greys[stored])


def _give_sign(values: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Return what the stored bits of integers mean."""
    bits = dataset.BitsStored
    values = values & (2**bits - 1)
    return values - (values >> (bits - 1) << bits) if dataset.PixelRepresentation else values


def _find_padding(stored: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Return which pixels only fill the frame: bool, of the same shape."""
    value = dataset.get("PixelPaddingValue")
    if value is None:
        return np.zeros(stored.shape, bool)
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = _give_sign(np.array([value, value if limit is None else limit]), dataset)
    return (stored >= ends.min()) & (stored <= ends.max())


def _shade(values: np.ndarray, seen: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Return the brightness of all possible values before any inversion: 0..255.

    `seen` are the values of the pixels.
    """
    from pydicom.pixels import apply_modality_lut, apply_voi

    for name in ("ModalityLUTSequence", "VOILUTSequence"):
        for table in dataset.get(name) or ():
            _widen(table)
    meant = apply_modality_lut(values, dataset)
    if dataset.get("VOILUTSequence"):
        return _stretch(apply_voi(np.round(meant).astype(int), dataset))
    if dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        return _apply_window(meant, dataset)
    if dataset.get("ModalityLUTSequence"):
        return _stretch(meant)
    # A linear rescaling changes no grey, unless it turns black and white round.
    levels = _spread(values, seen, dataset)
    return 255 - levels if dataset.get("RescaleSlope", 1) < 0 else levels


def _widen(table: "Dataset") -> None:
    """Give a table entries of 16 bits, whatever it says: pydicom needs the room."""
    entries, first, bits = table.LUTDescriptor
    if bits == 8 and isinstance(table.LUTData, bytes) and len(table.LUTData) < 2 * entries:
        table.LUTData = np.frombuffer(table.LUTData, np.uint8).astype("<u2").tobytes()
    table.LUTDescriptor = [entries, first, 16]


def _stretch(entries: np.ndarray) -> np.ndarray:
    """Return a table's entries as 0..255: white is the largest value of their real depth.

    The depth that a table states is unreliable: some call entries of 12 bits 16.
    """
    return entries * (255 / (2 ** max(8, int(entries.max()).bit_length()) - 1))


def _apply_window(values: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Return values through the first window of the header: 0..255, by DICOM PS3.3 C.11.2.1.2."""
    center, width = (
        float(np.ravel(dataset[name].value)[0]) for name in ("WindowCenter", "WindowWidth")
    )
    function = dataset.get("VOILUTFunction") or "LINEAR"
    least = 1 if function == "LINEAR" else np.finfo(float).tiny
    if not (np.isfinite(center) and least <= width < np.inf):
        raise _damaged("a DICOM file whose window has no width")
    if function == "SIGMOID":
        return 255 / (1 + np.exp(-4 * (values - center) / width))
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    elif function != "LINEAR_EXACT":
        raise _damaged()
    if width == 0:
        return np.where(values > center, 255, 0)
    return np.clip(((values - center) / width + 0.5) * 255, 0, 255)


def _spread(values: np.ndarray, seen: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Return values from black to the white of their depth: 0..255; 0 is black if none is below.

    A header of 16 bits mostly states how a pixel is stored, and not its depth, which is then found.
    """
    bits = dataset.BitsStored
    stated = bits < dataset.BitsAllocated or bits == 8
    below = np.count_nonzero(seen < 0) > BEYOND * seen.size
    if stated:
        bits -= bool(dataset.PixelRepresentation)
    else:
        bits = find_depth(np.where(seen < 0, -1 - seen, seen) if below else np.maximum(seen, 0))
    lowest, white = (-(2**bits), 2 ** (bits + 1) - 1) if below else (0, 2**bits - 1)
    return np.clip((values - lowest) / white, 0, 1) * 255

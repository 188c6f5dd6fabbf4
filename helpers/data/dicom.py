"""DICOM: X-rays as machines write them, turned into grey pixels.

Only the parts of a header that say how pixels are stored and shown are read. Nothing about the
patient gets into this program, and so into its files and messages.
"""

import io
import warnings
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from helpers.data.decoding import (
    BEYOND,
    CONVERT,
    LARGEST,
    BadImageError,
    find_depth,
    too_large,
)

if TYPE_CHECKING:  # an optional extra, which takes a quarter of a second to import
    from pydicom import Dataset

START = 132  # bytes, by whose end a file is known
PARTS = """
    Rows Columns SamplesPerPixel NumberOfFrames PhotometricInterpretation PlanarConfiguration
    BitsAllocated BitsStored HighBit PixelRepresentation PixelPaddingValue PixelPaddingRangeLimit
    ModalityLUTSequence RescaleSlope RescaleIntercept VOILUTSequence VOILUTFunction WindowCenter
    WindowWidth PresentationLUTShape ExtendedOffsetTable ExtendedOffsetTableLengths PixelData
""".split()  # noqa: SIM905
SHAPES = {"MONOCHROME1": "INVERSE", "MONOCHROME2": "IDENTITY"}  # by DICOM PS3.3 C.8.11.3.1.2
DEFLATED = b"1.2.840.10008.1.2.1.99"  # the whole file, so that a small one could fill the memory
RAW = "Save it uncompressed, such as with `gdcmconv --raw`"


def is_dicom(start: bytes) -> bool:
    """Return whether a file is DICOM by its beginning: a mark after 128 bytes of any kind."""
    return start[128:START] == b"DICM"


def read_dicom(content: bytes) -> np.ndarray:
    """Return the X-ray in a DICOM file as it is meant to be seen: uint8 grey, (height, width).

    The header's first table or window decides what is black and white. Without either, the depth
    of the pixels does, from 0 or, where pixels are below, the lowest value. Padding is black, like
    the air around a patient.

    Raises:
        BadImageError: it holds no picture, several, a coloured one, or one that cannot be decoded.
    """
    try:
        if DEFLATED in content[:4096]:
            raise _unclear("that is deflated as a whole", RAW)
        dataset = _import_pydicom().dcmread(io.BytesIO(content), specific_tags=PARTS)
        _refuse_unfit(dataset)
        return _show(_decode(dataset), dataset)
    except BadImageError:
        raise
    except Exception:  # pydicom raises many kinds, with words for programmers
        raise BadImageError("undecodable_file", "a damaged DICOM file") from None


def _unclear(what: str, remedy: str) -> BadImageError:
    """Return what is raised of a sound file that is no X-ray, or not for certain."""
    return BadImageError("unclear_file", f"a DICOM file {what}", remedy)


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
        raise BadImageError("undecodable_file", "a DICOM file without a picture, or cut short")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise _unclear(f"of {frames} pictures", "Save the one that you mean as a file of its own")
    meaning, shape = dataset.PhotometricInterpretation, dataset.get("PresentationLUTShape")
    if meaning not in SHAPES:
        raise _unclear("in colour, as no X-ray is", "Give the X-ray itself")
    if shape and shape != SHAPES[meaning]:
        raise _unclear(f"that says both {meaning} and {shape}", CONVERT)
    allocated, bits = dataset.BitsAllocated, dataset.BitsStored
    usual = allocated in (8, 16) and 0 < bits == dataset.HighBit + 1 <= allocated
    if not usual or dataset.SamplesPerPixel != 1:
        raise _unclear(
            f"whose pixels are stored in a rare way, {bits} bits of {allocated}", CONVERT
        )
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
            raise _unclear(f"compressed by {syntax.name}, which pydicom cannot decode here", RAW)
    return dataset.pixel_array


def _show(stored: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Return stored pixels as grey: the grey of every possible value is computed once."""
    values = _give_sign(np.arange(2**dataset.BitsStored), dataset)
    padding = _find_padding(stored, dataset)
    levels = _shade(values, stored[~padding], dataset)
    if not np.isfinite(levels).all():
        raise ValueError
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
    from pydicom import Dataset
    from pydicom.pixels import apply_windowing

    header = Dataset()  # of a picture of 8 bits, which the window fills
    header.BitsStored, header.PixelRepresentation = 8, 0
    header.PhotometricInterpretation = "MONOCHROME2"
    header.WindowCenter, header.WindowWidth = dataset.WindowCenter, dataset.WindowWidth
    header.VOILUTFunction = dataset.get("VOILUTFunction") or "LINEAR"
    return apply_windowing(values, header)


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

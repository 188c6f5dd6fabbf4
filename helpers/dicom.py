"""DICOM: X-rays as machines write them, turned into grey pixels.

Only those parts of a header are read that say how the pixels are stored and shown. What it says of
the patient never gets into this program, and so into none of its files and messages.
"""

import io
import warnings
from functools import cache
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from helpers.errors import CovidLungsError

if TYPE_CHECKING:  # an optional extra, which takes a quarter of a second to import
    from pydicom import Dataset

DICOM_SUFFIXES = frozenset({".dcm", ".dicom"})
MARK, MARK_PLACE = b"DICM", 128  # after a preamble of any content
PARTS = [
    "Rows",
    "Columns",
    "SamplesPerPixel",
    "NumberOfFrames",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "ExtendedOffsetTable",
    "ExtendedOffsetTableLengths",
    "PixelData",
]
DEPTHS = (8, 16)  # bits that a pixel takes in the file; 12 bits are stored in 16
LARGEST = 2**26  # pixels, four times as many as the finest detectors have
NEEDS_PYDICOM = "a DICOM file, which this installation cannot read"
INSTALL = "Install pydicom with `uv sync --extra dicom`, or in Colab with `%pip install pydicom`"


class DicomError(CovidLungsError):
    """A DICOM file that is no single grey picture, or cannot be decoded.

    Attributes:
        reason: what is wrong, without the file's name.
        remedy: what helps, without the full stop.
    """

    def __init__(self, reason: str, remedy: str = "Restore it from the archive"):
        super().__init__(f"{reason}. {remedy}.")
        self.reason, self.remedy = reason, remedy


def is_dicom(start: bytes) -> bool:
    """Return whether a file is DICOM by its first 132 bytes."""
    return start[MARK_PLACE : MARK_PLACE + len(MARK)] == MARK


def read_dicom(content: bytes) -> np.ndarray:
    """Return the X-ray in a DICOM file as it is meant to be seen: uint8 grey, (height, width).

    The header's first window or table decides what is black and white. Without either, 0 is black
    and white is the brightest value of the smallest bit depth that holds all pixels, as in a
    16-bit PNG; of signed pixels, black is that depth's lowest value.

    Raises:
        DicomError: it holds no picture, several, a coloured one, or one that cannot be decoded.
    """
    dataset = _parse(content)
    try:
        _refuse_unfit(dataset)
        stored = _decode(dataset)
        grey = np.round(255 * _shade(stored, dataset)).astype(np.uint8)
    except DicomError:
        raise
    except Exception:  # pydicom raises many kinds, with words for programmers
        raise DicomError("a damaged DICOM file") from None
    return 255 - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def _parse(content: bytes) -> "Dataset":
    """Return the parts of a file that are needed."""
    pydicom = _import_pydicom()
    try:
        return pydicom.dcmread(io.BytesIO(content), specific_tags=PARTS)
    except Exception:
        raise DicomError("a damaged DICOM file") from None


@cache  # warnings' filters may not be changed while other threads work
def _import_pydicom() -> ModuleType:
    """Return pydicom, which is then quiet: what it warns of is decoded all the same, or refused."""
    try:
        import pydicom
    except ImportError:
        raise DicomError(NEEDS_PYDICOM, INSTALL) from None
    warnings.filterwarnings("ignore", module="pydicom")
    return pydicom


def _refuse_unfit(dataset: "Dataset") -> None:
    """Refuse what is not one grey picture of a usual depth."""
    if "PixelData" not in dataset:
        raise DicomError("a DICOM file without a picture, or cut short")
    frames = int(dataset.get("NumberOfFrames") or 1)
    if frames != 1:
        raise DicomError(
            f"a DICOM file of {frames} pictures", "Save the one that you mean as a file of its own"
        )
    if dataset.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        raise DicomError("a DICOM file in colour, as no X-ray is", "Give the X-ray itself")
    if dataset.BitsAllocated not in DEPTHS or dataset.SamplesPerPixel != 1:
        raise DicomError(
            f"a DICOM file of {dataset.BitsAllocated * dataset.SamplesPerPixel} bits a pixel",
            "Save it with 8 or 16",
        )
    if dataset.Rows * dataset.Columns > LARGEST:
        raise DicomError("a DICOM file of more pixels than an X-ray has", "Save it smaller")


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
            raise DicomError(
                f"a DICOM file compressed by {syntax.name}, which pydicom cannot decode here",
                "Save it uncompressed, such as with `gdcmconv --raw`",
            )
    return dataset.pixel_array


def _shade(stored: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Return how bright each pixel is to be shown, before any inversion: float64, 0..1."""
    from pydicom.pixels import apply_modality_lut, apply_voi

    values = apply_modality_lut(stored, dataset)
    if dataset.get("VOILUTSequence"):
        bits = dataset.VOILUTSequence[0].LUTDescriptor[2]
        return apply_voi(values, dataset) / (2**bits - 1)
    if dataset.get("WindowCenter") is not None and dataset.get("WindowWidth") is not None:
        return _window(values, dataset)
    if dataset.get("ModalityLUTSequence"):
        return _spread(values)
    # Evenly rescaled values look as those that are stored do, if they are not turned round.
    return 1 - _spread(stored) if dataset.get("RescaleSlope", 1) < 0 else _spread(stored)


def _window(values: np.ndarray, dataset: "Dataset") -> np.ndarray:
    """Return values as the first window shows them, 0..1, by DICOM PS3.3 C.11.2.1.2 and 3."""
    center, width = (
        float(np.ravel(dataset[name].value)[0]) for name in ("WindowCenter", "WindowWidth")
    )
    function = dataset.get("VOILUTFunction") or "LINEAR"
    if function == "LINEAR":
        center, width = center - 0.5, width - 1
    if not (np.isfinite(center) and 0 <= width < np.inf and (width or function == "LINEAR")):
        raise DicomError("a DICOM file whose window has no width")
    if function == "SIGMOID":
        return 1 / (1 + np.exp(-4 * (values - center) / width))
    if not width:  # a threshold
        return (values > center).astype(float)
    return np.clip((values - center) / width + 0.5, 0, 1)


def _spread(values: np.ndarray) -> np.ndarray:
    """Return integer values as shares of the smallest bit depth, at least 8, that holds them all.

    Values below 0 need a depth with a sign.
    """
    lowest, highest = int(values.min()), int(values.max())
    if lowest >= 0:
        return values / (2 ** max(8, highest.bit_length()) - 1)
    bits = max(8, 1 + max(highest.bit_length(), (-1 - lowest).bit_length()))
    return (values + 2.0 ** (bits - 1)) / (2**bits - 1)

"""DICOM files that tests make, each of a patient whose name must come up nowhere."""

import io
import warnings

import numpy as np
from pydicom import Dataset, uid
from pydicom.dataset import FileMetaDataset

SECRET = "Zzyzx"


def make(pixels: np.ndarray, syntax: str = uid.ExplicitVRLittleEndian, **header) -> Dataset:
    """Return a DICOM X-ray of pixels; what is named replaces what would be there."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.SOPClassUID = uid.DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = "1.2.3"
    dataset.PatientName, dataset.PatientID = SECRET, f"{SECRET}-1"
    dataset.PatientBirthDate, dataset.InstitutionName = "19500101", SECRET
    dataset.Rows, dataset.Columns = pixels.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = 8 * pixels.dtype.itemsize
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    dataset.BitsStored = header.pop("bits", dataset.BitsAllocated)
    dataset.HighBit = header.pop("HighBit", dataset.BitsStored - 1)
    order = ">" if syntax == uid.ExplicitVRBigEndian else "<"
    dataset.PixelData = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    dataset["PixelData"].VR = "OW"
    for name, value in header.items():
        setattr(dataset, name, value)
    return dataset


def as_bytes(dataset: Dataset) -> bytes:
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom tells of what is wrong on purpose
        dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()

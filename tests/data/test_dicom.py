import builtins
import io
import os

import cv2
import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from pydicom import uid
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate

from helpers.audit.scan import scan
from helpers.data import dicom
from helpers.data.decoding import BadImageError
from helpers.data.dicom import read_dicom
from helpers.data.images import fingerprint, read_mask, read_xray
from helpers.data.sources import DataSet
from helpers.data.synthetic import draw_xray
from helpers.predict.files import find_xrays
from helpers.run.command import main
from tests.support.builders import refused, write_image
from tests.support.dicom_files import SECRET, as_bytes, make

IMAGE = draw_xray("Normal", 5)[0][:290]  # not square
few = settings(max_examples=60, deadline=None)


def deepen(image: np.ndarray, bits: int, dtype: str = "u2") -> np.ndarray:
    """Return an 8-bit image with more bits."""
    return np.round(image * ((2**bits - 1) / 255)).astype(dtype)


def table(values: np.ndarray, first: int = 0, bits: int = 16) -> Dataset:
    item = Dataset()
    item.add_new("LUTDescriptor", "US" if first >= 0 else "SS", [len(values), first, bits])
    kind = "u1" if values.dtype == np.uint8 else "<u2"
    item.add_new("LUTData", "OW", values.astype(kind).tobytes())
    item.ModalityLUTType = "US"
    return item


def compress(image: np.ndarray, syntax: str) -> Dataset:
    if syntax == uid.RLELossless:
        dataset = make(image)
        dataset.compress(syntax)
        return dataset
    buffer = io.BytesIO()
    if syntax == uid.JPEG2000Lossless:
        Image.fromarray(image).save(buffer, "JPEG2000", no_jp2=True, irreversible=False)
    else:
        buffer.write(cv2.imencode(".jpg", image)[1].tobytes())
    return make(image, syntax, PixelData=encapsulate([buffer.getvalue()]))


WINDOW = {"WindowCenter": 28, "WindowWidth": 256}
TWELVE, SIXTEEN = deepen(IMAGE, 12), deepen(IMAGE, 16)
FORMS = {
    "8 bits": make(IMAGE),
    "8 bits, MONOCHROME1": make(255 - IMAGE, PhotometricInterpretation="MONOCHROME1"),
    "8 bits, signed": make((IMAGE.astype(int) - 128).astype("i1")),
    "12 bits": make(TWELVE, bits=12),
    "12 bits that claim to be 16": make(TWELVE),
    "12 bits, MONOCHROME1": make(4095 - TWELVE, bits=12, PhotometricInterpretation="MONOCHROME1"),
    "12 bits, signed": make((TWELVE.astype(int) - 2048).astype("i2"), bits=12),
    "16 bits": make(SIXTEEN),
    "16 bits, signed": make((SIXTEEN.astype(int) - 2**15).astype("i2")),
    "one frame": make(IMAGE, NumberOfFrames=1),
    "window": make(1000 + IMAGE.astype("u2"), bits=12, WindowCenter=1128, WindowWidth=256),
    "window of 12 bits": make(
        500 + 4 * IMAGE.astype("u2"), bits=12, WindowCenter=1010.5, WindowWidth=1021
    ),
    "windows, the first of which counts": make(
        IMAGE.astype("u2") + 7, WindowCenter=[135, 20], WindowWidth=[256, 10]
    ),
    "exact window": make(IMAGE, WindowCenter=127.5, WindowWidth=255, VOILUTFunction="LINEAR_EXACT"),
    "empty window": make(IMAGE, WindowCenter=None, WindowWidth=None),
    "rescaled": make(TWELVE, bits=12, RescaleSlope=1, RescaleIntercept=-1024),
    "rescaled, with a window": make(
        IMAGE.astype("u2") * 2, RescaleSlope="0.5", RescaleIntercept=-100, **WINDOW
    ),
    "rescaled and turned round": make(255 - IMAGE, RescaleSlope=-1, RescaleIntercept=255),
    "signed, with a window": make(
        IMAGE.astype("i2") - 300, bits=12, WindowCenter=-172, WindowWidth=256
    ),
    "table for the modality": make(
        255 - IMAGE, ModalityLUTSequence=[table(257 * np.arange(255, -1, -1))]
    ),
    "table for what is seen": make(IMAGE, VOILUTSequence=[table(257 * np.arange(256))]),
    "table before the window": make(
        IMAGE, VOILUTSequence=[table(np.arange(256), bits=8)], **WINDOW
    ),
    "table of 12 bits that claim to be 16": make(
        IMAGE, VOILUTSequence=[table(deepen(np.arange(256), 12))]
    ),
    "long table of 8 bits": make(
        TWELVE, bits=12, VOILUTSequence=[table(np.round(np.arange(4096) / 4095 * 255), bits=8)]
    ),
    "table of bytes": make(IMAGE, VOILUTSequence=[table(np.arange(256, dtype=np.uint8), bits=8)]),
    "table for the modality of 12 bits": make(
        IMAGE, ModalityLUTSequence=[table(deepen(np.arange(256), 12), bits=12)]
    ),
    "table after rescaling": make(
        IMAGE,
        RescaleSlope=2,
        RescaleIntercept=-100,
        VOILUTSequence=[table(257 * (np.arange(511) // 2), -100)],
    ),
    "12 bits under others, such as of an overlay": make(TWELVE | 0xA000, bits=12),
    "12 bits, signed, under others": make((TWELVE - 2048) & 0xFFF, bits=12, PixelRepresentation=1),
    "12 bits, signed, none below 0": make(deepen(IMAGE, 11, "i2"), bits=12),
    "identity": make(IMAGE, PresentationLUTShape="IDENTITY"),
    "inverse": make(
        255 - IMAGE, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE"
    ),
    "table from below 0": make(
        IMAGE.astype("i2") - 50, VOILUTSequence=[table(deepen(np.arange(256), 12), -50, 12)]
    ),
    "implicit": make(IMAGE, uid.ImplicitVRLittleEndian),
    "big-endian": make(SIXTEEN, uid.ExplicitVRBigEndian),
    "run lengths": compress(IMAGE, uid.RLELossless),
    "run lengths of 16 bits": compress(SIXTEEN, uid.RLELossless),
    "JPEG 2000": compress(IMAGE, uid.JPEG2000Lossless),
    "JPEG 2000 of 16 bits": compress(SIXTEEN, uid.JPEG2000Lossless),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_reads_as_the_png_that_it_came_from(form):
    np.testing.assert_array_equal(read_dicom(as_bytes(FORMS[form])), IMAGE)


def test_a_jpeg_in_dicom_reads_as_the_jpeg_itself(tmp_path):
    path = write_image(tmp_path / "a.jpg", IMAGE)
    content = as_bytes(compress(IMAGE, uid.JPEGBaseline8Bit))
    np.testing.assert_array_equal(read_dicom(content), read_xray(path))


def test_a_sigmoid_window():
    levels = np.arange(256, dtype=np.uint8)[None]
    dataset = make(levels, WindowCenter=100, WindowWidth=50, VOILUTFunction="SIGMOID")
    expected = 255 / (1 + np.exp(-4 * (levels - 100.0) / 50))
    np.testing.assert_array_equal(read_dicom(as_bytes(dataset)), np.round(expected))


def test_a_window_of_one_value_is_a_threshold():
    levels = np.arange(8, dtype=np.uint8)[None]
    dataset = make(levels, WindowCenter=4, WindowWidth=1)
    assert read_dicom(as_bytes(dataset)).tolist() == [[0] * 4 + [255] * 4]


@few
@given(
    arrays("i2", (2, 3), elements=st.integers(-2048, 2047)),
    st.integers(-2000, 2000),
    st.integers(2, 4000),
)
def test_what_is_brighter_stays_brighter_and_inversion_mirrors(pixels, center, width):
    window = {"WindowCenter": center, "WindowWidth": width}
    for header in ({}, window):
        grey = read_dicom(as_bytes(make(pixels, bits=12, **header))).astype(int)
        order = np.argsort(pixels, axis=None)
        assert (np.diff(grey.ravel()[order]) >= 0).all()
        mirrored = make(pixels, bits=12, PhotometricInterpretation="MONOCHROME1", **header)
        np.testing.assert_array_equal(read_dicom(as_bytes(mirrored)), 255 - grey)


FRAME = np.zeros(IMAGE.shape, bool)
FRAME[:20], FRAME[:, -30:] = True, True
PADDED = np.where(FRAME, 0, IMAGE)
PADDINGS = {
    "white": make(np.where(FRAME, 65535, TWELVE).astype("u2"), PixelPaddingValue=65535),
    "a range": make(
        np.where(FRAME, np.arange(299) % 7 + 4100, TWELVE).astype("u2"),
        PixelPaddingValue=4106,
        PixelPaddingRangeLimit=4100,
    ),
    "below all": make(
        np.where(FRAME, -2000, deepen(IMAGE, 11)).astype("i2"), PixelPaddingValue=-2000
    ),
    "in a window": make(
        np.where(FRAME, 999, IMAGE.astype(int)).astype("u2"),
        PixelPaddingValue=999,
        WindowCenter=128,
        WindowWidth=256,
    ),
    "in a table": make(
        np.where(FRAME, 999, IMAGE.astype(int)).astype("u2"),
        PixelPaddingValue=999,
        VOILUTSequence=[table(257 * np.arange(256))],
    ),
}


@pytest.mark.parametrize("kind", PADDINGS)
def test_padding_is_black_and_decides_nothing(kind):
    np.testing.assert_array_equal(read_dicom(as_bytes(PADDINGS[kind])), PADDED)


def test_the_header_s_depth_is_kept_however_dark_the_pixels_are():
    dark = deepen(IMAGE // 4, 12)
    np.testing.assert_array_equal(read_dicom(as_bytes(make(dark, bits=12))), IMAGE // 4)
    signed = (dark.astype(int) - 2048).astype("i2")
    np.testing.assert_array_equal(read_dicom(as_bytes(make(signed, bits=12))), IMAGE // 4)


@few
@given(st.integers(1, 800), st.integers(0, 65535), st.booleans())
def test_no_letter_changes_the_grey_of_other_pixels(letter, level, signed):
    places = np.random.default_rng(letter).choice(IMAGE.size, letter, replace=False)
    pixels = TWELVE.astype(int) - 2048 * signed
    pixels.flat[places] = level - 2**15 * signed  # up to 0.9 % of them
    grey = read_dicom(as_bytes(make(pixels.astype("i2" if signed else "u2"))))
    others = np.setdiff1d(np.arange(IMAGE.size), places)
    np.testing.assert_array_equal(grey.flat[others], IMAGE.flat[others])


def test_a_data_set_may_hold_dicom_files(tmp_path):
    mask = np.zeros((290, 299), np.uint8)
    mask[50:250, 40:120] = mask[50:250, 180:260] = 1
    for part, dataset in (("images", FORMS["12 bits, MONOCHROME1"]), ("masks", make(mask))):
        (tmp_path / "COVID" / part).mkdir(parents=True)
        (tmp_path / "COVID" / part / "a.dcm").write_bytes(as_bytes(dataset))
    (tmp_path / "COVID/images/b.dcm").write_bytes(as_bytes(FORMS["8 bits"])[:900])
    files, _, listing = scan(DataSet("tiny", tmp_path, synthetic=False))
    assert listing.others == []
    assert files["fault"].tolist() == ["", "undecodable_file", ""]
    assert files["format"].tolist()[::2] == ["dicom"] * 2
    assert files["pixels"].tolist()[::2] == [fingerprint(IMAGE), fingerprint(mask)]
    np.testing.assert_array_equal(read_mask(tmp_path / "COVID/masks/a.dcm"), mask)


THREE = np.stack([IMAGE] * 3)
UNFIT = {
    "3 pictures": make(THREE, NumberOfFrames=3),
    "in colour": make(
        np.dstack([IMAGE] * 3),
        Rows=290,
        Columns=299,
        SamplesPerPixel=3,
        PhotometricInterpretation="RGB",
        PlanarConfiguration=0,
    ),
    "a rare way, 32 bits of 32": make(IMAGE.astype("u4")),
    "a rare way, 12 bits of 16": make(TWELVE << 4, bits=12, HighBit=15),
    "deflated as a whole": make(IMAGE, uid.DeflatedExplicitVRLittleEndian),
    "larger than any X-ray": make(IMAGE, Rows=60000, Columns=60000),
    "a damaged DICOM file": make(IMAGE, Rows=291),
    "damaged": make(IMAGE, WindowCenter=3, WindowWidth=0),
    "JPEG Lossless": make(IMAGE, uid.JPEGLosslessSV1, PixelData=encapsulate([b"x" * 10])),
    "both MONOCHROME1 and IDENTITY": make(
        IMAGE, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="IDENTITY"
    ),
    "both MONOCHROME2 and INVERSE": make(IMAGE, PresentationLUTShape="INVERSE"),
    "without a picture": make(IMAGE),
}
del UNFIT["without a picture"].PixelData


@pytest.mark.parametrize("fault", UNFIT)
def test_what_is_no_single_grey_picture_is_refused_by_name(fault, tmp_path):
    path = tmp_path / "a.dcm"
    path.write_bytes(as_bytes(UNFIT[fault]))
    with refused("a.dcm: ", fault, ". ") as caught:
        read_xray(path)
    assert SECRET not in str(caught)


@pytest.mark.parametrize("form", ["8 bits", "run lengths", "JPEG 2000", "table for what is seen"])
def test_a_file_cut_anywhere_is_refused_by_name(form, tmp_path):
    content, path = as_bytes(FORMS[form]), tmp_path / "a.dcm"
    for share in (0.003, 0.01, 0.1, 0.5, 0.9):
        path.write_bytes(content[: int(share * len(content))])
        with refused("a.dcm: ", "", "Restore it"):
            read_xray(path)


def test_predict_takes_dicom_and_writes_nothing_of_the_patient(runs, tmp_path, capfd):
    # A segmenter that takes grey values for probabilities: bright is lung.
    seer = keras.Sequential([keras.Input((32, 32, 1)), keras.layers.Activation("linear")])
    (runs / "a/segmentation").mkdir(parents=True)
    seer.save(runs / "a/segmentation/model.keras")
    contents = {
        "a.dcm": FORMS["8 bits"],
        "disc/IM01": FORMS["12 bits, MONOCHROME1"],
        "b.DICOM": UNFIT["3 pictures"],
        "c.dcm": UNFIT["a damaged DICOM file"],
        "DICOMDIR": UNFIT["without a picture"],
    }
    for name, dataset in contents.items():
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        dataset.PatientBirthDate = f"{SECRET} is no date"  # pydicom warns of it, and quotes it
        (tmp_path / "in" / name).write_bytes(as_bytes(dataset))
    (tmp_path / "in/notes").write_text("no DICOM file")
    assert main(["predict", "--run", "a", str(tmp_path / "in")]) == 1
    said = capfd.readouterr()
    assert len(said.err.splitlines()) == 2
    assert "b.DICOM: a DICOM file of 3 pictures. Save the one that you mean" in said.err
    made = runs / "a/predictions"
    assert sorted(made.glob("masks/**/*.png")) == [
        made / "masks/a.png",
        made / "masks/disc/IM01.png",
    ]
    for path in made.rglob("*"):
        assert SECRET not in path.name
        assert path.is_dir() or SECRET.encode() not in path.read_bytes()
    assert SECRET not in said.out + said.err


def test_a_clinic_s_numbers_are_names_of_dicom_files(tmp_path):
    names = ["1.2.840.4.1", "1.2.840.4.2", "IM0001"]
    for name in names:
        (tmp_path / name).write_bytes(as_bytes(FORMS["8 bits"]))
    (tmp_path / "notes.txt").write_text("no DICOM file")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")  # is not waited for
    files = find_xrays([str(tmp_path)])
    assert files == [(f"{tmp_path}/{name}", name) for name in names]


def test_without_the_extra_the_message_names_it(tmp_path, monkeypatch):
    usual = builtins.__import__

    def lack(name, *rest):
        if name.partition(".")[0] == "pydicom":
            raise ImportError(name)
        return usual(name, *rest)

    (tmp_path / "a.dcm").write_bytes(as_bytes(FORMS["8 bits"]))
    write_image(tmp_path / "b.png", IMAGE)
    dicom._import_pydicom.cache_clear()
    monkeypatch.setattr(builtins, "__import__", lack)
    with refused("a.dcm", "cannot read", "--extra dicom"):
        read_xray(tmp_path / "a.dcm")
    assert read_xray(tmp_path / "b.png").any()


def test_no_error_of_pydicom_comes_through():
    rng = np.random.default_rng(0)
    content = bytearray(as_bytes(FORMS["window"]))
    head = len(content) - IMAGE.size * 2
    for _ in range(300):
        damaged = content.copy()
        for place in rng.integers(128, head, 3):
            damaged[place] = rng.integers(256)
        try:
            assert read_dicom(bytes(damaged)).dtype == np.uint8
        except BadImageError as error:
            assert SECRET not in str(error)

import shutil
from mmap import mmap
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.audit.duplicates import make_thumbnail
from helpers.audit.mask_shapes import MEASURES, measure_masks, shrink_mask
from helpers.audit.scan import Scan, Seen, scan
from helpers.data.images import fingerprint, read_mask, read_xray
from helpers.data.sources import DataSet
from tests.support.builders import (
    image_path,
    lung_mask,
    mask_path,
    refused,
    write_image,
    xray,
)

GREY, LUNGS = xray(1), lung_mask(1)


def scan_one(folder: Path, part: str, pixels: np.ndarray) -> tuple[pd.Series, Scan]:
    """Return the row of a data set's only file, and the whole scan."""
    write_image(folder / "COVID" / part / "a.png", pixels)
    scanned = scan(DataSet("tiny", folder, synthetic=False))
    assert len(scanned.files) == 1
    return scanned.files.iloc[0], scanned


def test_every_file_has_a_row_with_its_facts(data_set):
    files, thumbnails, listing = scan(data_set)
    assert set(files.columns) == {"class", *Seen._fields, *MEASURES, "outside"} - {
        "class_name",
        "small",
    }
    paths = {path.relative_to(data_set.root).as_posix() for path in data_set.root.rglob("*.png")}
    assert list(files["file"]) == sorted(paths)
    assert listing.others == []
    assert set(files["fault"]) == set(files["reason"]) == {""}
    assert thumbnails.keys() == set(files["file"][files["part"] == "images"])
    for row in files.itertuples():
        path = data_set.root / row.file
        assert row.file == f"{row.file.split('/')[0]}/{row.part}/{row.stem}.png"
        pixels = read_xray(path) if row.part == "images" else read_mask(path)
        assert row.pixels == fingerprint(pixels)
        assert (row.height, row.width) == pixels.shape
        assert (row.format, row.bits) == ("png", 8)
        if row.part == "images":
            assert not row.coloured
            np.testing.assert_array_equal(thumbnails[row.file], make_thumbnail(pixels))
        else:
            measures = measure_masks([shrink_mask(pixels)]).iloc[0].to_dict()
            assert row.binary
            assert {name: getattr(row, name) for name in measures} == measures


def test_thumbnails_and_masks_lie_in_a_file_of_a_cache_that_keeps_none(
    data_set, cache, monkeypatch
):
    def find_base(array: np.ndarray) -> object:
        while isinstance(array, np.ndarray):
            array = array.base
        return array

    measured, measure = [], measure_masks
    monkeypatch.setattr(
        "helpers.audit.scan.measure_masks", lambda masks: measured.extend(masks) or measure(masks)
    )
    _, thumbnails, _ = scan(data_set)
    assert len(thumbnails) == len(measured) == 9
    assert {type(find_base(small)) for small in (*thumbnails.values(), *measured)} == {mmap}
    assert {type(small) for small in thumbnails.values()} == {np.ndarray}, "others are larger"
    thumbnails.clear(), measured.clear()
    assert list((cache / "arrays").iterdir()) == []


def test_a_cache_without_room_for_the_thumbnails_is_named(data_set, cache, monkeypatch):
    free = [9 * (96**2 + 64**2)]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, *free))
    assert len(scan(data_set).thumbnails) == 9
    free[0] -= 1
    with refused("small pictures", "needs 0.00 GB in", "COVID_LUNGS_CACHE"):
        scan(data_set)


def test_hidden_files_are_skipped_and_strangers_are_listed(data_set):
    folder = data_set.root / "COVID" / "images"
    for name in (".hidden.png", ".DS_Store", "a.txt", "readme"):
        (folder / name).write_bytes(b"no image")
    (data_set.root / "COVID" / "masks" / "old").mkdir()
    write_image(data_set.root / "COVID" / "elsewhere.png", GREY)
    files, _, listing = scan(data_set)
    assert len(files) == 18
    strangers = [f"COVID/images/{name}" for name in ("a.txt", "readme")]
    assert listing.others == strangers
    assert (listing.unused, listing.idle) == (["COVID/elsewhere.png"], ["COVID/masks/old"])


def test_a_class_without_masks_or_without_anything_is_scanned(tmp_path):
    write_image(tmp_path / "COVID/images/a.png", GREY)
    (tmp_path / "Normal/masks").mkdir(parents=True)
    files, thumbnails, _ = scan(DataSet("tiny", tmp_path, synthetic=False))
    assert list(files["file"]) == list(thumbnails) == ["COVID/images/a.png"]


@pytest.mark.parametrize("level", [0, 7, 255])
def test_an_xray_of_one_grey_is_blank(level, tmp_path):
    row, scanned = scan_one(tmp_path, "images", np.full((9, 8, 3), level, np.uint8))
    assert (row["fault"], row["reason"]) == ("blank_xray", "all pixels are equal")
    assert scanned.thumbnails == {}


def test_an_xray_with_a_single_dot_is_not_blank(tmp_path):
    dot = np.zeros((9, 8), np.uint8)
    dot[4, 4] = 1
    row, scanned = scan_one(tmp_path, "images", dot)
    assert row["fault"] == ""
    assert len(scanned.thumbnails) == 1


NOISE = np.random.default_rng(0).integers(0, 9, (24, 20), dtype=np.uint8)
BLANK = {
    "black": LUNGS * 0,
    "black under full alpha": cv2.merge([LUNGS * 0] * 3 + [LUNGS * 0 + 255]),
    "noise up to 8": NOISE,
    "white": LUNGS * 0 + 255,
    "white by a channel": cv2.merge([LUNGS * 0, LUNGS * 0, LUNGS * 0 + 255]),
    "white by ones": LUNGS * 0 + 1,
    "white in 16 bits": LUNGS.astype(np.uint16) * 0 + 65535,
}
FAINT = {
    "noise up to 9": NOISE + (NOISE == 8),
    "of zeros and eights": LUNGS // 255 * 8,
    "in one channel": cv2.merge([LUNGS, LUNGS * 0, LUNGS * 0]),
    "of two greys": LUNGS // 255 * 100 + 50,
}


@pytest.mark.parametrize("kind", [*BLANK, *FAINT])
def test_black_and_white_masks_are_told_from_faint_ones(kind, tmp_path):
    row, _ = scan_one(tmp_path, "masks", (BLANK | FAINT)[kind])
    assert row["fault"] == ("blank_mask" if kind in BLANK else "")
    assert pd.isna(row["lung_share"]) == (kind in BLANK)


@pytest.mark.parametrize(("pixels", "fault"), [(LUNGS * 0, ""), (NOISE, "blank_mask")])
def test_a_mask_of_the_infection_may_be_black(pixels, fault, tmp_path):
    write_image(tmp_path / "COVID/images/a.png", GREY)
    write_image(tmp_path / "COVID/infection masks/a.png", pixels)
    files = scan(DataSet("tiny", tmp_path, synthetic=False)).files.set_index("part")
    assert files.loc["infection masks", "fault"] == fault
    assert fault or files.loc["infection masks", "binary"], "of no levels, not of several"


@pytest.mark.parametrize(
    ("moved", "infection", "outside"),
    [
        (0, LUNGS, 0),
        (0, LUNGS * 0, None),  # a black one lies nowhere
        (0, cv2.resize(LUNGS, None, fx=3, fy=3), 0),  # of another size
        (0, np.where(LUNGS, 0, np.uint8(255)), 1),
        (LUNGS.shape[0] // 4, LUNGS, "some"),
    ],
)
def test_the_share_of_an_infection_outside_the_lungs(moved, infection, outside, tmp_path):
    write_image(tmp_path / "COVID/images/a.png", GREY)
    write_image(tmp_path / "COVID/masks/a.png", np.roll(LUNGS, moved, axis=0))
    write_image(tmp_path / "COVID/infection masks/a.png", infection)
    # Another name, split or class is another X-ray's.
    write_image(tmp_path / "COVID/images/b.png", GREY[::-1])
    write_image(tmp_path / "COVID/masks/b.png", LUNGS[::-1])
    files = scan(DataSet("tiny", tmp_path, synthetic=False)).files.set_index("file")
    found = files["outside"].dropna().to_dict()
    if outside == "some":
        assert 0.1 < found["COVID/infection masks/a.png"] < 0.9
    else:
        assert found == ({} if outside is None else {"COVID/infection masks/a.png": outside})


def test_without_lung_masks_no_infection_lies_outside_them(tmp_path):
    write_image(tmp_path / "COVID/images/a.png", GREY)
    write_image(tmp_path / "COVID/infection masks/a.png", LUNGS)
    files = scan(DataSet("tiny", tmp_path, synthetic=False)).files
    assert len(files) == 2 and files["outside"].isna().all()


def test_a_mask_of_zeros_and_ones_measures_as_one_of_black_and_white(tmp_path):
    columns = ["pixels", *MEASURES]
    ones, _ = scan_one(tmp_path / "ones", "masks", LUNGS // 255)
    white, _ = scan_one(tmp_path / "white", "masks", LUNGS)
    pd.testing.assert_series_equal(ones[columns], white[columns])
    assert white["binary"]


def test_a_mask_of_several_levels_is_not_binary(tmp_path):
    grey = LUNGS.copy()
    grey[0, 0] = 3
    row, _ = scan_one(tmp_path, "masks", grey)
    assert not row["binary"]
    assert row["pixels"] == fingerprint(LUNGS // 255)


@pytest.mark.parametrize(
    ("pixels", "coloured"),
    [
        (GREY, False),
        (cv2.merge([GREY] * 3), False),
        (cv2.merge([GREY] * 3 + [GREY * 0 + 255]), False),
        (cv2.merge([GREY, GREY, GREY ^ 1]), True),
        (cv2.merge([GREY, GREY ^ 1, GREY]), True),
        (cv2.merge([GREY ^ 1, GREY, GREY, GREY * 0 + 255]), True),
    ],
)
def test_colour_is_told_from_grey_in_several_channels(pixels, coloured, tmp_path):
    row, _ = scan_one(tmp_path, "images", pixels)
    assert row["coloured"] == coloured


def test_sixteen_bits_are_noted_and_compare_as_eight(tmp_path):
    full = GREY.copy()
    full[0, 0] = 255
    row, scanned = scan_one(tmp_path, "images", full.astype(np.uint16) * 257)
    assert row["bits"] == 16
    assert row["pixels"] == fingerprint(full)
    np.testing.assert_array_equal(scanned.thumbnails[row["file"]], make_thumbnail(full))


def test_a_damaged_file_keeps_its_row_with_fault_and_reason(data_set):
    image, mask = image_path(data_set.root, "COVID", 1), mask_path(data_set.root, "COVID", 2)
    image.write_bytes(image.read_bytes()[:-20])
    mask.write_bytes(b"")
    image_path(data_set.root, "COVID", 3).write_text("404")
    mask_path(data_set.root, "COVID", 4).unlink()
    mask_path(data_set.root, "COVID", 4).symlink_to("nowhere.png")
    files, thumbnails, _ = scan(data_set)
    damaged = files[files["fault"] != ""].set_index("file")
    assert damaged["fault"].to_dict() == {
        "COVID/images/COVID-1.png": "truncated_file",
        "COVID/images/COVID-3.png": "undecodable_file",
        "COVID/masks/COVID-2.png": "empty_file",
        "COVID/masks/COVID-4.png": "unreadable_file",
    }
    reasons = [reason.split(" (")[0] for reason in damaged["reason"]]
    assert reasons == [
        "the file is cut short",
        "cannot be decoded as an 8- or 16-bit image",
        "the file is empty",
        "cannot be read",
    ]
    assert (damaged[["width", "height"]] == 0).all(axis=None)
    assert (
        damaged[["format", "bits", "pixels", "coloured", "binary", *MEASURES]].isna().all(axis=None)
    )
    assert len(thumbnails) == 9 - 2


def test_every_file_is_decoded_once(data_set, monkeypatch):
    decoded, decode = [], cv2.imdecode
    monkeypatch.setattr(cv2, "imdecode", lambda *given: decoded.append(given) or decode(*given))
    scan(data_set)
    assert len(decoded) == 18


KINDS = [
    cv2.imencode(suffix, pixels)[1].tobytes()
    for suffix in (".png", ".jpg", ".bmp", ".tif")
    for pixels in (GREY, cv2.merge([LUNGS] * 3))
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Return an image with some bytes replaced and its end cut off."""
    content = bytearray(draw(st.sampled_from(KINDS)))
    for _ in range(draw(st.integers(0, 3))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(0, len(content)))])


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200) | damaged(), part=st.sampled_from(["images", "masks"]))
def test_no_content_ends_a_scan(content, part, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    path = folder / "COVID" / part / "a.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    files, thumbnails, _ = scan(DataSet("tiny", folder, synthetic=False))
    (row,) = files.itertuples()
    assert bool(row.fault) == bool(row.reason) == pd.isna(row.pixels)
    assert len(thumbnails) == (part == "images" and not row.fault)

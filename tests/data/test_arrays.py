import errno
import hashlib
import os
import shutil
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.data import arrays
from helpers.data.arrays import prepare_images, prepare_masks
from helpers.data.images import read_mask, read_xray, resize_image, resize_mask
from helpers.split.index import build_index
from helpers.storage import versions
from tests.support.builders import (
    image_path,
    lung_mask,
    mask_path,
    refused,
    upgrade,
    write_image,
    xray,
)

pytestmark = pytest.mark.usefixtures("cache")


def test_images_are_the_index_s_rows_resized(data_set):
    index, _ = build_index(data_set)
    array = prepare_images(data_set, index, 16)
    assert array.shape == (9, 16, 16)
    assert array.dtype == np.uint8
    for pixels, file in zip(array, index["file"], strict=True):
        expected = resize_image(read_xray(data_set.root / file), (16, 16))
        np.testing.assert_array_equal(pixels, expected)


def test_masks_are_the_index_s_rows_and_binary(data_set):
    index, _ = build_index(data_set)
    array = prepare_masks(data_set, index, 16)
    assert array.shape == (9, 16, 16)
    assert set(np.unique(array)) == {0, 1}
    for pixels, file in zip(array, index["mask"], strict=True):
        expected = resize_mask(read_mask(data_set.root / file), (16, 16))
        np.testing.assert_array_equal(pixels, expected)


def test_some_rows_give_the_array_of_these_rows(data_set):
    index, _ = build_index(data_set)
    whole = np.array(prepare_images(data_set, index, 16))
    rows = [7, 2, 5]
    np.testing.assert_array_equal(prepare_images(data_set, index.iloc[rows], 16), whole[rows])


def test_the_array_lies_on_disk_and_cannot_be_changed(data_set):
    array = prepare_images(data_set, build_index(data_set)[0], 16)
    assert isinstance(array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        array[0, 0, 0] = 1


def test_files_are_decoded_once(data_set):
    index, _ = build_index(data_set)
    first = np.array(prepare_images(data_set, index, 16))
    shutil.rmtree(data_set.root)
    np.testing.assert_array_equal(prepare_images(data_set, index, 16), first)


def test_another_resizing_or_library_makes_the_array_anew(data_set, cache, monkeypatch):
    index, _ = build_index(data_set)
    others = [prepare_images(data_set, index, 8), prepare_masks(data_set, index, 16)]
    first = prepare_images(data_set, index, 16)
    before = np.array(first)
    (name,) = {path.name for path in kept(cache, "pixels-*-16-*")}
    monkeypatch.setattr(arrays, "resize_image", lambda image, size: resize_image(image, size) // 2)
    monkeypatch.setattr(arrays, "code_version", lambda *modules: "0123456789abcdef")
    second = prepare_images(data_set, index, 16)
    np.testing.assert_array_equal(second, before // 2)
    np.testing.assert_array_equal(first, before, "who reads the old one reads on")
    assert [path.name == name for path in kept(cache, "pixels-*-16-*")] == [False]
    assert len(kept(cache, "*")) == 1 + len(others), "those of other sizes and of masks stay"


def kept(cache, pattern):
    return list((cache / "arrays").glob(pattern))


@pytest.mark.parametrize("library", ["numpy", "opencv-python-headless", "pydicom"])
def test_the_array_s_name_changes_with_the_libraries_that_decode(
    library, data_set, cache, monkeypatch
):
    index, _ = build_index(data_set)
    prepare_images(data_set, index, 16)
    (before,) = kept(cache, "*")
    upgrade(monkeypatch, library)
    prepare_images(data_set, index, 16)
    (after,) = kept(cache, "*")
    assert after != before


def test_the_array_s_name_changes_with_the_code_that_resizes(
    data_set, cache, tmp_path, monkeypatch
):
    index, _ = build_index(data_set)
    copy = tmp_path / "helpers"
    shutil.copytree(versions.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(versions, "PACKAGE", copy)
    prepare_images(data_set, index, 16)
    (before,) = kept(cache, "*")
    for path in copy.rglob("*.py"):
        text = path.read_text()
        path.write_text(text.replace("INTER_AREA", "INTER_LINEAR_EXACT"))
    prepare_images(data_set, index, 16)
    (after,) = kept(cache, "*")
    assert after != before


def test_pixels_changed_after_indexing_are_refused(data_set, cache):
    index, _ = build_index(data_set)
    write_image(image_path(data_set.root, "COVID", 2), xray(99))
    write_image(mask_path(data_set.root, "COVID", 2), lung_mask(2)[::-1])
    for prepare in (prepare_images, prepare_masks):
        with refused("COVID-2.png", "pixels differ from index.csv", "run 01_get_data again"):
            prepare(data_set, index, 16)
    assert list((cache / "arrays").iterdir()) == [], "no half-filled array is left"


def test_a_library_that_decodes_otherwise_gets_a_new_index_and_arrays_of_it(data_set, monkeypatch):
    path = image_path(data_set.root, "COVID", 2)
    path.unlink()
    path = write_image(path.with_suffix(".bmp"), xray(7))
    index, _ = build_index(data_set)
    status = path.stat()
    write_image(path, xray(8))  # stands for the same file, decoded otherwise
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with refused(
        "COVID-2.bmp", "another version of covid-lungs or OpenCV", "run 01_get_data again"
    ):
        prepare_images(data_set, index, 16)
    upgrade(monkeypatch, "opencv-python-headless")
    index, _ = build_index(data_set)
    row = list(index["file"]).index("COVID/images/COVID-2.bmp")
    expected = resize_image(xray(8), (16, 16))
    np.testing.assert_array_equal(prepare_images(data_set, index, 16)[row], expected)


def test_a_file_removed_after_indexing_is_refused(data_set, cache):
    index, _ = build_index(data_set)
    image_path(data_set.root, "Normal", 5).unlink()
    with refused("Normal-5.png", "cannot be read", "Restore it"):
        prepare_images(data_set, index, 16)
    assert list((cache / "arrays").iterdir()) == []


def test_a_cache_that_cannot_be_made_is_named(data_set, cache):
    index, _ = build_index(data_set)
    shutil.rmtree(cache)
    cache.touch()
    with refused("cache/arrays", "cannot be written", "COVID_LUNGS_CACHE"):
        prepare_images(data_set, index, 16)


def test_a_disk_without_room_is_refused_with_both_sizes(data_set, cache, monkeypatch):
    index, _ = build_index(data_set)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 0))
    with refused("arrays", "0.00 GB free", "Make room"):
        prepare_images(data_set, index, 16)
    assert not list((cache / "arrays").iterdir())


def test_masks_that_are_not_there_are_named_with_what_does_without(data_set):
    index, _ = build_index(data_set)
    with refused("tiny", "no lung masks", "without own_masks, 06_audit_shortcuts need none"):
        prepare_masks(data_set, index.assign(mask=""), 16)


@pytest.fixture
def on_disk(data_set) -> np.memmap:
    """The prepared array of a small data set."""
    return prepare_images(data_set, build_index(data_set)[0], 16)


@pytest.fixture
def hashed(monkeypatch) -> list[int]:
    """The lengths of the arrays that are read to be hashed."""
    lengths, read = [], arrays._hash_rows
    monkeypatch.setattr(
        arrays, "_hash_rows", lambda array: lengths.append(len(array)) or read(array)
    )
    return lengths


def hash_beside(array: np.memmap) -> Path:
    """Return the file that keeps the hash of an array."""
    return Path(f"{array.filename}.sha256")


def test_an_array_is_read_once_for_its_hash(on_disk, hashed):
    first = arrays.hash_file(on_disk)
    again = np.load(on_disk.filename, mmap_mode="r")
    assert arrays.hash_file(again) == first == hashlib.sha256(on_disk.tobytes()).hexdigest()
    assert hashed == [9]


@pytest.mark.parametrize("keep", ["time", "size"])
def test_an_array_that_changed_has_another_hash(keep, on_disk, hashed):
    first, file = arrays.hash_file(on_disk), Path(on_disk.filename)
    state = file.stat()
    longer = np.concatenate([on_disk, on_disk])
    np.save(file, longer if keep == "time" else 255 - np.array(on_disk))
    moved = state.st_mtime_ns + (keep == "size")
    os.utime(file, ns=(moved, moved))
    assert arrays.hash_file(np.load(file, mmap_mode="r")) != first
    assert hashed == [9, 18 if keep == "time" else 9]


@pytest.mark.parametrize("damage", ["torn", "empty", "foreign", "no text", "of another array"])
def test_a_damaged_hash_is_replaced(damage, on_disk, hashed):
    expected, beside = arrays.hash_file(on_disk), hash_beside(on_disk)
    whole = beside.read_bytes()
    contents = {"torn": whole[:-1], "empty": b"", "foreign": b"mine", "no text": b"\xff" + whole}
    contents["of another array"] = whole.replace(b"uint8", b"int64")
    beside.write_bytes(contents[damage])
    assert arrays.hash_file(on_disk) == expected
    assert hashed == [9, 9]
    assert beside.read_bytes() == whole


def test_a_hash_that_cannot_be_kept_is_still_given(on_disk, hashed):
    hash_beside(on_disk).mkdir()
    assert arrays.hash_file(on_disk) == arrays.hash_file(on_disk)
    assert hashed == [9, 9]


def test_only_a_whole_array_on_disk_has_a_kept_hash(on_disk):
    others = np.array(on_disk), on_disk[1:], on_disk[::-1], on_disk.T, on_disk + 1
    changing = np.load(on_disk.filename, mmap_mode="c")
    assert [arrays.hash_file(other) for other in (*others, changing)] == 6 * [None]
    assert not hash_beside(on_disk).exists()


def test_an_array_made_anew_takes_the_old_ones_hash_away(data_set, on_disk, monkeypatch):
    arrays.hash_file(on_disk)
    beside = hash_beside(on_disk)
    assert beside.is_file()
    monkeypatch.setattr(arrays, "code_version", lambda *_: "0123456789abcdef")
    made = prepare_images(data_set, build_index(data_set)[0], 16)
    arrays.hash_file(made)
    assert not beside.exists()
    assert hash_beside(made).is_file()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    sides=st.lists(st.integers(1, 5), max_size=6),
    given_away=st.sets(st.integers(0, 5)),
    seed=st.integers(0, 99),
)
def test_pictures_lie_at_their_places_in_any_order_with_zeros_between(sides, given_away, seed):
    rng, size = np.random.default_rng(seed), sum(side**2 for side in sides)
    expected, pieces = np.zeros(size, np.uint8), []
    for row, side in enumerate(sides):
        start = sum(other**2 for other in sides[:row])
        picture = rng.integers(256, size=(side, side), dtype=np.uint8)
        if row not in given_away:
            pieces.append((start, picture.T))  # its rows do not lie one behind the other
            expected[start : start + side**2] = picture.T.ravel()
    kept = arrays.keep_unnamed((pieces[row] for row in rng.permutation(len(pieces))), size)
    np.testing.assert_array_equal(kept, expected)
    assert kept.dtype == np.uint8 and not kept.flags.writeable
    assert isinstance(kept, np.memmap) or not size


def test_pictures_in_a_file_leave_no_file(cache):
    kept = arrays.keep_unnamed([(0, np.ones((2, 2), np.uint8))], 4)
    assert [path.is_file() for path in (cache / "arrays").iterdir()] == [True] * (os.name == "nt")
    assert kept.sum() == 4
    del kept
    assert list((cache / "arrays").iterdir()) == []


def test_no_picture_is_made_for_a_disk_without_room(monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 3))
    made = iter([(0, np.ones((2, 2), np.uint8))])
    with refused("small pictures", "arrays, which has 0.00 GB", "COVID_LUNGS_CACHE"):
        arrays.keep_unnamed(made, 4)
    assert next(made)


@pytest.mark.parametrize("moment", ["write", "flush", "open"])
def test_a_disk_that_fills_up_under_the_pictures_is_named(moment, monkeypatch):
    def fail(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    opened = type("Full", (BytesIO,), {} if moment == "open" else {moment: fail})
    monkeypatch.setattr(arrays, "TemporaryFile", fail if moment == "open" else lambda dir: opened())
    with refused("arrays", "cannot be written (No space left", "COVID_LUNGS_CACHE"):
        arrays.keep_unnamed([(0, np.ones((2, 2), np.uint8))], 4)


def test_an_error_in_the_making_of_a_picture_is_not_called_one_of_the_disk():
    def make():
        raise OSError("not of the disk")
        yield

    with pytest.raises(OSError, match="not of the disk"):
        arrays.keep_unnamed(make(), 4)

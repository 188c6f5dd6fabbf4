import os
import shutil

import numpy as np
import pytest

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

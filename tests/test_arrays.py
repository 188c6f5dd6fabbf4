import shutil

import numpy as np
import pytest
from builders import image_path, lung_mask, mask_path, refused, write_image, xray

from helpers.arrays import prepare_images, prepare_masks
from helpers.images import read_mask, read_xray, resize_image, resize_mask
from helpers.index import build_index

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


def test_every_size_has_an_array_of_its_own(data_set):
    index, _ = build_index(data_set)
    shapes = [prepare_images(data_set, index, size).shape for size in (8, 16, 8)]
    assert shapes == [(9, 8, 8), (9, 16, 16), (9, 8, 8)]


def test_pixels_changed_after_indexing_are_refused(data_set, cache):
    index, _ = build_index(data_set)
    write_image(image_path(data_set.root, "COVID", 2), xray(99))
    fault = "its pixels are not those that index.csv saw"
    with refused("COVID-2.png", fault, "run 01_get_data again"):
        prepare_images(data_set, index, 16)
    assert list((cache / "arrays").iterdir()) == [], "no half-filled array is left"


def test_a_mask_changed_after_indexing_is_refused(data_set):
    index, _ = build_index(data_set)
    write_image(mask_path(data_set.root, "COVID", 2), lung_mask(2)[::-1])
    with refused("COVID-2.png", "its pixels are not those", "Give the `data` of this run"):
        prepare_masks(data_set, index, 16)


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
    with refused("cache/arrays", "cannot be made", "COVID_LUNGS_CACHE"):
        prepare_images(data_set, index, 16)


def test_a_disk_without_room_is_refused_with_both_sizes(data_set, cache, monkeypatch):
    index, _ = build_index(data_set)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: shutil._ntuple_diskusage(9, 9, 0))
    with refused("arrays", "0.0 GB are free", "Make room"):
        prepare_images(data_set, index, 16)
    assert not list((cache / "arrays").iterdir())

import cv2
import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from helpers.data.images import (
    BadImageError,
    brightest_channel,
    decode,
    draw_outlines,
    fingerprint,
    read_mask,
    read_xray,
    resize_image,
    resize_mask,
    to_mask,
)
from helpers.storage.errors import CovidLungsError
from tests.support.builders import lung_mask, write_image, xray

GREY = xray(1)
few = settings(max_examples=50, deadline=None)


def test_colours_become_grey_by_luminance(tmp_path):
    red_green_blue = np.array([[[0, 0, 255], [0, 255, 0], [255, 0, 0]]], np.uint8)
    grey = read_xray(write_image(tmp_path / "a.png", red_green_blue))
    assert grey.tolist() == [[round(255 * share) for share in (0.299, 0.587, 0.114)]]


@few
@given(levels=arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=8)))
def test_reading_gives_back_what_was_written(levels, tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / "a.png"
    np.testing.assert_array_equal(read_xray(write_image(path, levels)), levels)
    sixteen = levels.astype(np.uint16) * 257
    sixteen[0, 0] = 65535  # so few pixels leave no other depth
    again = read_xray(write_image(path, sixteen))
    np.testing.assert_array_equal(again.flat[1:], levels.flat[1:])


LUNGS = lung_mask(5) // 255
LEFT = LUNGS * (np.arange(LUNGS.shape[1]) < 10)  # one of the two boxes
DARK, FULL = np.zeros_like(LUNGS), np.full_like(LUNGS, 255)
MASKS = {
    "{0, 255}": LUNGS * 255,
    "{0, 1}": LUNGS,
    "RGB": cv2.merge([LUNGS * 255] * 3),
    "RGBA": cv2.merge([LUNGS * 255] * 3 + [FULL]),
    "16-bit": LUNGS.astype(np.uint16) * 65535,
    "16-bit {0, 1}": LUNGS.astype(np.uint16),
    "16-bit RGB": cv2.merge([LUNGS.astype(np.uint16) * 65535] * 3),
    "blue": cv2.merge([LUNGS * 255, DARK, DARK]),
    "green": cv2.merge([DARK, LUNGS * 255, DARK]),
    "red": cv2.merge([DARK, DARK, LUNGS * 255]),
    "each lung in a colour of its own": cv2.merge([LEFT * 255, DARK, (LUNGS - LEFT) * 255]),
}


@pytest.mark.parametrize("kind", MASKS)
def test_every_kind_of_mask_reads_alike(kind, tmp_path):
    found = read_mask(write_image(tmp_path / "a.png", MASKS[kind]))
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, LUNGS)


@few
@given(pixels=arrays(st.sampled_from([np.uint8, np.uint16]), st.sampled_from([(4, 5), (4, 5, 3)])))
def test_a_pixel_is_lung_if_a_channel_is_above_half_of_the_brightest(pixels):
    brightest = pixels if pixels.ndim == 2 else pixels.max(axis=-1)
    np.testing.assert_array_equal(brightest_channel(pixels), brightest)
    np.testing.assert_array_equal(to_mask(brightest), brightest > brightest.max() / 2)
    assert to_mask(brightest).dtype == np.uint8


def test_a_mask_smeared_by_jpeg_is_binary_again(tmp_path):
    expected = np.kron(np.eye(4, dtype=np.uint8), np.ones((8, 8), np.uint8))
    smear = np.random.default_rng(0).integers(0, 50, expected.shape, dtype=np.uint8)
    smeared = np.where(expected == 1, 250 - smear, smear)
    np.testing.assert_array_equal(read_mask(write_image(tmp_path / "a.png", smeared)), expected)


def assert_refused(path, finding: str, fault: str) -> None:
    """Both readers name file, fault and remedy, and the audit's name of the fault."""
    for read in (read_xray, read_mask):
        with pytest.raises(BadImageError) as caught:
            read(path)
        assert str(caught.value) == f"{path.name}: {fault}. Restore it from the archive."
        assert caught.value.finding == finding


CUT = ("truncated_file", "the file is cut short")
NO_IMAGE = ("undecodable_file", "cannot be decoded as an 8- or 16-bit image")


def test_a_missing_file_is_refused(tmp_path):
    fault = "cannot be read (No such file or directory)"
    assert_refused(tmp_path / "COVID-1.png", "unreadable_file", fault)


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "COVID-1.png").touch()
    assert_refused(tmp_path / "COVID-1.png", "empty_file", "the file is empty")


@pytest.mark.parametrize("start", ["404: not found", "<!DOCTYPE html>", "%PDF-1.7\n", "IEND", "\0"])
def test_what_is_no_image_is_refused(start, tmp_path):
    (tmp_path / "COVID-1.png").write_bytes(start.encode() + bytes(500))
    assert_refused(tmp_path / "COVID-1.png", *NO_IMAGE)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"])
@pytest.mark.parametrize("name", ["a.png", "a"])
def test_the_format_is_that_of_the_content(suffix, name, tmp_path):
    written = write_image(tmp_path / f"written{suffix}", GREY)
    before = decode(written).pixels
    picture = decode(written.rename(tmp_path / name))
    assert picture.format == {".jpg": "jpeg", ".tif": "tiff"}.get(suffix, suffix[1:])
    np.testing.assert_array_equal(picture.pixels, before)


@pytest.mark.parametrize("suffix", [".pgm", ".webp", ".jp2"])
def test_an_image_of_another_format_is_refused(suffix, tmp_path):
    path = write_image(tmp_path / f"a{suffix}", GREY).rename(tmp_path / "COVID-1.png")
    assert_refused(path, *NO_IMAGE)


def test_deep_pixels_are_decoded_as_they_are_stored(tmp_path):
    deep = np.arange(18, dtype=np.uint16).reshape(2, 3, 3) * 2000
    picture = decode(write_image(tmp_path / "a.png", deep))
    assert (picture.channels, picture.depth, picture.pixels.dtype) == (3, 16, np.uint16)
    np.testing.assert_array_equal(picture.pixels, deep)


@few
@given(suffix=st.sampled_from([".png", ".jpg"]), share=st.floats(0, 1, exclude_max=True))
def test_every_cut_is_told_as_one(suffix, share, tmp_path_factory):
    path = write_image(tmp_path_factory.mktemp("images") / f"a{suffix}", GREY)
    content = path.read_bytes()
    kept = 8 + int(share * (len(content) - 8))  # less than that tells no format
    path.write_bytes(content[:kept])
    assert_refused(path, *CUT)


@few
@given(kept=st.integers(1, 3_000), flipped=st.integers(0, 3_000))
def test_a_damaged_png_is_refused_or_whole(kept, flipped, tmp_path_factory):
    path = write_image(tmp_path_factory.mktemp("images") / "a.png", GREY)
    content = bytearray(path.read_bytes())
    content[flipped % len(content)] ^= 0x10
    path.write_bytes(content[:kept])
    try:
        image = read_xray(path)
    except CovidLungsError:
        return
    # A bit of the header may turn grey into another kind of image, never into half of one.
    assert image.shape == GREY.shape
    assert len(content) <= kept


def test_bytes_after_a_jpeg_s_end_do_no_harm(tmp_path):
    path = write_image(tmp_path / "a.jpg", GREY)
    before = read_xray(path)
    path.write_bytes(path.read_bytes() + b"\0" * 100)
    np.testing.assert_array_equal(read_xray(path), before)


sizes = st.tuples(st.integers(1, 40), st.integers(1, 40))


@few
@given(
    mask=arrays(
        np.uint8,
        array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=20),
        elements=st.sampled_from([0, 255]),
    ),
    size=sizes,
)
def test_a_resized_mask_is_binary(mask, size):
    resized = resize_mask(mask, size)
    assert resized.shape == size
    assert set(np.unique(resized)) <= set(np.unique(mask))


def test_shrinking_averages_areas():
    stripes = np.tile(np.array([0, 200], np.uint8), (8, 4))
    assert (resize_image(stripes, (4, 4)) == 100).all()


def test_probabilities_are_enlarged_smoothly_within_their_range():
    edge = np.zeros((4, 4), np.float32)
    edge[:, 2:] = 1
    enlarged = resize_image(edge, (4, 16))
    assert (np.diff(enlarged, axis=1) >= 0).all()
    assert 0 < enlarged[0, 7] < 0.5 < enlarged[0, 8] < 1


def test_fingerprints_tell_shape_and_pixels_apart():
    changed = GREY.copy()
    changed[-1, -1] ^= 1
    others = [changed, GREY.T, GREY.reshape(1, -1), GREY[:-1]]
    assert len({fingerprint(pixels) for pixels in [GREY, *others]}) == 5
    assert fingerprint(GREY) == fingerprint(np.asfortranarray(GREY))


def test_a_fingerprint_is_the_digest_of_the_pixels_seeded_by_their_width():
    pixels = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    digest = xxhash.xxh3_64(bytes([1, 2, 3, 4, 5, 6]), seed=3).hexdigest()
    assert fingerprint(pixels) == digest
    assert len(digest) == 16


def test_an_outline_marks_the_border_and_nothing_else():
    image = np.full((40, 40), 90, np.uint8)
    mask = np.zeros((20, 20), np.uint8)
    mask[5:15, 5:15] = 1
    drawn = draw_outlines(image, (mask, (0, 230, 160)))
    changed = (drawn != 90).any(axis=-1)
    assert changed[10, 20] and changed[20, 10]
    assert not changed[15:25, 15:25].any(), "the inside stays as it was"
    assert not changed[:8].any(), "so does the outside"
    assert drawn[10, 20].tolist() == [0, 230, 160]
    assert (image == 90).all(), "the X-ray itself is not drawn upon"
    coloured = np.stack([image] * 3, axis=-1)
    np.testing.assert_array_equal(draw_outlines(coloured, (mask, (0, 230, 160))), drawn)
    assert (coloured == 90).all(), "nor is one in colours"

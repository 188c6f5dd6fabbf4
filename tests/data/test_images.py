import cv2
import numpy as np
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

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
from tests.support.builders import lung_mask, png, png_chunk, refused, write_image, xray

GREY = xray(1)
LEVELS = np.arange(256, dtype=np.uint8)[None]  # every grey level once, (1, 256)
few = settings(max_examples=50, deadline=None)


def write_levels(path, depth: int, colour_type: int, samples: np.ndarray, *chunks: bytes):
    """Write a PNG of one row of 256 pixels, (256, channels), and return its path."""
    kind = ">u2" if depth == 16 else "u1"
    path.write_bytes(png((1, 256), depth, colour_type, [samples.astype(kind).tobytes()], *chunks))
    return path


def with_alpha(samples: np.ndarray, alpha: int) -> np.ndarray:
    return np.column_stack([samples, np.full(256, alpha)])


EIGHT = LEVELS[0].astype(int)
SIXTEEN = EIGHT * 257
TWELVE = np.round(EIGHT * 4095 / 255).astype(int)
PALETTE = png_chunk(b"PLTE", np.repeat(LEVELS[0][::-1], 3).tobytes())
KINDS = {
    "grey": (8, 0, EIGHT[:, None]),
    "grey and alpha": (8, 4, with_alpha(EIGHT, 255)),
    "RGB": (8, 2, np.repeat(EIGHT, 3).reshape(256, 3)),
    "RGBA": (8, 6, with_alpha(np.repeat(EIGHT, 3).reshape(256, 3), 255)),
    "palette": (8, 3, EIGHT[::-1, None], PALETTE),
    "16-bit grey": (16, 0, SIXTEEN[:, None]),
    "16-bit grey and alpha": (16, 4, with_alpha(SIXTEEN, 65535)),
    "16-bit RGB": (16, 2, np.repeat(SIXTEEN, 3).reshape(256, 3)),
    "16-bit RGBA": (16, 6, with_alpha(np.repeat(SIXTEEN, 3).reshape(256, 3), 65535)),
    "12-bit grey": (16, 0, TWELVE[:, None]),
    "12-bit RGB": (16, 2, np.repeat(TWELVE, 3).reshape(256, 3)),
    "12-bit RGBA": (16, 6, with_alpha(np.repeat(TWELVE, 3).reshape(256, 3), 65535)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_png_reads_as_the_same_grey(kind, tmp_path):
    image = read_xray(write_levels(tmp_path / "a.png", *KINDS[kind]))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, LEVELS)


def test_an_8_bit_image_in_a_16_bit_file_keeps_its_grey(tmp_path):
    path = write_levels(tmp_path / "a.png", 16, 0, EIGHT[:, None])
    np.testing.assert_array_equal(read_xray(path), LEVELS)


def test_one_bit_of_depth_reads_as_black_and_white(tmp_path):
    (tmp_path / "a.png").write_bytes(png((1, 8), 1, 0, [bytes([0b10110001])]))
    assert read_xray(tmp_path / "a.png").tolist() == [[255, 0, 255, 255, 0, 0, 0, 255]]
    assert read_mask(tmp_path / "a.png").tolist() == [[1, 0, 1, 1, 0, 0, 0, 1]]


def test_colours_become_grey_by_luminance(tmp_path):
    red_green_blue = np.array([[[0, 0, 255], [0, 255, 0], [255, 0, 0]]], np.uint8)
    grey = read_xray(write_image(tmp_path / "a.png", red_green_blue))
    assert grey.tolist() == [[round(255 * share) for share in (0.299, 0.587, 0.114)]]


def test_a_black_image_of_16_bits_stays_black(tmp_path):
    black = np.zeros((2, 2), np.uint16)
    assert read_xray(write_image(tmp_path / "a.png", black)).max() == 0


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


def test_a_black_mask_holds_no_lung(tmp_path):
    assert not read_mask(write_image(tmp_path / "a.png", lung_mask(1) * 0)).any()


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


def test_a_folder_of_an_image_s_name_is_refused(tmp_path):
    (tmp_path / "COVID-1.png").mkdir()
    with pytest.raises(BadImageError, match=r"COVID-1\.png: cannot be read \(") as caught:
        decode(tmp_path / "COVID-1.png")
    assert caught.value.finding == "unreadable_file"


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "COVID-1.png").touch()
    assert_refused(tmp_path / "COVID-1.png", "empty_file", "the file is empty")


@pytest.mark.parametrize("start", ["404: not found", "<!DOCTYPE html>", "%PDF-1.7\n", "IEND", "\0"])
def test_what_is_no_image_is_refused(start, tmp_path):
    (tmp_path / "COVID-1.png").write_bytes(start.encode() + bytes(500))
    assert_refused(tmp_path / "COVID-1.png", *NO_IMAGE)


def test_floating_point_pixels_are_refused(tmp_path):
    path = write_image(tmp_path / "a.tiff", GREY.astype(np.float32))
    with refused("a.tiff: ", "signs or fractions", "Save it as a PNG"):
        read_xray(path)


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".bmp", ".tif"])
@pytest.mark.parametrize("share", [0.02, 0.05, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_refused(suffix, share, tmp_path):
    path = write_image(tmp_path / f"COVID-1{suffix}", GREY)
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    assert_refused(path, *(CUT if suffix in (".png", ".jpg") else NO_IMAGE))


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a"])
def test_the_format_is_that_of_the_content(suffix, name, tmp_path):
    written = write_image(tmp_path / f"written{suffix}", GREY)
    before = decode(written).pixels
    picture = decode(written.rename(tmp_path / name))
    assert picture.format == {".jpg": "jpeg", ".tif": "tiff"}.get(suffix, suffix[1:])
    np.testing.assert_array_equal(picture.pixels, before)


def test_a_tiff_may_begin_with_the_large_end_of_its_numbers(tmp_path):
    Image.fromarray(GREY.astype(">u2")).save(tmp_path / "a.tif")
    assert (tmp_path / "a.tif").read_bytes().startswith(b"MM")
    picture = decode(tmp_path / "a.tif")
    assert picture.format == "tiff"
    np.testing.assert_array_equal(picture.pixels, GREY)


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


@pytest.mark.parametrize("removed", range(1, 13))
def test_a_png_without_its_last_bytes_is_refused_or_whole(removed, tmp_path):
    path = write_image(tmp_path / "a.png", GREY)
    path.write_bytes(path.read_bytes()[:-removed])
    try:
        image = read_xray(path)
    except CovidLungsError:
        return
    np.testing.assert_array_equal(image, GREY)


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


def test_a_mask_enlarged_by_a_whole_number_repeats_its_pixels():
    mask = lung_mask(3) // 255
    twice = np.kron(mask, np.ones((2, 2), np.uint8))
    np.testing.assert_array_equal(resize_mask(mask, twice.shape), twice)


@few
@given(size=sizes, level=st.integers(0, 255))
def test_resizing_keeps_an_even_grey(size, level):
    resized = resize_image(np.full((16, 16), level, np.uint8), size)
    assert resized.shape == size
    assert resized.dtype == np.uint8
    assert (resized == level).all()


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


@given(height=st.integers(1, 60), level=st.integers(0, 255))
def test_no_two_shapes_of_equal_pixels_have_one_fingerprint(height, level):
    flat = np.full(height * 12, level, np.uint8)
    rows = [count for count in range(1, len(flat) + 1) if len(flat) % count == 0]
    assert len({fingerprint(flat.reshape(count, -1)) for count in rows}) == len(rows)


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

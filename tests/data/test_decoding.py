import os
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.decoding import DEPTHS, LARGEST, BadImageError, find_depth
from helpers.data.images import decode, read_mask, read_xray
from helpers.predict.files import find_xrays
from helpers.predict.one_xray import take_xray
from tests.support.builders import png, png_chunk, refused, write_image
from tests.support.picture_files import exif, jpeg, smooth, tiff

few = settings(max_examples=60, deadline=None)
SHOWN = smooth()
COLOURS = cv2.merge([SHOWN, SHOWN[::-1], SHOWN.T.copy().reshape(SHOWN.shape)])
KINDS = {
    "baseline": {},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 7},
    "progressive, restarts": {"progressive": True, "restart_marker_blocks": 7},
    "best tables": {"optimize": True},
}
MCU = 16  # pixels a side of what a JPEG codes at once, at most


def finish(content: bytes, share: float) -> bytes:
    """Return a JPEG without the rest of its scans, but with its end."""
    start = content.index(b"\xff\xda") + 14
    kept = content[: start + int(share * (len(content) - 2 - start))]
    return kept.rstrip(b"\xff") + b"\xff\xd9"


@few
@given(
    kind=st.sampled_from(sorted(KINDS)),
    shown=st.sampled_from([SHOWN, COLOURS]),
    share=st.floats(0, 0.97),
    quality=st.sampled_from([60, 75, 90, 98]),
)
def test_a_jpeg_that_lacks_data_is_refused_though_it_has_its_end(
    kind, shown, share, quality, tmp_path_factory
):
    path = tmp_path_factory.mktemp("images") / "a.jpg"
    whole = jpeg(shown, quality=quality, **KINDS[kind])
    path.write_bytes(whole)
    expected = read_xray(path)
    path.write_bytes(finish(whole, share))
    try:
        read = read_xray(path)
    except BadImageError as error:
        assert error.finding == "truncated_file"
        return
    # Nothing but the last part may differ, which cannot be told from a sound one.
    wrong = np.argwhere(read != expected)
    assert (wrong >= np.array(read.shape) // MCU * MCU - MCU).all()


@few
@given(
    kind=st.sampled_from(sorted(KINDS)),
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    colours=st.booleans(),
    level=st.integers(0, 255),
    even=st.floats(0, 1),
    quality=st.integers(1, 100),
    subsampling=st.integers(0, 2),
    more=st.sampled_from([b"", bytes(50), b"\xff\xd8\xff\xe0", b"\xff\xda", b"\xff\xd9"]),
)
def test_no_sound_jpeg_is_refused(
    kind, size, colours, level, even, quality, subsampling, more, tmp_path_factory
):
    shown = np.random.default_rng(level).integers(0, 256, size, dtype=np.uint8)
    shown[int(even * size[0]) :] = level  # such as the grey that decoders put for what is missing
    options = KINDS[kind] | {"quality": quality}
    if colours:
        shown, options = cv2.merge([shown] * 3), options | {"subsampling": subsampling}
    path = tmp_path_factory.mktemp("images") / "a.jpg"
    whole = jpeg(shown, **options)
    path.write_bytes(whole)
    before = read_xray(path)
    assert before.shape == size
    for ending in (b"\xff\xff\xff\xd9", b"\xff\xd9" + more):
        path.write_bytes(whole[:-2] + ending)
        np.testing.assert_array_equal(read_xray(path), before)


def test_a_thumbnail_in_the_header_is_no_end(tmp_path):
    (tmp_path / "a.jpg").write_bytes(jpeg(SHOWN, exif=exif(1) + jpeg(SHOWN[:16, :16])))
    assert np.abs(read_xray(tmp_path / "a.jpg").astype(int) - SHOWN).max() <= 2


@few
@given(suffix=st.sampled_from([".bmp", ".tif"]), share=st.floats(0, 0.999), deep=st.booleans())
def test_a_bmp_or_tiff_cut_short_is_refused(suffix, share, deep, tmp_path_factory):
    path = tmp_path_factory.mktemp("images") / f"a{suffix}"
    pixels = SHOWN.astype(np.uint16) * 257 if deep and suffix == ".tif" else SHOWN
    content = write_image(path, pixels).read_bytes()
    path.write_bytes(content[: max(1, int(share * len(content)))])
    with pytest.raises(BadImageError) as caught:
        read_xray(path)
    assert caught.value.finding == "undecodable_file"


@pytest.mark.parametrize("lost", ["first", "middle", "last"])
def test_a_png_without_some_of_its_pixels_is_refused(lost, tmp_path):
    content = png(SHOWN.shape, 8, 0, [row.tobytes() for row in SHOWN])
    start = content.index(b"IDAT") + 4
    pixels = content[start : content.index(b"IEND") - 8]
    third = len(pixels) // 3
    parts = {"first": pixels[:third], "middle": pixels[third:-third], "last": pixels[-third:]}
    del parts[lost]
    chunks = b"".join(png_chunk(b"IDAT", part) for part in parts.values())
    end = png_chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(content[: start - 8] + chunks + end)
    with refused("a.png: ", "", "Restore it"):
        read_xray(tmp_path / "a.png")


@st.composite
def deep_xrays(draw: st.DrawFn) -> tuple[int, np.ndarray]:
    """Return a depth and values of it: a fiftieth and more of them in its upper half."""
    bits = draw(st.sampled_from([*DEPTHS, 16]))
    generator = np.random.default_rng(draw(st.integers(0, 999)))
    values = generator.integers(0, 2**bits, (40, 50)).astype(np.uint16)
    dark = draw(st.floats(0, 0.95))
    return bits, np.where(generator.random(values.shape) < dark, values // 2, values)


@few
@given(
    made=deep_xrays(),
    letter=st.integers(1, 20),
    level=st.integers(0, 65535),
    seed=st.integers(0, 99),
    suffix=st.sampled_from([".png", ".tif"]),
)
def test_neither_a_pixel_nor_a_letter_changes_the_grey_of_others(
    made, letter, level, seed, suffix, tmp_path_factory
):
    bits, values = made
    path = tmp_path_factory.mktemp("images") / f"a{suffix}"
    before = read_xray(write_image(path, values))
    np.testing.assert_array_equal(before, np.round(values * (255 / (2**bits - 1))))
    lettered = values.copy()
    places = np.random.default_rng(seed).choice(values.size, letter, replace=False)
    lettered.flat[places] = level  # 1 % of the pixels at most
    others = np.setdiff1d(np.arange(values.size), places)
    after = read_xray(write_image(path, lettered))
    np.testing.assert_array_equal(after.flat[others], before.flat[others])


def test_the_depth_is_the_smallest_that_holds_all_but_a_hundredth():
    values = np.zeros(1000, np.uint16)
    values[:10] = 65535
    assert find_depth(values) == 8
    values[:11] = 4096
    assert find_depth(values) == 13
    assert find_depth(values, stated=12) == find_depth(values, stated=16) == 16


def large(side: int) -> dict[str, bytes]:
    """Return small files that say they hold a square of so many pixels a side."""
    bits = np.zeros((1, 1), int)
    header = bytearray(jpeg(SHOWN))
    frame = header.index(b"\xff\xc0")
    header[frame + 5 : frame + 9] = side.to_bytes(2) * 2
    bmp = bytearray(cv2.imencode(".bmp", SHOWN)[1].tobytes())
    bmp[18:26] = side.to_bytes(4, "little") * 2
    return {
        "png": png((side, side), 1, 0, [bytes(side // 8 + 1)] * side),
        "jpeg": bytes(header),
        "bmp": bytes(bmp),
        "tiff": tiff(bits, 1, 1, t256=[side], t257=[side]),
    }


@pytest.mark.parametrize("kind", ["png", "jpeg", "bmp", "tiff"])
def test_more_pixels_than_an_xray_has_are_refused_before_they_take_memory(kind, tmp_path):
    (tmp_path / "COVID-1.png").write_bytes(large(30_000)[kind])
    code = (
        "import resource, sys; from helpers.data.images import read_xray, BadImageError\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_xray(sys.argv[1])\n"
        "except BadImageError as error: print(error, error.finding)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "COVID-1.png")]
    said, grown = subprocess.check_output(command, text=True).splitlines()
    assert said == "COVID-1.png: larger than any X-ray. Save it smaller. oversized_file"
    assert int(grown) < 50_000  # kB; its pixels would be 900 MB


def test_a_file_of_more_bytes_than_an_xray_has_is_refused(tmp_path):
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(4 * LARGEST + 1)  # takes no room on the disk
    with refused("a.png: ", "larger than any X-ray", "Save it smaller"):
        read_xray(tmp_path / "a.png")


@pytest.fixture
def pipe(tmp_path):
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes, which this system lacks")
    os.mkfifo(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.mark.parametrize("read", [read_xray, read_mask, lambda path: take_xray(str(path), None, 7)])
def test_a_pipe_is_not_waited_for(read, pipe):
    caught = []

    def wait():
        with refused("a.png", "cannot be read (a folder, pipe or device)", "."):
            read(pipe)
        caught.append(True)

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    thread.join(timeout=20)
    assert caught
    assert find_xrays([pipe.parent]) == [(str(pipe), "a")], "named, so that its refusal is told"


def test_a_link_to_a_file_is_followed(tmp_path):
    (tmp_path / "b.png").symlink_to(write_image(tmp_path / "a.png", SHOWN))
    np.testing.assert_array_equal(read_xray(tmp_path / "b.png"), SHOWN)
    assert decode(tmp_path / "b.png").format == "png"


LUNGS = np.zeros((120, 90), np.uint8)
LUNGS[20:100, 10:40], LUNGS[20:100, 50:80] = 1, 2
LABELS = {
    "0, 127, 255": LUNGS * 127 + (LUNGS == 2),
    "0, 85, 170": LUNGS * 85,
    "0, 1, 2": LUNGS,
    "0, 1, 2 of 16 bits": LUNGS.astype(np.uint16),
    "0, 50, 255": np.array([0, 50, 255], np.uint8)[LUNGS],
    "0, 200, 255": np.array([0, 200, 255], np.uint8)[LUNGS],
    "in colours of two brightnesses": cv2.merge(
        [(LUNGS == 1) * np.uint8(120), LUNGS // 2 * 240, LUNGS * 0]
    ),
}


@pytest.mark.parametrize("ending", [".png", ".jpg"])
@pytest.mark.parametrize("labels", LABELS)
def test_a_mask_of_several_labels_is_refused(labels, ending, tmp_path):
    if (ending == ".jpg" and LABELS[labels].max() < 100) or LABELS[labels].ndim == 3:
        ending = ".png"
    write_image(tmp_path / f"a{ending}", LABELS[labels])
    with refused(f"a{ending}: ", "several labels", "Save the lungs as 255"):
        read_mask(tmp_path / f"a{ending}")


@few
@given(
    side=st.integers(32, 300),
    interpolation=st.sampled_from(
        [cv2.INTER_LINEAR, cv2.INTER_AREA, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4]
    ),
    quality=st.integers(20, 100),
    levels=st.sampled_from([(0, 255), (0, 1), (50, 150), (0, 128)]),
)
def test_a_smeared_mask_of_two_levels_is_read(
    side, interpolation, quality, levels, tmp_path_factory
):
    mask = np.where(LUNGS > 0, np.uint8(255), np.uint8(0))
    smeared = cv2.resize(mask, (side, side), interpolation=interpolation)
    dark, bright = levels
    if bright > 1:
        smeared = cv2.imdecode(cv2.imencode(".jpg", smeared, [1, quality])[1], -1)
    smeared = np.round(dark + smeared / 255 * (bright - dark)).astype(np.uint8)
    path = write_image(tmp_path_factory.mktemp("masks") / "a.png", smeared)
    expected = cv2.resize(mask, (side, side), interpolation=cv2.INTER_LINEAR) > 127
    assert (read_mask(path) == expected).mean() > 0.9

"""What a planted shortcut shows, where, and on how many X-rays of each class."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.images import resize_image, resize_mask
from helpers.data.synthetic import (
    CLASS_NAMES,
    SHORTCUTS,
    Drawing,
    draw_xray,
    image_seed,
    write_data_set,
)
from helpers.data.synthetic.data_set import (
    BORDER_GREY,
    BORDER_WIDTH,
    BRIGHTER,
    KINDS,
    brighten,
    change,
    draw_border,
    draw_marker,
    plan_copies,
    plan_shortcuts,
)
from helpers.evaluate.views import View, draw_frame

SEED = 3  # with it, planning for all seven instead of the five originals would show
COUNTS = {"COVID": 7, "Normal": 7}
COPIES, AGREEMENT = 0.3, 0.8  # of seven two are copies; of five originals one disagrees
seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from(list(SHORTCUTS))


def film(seed: int) -> np.ndarray:
    """Noise of the size of a drawn X-ray, uint8."""
    return np.random.default_rng(seed).integers(0, 256, (299, 299), np.uint8)


def files_of(folder: Path) -> dict[str, bytes]:
    """The content of every file but the tables, which hold the time, by path."""
    paths = (path for path in folder.rglob("*.*") if path.suffix != ".xlsx")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def read_xray(content: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of a data set without shortcuts."""
    folder = tmp_path_factory.mktemp("clean")
    write_data_set(folder, COUNTS, seed=SEED, copies=COPIES)
    return files_of(folder)


@pytest.fixture(scope="module", params=SHORTCUTS)
def planted(request: pytest.FixtureRequest, tmp_path_factory) -> tuple[str, dict[str, bytes]]:
    """A kind, and the files of the same data set with it."""
    folder = tmp_path_factory.mktemp("planted")
    write_data_set(folder, COUNTS, SEED, COPIES, shortcut=request.param, agreement=AGREEMENT)
    return request.param, files_of(folder)


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_the_marker_is_in_its_corner_and_nowhere_else(seed):
    image = film(seed)
    shown = draw_marker(image)
    outside = np.ones(image.shape, bool)
    outside[-19:, :19] = False
    np.testing.assert_array_equal(shown[outside], image[outside])
    disc = shown[-19:, :19]
    assert (disc > 200).sum() > 100 and (disc < 100).sum() > 10, "bright, with a dark letter"


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_a_brighter_xray_is_so_by_the_same_step_up_to_white(seed):
    image = film(seed)
    expected = np.clip(image.astype(int) + BRIGHTER, 0, 255)
    np.testing.assert_array_equal(brighten(image), expected)


@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_the_border_is_an_even_frame_and_nothing_else(seed):
    image = film(seed)
    shown = draw_border(image)
    inner = slice(BORDER_WIDTH, 299 - BORDER_WIDTH)
    np.testing.assert_array_equal(shown[inner, inner], image[inner, inner])
    shown[inner, inner] = BORDER_GREY
    assert (shown == BORDER_GREY).all()


@pytest.mark.parametrize("kind", SHORTCUTS)
def test_the_frame_of_the_border_view_shows_every_kind_at_96_pixels(kind):
    clean = resize_image(draw_xray("COVID", 1)[0], (96, 96))
    shown = resize_image(SHORTCUTS[kind](draw_xray("COVID", 1)[0]), (96, 96))
    seen = cv2.absdiff(clean, shown) >= BRIGHTER - 1
    assert seen[draw_frame((96, 96)) == 1].sum() >= 15
    if kind != "brightness":
        assert not seen[draw_frame((96, 96)) == 0].any()


def test_of_the_lungs_alone_a_marker_tells_nothing_and_brightness_does():
    image, mask = draw_xray("COVID", 1)
    masks = np.stack(2 * [resize_mask(mask // 255, (96, 96))])
    for kind, hidden in (("marker", True), ("brightness", False)):
        xrays = np.stack([resize_image(x, (96, 96)) for x in (image, SHORTCUTS[kind](image))])
        assert np.array_equal(*View("lungs_only", xrays, masks)[:]) == hidden


@given(
    kind=kinds,
    count=st.integers(0, 400),
    agreement=st.floats(0, 1),
    seed=seeds,
    class_name=st.sampled_from(CLASS_NAMES),
)
def test_exactly_the_share_of_each_class_agrees(kind, count, agreement, seed, class_name):
    plan = plan_shortcuts(kind, class_name, count, agreement, seed)
    exceptions = round(count * (1 - agreement))
    assert len(plan) == (count - exceptions if class_name == "COVID" else exceptions)
    assert set(plan) <= set(range(1, count + 1))
    assert set(plan.values()) <= {kind}
    assert plan == plan_shortcuts(kind, class_name, count, agreement, seed)


def test_which_xrays_disagree_is_drawn_from_the_seed():
    plans = [frozenset(plan_shortcuts("marker", "Normal", 100, 0.9, seed)) for seed in range(20)]
    assert len(set(plans)) == 20
    hits = np.bincount([number for plan in plans for number in plan], minlength=101)
    assert hits.max() < 10, "no X-ray disagrees by its number"


def test_each_xray_shows_what_was_planned_and_copies_what_their_originals_show(clean, planted):
    kind, files = planted
    assert files.keys() == clean.keys()
    assert all("/images/" in path for path in files if files[path] != clean[path])
    for class_name, count in COUNTS.items():
        own = image_seed(class_name, SEED, 0)
        copied = plan_copies(count, COPIES, own)
        plan = plan_shortcuts(kind, class_name, count - len(copied), AGREEMENT, own)
        assert len(plan) == {"COVID": 4, "Normal": 1}[class_name]
        for number in range(1, count + 1):
            drawn, changes = copied.get(number, (number, None))
            name = f"{class_name}-{drawn}.png"
            drawing = Drawing(*(read_xray(clean[f"{class_name}/{part}/{name}"]) for part in KINDS))
            if drawn in plan:
                drawing = drawing._replace(image=SHORTCUTS[kind](drawing.image))
            expected = (change(drawing, changes) if changes else drawing).image
            found = read_xray(files[f"{class_name}/images/{class_name}-{number}.png"])
            np.testing.assert_array_equal(found, expected)


def test_an_unknown_shortcut_is_named_with_the_known_ones(tmp_path):
    with pytest.raises(ValueError, match=r"'text'.*marker, brightness, border"):
        write_data_set(tmp_path, COUNTS, shortcut="text")
    assert not any(tmp_path.iterdir())

import io

import keras
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle
from PIL import Image

from helpers.report import network_pictures
from helpers.report.network_pictures import (
    animate_filmstrip,
    draw_feature_maps,
    draw_filmstrip,
    draw_learnt_filters,
    draw_receptive_fields,
)
from helpers.report.pictures import PREDICTED_COLOUR, TRUE_COLOUR
from helpers.report.plots import sign
from helpers.train.models import build_detector, build_unet, look_twice
from helpers.train.recipes import DetectionSettings, SegmentationSettings
from tests.support.builders import xray
from tests.support.figures import shown

pytestmark = pytest.mark.usefixtures("figures")
SIZE = 32
IMAGE = np.random.default_rng(3).integers(0, 256, (SIZE, SIZE), dtype="uint8")
SEGMENTATION = SegmentationSettings(SIZE, (3, 9), 1, 2, 1e-3)
BEST = SegmentationSettings(SIZE, (10, 4), 1, 2, 1e-3, patch=2, standardised=True)
DETECTION = DetectionSettings(SIZE, (12, 2, 3), 1, 2, 1e-3)
POOLED = DetectionSettings(SIZE, (4, 7), 1, 2, 1e-3, pooled=True, standardised=True)
keras.utils.set_random_seed(4)
NETWORKS = {
    "U-Net": build_unet(SEGMENTATION),
    "best": build_unet(BEST),
    "look twice": look_twice(build_unet(BEST)),
    "detector": build_detector(DETECTION),
    "pooled": build_detector(POOLED),
}
# Of each: the levels, with the sides of their maps and how many there are.
LEVELS = {
    "U-Net": {"level 1": (32, 3), "level 2": (16, 9), "bottom": (8, 18)},
    "best": {"level 1": (16, 10), "level 2": (8, 4), "bottom": (4, 8)},
    "detector": {"level 1": (30, 12), "level 2": (13, 2), "level 3": (4, 3)},
    "pooled": {"level 1": (32, 4), "level 2": (16, 7)},
}
LEVELS["look twice"] = LEVELS["best"]


def words(figure) -> list[str]:
    """Return every text in a figure."""
    return [text.get_text() for text in figure.findobj(plt.Text) if text.get_text()]


def is_inside(figure) -> bool:
    """Return whether all words of a signed figure lie within it."""
    sign(figure, "synthetic X-rays")
    figure.canvas.draw()
    places = [text.get_window_extent() for text in figure.findobj(plt.Text) if text.get_text()]
    width, height = figure.get_size_inches() * figure.dpi
    return all(
        place.x0 >= 0 and place.y0 >= 0 and place.x1 <= width and place.y1 <= height
        for place in places
    )


@pytest.mark.parametrize("name", NETWORKS)
def test_each_level_has_a_row_of_some_maps(name):
    figure = draw_feature_maps(NETWORKS[name], IMAGE)
    found = shown(figure)
    for level, (side, count) in LEVELS[name].items():
        assert f"{level}\n{side} × {side},\n{count} maps" in words(figure)
        most = min(network_pictures.MAPS, count)
        drawn, found = found[:most], found[most:]
        assert {image.shape for image in drawn} == {(side, side)}
    assert found == []
    assert is_inside(figure)


def test_a_map_is_what_the_level_passes_on():
    model = NETWORKS["U-Net"]
    first = next(layer for layer in model.layers if isinstance(layer, keras.layers.MaxPooling2D))
    probe = keras.Model(model.inputs[0], first.input)
    expected = keras.ops.convert_to_numpy(probe(IMAGE[None, ..., None].astype("float32") / 255))
    for number, drawn in enumerate(shown(draw_feature_maps(model, IMAGE))[:3]):
        np.testing.assert_allclose(drawn, expected[0, ..., number], atol=1e-5)


def test_maps_that_tell_nothing_apart_are_left_out():
    maps = np.zeros((10, 10, 4), np.float32)
    maps[..., 0] = 7
    maps[0, 0, 1] = 1000  # one place alone
    maps[..., 2:] = np.arange(10)[:, None, None] * [1, 2]
    assert network_pictures._pick(maps, 2) == [2, 3]
    assert network_pictures._pick(maps, 3) == [1, 2, 3]
    assert network_pictures._pick(maps, 9) == [0, 1, 2, 3]


@pytest.mark.parametrize("name", NETWORKS)
def test_learnt_filters_stand_with_their_numbers_above_what_they_respond_to(name):
    figure = draw_learnt_filters(NETWORKS[name], IMAGE)
    inner = NETWORKS[name] if name != "look twice" else NETWORKS[name].layers[1]
    first = next(layer for layer in inner.layers if isinstance(layer, keras.layers.Conv2D))
    kernel = keras.ops.convert_to_numpy(first.kernel)[:, :, 0]
    labels = [text for text in words(figure) if text.startswith("filter")]
    assert len(labels) == min(network_pictures.FILTERS, first.filters)
    tables = [axis for axis in figure.axes if axis.texts and axis.texts[-1].get_text() in labels]
    for axis in tables:
        number = int(axis.texts[-1].get_text().split()[1]) - 1
        np.testing.assert_array_equal(axis.images[0].get_array(), kernel[..., number])
        assert float(axis.texts[0].get_text().replace("−", "-")) == pytest.approx(
            kernel[0, 0, number], abs=0.0051
        )
    assert len(shown(figure)) == 2 * len(labels)
    assert is_inside(figure)


def test_a_filter_that_does_not_respond_says_so():
    model = build_detector(DETECTION)
    kernel, bias = model.layers[0].get_weights()
    kernel[..., :2], kernel[..., 2:] = 0.1, 0
    model.layers[0].set_weights([kernel, bias])
    figure = draw_learnt_filters(model, IMAGE)
    assert words(figure).count("no response\nto this X-ray") == network_pictures.FILTERS - 2, (
        "the two others come first"
    )


def squares(figure) -> list[Rectangle]:
    return [one for one in figure.axes[0].patches if isinstance(one, Rectangle)]


def test_receptive_fields_are_centred_squares_of_their_size():
    fields = {"level": ["level 1", "level 1", "bottom"], "pixels": [3, 5, 13]}
    figure = draw_receptive_fields(IMAGE, pd.DataFrame(fields))
    assert [one.get_width() for one in squares(figure)] == [13, 5], "a level's last layer"
    for one in squares(figure):
        assert one.get_width() == one.get_height()
        assert one.get_x() + one.get_width() / 2 == one.get_y() + one.get_height() / 2 == 15.5
    assert {"level 1: 5 pixels", "bottom: 13 pixels"} <= set(words(figure))
    assert is_inside(figure)


def test_a_field_much_wider_than_the_xray_is_named_and_not_drawn():
    fields = {"level": ["level 1", "level 2", "bottom"], "pixels": [5, 35, 300]}
    figure = draw_receptive_fields(IMAGE, pd.DataFrame(fields))
    assert [one.get_width() for one in squares(figure)] == [35, 5]
    assert "bottom: 300 pixels, wider than the X-ray" in words(figure)
    assert "level 2: 35 pixels, wider than the X-ray" in words(figure)
    low, high = figure.axes[0].get_xlim()
    assert low < 15.5 - 35 / 2 < 15.5 + 35 / 2 < high


TRUE = np.zeros((SIZE, SIZE), np.uint8)
TRUE[8:24, 8:24] = 1


def film(count: int) -> dict:
    """Return a filmstrip whose prediction moves towards the true mask."""
    frames = np.zeros((count, SIZE, SIZE), np.float32)
    for number, frame in enumerate(frames):
        frame[8:24, 2 + 6 * number // max(1, count - 1) : 24] = 0.9
    epochs, dice = np.arange(count), np.linspace(0.5, 1, count)
    return {"frames": frames, "epochs": epochs, "dice": dice}


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (4, 4), (5, 3), (6, 3), (12, 4)])
def test_a_filmstrip_has_a_frame_for_each_epoch(count, columns):
    figure = draw_filmstrip(IMAGE, TRUE, **film(count))
    assert len(shown(figure)) == count
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[0] == "before training, Dice 0.50"
    assert count == 1 or titles[count - 1] == f"epoch {count - 1}, Dice 1.00"
    assert len({round(axis.get_position().x0, 3) for axis in figure.axes}) == columns
    assert is_inside(figure)


def test_a_frame_has_the_outline_of_the_true_mask_and_of_the_prediction():
    frames = np.full((1, SIZE, SIZE), 0.2, np.float32)
    frames[0, 12:20, 12:20] = 0.6
    (drawn,) = shown(draw_filmstrip(IMAGE, TRUE, frames, [0], [0.4]))
    scale = len(drawn) // SIZE
    assert tuple(drawn[8 * scale, 16 * scale]) == TRUE_COLOUR
    row = drawn[11 * scale : 13 * scale, 16 * scale]
    assert (row == PREDICTED_COLOUR).all(axis=1).any()
    coloured = np.ptp(drawn.astype(int), axis=-1) > 0
    assert coloured.mean() < 0.1, "the rest is as in the X-ray"


def test_an_animation_shows_two_frames_a_second_in_the_outlines_colours():
    content = animate_filmstrip(IMAGE, TRUE, **film(4))
    with Image.open(io.BytesIO(content)) as animation:
        assert animation.format == "GIF"
        assert animation.n_frames == 4
        assert animation.info["loop"] == 0, "without end"
        pauses, pictures = [], []
        for number in range(4):
            animation.seek(number)
            pauses.append(animation.info["duration"])
            pictures.append(np.asarray(animation.convert("RGB")))
    assert pauses == [500, 500, 500, 2000]
    for picture in pictures:
        for colour in (TRUE_COLOUR, PREDICTED_COLOUR):
            assert (picture == colour).all(axis=-1).any()
        assert (picture[: picture.shape[1] // 8] > 200).any(), "words above the X-ray"
    assert not np.array_equal(pictures[0], pictures[-1])


def test_an_animation_of_noise_becomes_small_rather_than_heavy():
    noise = np.random.default_rng(0).integers(0, 256, (256, 256), dtype="uint8")
    frames = np.random.default_rng(1).random((12, 256, 256), dtype="float32")
    content = animate_filmstrip(noise, TRUE, frames, range(12), [0.5] * 12)
    with Image.open(io.BytesIO(content)) as animation:
        assert animation.size[0] < network_pictures.SIDES[0]


def test_an_animation_of_an_xray_is_light_and_of_full_size():
    content = animate_filmstrip(xray(0), TRUE, **film(12))
    assert len(content) <= network_pictures.LARGEST
    with Image.open(io.BytesIO(content)) as animation:
        assert min(animation.size) >= 224

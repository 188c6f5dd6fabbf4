from itertools import combinations

import keras
import matplotlib.pyplot as plt
import pytest
from keras import layers
from matplotlib.patches import Rectangle

from helpers.report.diagrams import draw_cnn, draw_unet
from helpers.report.plots import GREEN, GREY, ORANGE, sign
from helpers.train.models import build_detector, build_unet, look_twice
from helpers.train.recipes import RECIPES, SegmentationSettings
from tests.train.test_architecture import build_skipping

pytestmark = pytest.mark.usefixtures("figures")
UNETS = {name: build_unet(recipe.segmentation) for name, recipe in RECIPES.items()}
UNETS["without skips"] = build_skipping(lambda below, above: below)
UNETS["of one level"] = build_unet(SegmentationSettings(64, (8,), 1, 2, 1e-3))
UNETS["of five levels"] = build_unet(SegmentationSettings(256, (4, 8, 16, 32, 64), 1, 2, 1e-3))
CNNS = {name: build_detector(recipe.detection) for name, recipe in RECIPES.items()}
CNNS["shortcuts"] = build_detector(RECIPES["demo"].shortcuts)
DRAWN = [(draw_unet, model) for model in UNETS.values()]
DRAWN += [(draw_cnn, model) for model in CNNS.values()]


def words(figure) -> list[str]:
    """Return every text in a figure that is seen."""
    return [text.get_text() for text in figure.findobj(plt.Text) if text.get_text()]


def sizes(figure) -> list[str]:
    """Return the sizes of features that a U shows, in the order of the network."""
    return [text for text in words(figure) if text.count(" × ") == 2 and text[0].isdigit()]


def arrows(figure, colour: str) -> list:
    """Return the arrows of a colour, as their ends in inches."""
    found = [one for one in figure.axes[0].texts if getattr(one, "arrowprops", None)]
    return [(one.xyann, one.xy) for one in found if one.arrowprops["color"] == colour]


def test_the_demo_s_unet_with_its_sizes():
    figure = draw_unet(UNETS["demo"])
    down = ["128 × 128 × 8", "64 × 64 × 16", "32 × 32 × 32", "16 × 16 × 64"]
    ends = ["128 × 128 × 1"]
    assert sizes(figure) == [*ends, *down, "8 × 8 × 128", *down[::-1], *ends]
    assert "height × width × number of features · 487,881 weights" in words(figure)
    assert {
        "convolve twice, filters of 3 × 3",
        "max pooling: half the size",
        "transposed convolution: twice the size",
        "features of the way down, joined",
        "input",
        "output",
    } <= set(words(figure))


@pytest.mark.parametrize(("name", "levels"), [("demo", 4), ("of one level", 1), ("best", 4)])
def test_a_level_has_an_arrow_down_one_up_and_a_skip_that_is_level(name, levels):
    figure = draw_unet(UNETS[name])
    for colour in (ORANGE, GREEN, GREY):
        assert len(arrows(figure, colour)) == levels
    assert all(start[1] > end[1] for start, end in arrows(figure, ORANGE))
    assert all(start[1] < end[1] for start, end in arrows(figure, GREEN))
    assert all(start[1] == end[1] and start[0] < end[0] for start, end in arrows(figure, GREY))


def test_a_network_without_skips_is_drawn_without():
    figure = draw_unet(UNETS["without skips"])
    assert arrows(figure, GREY) == []
    assert not any("skip" in text for text in words(figure))
    added = draw_unet(build_skipping(lambda below, above: below + above))
    assert len(arrows(added, GREY)) == 1
    assert "features of the way down, added" in words(added)
    assert "upsampling: twice the size" in words(added)


def test_patches_are_made_before_the_u_and_undone_after_it():
    figure = draw_unet(UNETS["best"])
    assert sizes(figure)[:2] == ["256 × 256 × 1", "64 × 64 × 24"]
    assert sizes(figure)[-2:] == ["64 × 64 × 1", "256 × 256 × 1"]
    assert {"convolution\n4 × 4,\nin steps of 4", "upsampling\n× 4"} <= set(words(figure))
    assert sizes(draw_unet(look_twice(UNETS["best"]))) == sizes(figure)


def blocks(figure) -> list[tuple[float, float]]:
    """Return the width and height of each block in inches."""
    found = [patch for patch in figure.axes[0].patches if isinstance(patch, Rectangle)]
    return [(patch.get_width(), patch.get_height()) for patch in found]


def test_larger_features_are_higher_and_more_of_them_wider():
    drawn = blocks(draw_cnn(CNNS["demo"]))
    (_, xray), convolved, pooled, wide = drawn[:4]
    assert xray > convolved[1] > pooled[1] > wide[1]
    assert convolved[0] == pooled[0] < wide[0]
    dense, last = drawn[-2:]
    assert dense[1] > last[1]


def test_the_demo_s_cnn_with_sizes_and_weights():
    figure = draw_cnn(CNNS["demo"])
    expected = ["X-ray", "convolve", "max\npooling", "one row", "dense", "63 × 63\n× 16", "3,136"]
    expected += ["160\nweights", "803,072\nweights", "257\nweights"]
    assert set(expected) <= set(words(figure))
    assert len(blocks(figure)) == 10


def test_convolutions_of_one_size_share_a_box_with_their_normalisations():
    model = CNNS["best"]
    figure = draw_cnn(model)
    assert words(figure).count("convolve\ntwice") == 4
    weights = [int(text.split()[0].replace(",", "")) for text in words(figure) if "\nw" in text]
    assert sum(weights) == model.count_params(), "those of normalisations are among them"
    thrice = keras.Sequential([keras.Input((8, 8, 1))])
    for _ in range(3):
        thrice.add(layers.Conv2D(2, 3, padding="same"))
    assert "convolve\n3 times" in words(draw_cnn(thrice))


@pytest.mark.parametrize(("draw", "model"), DRAWN)
def test_words_lie_within_the_figure_and_on_no_other_words(draw, model):
    figure = draw(model)
    sign(figure, "synthetic X-rays: not real patients")
    figure.canvas.draw()
    texts = [text for text in figure.findobj(plt.Text) if text.get_text() and text.get_visible()]
    places = {text: text.get_window_extent() for text in texts}
    width, height = figure.get_size_inches() * figure.dpi
    for text, place in places.items():
        assert place.x0 >= 0 and place.y0 >= 0, text
        assert place.x1 <= width and place.y1 <= height, text
    for (one, place), (other, elsewhere) in combinations(places.items(), 2):
        assert not place.overlaps(elsewhere), (one, other)
    assert figure.get_figwidth() == 9

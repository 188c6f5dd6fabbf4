"""Severity pictures: zones with their shares, and the map that always answers the same."""

import numpy as np
import pytest

from helpers.data.images import resize_mask
from helpers.evaluate.zones import infected_shares, number_zones
from helpers.report import severity_pictures
from helpers.report.pictures import INFECTION_COLOUR, PREDICTED_COLOUR, TRUE_COLOUR

pytestmark = pytest.mark.usefixtures("figures")

IMAGE = np.full((256, 256), 90, np.uint8)
LUNGS = np.zeros((128, 128), np.uint8)
LUNGS[20:110, 16:52] = LUNGS[20:80, 80:112] = 1
INFECTION = np.zeros((128, 128), np.uint8)
INFECTION[85:110, 16:40] = 1
NOTHING = np.zeros((128, 128), np.uint8)


def words(axis) -> list[str]:
    return [text.get_text() for text in axis.texts]


def test_each_zone_holds_its_share():
    figure = severity_pictures.draw_zones(IMAGE, (INFECTION, LUNGS))
    (axis,) = figure.axes
    shares = infected_shares(INFECTION, LUNGS)
    *written, right, left = axis.texts
    assert len(written) == 6
    zones = number_zones(LUNGS)
    for text in written:
        column, row = (round(place / 4) for place in text.get_position())  # 512 pixels a side
        name = severity_pictures.ZONES[zones[row, column] - 1]
        assert float(text.get_text().rstrip("%")) == pytest.approx(100 * shares[name], abs=1)
    assert right.get_text() == "patient's right"
    assert right.get_position()[0] < 0.5 < left.get_position()[0]
    assert axis.get_title() == f"predicted: {shares['infected_share']:.1%} of the lungs"


def test_shares_are_those_of_the_masks_at_their_own_size():
    """At the size of the picture, one in a thousand and more of them would be another."""
    lungs = resize_mask(LUNGS, (190, 190))
    infection = np.random.default_rng(0).integers(0, 2, lungs.shape, dtype=np.uint8)
    (axis,) = severity_pictures.draw_zones(IMAGE, (infection, LUNGS)).axes
    shares = infected_shares(infection, lungs)
    assert axis.get_title() == f"predicted: {shares['infected_share']:.1%} of the lungs"
    assert words(axis)[:6] == [f"{shares[name]:.1%}" for name in severity_pictures.ZONES]


def test_the_truth_stands_beside_what_was_predicted():
    pair = (INFECTION, LUNGS), (NOTHING, LUNGS)
    figure = severity_pictures.draw_zones(IMAGE, *pair)
    titles = [axis.get_title().split(":")[0] for axis in figure.axes]
    assert titles == ["true", "predicted"]
    truth, found = (axis.images[0].get_array() for axis in figure.axes)
    assert (truth == TRUE_COLOUR).all(-1).any()
    assert not (truth == INFECTION_COLOUR).all(-1).any(), "here nothing is truly infected"
    assert (found == PREDICTED_COLOUR).all(-1).any()
    assert (found == INFECTION_COLOUR).all(-1).any()
    assert words(figure.axes[0])[:6] == ["0.0%"] * 6


def test_a_lung_that_is_not_there_has_no_share():
    right = LUNGS.copy()
    right[:, 64:] = 0
    figure = severity_pictures.draw_zones(IMAGE, (INFECTION, right))
    assert len(words(figure.axes[0])) == 3 + 2
    figure = severity_pictures.draw_zones(IMAGE, (INFECTION, NOTHING))
    assert figure.axes[0].get_title() == "predicted: no lungs"


def test_nothing_is_cut_off():
    for image in (IMAGE, IMAGE[:160], IMAGE[:, :160]):
        figure = severity_pictures.draw_zones(image, (INFECTION, LUNGS), (INFECTION, LUNGS))
        figure.canvas.draw()
        whole = figure.bbox
        for axis in figure.axes:
            for text in (axis.title, *axis.texts):
                box = text.get_window_extent()
                assert whole.x0 <= box.x0 <= box.x1 <= whole.x1
                assert whole.y0 + 18 <= box.y0 <= box.y1 <= whole.y1, "the label below has room"


def test_the_map_and_its_answer():
    mean = np.zeros((128, 128), np.float32)
    mean[85:110, 16:40] = 0.4
    mean[60:85, 16:40] = 0.1
    figure = severity_pictures.draw_map(np.full((128, 128), 90.0, np.float32), mean, 0.2)
    left, right, _ = figure.axes
    np.testing.assert_allclose(left.images[0].get_array(), 100 * mean)
    assert right.get_title().startswith("above 20.0%:")
    rows = np.flatnonzero((right.images[0].get_array() == INFECTION_COLOUR).all(-1).any(axis=1)) / 4
    assert (rows.min(), rows.max()) == pytest.approx((85, 110), abs=1)

import numpy as np
import pytest

from helpers.data.images import draw_outlines, read_mask, read_xray
from helpers.evaluate.lung_masks import DRAWN
from helpers.report import heat_pictures
from helpers.report.pictures import TRUE_COLOUR
from tests.support.figures import shown

pytestmark = pytest.mark.usefixtures("figures")


def test_heat_lies_on_its_xray_under_the_lungs_outline(data_set, rows):
    heat = np.zeros((3, 8, 8), np.float32)
    heat[1, :, 4:] = 1
    left = np.zeros((3, 16, 16), np.uint8)
    left[:, :, :10] = 1
    heats = {"one": heat, "two": heat[::-1]}
    figure = heat_pictures.draw_heat(data_set, rows, heats, left, ["a", "b", "c"])
    found = shown(figure)
    for column, row in enumerate(rows.itertuples()):
        xray, lungs = read_xray(data_set.root / row.file), read_mask(data_set.root / row.mask)
        np.testing.assert_array_equal(found[column], xray)
        outline = (draw_outlines(xray, (lungs, TRUE_COLOUR)) != xray[..., None]).any(-1)
        assert (found[3 + column][outline] == TRUE_COLOUR).all()
        found[3 + column] = np.where(outline[..., None], 0, found[3 + column]).astype(int)
    dark, half = found[3], found[4]
    assert (np.ptp(dark, axis=-1) <= 4).all(), "without heat an X-ray stays grey"
    assert np.ptp(half[:, 24:], axis=-1).max() > 40, "yellow where the heat is"
    assert np.ptp(half[:, :12], axis=-1).max() <= 4, "and nowhere else"
    np.testing.assert_array_equal(found[7][:, 24:], shown(figure)[4][:, 24:])
    share = "25% of the heat in the lungs"
    below = ["no heat", share, "no heat"]
    assert [axis.get_title() for axis in figure.axes] == ["a", "b", "c", *below, *below]
    assert [axis.get_ylabel().split(":")[0] for axis in figure.axes[::3]] == ["X-ray", "one", "two"]


def test_lungs_that_a_network_drew_are_outlined_under_its_name(data_set, rows):
    masks = np.zeros((3, 20, 18), np.uint8)
    for place, mask in enumerate(masks):
        mask[4:16, 2 : 6 + 4 * place] = 1
    heats = {"one": np.zeros((3, 8, 8), np.float32)}
    for has_masks in (True, False):
        given = rows if has_masks else rows.assign(mask="")
        figure = heat_pictures.draw_heat(data_set, given, heats, masks, ["a", "b", "c"])
        words = " ".join(axis.get_ylabel() for axis in figure.axes).split()
        assert (DRAWN in " ".join(words)) != has_masks
    for row, mask, found in zip(rows.itertuples(), masks, shown(figure)[3:], strict=True):
        xray = read_xray(data_set.root / row.file)
        outline = draw_outlines(xray, (mask, TRUE_COLOUR)) == TRUE_COLOUR
        np.testing.assert_array_equal((found == TRUE_COLOUR).all(-1), outline.all(-1))


def test_each_method_that_explains_one_xray_has_its_place_beside_it():
    image, mask = np.full((40, 50), 90, np.uint8), np.zeros((40, 50), np.uint8)
    mask[5:35, 5:20] = 1
    heats = {name: np.zeros((1, 8, 8), np.float32) for name in ("one", "two")}
    heats["two"][0, :, 6:] = 1
    figure = heat_pictures.draw_heat_found(image, mask, heats)
    alone, one, two = shown(figure)
    np.testing.assert_array_equal(alone, image)
    assert np.ptp(one[:, 44:], axis=-1).max() <= 4 < 40 < np.ptp(two[:, 44:], axis=-1).max()
    for mixed in (one, two):
        assert (mixed[5, 5:20] == TRUE_COLOUR).all()
    assert [axis.get_title().split(":")[0] for axis in figure.axes] == ["X-ray", "one", "two"]

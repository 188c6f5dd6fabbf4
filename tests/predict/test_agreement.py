import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.predict.agreement import agreement_table, compare, refuse_disagreement
from helpers.train.postprocessing import draw_infection, draw_lungs
from tests.support.builders import refused

IMAGES = np.full((3, 16, 16), 10, np.uint8)
IMAGES[:, 4:12, 2:7] = IMAGES[:, 4:12, 9:14] = 200
SIZES = [(16, 16), (16, 16), (32, 32)]


def right(xray):
    """Take grey values for probabilities: bright is lung."""
    return xray.copy()


def worse(xray):
    """Miss one pixel of lung, and be a little off elsewhere."""
    found = xray + 5e-5
    found[0, 4, 2] = 0.4
    return found


def covid(off: float):
    return lambda xray: xray.mean(axis=(1, 2)) + np.float32(off)


def test_the_difference_and_the_equal_pixels_by_hand():
    found = compare(right, {"same": right, "ONNX": worse}, IMAGES, SIZES, draw_lungs)
    table = found.set_index("format")
    assert table.loc["same"].tolist() == [0, 1]
    assert table.loc["ONNX", "difference"] == pytest.approx(200 / 255 - 0.4, abs=1e-6)
    large = [
        draw_lungs(network(IMAGES[2][None, ..., None] / 255)[0, ..., 0], (32, 32))
        for network in (right, worse)
    ]
    wrong = 2 * 1 + (large[0] != large[1]).sum()
    assert wrong > 2
    assert table.loc["ONNX", "equal_pixels"] == pytest.approx(1 - wrong / (2 * 16**2 + 32**2))


@pytest.mark.parametrize(
    ("off", "said"), [(2e-4, "up to 2.0e-04,"), (-2e-4, "up to 2.0e-04,"), (np.nan, "up to nan,")]
)
def test_other_probabilities_are_refused(off, said):
    table = compare(covid(0), {"ONNX": covid(off)}, IMAGES, SIZES, None)
    assert table["equal_pixels"].isna().all(), "a detector has no masks"
    with refused("detector: as ONNX", said, "report this"):
        refuse_disagreement("detector", table)
    refuse_disagreement("detector", table.assign(format="Keras, as trained"))


@pytest.mark.parametrize(("expected", "draw"), [(right, draw_lungs), (covid(0), None)])
def test_a_network_without_numbers_on_one_xray_is_refused(expected, draw):
    def broken(xray):
        return expected(xray) * np.float32(np.nan if xray.max() > 0.9 else 1)

    images = np.stack([IMAGES[0], IMAGES[0] + 50, IMAGES[0]])
    table = compare(expected, {"LiteRT": broken}, images, SIZES, draw)
    with refused("network: as LiteRT", "up to nan,", "report this"):
        refuse_disagreement("network", table)


def test_other_masks_are_refused_though_the_probabilities_are_near():
    def near(off):
        return lambda xray: 0.5 + off * np.sign(xray - 0.5)

    table = compare(near(2e-5), {"ONNX": near(-2e-5)}, IMAGES, SIZES, draw_lungs)
    assert table["difference"].max() < 1e-4
    with refused("segmenter: as ONNX", "% of mask pixels differ", "report this"):
        refuse_disagreement("segmenter", table)


def test_masks_are_compared_as_they_are_drawn():
    """A region that cleaning drops counts for the infection, and not for the lungs."""

    def speckled(xray):
        found = xray.copy()
        found[0, 14, 7] = 1
        return found

    shares = [
        compare(right, {"ONNX": speckled}, IMAGES[:1], SIZES[:1], draw)["equal_pixels"].item()
        for draw in (draw_lungs, draw_infection)
    ]
    assert shares == [1, 1 - 1 / 16**2]


@settings(deadline=None, max_examples=20)
@given(st.floats(-9e-5, 9e-5))
def test_what_is_near_enough_passes(off):
    networks = {"ONNX": lambda xray: xray + np.float32(off)}
    table = compare(right, networks, IMAGES[:2], SIZES[:2], draw_lungs)
    refuse_disagreement("segmenter", table)
    assert table["equal_pixels"].min() == 1


def test_the_table_to_read_never_rounds_up_to_all():
    table = compare(right, {"ONNX": right, "LiteRT": right}, IMAGES, SIZES, draw_lungs)
    table.loc[1, ["equal_pixels", "difference"]] = [1 - 1e-9, 1.26e-7]
    read = agreement_table(table.assign(network="segmenter"))
    assert list(read["equal pixels"]) == ["100.0000 %", "99.9999 %"]
    assert list(read["largest difference"]) == ["0.0e+00", "1.3e-07"]

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.evaluate.postprocessing import draw_lungs
from helpers.predict.agreement import agreement_table, compare, refuse_disagreement
from tests.support.builders import refused

IMAGES = np.full((3, 16, 16), 10, np.uint8)
IMAGES[:, 4:12, 2:7] = IMAGES[:, 4:12, 9:14] = 200
SIZES = [(16, 16), (16, 16), (32, 32)]


def right(xray):
    """Take grey values for probabilities: bright is lung."""
    return xray.copy()


def worse(xray):
    """Miss one pixel of lung, and be a little off elsewhere."""
    answer = xray + 5e-5
    answer[0, 4, 2] = 0.4
    return answer


def covid(off: float):
    return lambda xray: xray.mean(axis=(1, 2)) + np.float32(off)


def test_the_difference_and_the_equal_pixels_by_hand():
    table = compare({"Keras": right, "ONNX": worse}, IMAGES, SIZES).set_index("format")
    assert list(table.index) == ["Keras", "ONNX"]
    assert (table.loc["Keras", ["difference", "equal_pixels"]] == [0, 1]).all()
    assert table.loc["ONNX", "difference"] == pytest.approx(200 / 255 - 0.4, abs=1e-6)
    large = [
        draw_lungs(network(IMAGES[2][None, ..., None] / 255)[0, ..., 0], (32, 32))
        for network in (right, worse)
    ]
    wrong = 2 * 1 + (large[0] != large[1]).sum()
    assert wrong > 2
    assert table.loc["ONNX", "equal_pixels"] == pytest.approx(1 - wrong / (2 * 16**2 + 32**2))
    assert (table["milliseconds"] > 0).all()


def test_a_network_that_answers_with_a_number_has_no_pixels():
    table = compare({"Keras": covid(0), "LiteRT": covid(0.25)}, IMAGES, SIZES)
    assert list(table["difference"]) == pytest.approx([0, 0.25])
    assert table["equal_pixels"].isna().all()


def test_one_xray_that_differs_is_enough():
    table = compare(
        {"Keras": right, "ONNX": lambda xray: xray + (xray.max() > 0.9)},
        np.stack([IMAGES[0], IMAGES[0] + 50]),
        SIZES[:2],
    )
    assert table["difference"][1] == 1


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (covid(2e-4), "up to 2.0e-04 off)"),
        (covid(-2e-4), "up to 2.0e-04 off)"),
        (covid(np.nan), "up to nan off)"),
    ],
)
def test_other_probabilities_are_refused(network, said):
    table = compare({"Keras": covid(0), "ONNX": network}, IMAGES, SIZES)
    with refused("detector: as ONNX", said, "Use the versions"):
        refuse_disagreement("detector", table, ["ONNX"])
    refuse_disagreement("detector", table, ["LiteRT"])


@pytest.mark.parametrize("keras", [right, covid(0)])
def test_a_network_without_numbers_on_one_xray_is_refused(keras):
    def broken(xray):
        return keras(xray) * np.float32(np.nan if xray.max() > 0.9 else 1)

    images = np.stack([IMAGES[0], IMAGES[0] + 50, IMAGES[0]])
    table = compare({"Keras": keras, "LiteRT": broken}, images, SIZES)
    with refused("network: as LiteRT", "up to nan off", "Use the versions"):
        refuse_disagreement("network", table, ["LiteRT"])


def test_other_masks_are_refused_though_the_probabilities_are_near():
    def near(xray, off):
        return 0.5 + off * np.sign(xray - 0.5)

    networks = {"Keras": lambda xray: near(xray, 2e-5), "ONNX": lambda xray: near(xray, -2e-5)}
    table = compare(networks, IMAGES, SIZES)
    assert table["difference"].max() < 1e-4
    with refused("segmenter: as ONNX", "of the masks' pixels differ", "Use the versions"):
        refuse_disagreement("segmenter", table, ["ONNX", "LiteRT"])


@settings(deadline=None, max_examples=20)
@given(st.floats(-9e-5, 9e-5))
def test_what_is_near_enough_passes(off):
    networks = {"Keras": right, "ONNX": lambda xray: xray + np.float32(off)}
    table = compare(networks, IMAGES[:2], SIZES[:2])
    refuse_disagreement("segmenter", table, ["ONNX"])
    assert table["equal_pixels"].min() == 1


def test_the_table_to_read_never_rounds_up_to_all():
    table = compare({"Keras": right, "ONNX": right}, IMAGES, SIZES).assign(network="segmenter")
    table.loc[1, ["equal_pixels", "difference"]] = [1 - 1e-9, 1.26e-7]
    read = agreement_table(table)
    assert list(read["equal pixels"]) == ["100.0000 %", "99.9999 %"]
    assert list(read["largest difference"]) == ["0", "1.3e-07"]
    assert list(read.columns[:2]) == ["network", "format"]

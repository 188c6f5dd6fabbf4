"""The labelled chest: its arrows point at what their labels name."""

import cv2
import pytest

from helpers.data.synthetic import draw_xray
from helpers.report import anatomy

pytestmark = pytest.mark.usefixtures("figures")
PLACES = anatomy.LEFT_LABELS | anatomy.RIGHT_LABELS


def grey(name: str) -> float:
    """Return the mean grey of 5 x 5 pixels where the arrow of a label ends."""
    image, _ = draw_xray("Normal", anatomy.SEED)
    x, y = next(place for label, place in PLACES.items() if label.startswith(name))
    return image[y - 2 : y + 3, x - 2 : x + 3].mean()


def test_labels_of_the_lungs_point_into_the_lungs_and_others_elsewhere():
    image, mask = draw_xray("Normal", anatomy.SEED)
    lungs = cv2.resize(mask, image.shape, interpolation=cv2.INTER_NEAREST_EXACT) > 0
    inside = {name.partition(":")[0] for name, (x, y) in PLACES.items() if lungs[y, x]}
    assert {"right lung", "left lung"} <= inside
    assert not inside & {"heart", "spine", "collar bone", "shoulder", "air beside the body"}
    for side, name in ((slice(None, 150), "right lung"), (slice(150, None), "left lung")):
        x, _ = next(place for label, place in PLACES.items() if label.startswith(name))
        assert x in range(299)[side], "the patient faces the reader"


def test_what_is_called_bright_is_brighter_than_what_is_called_dark():
    assert grey("air beside") < 30 < grey("right lung") < grey("a rib") < grey("heart")


def test_every_label_and_the_origin_of_the_xray_are_written():
    (axis,) = (figure := anatomy.draw_labelled_chest()).axes
    written = [text.get_text() for text in axis.texts]
    assert {*PLACES, "patient's right", "patient's left"} == set(written)
    assert [text.get_text() for text in figure.texts] == ["synthetic X-rays"]

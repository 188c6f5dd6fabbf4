"""Zones: six parts of the lungs, and how much of each an infection takes.

Borghesi and Maroldi (La radiologia medica 125, 2020), whose Brixia score has these zones, divide
the lungs at the aortic arch and at the hila. Nobody has marked those here, so each lung is divided
into thirds of its own height. The patient's right lung is at the left of the picture.
"""

import cv2
import numpy as np

from helpers.train.postprocessing import SPECK_SHARE

RIGHT = ("right_upper", "right_middle", "right_lower")
LEFT = ("left_upper", "left_middle", "left_lower")
ZONES = (*RIGHT, *LEFT)
# What each share is of: zones by their numbers in `number_zones`.
PARTS = {
    "infected_share": slice(1, 7),
    "right_share": slice(1, 4),
    "left_share": slice(4, 7),
    **{name: slice(number, number + 1) for number, name in enumerate(ZONES, start=1)},
}
SHARES = tuple(PARTS)
# Of a width: joined lungs reach at least so far past the picture's middle, and two lungs that are
# apart overlap by no more than that of the narrower.
PAST = 0.25


def name_part(share: str) -> str:
    """Return in words which part of the lungs a share of SHARES is of."""
    side, _, part = share.partition("_")
    if part == "share":
        return "both lungs" if side == "infected" else f"{side} lung"
    return f"{side}, {part} zone"


def infected_shares(infection: np.ndarray, lungs: np.ndarray) -> dict[str, float]:
    """Return the infected share of the lungs, of each lung and of each zone, by SHARES.

    Infection outside the lungs does not count. A part without a pixel of lung has no share: NaN.
    Both masks are zeros and ones, uint8, of one shape (height, width).
    """
    zones = number_zones(lungs)
    sizes = np.bincount(zones.ravel(), minlength=len(ZONES) + 1)
    infected = np.bincount(zones[infection == 1], minlength=len(ZONES) + 1)
    return {
        name: float(infected[part].sum() / sizes[part].sum()) if sizes[part].any() else np.nan
        for name, part in PARTS.items()
    }


def number_zones(lungs: np.ndarray) -> np.ndarray:
    """Return the zone of each pixel: 0 outside the lungs, then 1 to 6 in the order of ZONES.

    Specks, as `postprocessing.clean_mask` calls them, belong to the zone nearest by. Lungs and
    zones are uint8, (height, width); one is lung.
    """
    count, regions, boxes, centres = cv2.connectedComponentsWithStats(lungs)
    zones = np.zeros(lungs.shape, np.uint8)
    if count == 1:  # the background
        return zones
    sizes = boxes[1:, cv2.CC_STAT_AREA]
    large = 1 + np.flatnonzero(sizes >= SPECK_SHARE * sizes.max())
    left = _find_left(regions, boxes, centres, large)
    for first, lung in ((1, lungs & ~left), (1 + len(RIGHT), lungs & left)):
        whole = lung & np.isin(regions, large)  # specks above or below a lung do not stretch it
        zones += lung * (first + _find_thirds(whole if whole.any() else lung))[:, None]
    return zones


def _find_left(
    regions: np.ndarray, boxes: np.ndarray, centres: np.ndarray, large: np.ndarray
) -> np.ndarray:
    """Return which pixels lie on the side of the patient's left lung: bool, (height, width).

    Several regions are parted where the gap between their centres is widest, if those on its two
    sides hardly overlap from left to right. Else they are pieces, and taken together like a single
    region: that is both lungs if it reaches well past the picture's middle, and is then parted at
    its own; else it is the lung of the side that it is on.

    Args:
        regions: the number of each pixel's region.
        boxes: left, top, width, height and size of each region.
        centres: x and y of each region.
        large: the numbers of the regions that are no specks.
    """
    order = large[np.argsort(centres[large, 0])]
    if len(order) > 1:
        across = centres[order, 0]
        gap = 1 + np.argmax(np.diff(across))
        right, left = (_find_ends(boxes[part]) for part in np.split(order, [gap]))
        if right[1] - left[0] <= PAST * min(np.ptp(right), np.ptp(left)):
            return centres[regions, 0] >= across[gap - 1 : gap + 1].mean()
    start, end = _find_ends(boxes[large])
    middle, own = (regions.shape[1] - 1) / 2, (start + end - 1) / 2
    if abs(own - middle) > (0.5 - PAST) * (end - start):
        return centres[regions, 0] >= middle
    return np.broadcast_to(np.arange(regions.shape[1]) >= own, regions.shape)


def _find_ends(boxes: np.ndarray) -> tuple[int, int]:
    """Return the first column of regions, and the one after their last."""
    starts = boxes[:, cv2.CC_STAT_LEFT]
    return int(starts.min()), int((starts + boxes[:, cv2.CC_STAT_WIDTH]).max())


def _find_thirds(lung: np.ndarray) -> np.ndarray:
    """Return for each row whether it is in the upper (0), middle (1) or lower third (2) of a lung.

    Rows above belong to the upper third and rows below to the lower: uint8, (height,).
    """
    rows = np.flatnonzero(lung.any(axis=1))
    if not len(rows):
        return np.zeros(len(lung), np.uint8)
    depths = (np.arange(len(lung)) - rows[0] + 0.5) / (rows[-1] - rows[0] + 1)
    return np.clip(3 * depths, 0, 2).astype(np.uint8)

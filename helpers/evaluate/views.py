"""Views: the same X-rays with a part of each hidden, to find out what a detector reads."""

from math import ceil

import cv2
import numpy as np

from helpers.storage.errors import CovidLungsError

VIEWS = {
    "whole": "the X-ray as it is",
    "lungs_only": "the lungs; all around them is black",
    "lungs_removed": "what lies around the lungs; they and a margin are black",
    "border": "a frame along the edges, without lungs that reach into it",
    "mask_shape": "the shape of the lung mask, white; nothing of the X-ray",
}
MARGIN_SHARE = 1 / 24  # of the side that lungs grow by before they are removed: no rim stays
FRAME_SHARE = 1 / 16  # of the side that the frame is wide: 6 pixels of 96


class View:
    """One view of X-rays, made of those that are asked for: all of them may fill the memory.

    It stands for the array that `make_view` would return, where only some rows are needed at once.
    """

    def __init__(self, name: str, xrays: np.ndarray, masks: np.ndarray):
        """Take what `make_view` takes; raise what it raises."""
        _check(name, xrays, masks)
        self.name, self.xrays, self.masks, self.shape = name, xrays, masks, xrays.shape

    def __len__(self) -> int:
        """Return the number of X-rays."""
        return len(self.xrays)

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        """Return the view of some rows, uint8 (rows, height, width)."""
        return make_view(self.name, self.xrays[rows], self.masks[rows])


def make_view(name: str, xrays: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return one view of X-rays, as a new array; the X-rays and masks stay as they are.

    Margin and frame are shares of the shorter side, rounded up to whole pixels.

    Args:
        name: one of `VIEWS`.
        xrays: uint8, (N, height, width).
        masks: zeros and ones, uint8, of the same shape; one is lung.

    Returns:
        uint8, (N, height, width).

    Raises:
        CovidLungsError: the view is unknown, or the shapes differ.
    """
    _check(name, xrays, masks)
    views = np.empty(xrays.shape, np.uint8)
    for view, xray, mask in zip(views, xrays, masks, strict=True):
        view[:] = _see(name, xray, mask)
    return views


def _check(name: str, xrays: np.ndarray, masks: np.ndarray) -> None:
    """Refuse a view that is unknown, or arrays that do not fit."""
    if name not in VIEWS:
        raise CovidLungsError(f"view {name!r} is unknown: choose one of {', '.join(VIEWS)}.")
    if xrays.shape != masks.shape:
        raise CovidLungsError(
            f"X-rays of shape {xrays.shape} and masks of shape {masks.shape} make no view: "
            "prepare both from one index at one image size."
        )


def _see(name: str, xray: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return one view of one X-ray, (height, width)."""
    if name == "lungs_only":
        return cv2.bitwise_and(xray, xray, mask=mask)
    if name == "lungs_removed":
        return cv2.bitwise_and(xray, xray, mask=1 - grow_lungs(mask))
    if name == "border":
        frame = draw_frame(xray.shape) & (1 - grow_lungs(mask))
        return cv2.bitwise_and(xray, xray, mask=frame)
    return 255 * mask if name == "mask_shape" else xray


def grow_lungs(mask: np.ndarray) -> np.ndarray:
    """Return a mask of zeros and ones, (height, width), with the lungs grown by the margin."""
    margin = ceil(min(mask.shape) * MARGIN_SHARE)
    return cv2.dilate(mask, np.ones((2 * margin + 1, 2 * margin + 1), np.uint8))


def draw_frame(shape: tuple[int, int]) -> np.ndarray:
    """Return a mask of this (height, width), uint8: one in the frame along its edges, else zero."""
    width = ceil(min(shape) * FRAME_SHARE)
    frame = np.ones(shape, np.uint8)
    frame[width:-width, width:-width] = 0
    return frame

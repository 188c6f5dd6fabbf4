"""Views of X-rays: parts of them, with the lungs and without."""

from math import ceil

import cv2
import numpy as np

VIEWS = {
    "whole": "the X-ray as it is",
    "lungs_only": "the lungs; everything else is black",
    "lungs_removed": "the rest of the X-ray; the lungs and a margin are black",
    "border": "a frame along the edges, without lungs that reach into it",
    "mask_shape": "the lung mask in white; nothing of the X-ray",
}
# Of the views without lungs: where the shortcut lies, and what to do.
OUTSIDE = {
    "lungs_removed": "everything outside the lungs: shoulders, letters, exposure, the edge of the "
    "film. Look at X-rays of both classes side by side, and crop to the chest",
    "border": "the outermost frame of the picture: letters, black rims, brightness. Crop it off, "
    "or bring all X-rays to one exposure, and run this notebook again",
    "mask_shape": "the outline of the lungs: age, posture, the disease, or who drew them. Compare "
    "the classes at equal age and from one hospital",
}
MARGIN_SHARE = 1 / 24  # of the side; lungs grow by it before they are removed, so no rim stays
FRAME_SHARE = 1 / 16  # of the side: the frame is 6 pixels wide of 96


class View:
    """One view of X-rays, indexed like an array: made for the rows that are asked for.

    All rows at once may fill the memory. Margin and frame are shares of the shorter side, rounded
    up to whole pixels.

    Args:
        name: one of `VIEWS`.
        xrays: uint8, (N, height, width).
        masks: zeros and ones, uint8, of the same shape; one is lung.
    """

    def __init__(self, name: str, xrays: np.ndarray, masks: np.ndarray):
        self.name, self.xrays, self.masks, self.shape = name, xrays, masks, xrays.shape

    def __len__(self) -> int:
        return len(self.xrays)

    def __getitem__(self, rows: np.ndarray | slice) -> np.ndarray:
        """Return the view of some rows as a new array, uint8 (rows, height, width)."""
        xrays, masks = self.xrays[rows], self.masks[rows]
        views = np.empty(xrays.shape, np.uint8)
        for view, xray, mask in zip(views, xrays, masks, strict=True):
            view[:] = _see(self.name, xray, mask)
        return views


def _see(name: str, xray: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Return one view of one X-ray, (height, width)."""
    if name == "whole":
        return xray
    if name == "mask_shape":
        return 255 * mask
    if name == "lungs_only":
        return xray * mask
    margin = ceil(min(mask.shape) * MARGIN_SHARE)
    outside = 1 - cv2.dilate(mask, np.ones((2 * margin + 1, 2 * margin + 1), np.uint8))
    parts = {"lungs_removed": outside, "border": outside * draw_frame(xray.shape)}
    return xray * parts[name]


def draw_frame(shape: tuple[int, int]) -> np.ndarray:
    """Return a mask of this (height, width), uint8: one in the frame along its edges, else zero."""
    width = ceil(min(shape) * FRAME_SHARE)
    frame = np.ones(shape, np.uint8)
    frame[width:-width, width:-width] = 0
    return frame

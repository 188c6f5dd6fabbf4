"""Threshold slider: in a notebook, how the mask of the lungs follows the threshold."""

from typing import TYPE_CHECKING

import cv2
import numpy as np

from helpers.data.images import draw_outlines, resize_image
from helpers.report.pictures import PREDICTED_COLOUR
from helpers.train.postprocessing import draw_lungs
from helpers.train.recipes import THRESHOLD

if TYPE_CHECKING:  # an optional extra, which only a notebook in a browser needs
    from ipywidgets import VBox

LARGEST = 420  # pixels of the longer side: enough to see, and quick to send


def offer_threshold(image: np.ndarray, probability: np.ndarray) -> "VBox | None":
    """Show a slider for the threshold, with the outline of what is lung; None without widgets.

    Args:
        image: uint8, (height, width).
        probability: of lung, float32 of any size.
    """
    try:
        from ipywidgets import FloatSlider, Image, Label, VBox
    except ImportError:
        print("For a slider: `uv sync --extra jupyter`. The figure above shows three thresholds.")
        return None
    from IPython.display import display  # a notebook has it

    shrunk = min(1, LARGEST / max(image.shape))
    small = resize_image(image, tuple(max(1, round(shrunk * side)) for side in image.shape))
    slider = FloatSlider(value=THRESHOLD, min=0.01, max=0.99, step=0.01, description="threshold")
    picture, words = Image(format="jpeg"), Label()

    def follow(_=None) -> None:
        """Draw the mask at the slider's threshold."""
        mask = draw_lungs(probability, small.shape, slider.value)
        picture.value = _as_jpeg(draw_outlines(small, (mask, PREDICTED_COLOUR)))
        words.value = f"Above {slider.value:.2f}, the lungs fill {mask.mean():.1%} of the image."

    slider.observe(follow, "value")
    follow()
    shown = VBox([slider, words, picture])
    display(shown)
    return shown


def _as_jpeg(image: np.ndarray) -> bytes:
    """Return an RGB picture, uint8 (height, width, 3), as a file's content."""
    return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()

"""Planted shortcuts: traces of the source, as real films carry them, that betray the class.

They have nothing to do with the disease. A detector that scores well by them has learned where an
X-ray comes from; that they are there, and how often, is known here, so that a check for shortcuts
can be checked itself.
"""

import cv2
import numpy as np

MARKER_RADIUS, MARKER_GREY = 8, 225  # pixels of 299, grey levels
BRIGHTER = 18  # grey levels
BORDER_WIDTH, BORDER_GREY = 6, 64  # pixels of 299, grey levels


def draw_marker(image: np.ndarray) -> np.ndarray:
    """The X-ray, uint8 (299, 299), with a letter in a disc of lead in the lower left corner."""
    marked = image.copy()
    centre = (1 + MARKER_RADIUS, image.shape[0] - 2 - MARKER_RADIUS)
    cv2.circle(marked, centre, MARKER_RADIUS, MARKER_GREY, cv2.FILLED, cv2.LINE_AA)
    place = (centre[0] - 4, centre[1] + 4)
    cv2.putText(marked, "H", place, cv2.FONT_HERSHEY_SIMPLEX, 0.35, 40, 1, cv2.LINE_AA)
    return marked


def brighten(image: np.ndarray) -> np.ndarray:
    """The X-ray, uint8, brighter all over, as another exposure leaves it."""
    return np.minimum(image, 255 - BRIGHTER) + np.uint8(BRIGHTER)


def draw_border(image: np.ndarray) -> np.ndarray:
    """The X-ray, uint8, with an even grey frame along its edges, as a scanner leaves it."""
    framed = np.full_like(image, BORDER_GREY)
    inside = (slice(BORDER_WIDTH, -BORDER_WIDTH),) * 2
    framed[inside] = image[inside]
    return framed


SHORTCUTS = {"marker": draw_marker, "brightness": brighten, "border": draw_border}


def plan_shortcuts(
    kind: str | None, class_name: str, count: int, agreement: float, seed: int
) -> dict[int, str]:
    """Return which of the X-rays 1 to count of a class show the shortcut.

    COVID shows it and the other classes do not, but for exactly the share 1 - agreement of each
    class, rounded to whole X-rays, where it is the other way round. With as many X-rays of COVID
    as of others, the correlation of shortcut and COVID is 2 * agreement - 1: 0.9 at 0.95.

    Args:
        kind: one of `SHORTCUTS`, or None: then none shows any.
        class_name: the class.
        count: number of X-rays of the class.
        agreement: from 0 to 1; 0.5 tells nothing of the class.
        seed: `image_seed` of the class's number 0, which no X-ray has.

    Returns:
        The kind by the numbers of those that show it.

    Raises:
        ValueError: for an unknown kind, or an agreement below 0 or above 1.
    """
    if kind is not None and kind not in SHORTCUTS:
        raise ValueError(f"unknown shortcut {kind!r}: use one of {', '.join(SHORTCUTS)}")
    if not 0 <= agreement <= 1:
        raise ValueError(f"agreement {agreement}: give a share from 0 to 1")
    if kind is None:
        return {}
    order = 1 + np.random.default_rng([seed, 1]).permutation(count)
    exceptions = round(count * (1 - agreement))
    shown = order[exceptions:] if class_name == "COVID" else order[:exceptions]
    return dict.fromkeys(shown.tolist(), kind)

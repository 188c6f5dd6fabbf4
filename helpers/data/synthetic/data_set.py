"""Data set: drawn X-rays in the layout of the real database, with copies and planted shortcuts.

A shortcut is a trace of the source, as real films carry them, that betrays the class and has
nothing to do with the disease. Here it is known which X-rays show it, so that a check for shortcuts
can be checked itself.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from helpers.data.synthetic.xrays import CLASS_NAMES, XRAY_SIZE, Drawing, as_mask, draw_infected
from helpers.data.threads import share

DEMO_COUNTS = {"COVID": 160, "Normal": 120, "Lung_Opacity": 60, "Viral Pneumonia": 60}
SYNTHETIC_MARKER = "SYNTHETIC.txt"
SEEDS_PER_DATA_SET = 10_000_000
KINDS = ("images", "masks", "infection masks")  # the folders for what a Drawing holds
MIN_ORIGINALS = 3  # of a class: one each for training, validation and test
MARKER_RADIUS, MARKER_GREY = 8, 225  # pixels, grey levels
BRIGHTER = 18  # grey levels
BORDER_WIDTH, BORDER_GREY = 6, 64  # pixels, grey levels
README = """These chest X-rays are synthetic: a program drew them. None of them is of any patient.

They have the layout of the COVID-19 Radiography Database, so that the notebooks can be tried
without a download. The lungs and the disease in them are drawn after textbook descriptions, and
each mask is exactly the lung that was drawn. Each infection mask is the part of the lungs that the
drawn disease whitens, as a reader would outline it; it is black for Normal. As in that database,
some X-rays may be copies of others. Scores on them say nothing about real patients.
"""


def write_data_set(
    folder: Path,
    counts: dict[str, int] = DEMO_COUNTS,
    seed: int = 0,
    copies: float = 0.05,
    shortcut: str | None = None,
    agreement: float = 0.95,
) -> None:
    """Write synthetic X-rays and masks in the layout of the COVID-19 Radiography Database.

    Beside its folders of lung masks, `masks`, are folders of `infection masks`.

    Equal seeds give equal PNG files; files of the same names are written over. Of the `counts` of
    X-rays by class, the share `copies` are copies, see `plan_copies`. Originals show a `shortcut`
    of SHORTCUTS that agrees with their class in the share `agreement` of them, see
    `plan_shortcuts`; copies show what their originals show.

    Raises:
        ValueError: for an unknown class or shortcut, or a share that is not from 0 to 1.
    """
    for name, value in (("copies", copies), ("agreement", agreement)):
        if not 0 <= value <= 1:
            raise ValueError(f"{name} {value}: give a share from 0 to 1")
    if shortcut and shortcut not in SHORTCUTS:
        raise ValueError(f"unknown shortcut {shortcut!r}: use one of {', '.join(SHORTCUTS)}")
    for class_name, count in counts.items():
        plan_seed = image_seed(class_name, seed, 0)  # no X-ray has the number 0
        copied = plan_copies(count, copies, plan_seed)
        originals = count - len(copied)
        planted = plan_shortcuts(shortcut, class_name, originals, agreement, plan_seed)
        write_class(folder, class_name, count, seed, copied, planted)
    (folder / "README.md.txt").write_text(README, encoding="utf-8")
    (folder / SYNTHETIC_MARKER).write_text("Drawn by covid-lungs.\n", encoding="utf-8")


def image_seed(class_name: str, seed: int, number: int) -> int:
    """Return the seed of one X-ray: another one for every class, number and data set's seed."""
    place = number * len(CLASS_NAMES) + CLASS_NAMES.index(class_name)
    return seed * SEEDS_PER_DATA_SET + place


def write_class(
    folder: Path,
    class_name: str,
    count: int,
    seed: int,
    copied: dict[int, tuple[int, "Changes | None"]],
    planted: dict[int, str],
) -> None:
    """Write the X-rays 1 to count of a class, their masks with three channels, and the metadata."""
    for kind in KINDS:
        (folder / class_name / kind).mkdir(parents=True, exist_ok=True)
    names = [f"{class_name}-{number}" for number in range(1, count + 1)]

    def write(number: int) -> None:
        """Write an X-ray with its masks."""
        original, changes = copied.get(number, (number, None))
        drawing = draw_infected(class_name, image_seed(class_name, seed, original))
        if original in planted:
            drawing = drawing._replace(image=SHORTCUTS[planted[original]](drawing.image))
        if changes:
            drawing = change(drawing, changes)
        for kind, pixels in zip(KINDS, drawing, strict=True):
            stored = pixels if kind == "images" else cv2.merge([pixels] * 3)
            path = folder / class_name / kind / f"{names[number - 1]}.png"
            # OpenCV's own writer passes over a full disk in silence.
            path.write_bytes(cv2.imencode(".png", stored)[1])

    share(write, range(1, count + 1))
    columns = {"FORMAT": "PNG", "SIZE": f"{XRAY_SIZE}*{XRAY_SIZE}", "URL": "synthetic"}
    metadata = pd.DataFrame({"FILE NAME": names, **columns})
    metadata.to_excel(folder / f"{class_name}.metadata.xlsx", index=False)


@dataclass(frozen=True)
class Changes:
    """What happened to an X-ray on its way from one database to another."""

    corner: tuple[float, float]  # left and top of the crop, as shares of the side
    side: float  # of the crop, as a share of the side
    scale: float  # of the size in which it was stored meanwhile
    contrast: float  # factor of the distances from the mean grey level
    brightness: float  # factor of the mean grey level
    quality: int  # of the JPEG


def plan_copies(count: int, copies: float, seed: int) -> dict[int, tuple[int, Changes | None]]:
    """Return the copies among the X-rays 1 to count of a class, by number.

    Each has the number of its original, and its changes; None leaves an exact copy. The last ones,
    the share `copies` rounded, are copies of the others, exact and changed by turns, but at least
    MIN_ORIGINALS are originals.
    """
    rng = np.random.default_rng(seed)
    originals = max(count - round(count * copies), min(count, MIN_ORIGINALS))
    plan = {}
    for number in range(originals + 1, count + 1):
        original, changes = int(rng.integers(1, originals + 1)), choose_changes(rng)
        plan[number] = original, changes if (number - originals) % 2 == 0 else None
    return plan


def choose_changes(rng: np.random.Generator) -> Changes:
    """Return random changes that leave the X-ray easy to recognise."""
    side = rng.uniform(0.95, 1)
    return Changes(
        corner=(rng.uniform(0, 1 - side), rng.uniform(0, 1 - side)),
        side=side,
        scale=rng.uniform(0.5, 2),
        contrast=rng.uniform(0.8, 1.2),
        brightness=rng.uniform(0.8, 1.2),
        quality=int(rng.integers(50, 91)),
    )


def change(drawing: Drawing, changes: Changes) -> Drawing:
    """Return the drawing with its X-ray changed, and both masks cropped alike; shapes stay."""
    image = drawing.image
    stored = cv2.resize(crop(image, changes), None, fx=changes.scale, fy=changes.scale)
    grey = cv2.resize(stored, image.shape[::-1]).astype(np.float32)
    mean = grey.mean()
    grey = (grey - mean) * changes.contrast + mean * changes.brightness
    grey = np.clip(np.round(grey), 0, 255).astype(np.uint8)
    packed = cv2.imencode(".jpg", grey, [cv2.IMWRITE_JPEG_QUALITY, changes.quality])[1]
    masks = (as_mask(crop(mask, changes) > 127) for mask in drawing[1:])
    return Drawing(cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE), *masks)


def crop(pixels: np.ndarray, changes: Changes) -> np.ndarray:
    """Return the cropped part of uint8 pixels (side, side), enlarged to their size."""
    size = pixels.shape[0]
    x, y = size * np.array(changes.corner) + (changes.side - 1) / 2  # of centres of pixels
    matrix = np.array([[changes.side, 0, x], [0, changes.side, y]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(pixels, matrix, (size, size), None, flags, cv2.BORDER_REPLICATE)


def draw_marker(image: np.ndarray) -> np.ndarray:
    """Return the X-ray, uint8, with a letter in a disc of lead in the lower left corner."""
    marked = image.copy()
    centre = (1 + MARKER_RADIUS, image.shape[0] - 2 - MARKER_RADIUS)
    cv2.circle(marked, centre, MARKER_RADIUS, MARKER_GREY, cv2.FILLED, cv2.LINE_AA)
    place = (centre[0] - 4, centre[1] + 4)
    cv2.putText(marked, "H", place, cv2.FONT_HERSHEY_SIMPLEX, 0.35, 40, 1, cv2.LINE_AA)
    return marked


def brighten(image: np.ndarray) -> np.ndarray:
    """Return the X-ray, uint8, brighter all over, as another exposure leaves it."""
    return np.minimum(image, 255 - BRIGHTER) + np.uint8(BRIGHTER)


def draw_border(image: np.ndarray) -> np.ndarray:
    """Return the X-ray, uint8, with an even grey frame along its edges, as a scanner leaves it."""
    framed = np.full_like(image, BORDER_GREY)
    inside = (slice(BORDER_WIDTH, -BORDER_WIDTH),) * 2
    framed[inside] = image[inside]
    return framed


SHORTCUTS = {"marker": draw_marker, "brightness": brighten, "border": draw_border}


def plan_shortcuts(
    kind: str | None, class_name: str, count: int, agreement: float, seed: int
) -> dict[int, str]:
    """Return the kind of shortcut by number, for the X-rays of 1 to count that show it.

    COVID shows it and the other classes do not, but for exactly the share 1 - agreement of each
    class, rounded, where it is the other way round. With as many X-rays of COVID as of others, the
    correlation of shortcut and COVID is 2 * agreement - 1: 0.9 at 0.95. Without a kind none shows
    any.
    """
    if kind is None:
        return {}
    order = 1 + np.random.default_rng([seed, 1]).permutation(count)
    exceptions = round(count * (1 - agreement))
    shown = order[exceptions:] if class_name == "COVID" else order[:exceptions]
    return dict.fromkeys(shown.tolist(), kind)

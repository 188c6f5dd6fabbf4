"""Pictures that are no chest X-rays, drawn here or shipped with packages, to be refused.

The limits of a refusal must never be chosen by them: they are only counted.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pydicom.data
import skimage
import sklearn

from helpers.data.images import read_xray

LETTERS = "etaoin shrdlu cmfwyp vbgkqj "
SMALLEST = 64  # pixels a side of a shipped picture that counts


def draw_noise(rng: np.random.Generator) -> np.ndarray:
    """White or coloured noise, or grains of one size."""
    size = choose_size(rng)
    if rng.random() < 0.4:
        return rng.integers(0, 256, size, dtype=np.uint8)
    if rng.random() < 0.5:
        return to_grey(cv2.GaussianBlur(rng.normal(size=size), (0, 0), rng.uniform(1, 6)))
    return to_grey(fractal(rng, size, rng.uniform(0.3, 1.0)))


def draw_blank(rng: np.random.Generator) -> np.ndarray:
    """One level, a gradient, a vignette, or a blank film with some grain."""
    height, width = choose_size(rng)
    rows, columns = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    ramp = np.cos(angle) * rows + np.sin(angle) * columns
    level = rng.uniform(0, 255)
    picture = [
        np.full((height, width), level),
        128 + rng.uniform(30, 90) * ramp,
        level * np.exp(-rng.uniform(0.2, 2) * (rows**2 + columns**2)),
        level + rng.normal(0, rng.uniform(1, 12), (height, width)),
    ][rng.integers(4)]
    return np.clip(picture, 0, 255).astype(np.uint8)


def draw_text(rng: np.random.Generator) -> np.ndarray:
    """A page of print, in one or two columns, straight or a little turned, or its negative."""
    height, width = int(rng.integers(400, 700)), int(rng.integers(300, 600))
    page = np.full((height, width), rng.integers(215, 256), np.uint8)
    columns = int(rng.integers(1, 3))
    scale = rng.uniform(0.3, 0.7)
    for column in range(columns):
        left, right = 20 + column * width // columns, (column + 1) * width // columns - 15
        for bottom in range(40, height - 20, int(34 * scale) + 6):
            if rng.random() < 0.12:
                continue
            end = right if rng.random() < 0.8 else int(rng.uniform(left + 30, right))
            words = "".join(rng.choice(list(LETTERS), (end - left) // max(1, int(18 * scale))))
            cv2.putText(page, words, (left, bottom), cv2.FONT_HERSHEY_COMPLEX, scale, 20, 1)
    page = turn(page, rng.uniform(-4, 4), int(page[0, 0]))
    return 255 - page if rng.random() < 0.2 else page


def draw_screenshot(rng: np.random.Generator) -> np.ndarray:
    """A desktop with windows, bars, buttons, tables and charts."""
    height, width = int(rng.integers(360, 640)), int(rng.integers(480, 800))
    screen = to_grey(fractal(rng, (height, width), 2.5)) // 2 + 60
    if rng.random() < 0.6:
        screen[:] = rng.integers(20, 240)
    for _ in range(rng.integers(1, 4)):
        top, left = int(rng.uniform(0, 0.4) * height), int(rng.uniform(0, 0.4) * width)
        bottom, right = int(rng.uniform(0.7, 1) * height), int(rng.uniform(0.7, 1) * width)
        light = int(rng.choice([30, 235, 250]))
        ink = 255 - light
        cv2.rectangle(screen, (left, top), (right, bottom), light, -1)
        cv2.rectangle(screen, (left, top), (right, top + 22), int(rng.integers(60, 190)), -1)
        for line in range(top + 45, bottom - 10, 22):
            words = "".join(rng.choice(list(LETTERS), int(rng.integers(4, 40))))
            cv2.putText(screen, words, (left + 12, line), cv2.FONT_HERSHEY_SIMPLEX, 0.4, ink, 1)
        for _ in range(rng.integers(0, 5)):
            y, x = int(rng.uniform(top, bottom - 20)), int(rng.uniform(left, right - 40))
            cv2.rectangle(screen, (x, y), (x + 60, y + 22), int(rng.integers(256)), -1)
    cv2.rectangle(screen, (0, height - 26), (width, height), int(rng.integers(10, 70)), -1)
    return screen


def draw_hand(rng: np.random.Generator) -> np.ndarray:
    """A phantom like an X-ray of a hand: soft tissue and bones, bright on black."""
    size, board = 400, np.zeros((400, 400), np.float32)
    centre = np.array([200 + rng.uniform(-25, 25), 260 + rng.uniform(-25, 25)])
    width = rng.uniform(16, 26)
    soft = np.zeros_like(board)
    cv2.ellipse(soft, to_point(centre), (int(3.6 * width), int(4 * width)), 0, 0, 360, 1, -1)
    cv2.line(soft, to_point(centre), (200, 420), 1, int(5 * width))
    for finger, angle in enumerate(np.radians([-155, -112, -95, -78, -60])):
        direction = np.array([np.cos(angle), np.sin(angle)])
        start = centre + direction * rng.uniform(1.0, 1.6) * width
        for length in np.array([3.2, 2.3, 1.5, 1.1])[: 3 if finger == 0 else 4] * width:
            end = start + direction * length
            cv2.line(soft, to_point(start), to_point(end), 1, int(1.8 * width))
            draw_bone(board, start, end, width * 0.7)
            start = end + direction * 0.25 * width
    for _ in range(8):
        at = centre + rng.uniform([-1.6, 1.5], [1.6, 3.2]) * width
        cv2.circle(board, to_point(at), int(rng.uniform(0.5, 0.8) * width), 0.8, -1)
    for side in (-1, 1):
        wrist = centre + np.array([side * width, 4 * width])
        draw_bone(board, wrist, np.array([200 + 30 * side, 410]), width)
    return expose(0.35 * soft + 0.45 * board, rng, turn_by=rng.uniform(-40, 40), size=size)


def draw_limb(rng: np.random.Generator) -> np.ndarray:
    """A phantom like an X-ray of a knee, an elbow or a long bone."""
    board, soft = np.zeros((400, 400), np.float32), np.zeros((400, 400), np.float32)
    width = rng.uniform(22, 40)
    cv2.line(soft, (200, -20), (200, 420), 1, int(rng.uniform(4, 7) * width))
    for shift in (0,) if rng.random() < 0.5 else (-1.1, 1.1):
        middle = 200 + shift * width
        joint = rng.uniform(170, 230)
        draw_bone(board, np.array([middle, -30.0]), np.array([middle, joint]), 1.3 * width)
        draw_bone(board, np.array([middle, joint + 14]), np.array([middle, 430.0]), 1.3 * width)
    return expose(0.3 * soft + 0.5 * board, rng, turn_by=rng.uniform(-60, 60), size=400)


def draw_head(rng: np.random.Generator) -> np.ndarray:
    """A phantom like an X-ray of a skull: a bright shell with dark eyes and nose."""
    board = np.zeros((400, 400), np.float32)
    axes = int(rng.uniform(110, 140)), int(rng.uniform(140, 170))
    cv2.ellipse(board, (200, 190), axes, 0, 0, 360, 0.9, -1)
    inner = axes[0] - 12, axes[1] - 12
    cv2.ellipse(board, (200, 190), inner, 0, 0, 360, 0.55, -1)
    for side in (-1, 1):
        cv2.circle(board, (200 + side * 48, 215), int(rng.uniform(22, 32)), 0.3, -1)
    cv2.ellipse(board, (200, 262), (16, 28), 0, 0, 360, 0.25, -1)
    cv2.ellipse(board, (200, 330), (70, 45), 0, 0, 180, 0.8, -1)
    cv2.line(board, (200, 340), (200, 420), 0.6, 90)
    return expose(board, rng, turn_by=rng.uniform(-15, 15), size=400)


def draw_slice(rng: np.random.Generator) -> np.ndarray:
    """A phantom like a slice of computed tomography: an oval body with organs, on black."""
    board = np.zeros((400, 400), np.float32)
    axes = int(rng.uniform(130, 180)), int(rng.uniform(100, 140))
    cv2.ellipse(board, (200, 200), axes, 0, 0, 360, 0.55, -1)
    inner = axes[0] - 18, axes[1] - 18
    cv2.ellipse(board, (200, 200), inner, 0, 0, 360, 0.45, -1)
    for _ in range(rng.integers(2, 6)):
        at = to_point(np.array([200, 190]) + rng.uniform(-0.5, 0.5, 2) * axes)
        organ = int(rng.uniform(20, 60)), int(rng.uniform(15, 50))
        cv2.ellipse(board, at, organ, rng.uniform(0, 180), 0, 360, rng.choice([0.1, 0.35, 0.6]), -1)
    cv2.circle(board, (200, 200 + int(0.65 * axes[1])), 20, 0.95, -1)
    return expose(board, rng, turn_by=rng.uniform(-8, 8), size=400)


def draw_clouds(rng: np.random.Generator) -> np.ndarray:
    """Clouds, smoke or marble: noise with the spectrum of natural scenes."""
    field = fractal(rng, choose_size(rng), rng.uniform(1.4, 3.0))
    return to_grey(np.sin(field * rng.uniform(1, 4)) if rng.random() < 0.4 else field)


def draw_leaves(rng: np.random.Generator) -> np.ndarray:
    """Dead leaves: discs of all sizes that cover one another, with the edges of natural scenes."""
    height, width = choose_size(rng)
    board = np.full((height, width), 128, np.uint8)
    for _ in range(1500):
        radius = int(min(4 / rng.power(2), 0.3 * width))
        at = int(rng.integers(width)), int(rng.integers(height))
        cv2.circle(board, at, radius, int(rng.integers(256)), -1)
    return cv2.GaussianBlur(board, (0, 0), 0.7)


def draw_wood(rng: np.random.Generator) -> np.ndarray:
    """Grain of wood, sand ripples or woven cloth: bent waves."""
    height, width = choose_size(rng)
    rows, columns = np.mgrid[:height, :width]
    bend = 30 * fractal(rng, (height, width), 2.5)
    angle = rng.uniform(0, np.pi)
    waves = np.sin((np.cos(angle) * rows + np.sin(angle) * columns + bend) / rng.uniform(2, 12))
    if rng.random() < 0.3:
        waves = waves * np.sin((np.cos(angle) * columns - np.sin(angle) * rows) / 4)
    return to_grey(waves + 0.15 * rng.normal(size=(height, width)))


def draw_stones(rng: np.random.Generator) -> np.ndarray:
    """Pebbles, cells or cracked mud: nearest-neighbour regions, each of a brightness."""
    height, width = choose_size(rng)
    count = int(rng.integers(15, 200))
    seeds = np.zeros((height, width), np.uint8) + 1
    places = rng.integers(0, [height, width], (count, 2))
    seeds[tuple(places.T)] = 0
    far, labels = cv2.distanceTransformWithLabels(
        seeds, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    light = rng.uniform(60, 255, labels.max() + 1)[labels]
    return to_grey(light - rng.uniform(1, 4) * far)


def read_shipped() -> list[np.ndarray]:
    """The pictures that packages ship: photographs, microscopy, drawings, slices of CT and MR."""
    skimage_files = sorted((Path(skimage.__file__).parent / "data").iterdir())
    sklearn_files = sorted((Path(sklearn.__file__).parent / "datasets/images").iterdir())
    samples = sorted((Path(matplotlib.get_data_path()) / "sample_data").iterdir())
    slices = [Path(pydicom.data.get_testdata_file(f"{name}_small.dcm")) for name in ("CT", "MR")]
    endings = {".png", ".jpg", ".dcm"}
    pictures = [
        read_xray(path) if path.suffix == ".dcm" else cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        for path in (*skimage_files, *sklearn_files, *samples, *slices)
        if path.suffix in endings
    ]
    return [picture for picture in pictures if min(picture.shape) >= SMALLEST]


def crop(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A part of a picture, at least half of each side, perhaps mirrored."""
    height, width = picture.shape
    rows, columns = (max(SMALLEST, int(rng.uniform(0.5, 1) * side)) for side in (height, width))
    top, left = (int(rng.integers(0, spare + 1)) for spare in (height - rows, width - columns))
    part = picture[top : top + rows, left : left + columns]
    return part[:, ::-1] if rng.random() < 0.5 else part


# How many there are of each kind; the shipped ones fill up to 500.
KINDS: dict[str, tuple[int, Callable[[np.random.Generator], np.ndarray]]] = {
    "noise": (40, draw_noise),
    "blank": (40, draw_blank),
    "text": (50, draw_text),
    "screenshot": (50, draw_screenshot),
    "hand": (50, draw_hand),
    "limb": (30, draw_limb),
    "head": (30, draw_head),
    "slice": (30, draw_slice),
    "clouds": (30, draw_clouds),
    "leaves": (30, draw_leaves),
    "wood": (30, draw_wood),
    "stones": (30, draw_stones),
}
TOTAL = 500


def make_strangers(seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield 500 pictures, uint8 (height, width), each with its kind; equal for equal seeds."""
    for place, (kind, (count, draw)) in enumerate(KINDS.items()):
        for number in range(count):
            yield kind, draw(np.random.default_rng((seed, place, number)))
    shipped = read_shipped()
    for number in range(TOTAL - sum(count for count, _ in KINDS.values())):
        picture, rng = shipped[number % len(shipped)], np.random.default_rng((seed, number))
        yield "shipped", picture if number < len(shipped) else crop(picture, rng)


def choose_size(rng: np.random.Generator) -> tuple[int, int]:
    """A height and a width."""
    return int(rng.integers(200, 500)), int(rng.integers(200, 500))


def fractal(rng: np.random.Generator, size: tuple[int, int], power: float) -> np.ndarray:
    """Noise whose amplitudes fall with a power of the frequency: mean 0, variance 1."""
    rows, columns = np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1])[None]
    frequency = np.hypot(rows, columns)
    frequency[0, 0] = 1
    field = np.fft.ifft2(np.fft.fft2(rng.normal(size=size)) / frequency ** (power / 2)).real
    return (field - field.mean()) / field.std()


def to_grey(field: np.ndarray) -> np.ndarray:
    """Stretch values to 0..255, uint8."""
    lowest, highest = np.percentile(field, (0.5, 99.5))
    return np.clip(255 * (field - lowest) / (highest - lowest), 0, 255).astype(np.uint8)


def to_point(at: np.ndarray) -> tuple[int, int]:
    """A place as OpenCV takes it."""
    return int(at[0]), int(at[1])


def draw_bone(board: np.ndarray, start: np.ndarray, end: np.ndarray, width: float) -> None:
    """A bone: a shaft with a dense edge and thicker ends."""
    cv2.line(board, to_point(start), to_point(end), 0.9, max(2, int(width)))
    cv2.line(board, to_point(start), to_point(end), 0.6, max(1, int(0.5 * width)))
    for place in (start, end):
        cv2.circle(board, to_point(place), max(2, int(0.7 * width)), 0.75, -1)


def turn(picture: np.ndarray, degrees: float, border: float = 0) -> np.ndarray:
    """A picture turned about its middle."""
    height, width = picture.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    return cv2.warpAffine(picture, matrix, (width, height), borderValue=border)


def expose(density: np.ndarray, rng: np.random.Generator, turn_by: float, size: int) -> np.ndarray:
    """A density as film shows it: turned, moved, blurred, of some contrast, with grain."""
    moved = turn(density, turn_by)
    moved = np.roll(moved, rng.integers(-20, 20, 2), axis=(0, 1))
    soft = cv2.GaussianBlur(moved, (0, 0), rng.uniform(1, 2.5))
    haze = 0.06 * fractal(rng, (size, size), 2.2) * (soft > 0.05)
    grey = 255 * np.maximum(soft + haze, 0) ** rng.uniform(0.7, 1.3)
    return np.clip(grey + rng.normal(0, 4, grey.shape), 0, 255).astype(np.uint8)

"""Drawn chest X-rays with exact lung masks, and a demo data set of them.

No X-ray of a patient is behind these pictures. A picture sums up the densities of a drawn body,
as rays do on their way through a real one, and turns the sum into grey levels. They serve to try
the notebooks out within minutes; nothing about disease can be learned from them.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from helpers.data.synthetic import anatomy, disease, film, skeleton
from helpers.data.synthetic.canvas import as_layer, draw_noise, empty_board, fill_shapes, soften
from helpers.data.synthetic.copies import Copy, change, plan_copies
from helpers.data.synthetic.traces import SHORTCUTS, plan_shortcuts

DEMO_COUNTS = {"COVID": 160, "Normal": 120, "Lung_Opacity": 60, "Viral Pneumonia": 60}
CLASS_NAMES = tuple(DEMO_COUNTS)
SYNTHETIC_MARKER = "SYNTHETIC.txt"
XRAY_SIZE = 299  # pixels, as in the COVID-19 Radiography Database
MASK_SIZE = 256
SEEDS_PER_DATA_SET = 10_000_000
README = """These chest X-rays are synthetic: a program drew them. None of them is of any patient.

They have the layout of the COVID-19 Radiography Database, so that the notebooks can be tried
without a download. The lungs and the disease in them are drawn after textbook descriptions, and
each mask is exactly the lung that was drawn. As in that database, some X-rays may be copies of
others. Scores on them say nothing about real patients.
"""


def draw_xray(class_name: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one chest X-ray and the mask of its lungs.

    Body, pose, exposure and grain come from the seed alone: X-rays of two classes with the same
    seed differ inside the lungs only.

    Returns:
        Image, uint8 (299, 299), and mask, uint8 (256, 256) with 255 in the lungs and 0 elsewhere,
        heart and mediastinum left out.

    Raises:
        ValueError: for a class that is not in CLASS_NAMES.
    """
    check_class(class_name)
    rng = np.random.default_rng([seed, 0])
    finding_rng = np.random.default_rng([seed, 1 + CLASS_NAMES.index(class_name)])
    build = anatomy.choose_build(rng)
    pose = film.choose_pose(rng)
    healthy, fillable, lungs = draw_chest(build, rng)
    fill = disease.draw_findings(class_name, build, lungs, finding_rng)
    image = develop(film.even_out(healthy, rng) + fill * fillable, pose, rng)
    mask = film.apply_pose(lungs.astype(np.float32), pose, MASK_SIZE) > 0.5
    return image, mask.astype(np.uint8) * 255


def check_class(class_name: str) -> None:
    """Raise a ValueError that names the classes, for a class that is none of them."""
    if class_name not in CLASS_NAMES:
        raise ValueError(f"unknown class {class_name!r}: use one of {', '.join(CLASS_NAMES)}")


def draw_chest(
    build: anatomy.Build, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw a healthy chest on the canvas.

    Returns:
        Density layer; layer of the density that filled air adds; bool mask of the lung fields.
    """
    outlines = [anatomy.lung_outline(build, side) for side in anatomy.SIDES]
    air = fill_shapes(outlines, empty_board())
    shadow = fill_shapes([anatomy.mediastinum_outline(build)], empty_board())
    lungs = (air > 127) & (shadow < 128)
    edge = as_layer(soften(air, 1.5))
    silhouette = edge * as_layer(soften(shadow, 2.0))
    missing = rng.uniform(0.56, 0.66) * edge * (0.62 + anatomy.thickness(air, 75, 0.38))
    vessels = as_layer(anatomy.draw_vessels(build, rng), 0.2)
    vessels += 0.017 * draw_noise(rng, 6)
    vessels *= as_layer(air) * (1 - 0.6 * silhouette)
    roots = [anatomy.round_shape(root, (17, 36)) for root in anatomy.hila(build)]
    density = anatomy.draw_body(build, rng)
    density += anatomy.draw_breasts(build, rng)
    density -= anatomy.draw_gas(build, rng)
    density += silhouette * (0.2 + anatomy.thickness(shadow, 60, 0.24))
    density += as_layer(soften(fill_shapes(roots, empty_board()), 8), 0.17)
    density += skeleton.draw_spine(build, rng)
    density += skeleton.draw_ribs(build, rng) * (0.4 + 0.6 * edge - 0.35 * silhouette)
    density += skeleton.draw_clavicles(build, rng)
    density += skeleton.draw_shoulders(build, rng)
    density += film.draw_lines(rng)
    density += vessels - missing
    return density, 0.85 * (missing - vessels), lungs


def develop(density: np.ndarray, pose: film.Pose, rng: np.random.Generator) -> np.ndarray:
    """The X-ray, uint8 (299, 299), of a density layer: posed, exposed, blurred, with grain."""
    expose = film.choose_exposure(rng)
    posed = film.apply_pose(soften(density, 0.8), pose, XRAY_SIZE)
    grey = cv2.GaussianBlur(expose(posed), (0, 0), rng.uniform(0.2, 0.65))
    grey = grey + film.draw_grain(rng, XRAY_SIZE)
    grey = np.maximum(grey, film.draw_letters(rng, XRAY_SIZE))
    return np.clip(np.round(grey), 0, 255).astype(np.uint8)


def write_data_set(
    folder: Path,
    counts: dict[str, int] = DEMO_COUNTS,
    seed: int = 0,
    copies: float = 0.05,
    shortcut: str | None = None,
    agreement: float = 0.95,
) -> None:
    """Write synthetic X-rays and masks in the layout of the COVID-19 Radiography Database.

    Args:
        folder: made where it does not exist; files of the same names are written over.
        counts: number of X-rays of each class, copies included.
        seed: equal seeds give equal PNG files; no two originals of a data set share their own
            seed.
        copies: share of each class that are copies of others of it, as `plan_copies` plans them
            with the `image_seed` of number 0; the real database holds copies too.
        shortcut: one of SHORTCUTS, which originals show as `plan_shortcuts` plans it and copies
            take over before they are changed; None plants nothing.
        agreement: share of each class's originals whose shortcut agrees with their class.

    Raises:
        ValueError: for a class that is not in CLASS_NAMES, a shortcut that is not in SHORTCUTS,
            or a share that is none.
    """
    plans = {}
    for class_name, count in counts.items():
        check_class(class_name)
        class_seed = image_seed(class_name, seed, 0)
        copied = plan_copies(count, copies, class_seed)
        originals = count - len(copied)
        planted = plan_shortcuts(shortcut, class_name, originals, agreement, class_seed)
        plans[class_name] = copied, planted
    for class_name, count in counts.items():
        write_class(folder, class_name, count, seed, *plans[class_name])
    (folder / "README.md.txt").write_text(README, encoding="utf-8")
    (folder / SYNTHETIC_MARKER).write_text("Drawn by covid-lungs.\n", encoding="utf-8")


def write_class(
    folder: Path,
    class_name: str,
    count: int,
    seed: int,
    copied: dict[int, Copy],
    planted: dict[int, str],
) -> None:
    """Write the X-rays and masks of a class, as `write_pair` does, and its metadata."""
    for kind in ("images", "masks"):
        (folder / class_name / kind).mkdir(parents=True, exist_ok=True)
    write = partial(write_pair, folder, class_name, seed, copied, planted)
    with ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(write, range(1, count + 1)))
    workbook = folder / f"{class_name}.metadata.xlsx"
    metadata_table(class_name, count).to_excel(workbook, index=False)


def write_pair(
    folder: Path,
    class_name: str,
    seed: int,
    copied: dict[int, Copy],
    planted: dict[int, str],
    number: int,
) -> None:
    """Write X-ray and mask `<class>-<number>.png`; the mask has three equal channels."""
    copy = copied.get(number)
    drawn = copy.original if copy else number
    image, mask = draw_xray(class_name, image_seed(class_name, seed, drawn))
    if drawn in planted:
        image = SHORTCUTS[planted[drawn]](image)
    if copy and copy.changes:
        image, mask = change(image, mask, copy.changes)
    name = f"{class_name}-{number}.png"
    for kind, pixels in (("images", image), ("masks", cv2.merge([mask, mask, mask]))):
        # OpenCV's own writer passes over a full disk in silence.
        (folder / class_name / kind / name).write_bytes(cv2.imencode(".png", pixels)[1])


def image_seed(class_name: str, seed: int, number: int) -> int:
    """The seed of one X-ray of a data set: another one for every class, number and data set.

    A copy is drawn with the seed of its original, so only originals have a seed of their own.
    """
    place = number * len(CLASS_NAMES) + CLASS_NAMES.index(class_name)
    return seed * SEEDS_PER_DATA_SET + place


def metadata_table(class_name: str, count: int) -> pd.DataFrame:
    """The database's metadata columns for the X-rays 1 to count of a class."""
    return pd.DataFrame(
        {
            "FILE NAME": [f"{class_name}-{number}" for number in range(1, count + 1)],
            "FORMAT": "PNG",
            "SIZE": f"{XRAY_SIZE}*{XRAY_SIZE}",
            "URL": "synthetic",
        }
    )

"""Report: a run as one page, every number of which is read from the run folder."""

import base64
import csv
import json
from collections import Counter
from collections.abc import Iterable
from functools import cache
from html import escape
from io import StringIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import cv2
import numpy as np

from helpers.data.layouts import POSITIVE_CLASS
from helpers.evaluate.metrics_file import HEADLINES
from helpers.report.captions import LESSONS, caption, place
from helpers.report.pages import write_pages
from helpers.report.published import WORKS
from helpers.report.templates import render
from helpers.split.splits import FRACTIONS
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import write_whole
from helpers.storage.folders import require, shown
from helpers.storage.layout import find_writer

LABELS = {
    "accuracy": "Accuracy",
    "majority_accuracy": "Accuracy of always naming the larger class",
    "auroc": "AUROC",
    "average_precision": "Average precision",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
    "precision": "Precision",
    "f1": "F1",
    "threshold": "Threshold chosen on the validation split",
    "sensitivity_at_threshold": "Sensitivity at that threshold",
    "specificity_at_threshold": "Specificity at that threshold",
    "calibration_error": "Calibration error",
    "calibration_error_by_chance": "Calibration error by chance alone",
    "temperature": "Temperature, fitted on the validation split",
    "calibration_error_scaled": "Calibration error at that temperature",
    "calibration_error_scaled_by_chance": "The same by chance alone",
    "iou": "IoU",
    "dice": "Dice coefficient",
    "dice_loss": "Dice loss",
    "hausdorff_95": "95 % Hausdorff distance (pixels)",
    "average_surface_distance": "Average surface distance (pixels)",
    "surface_dice": "Surface Dice",
    "hausdorff_95_of_diagonal": "95 % Hausdorff distance (share of the diagonal)",
    "average_surface_distance_of_diagonal": "Average surface distance (share of the diagonal)",
    "dice_uncleaned": "Dice before cleaning",
    "cleaning_gain": "Dice gained by cleaning",
    "auroc_whole": "Whole X-ray",
    "auroc_lungs_only": "Lungs only",
    "auroc_lungs_removed": "Lungs removed",
    "auroc_border": "Border only",
    "auroc_mask_shape": "Shape of the masks",
}
DIGITS = {"hausdorff_95": 2, "average_surface_distance": 2, "cleaning_gain": 4}  # else 3
# Pictures larger than this are kept as JPEG: X-rays take a quarter of the room, and look alike.
LARGEST_PNG, QUALITY = 80_000, 85
OWN_BASE = '<base href="about:srcdoc">'  # of a page that a frame's attribute holds
PNG = b"\x89PNG\r\n\x1a\n"


class Picture(NamedTuple):
    """A figure to show: its title, alternative text, address, width and height in pixels."""

    title: str
    alternative: str
    address: str
    width: int
    height: int


class Record:
    """The files of a run folder, each read once.

    `look` finds every value that the report shows, so that a reader can find it too.
    """

    def __init__(self, run_folder: Path):
        self.folder = run_folder
        self._open = cache(self._read)

    def look(self, file: str, *keys: str | int) -> object:
        """Return what a file holds under these keys, None where there is no such thing."""
        found = self._open(file)
        for key in keys:
            try:
                found = found[key]
            except (KeyError, IndexError, TypeError):
                return None
        return found

    def _read(self, file: str) -> dict | None:
        """Return the content of a file, None where there is none."""
        path = self.folder / file
        if not path.is_file():
            return None
        try:
            text = path.read_text(encoding="utf-8")
            content = count_split(text) if file == "split.csv" else json.loads(text)
            if not isinstance(content, dict):
                raise ValueError("no table of names")
        except (ValueError, KeyError, csv.Error) as error:
            raise CovidLungsError(
                f"{shown(path)} is damaged: remove it, and run the notebook that makes it again."
            ) from error
        return content


def count_split(text: str) -> dict[str, dict]:
    """Return the X-rays that `split.csv` lists: `classes` of each class and split, and `all`.

    `divided` is how many groups of X-rays are in more than one split: a published one may do so.
    """
    rows = list(csv.DictReader(StringIO(text, newline="")))
    if not rows:
        raise ValueError("no rows")
    both = Counter((row["class"], row["split"]) for row in rows)
    placed = {(row["group"], row["split"]) for row in rows if row["group"]}
    splits_of = Counter(group for group, _ in placed)
    names = sorted({name for name, _ in both})
    classes = {name: {split: both[name, split] for split in FRACTIONS} for name in names}
    return {
        "classes": {name: row | {"all": sum(row.values())} for name, row in classes.items()},
        "all": {split: sum(row[split] for row in classes.values()) for split in FRACTIONS}
        | {"all": len(rows)},
        "divided": sum(count > 1 for count in splits_of.values()),
    }


def write_report(run_folder: Path) -> Path:
    """Write `report.html` and a page for each executed notebook; return the report's path.

    The report opens without a network and holds its pictures itself. What a run has not made is
    left out, with the reason.

    Raises:
        CovidLungsError: notebook 01 has not run, or a file of the run is damaged.
    """
    require(run_folder / "audit.json")
    record = Record(run_folder)
    pages = write_pages(run_folder)
    text = render(
        "report.html",
        run=record,
        missing={part: _why_missing(record, part) for part in HEADLINES},
        pictures=_find_pictures(run_folder),
        pages={page.stem: f"notebooks/{quote(page.name)}" for page in pages},
        splits=list(FRACTIONS),
        works=WORKS,
        overall=overall,
        classes_of=classes_of,
        label=label,
        digits=digits,
        number=number,
        duration=duration,
        moment=moment,
        plain=plain,
        pointer=pointer,
    )
    return write_whole(run_folder / "report.html", text)


def frame_report(run_folder: Path) -> str:
    """Return the report as HTML for a notebook's page: a frame that holds all of it.

    Links to the notebooks' pages, which lie beside it in the run folder, lead nowhere from there.
    """
    text = (run_folder / "report.html").read_text(encoding="utf-8")
    # Else its links to its own sections would lead to the notebook's page, within the frame.
    text = text.replace("<head>", f"<head>{OWN_BASE}", 1)
    frame = 'title="Report" style="width: 100%; height: 50rem; border: 1px solid #8888" sandbox'
    return f'<div><iframe {frame} srcdoc="{escape(text)}"></iframe></div>'


def _why_missing(record: Record, part: str) -> str | None:
    """Return why a part of the report cannot be shown, None if it can."""
    if record.look(f"{part}/metrics.json") is not None:
        return None
    found = record.look("audit.json", "findings") or []
    if part != "detection" and any(one["name"] == "no_lung_masks" for one in found):
        return "Left out: it needs lung masks, and this data set has none."
    counts = record.look("audit.json", "counts") or {}
    classes = {name for name, count in counts.items() if count}
    if part != "segmentation" and not (POSITIVE_CLASS in classes and len(classes) > 1):
        return "Left out: it needs the class COVID and another, and this data set has not both."
    return f"Not there yet: run notebook {find_writer(Path(part, 'metrics.json'))}."


def _find_pictures(run_folder: Path) -> dict[str, list[Picture]]:
    """Return the run's figures by the number of their notebook, `other` for those without."""
    found: dict[str, list[Picture]] = {}
    for path in sorted((run_folder / "figures").glob("*.png"), key=lambda path: place(path.stem)):
        picture = None if path.stem in LESSONS else _embed(path)
        if picture is not None:
            number = path.name[:2]
            found.setdefault(number if number.isdigit() else "other", []).append(picture)
    return found


def _embed(path: Path) -> Picture | None:
    """Return a figure as part of the page, None if it is no picture."""
    data, kind = path.read_bytes(), "png"
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if pixels is None or not data.startswith(PNG):
        return None
    if len(data) > LARGEST_PNG:
        _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        data, kind = content.tobytes(), "jpeg"
    address = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    height, width = pixels.shape[:2]
    return Picture(*caption(path.stem), address, width, height)


def overall(names: Iterable[str]) -> list[str]:
    """Return the names of figures that are of all classes together."""
    return [name for name in names if "/" not in name]


def classes_of(names: Iterable[str]) -> list[str]:
    """Return the classes that figures such as `dice/COVID` are of."""
    return list(dict.fromkeys(name.partition("/")[2] for name in names if "/" in name))


def label(name: str) -> str:
    """Return the words for a figure, its own name where there are none."""
    return LABELS.get(name, name.replace("_", " "))


def digits(name: str) -> int:
    """Return how many decimals a figure is shown with."""
    return DIGITS.get(name.partition("/")[0].removesuffix("_drop"), 3)


def number(value: object, decimals: int = 3) -> str:
    """Return a value as text: counts whole, other numbers rounded, texts as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{decimals}f}"


def plain(value: object) -> str:
    """Return a setting as text, in full."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def duration(seconds: float) -> str:
    """Return a duration as text, such as `1 h 02 min 05 s`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min {rest:02} s"
    return f"{minutes} min {rest:02} s" if minutes else f"{rest} s"


def moment(text: str) -> str:
    """Return a moment such as `2026-11-24T04:14:36+00:00` for people, to the minute."""
    return f"{text[:10]} {text[11:16]} UTC"


def pointer(keys: list[str | int]) -> str:
    """Return keys as a JSON pointer (RFC 6901), which any name may stand in."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)

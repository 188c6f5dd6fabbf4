"""Report: a run as one page, every number of which is read from the run folder."""

import base64
import json
import tomllib
from collections.abc import Iterable
from functools import cache
from html import escape
from io import StringIO
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import cv2
import numpy as np
import pandas as pd

from helpers.audit.examination import as_html
from helpers.data.layouts import POSITIVE_CLASS
from helpers.evaluate.intervals import Estimate
from helpers.evaluate.metrics_file import HEADLINES
from helpers.report.pages import render, write_pages
from helpers.split.splits import FRACTIONS
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import write_whole
from helpers.storage.folders import require, shown
from helpers.storage.layout import find_writer

WORDS = tomllib.loads((Path(__file__).parent / "templates" / "words.toml").read_text("utf-8"))
LABELS, CAPTIONS, PUBLISHED = WORDS["metrics"], WORDS["figures"], WORDS["published"]
LESSONS = {"03_filters", "04_augmentation"}  # figures that explain a method, not the run
DIGITS = {"hausdorff_95": 2, "average_surface_distance": 2, "cleaning_gain": 4}  # else 3
# Pictures larger than this are kept as JPEG: X-rays take a quarter of the room, and look alike.
LARGEST_PNG, QUALITY = 80_000, 85
OWN_BASE = '<base href="about:srcdoc">'  # of a page that a frame's attribute holds


class Picture(NamedTuple):
    """A figure in the page: its title, alternative text, address, width and height in pixels."""

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
        """Return the value under these keys of a file, None where there is none."""
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
        except (ValueError, KeyError) as error:
            raise CovidLungsError(
                f"{shown(path)} is damaged: remove it, and run the notebook that makes it again."
            ) from error
        return content


def count_split(text: str) -> dict[str, dict]:
    """Return the X-rays that `split.csv` lists: `classes` by class and split, and `all` by split.

    `divided` counts the groups of X-rays in more than one split, as a published split may have.
    """
    table = pd.read_csv(StringIO(text), dtype=str, keep_default_na=False)
    if table.empty:
        raise ValueError("no rows")
    counts = pd.crosstab(table["class"], table["split"])
    counts = counts.reindex(columns=list(FRACTIONS), fill_value=0)
    splits_of_group = table[table["group"] != ""].groupby("group")["split"].nunique()
    return {
        "classes": counts.assign(all=counts.sum(axis=1)).T.to_dict(),
        "all": counts.sum().to_dict() | {"all": len(table)},
        "divided": int((splits_of_group > 1).sum()),
    }


def write_report(run_folder: Path) -> Path:
    """Write `report.html` and a page for each executed notebook; return the report's path.

    The report opens without a network and holds its pictures itself. It leaves out what the run
    has not made, with the reason.

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
        published=PUBLISHED,
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
    known = list(CAPTIONS)

    def place(path: Path) -> tuple[str, int, str]:
        """Return where a figure stands among others: unknown ones last of their notebook."""
        name = path.stem
        return name[:2], known.index(name) if name in known else len(known), name

    for path in sorted((run_folder / "figures").glob("*.png"), key=place):
        picture = None if path.stem in LESSONS else _embed(path)
        if picture is not None:
            number = path.name[:2]
            found.setdefault(number if number.isdigit() else "other", []).append(picture)
    return found


def _embed(path: Path) -> Picture | None:
    """Return a figure as part of the page, None if it is no picture."""
    data, kind = path.read_bytes(), "png"
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if pixels is None:
        return None
    if len(data) > LARGEST_PNG:
        _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        data, kind = content.tobytes(), "jpeg"
    address = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    height, width = pixels.shape[:2]
    return Picture(*caption(path.stem), address, width, height)


def caption(name: str) -> tuple[str, str]:
    """Return a figure's title and its alternative text, made from the name of an unknown one."""
    if name in CAPTIONS:
        return CAPTIONS[name]["title"], CAPTIONS[name]["alternative"]
    title = name.partition("_")[2].replace("_", " ") or name
    return title, f"Picture of this run: {title}"


def overall(names: Iterable[str]) -> list[str]:
    """Return the names of the metrics of all classes together."""
    return [name for name in names if "/" not in name]


def classes_of(names: Iterable[str]) -> list[str]:
    """Return the classes in names of metrics such as `dice/COVID`."""
    return list(dict.fromkeys(name.partition("/")[2] for name in names if "/" in name))


def label(name: str) -> str:
    """Return the words for a metric, its own name where there are none."""
    return LABELS.get(name, name.replace("_", " "))


def digits(name: str) -> int:
    """Return how many decimals of a metric to show."""
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
    """Return a moment such as `2026-11-24T04:14:36+00:00` to the minute, for people."""
    return f"{text[:10]} {text[11:16]} UTC"


def pointer(keys: list[str | int]) -> str:
    """Return keys as a JSON pointer (RFC 6901), which any name may stand in."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def published_html(label: str, scores: dict[str, Estimate]) -> str:
    """Return published scores of lung masks below those of a run, as a table for a notebook.

    `label` is that of the run's `DataSet`, `scores` are what `scores.mean_scores` returns.
    """
    table = pd.DataFrame(PUBLISHED)
    overlap = (f"{scores[name].value:.3f}" for name in ("iou", "dice"))
    ours = ("this run", f"{scores['dice'].n:,}, {label}", *overlap, "one split, one seed")
    table = pd.concat([pd.DataFrame([ours], columns=table.columns), table])
    return as_html(table.set_axis(["work", "X-rays", "IoU", "Dice", "comparable?"], axis=1))

"""Report: a run as one page; it reads every number from the run folder."""

import base64
import json
import tomllib
from datetime import timedelta
from functools import cache
from html import escape
from io import StringIO
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import pandas as pd

from helpers.audit.examination import as_html
from helpers.evaluate.intervals import Estimate
from helpers.evaluate.metrics_file import HEADLINES
from helpers.report.pages import render, write_pages
from helpers.split.splits import FRACTIONS
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import write_whole
from helpers.storage.folders import require, shown
from helpers.storage.layout import find_step, find_writer

WORDS = tomllib.loads((Path(__file__).parent / "templates" / "words.toml").read_text("utf-8"))
LABELS, CAPTIONS, PUBLISHED = WORDS["metrics"], WORDS["figures"], WORDS["published"]
NEEDS = {
    "COVID": "X-rays of COVID and of another class",
    "masks": "lung masks",
    "infection masks": "infection masks",
}
# Figures that explain a method, not the run.
LESSONS = {
    *("03_xrays", "03_filters", "03_network", "03_learnt_filters", "03_feature_maps"),
    *("04_masks", "04_unet", "04_receptive_fields", "04_feature_maps", "04_augmentation"),
    *("05_mask", "05_soft", "05_early", "05_thresholds", "08_edge"),
}
DIGITS = {"hausdorff_95": 2, "average_surface_distance": 2, "cleaning_gain": 4}  # else 3
# Pictures larger than this are kept as JPEG: X-rays take a quarter of the room, and look alike.
LARGEST_PNG, QUALITY = 80_000, 85


class Record:
    """The files of a run folder, each read once, for every value that the report shows."""

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
        label=label,
        digits=digits,
        number=number,
        duration=lambda seconds: str(timedelta(seconds=round(seconds))),
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
    text = text.replace("<head>", '<head><base href="about:srcdoc">', 1)
    frame = 'title="Report" style="width: 100%; height: 50rem; border: 1px solid #8888" sandbox'
    return f'<div><iframe {frame} srcdoc="{escape(text)}"></iframe></div>'


def _why_missing(record: Record, part: str) -> str | None:
    """Return why a part of the report cannot be shown, None if it can."""
    if record.look(f"{part}/metrics.json") is not None:
        return None
    step = find_step(find_writer(Path(part, "metrics.json")))
    needs = " and ".join(NEEDS[name] for name in step.needs)
    return f"Not there: run notebook {step.name}, which needs {needs}."


def _find_pictures(run_folder: Path) -> dict[str, list[dict]]:
    """Return the run's figures by the start of their names, which is their notebook's number."""
    found: dict[str, list[dict]] = {}
    figures = {path.stem: path for path in sorted((run_folder / "figures").glob("*.png"))}
    for name in dict.fromkeys([*CAPTIONS, *figures]):  # in the order of the captions
        if name in figures and name not in LESSONS and (picture := _embed(figures[name])):
            found.setdefault(name[:2], []).append(picture)
    return found


def _embed(path: Path) -> dict[str, object] | None:
    """Return a figure with its caption, address, width and height, None if it is no picture."""
    data, kind = path.read_bytes(), "png"
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if pixels is None:
        return None
    if len(data) > LARGEST_PNG:
        _, content = cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
        data, kind = content.tobytes(), "jpeg"
    address = f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
    height, width = pixels.shape[:2]
    return caption(path.stem) | {"address": address, "width": width, "height": height}


def caption(name: str) -> dict[str, str]:
    """Return a figure's `title` and `alternative` text, made from the name of an unknown one."""
    title = name.partition("_")[2].replace("_", " ") or name
    unknown = {"title": title, "alternative": f"Picture of this run: {title}"}
    return CAPTIONS.get(name, unknown)


def label(name: str) -> str:
    """Return the words for a metric, its own name where there are none."""
    return LABELS.get(name, name.replace("_", " "))


def digits(name: str) -> int:
    """Return how many decimals of a metric to show."""
    return DIGITS.get(name.removesuffix("_drop"), 3)


def number(value: object, decimals: int = 3) -> str:
    """Return a value as text: counts whole, other numbers rounded, texts as they are."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return str(value)
    text = f"{value:,}" if isinstance(value, int) else f"{value:,.{decimals}f}"
    return text.replace("-", "−")


def plain(value: object) -> str:
    """Return a setting as text, in full."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def moment(text: str) -> str:
    """Return a moment such as `2026-11-24T04:14:36+00:00` to the minute, for people."""
    return f"{text[:10]} {text[11:16]} UTC"


def pointer(keys: list[str | int]) -> str:
    """Return keys as a JSON pointer (RFC 6901), which any name may stand in."""
    return "".join("/" + str(key).replace("~", "~0").replace("/", "~1") for key in keys)


def published_html(label: str, scores: dict[str, Estimate], target: str = "lungs") -> str:
    """Return published scores of masks below those of a run, as a table for a notebook.

    `label` is that of the run's `DataSet`, `scores` are what `segmentation.mean_scores` or
    `infection.infection_metrics` returns, and `target` is `lungs` or `infection`.
    """
    table = pd.DataFrame(PUBLISHED[target])
    overlap = (f"{scores[name].value:.3f}" for name in ("iou", "dice"))
    ours = ("this run", f"{scores['dice'].n:,}, {label}", *overlap, "one split, one seed")
    table = pd.concat([pd.DataFrame([ours], columns=table.columns), table])
    return as_html(table.set_axis(["work", "X-rays", "IoU", "Dice", "comparable?"], axis=1))

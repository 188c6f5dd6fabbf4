"""The index: every usable X-ray with its mask, one row each, and what was left out and why."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.data_sets import PUBLISHED_COUNTS, DataSet
from helpers.errors import CovidLungsError
from helpers.folders import require, shown
from helpers.images import SUFFIXES, fingerprint, read_mask, read_xray
from helpers.workers import read_all

COLUMNS = [
    "file",
    "class",
    "mask",
    "width",
    "height",
    "mask_width",
    "mask_height",
    "pixels",
    "mask_pixels",
]
TEXTS = {name: str for name in ("file", "class", "mask", "pixels", "mask_pixels")}


def build_index(data_set: DataSet) -> tuple[pd.DataFrame, dict]:
    """Decode every X-ray and mask once; return the index and the audit.

    The index has the columns `COLUMNS`, sorted by `file`: POSIX paths below the data set's root,
    sizes in pixels, and fingerprints of the decoded pixels. The audit holds the data set's name,
    the counts per class, and the files that were left out, each with fault and remedy.

    Raises:
        CovidLungsError: a class has no usable X-ray.
    """
    found, left_out = [], []
    for class_name in data_set.classes:
        pairs, unpaired = _pair(data_set.root, class_name)
        found += pairs
        left_out += unpaired
    read = read_all(lambda pair: _read_pair(data_set.root, *pair), found, "reading X-rays")
    rows = [row for rows_of_pair in read for row in rows_of_pair]
    left_out += [row for row in rows if "fault" in row]
    usable = sorted((row for row in rows if "fault" not in row), key=lambda row: row["file"])
    index = pd.DataFrame(usable, columns=COLUMNS)
    _refuse_empty_classes(data_set, index, left_out)
    return index, _summarise(data_set, index, left_out)


def _pair(root: Path, class_name: str) -> tuple[list[tuple[str, str, str]], list[dict]]:
    """Return (class, image, mask) of one class, paired by name, and the files without a partner."""
    images, masks = (_files(root, f"{class_name}/{part}") for part in ("images", "masks"))
    pairs, unpaired = [], []
    for stem in sorted(images.keys() | masks.keys()):
        own_images, own_masks = images.get(stem, []), masks.get(stem, [])
        if len(own_images) == len(own_masks) == 1:
            pairs.append((class_name, own_images[0], own_masks[0]))
        else:
            reason = _why_unpaired(len(own_images), len(own_masks))
            unpaired += [{"file": file, **reason} for file in own_images + own_masks]
    return pairs, unpaired


def _why_unpaired(images: int, masks: int) -> dict[str, str]:
    """Return fault and remedy of so many images and masks of one name."""
    if images and masks:
        fault = f"{images} images and {masks} masks of the same name"
        return {"fault": fault, "remedy": "keep one image and its mask"}
    missing = "image" if masks else "mask"
    remedy = f"restore the {missing}, or remove this file"
    return {"fault": f"no {missing} of the same name", "remedy": remedy}


def _files(root: Path, folder: str) -> dict[str, list[str]]:
    """Return the POSIX paths below the root of every image file in a folder, by stem."""
    files: dict[str, list[str]] = {}
    if (root / folder).is_dir():
        for path in sorted((root / folder).iterdir()):
            if path.suffix.lower() in SUFFIXES:
                files.setdefault(path.stem, []).append(f"{folder}/{path.name}")
    return files


def _read_pair(root: Path, class_name: str, file: str, mask_file: str) -> list[dict]:
    """Return the index row of a pair, or a row for each fault in it."""
    image, faults = _try(read_xray, root, file)
    mask, mask_faults = _try(read_mask, root, mask_file)
    if mask is not None and not mask.any():
        remedy = "draw the mask again, or remove the pair"
        mask_faults = [{"file": mask_file, "fault": "the mask is all black", "remedy": remedy}]
    if faults or mask_faults:
        return faults + mask_faults
    row = {
        "file": file,
        "class": class_name,
        "mask": mask_file,
        "width": image.shape[1],
        "height": image.shape[0],
        "mask_width": mask.shape[1],
        "mask_height": mask.shape[0],
        "pixels": fingerprint(image),
        "mask_pixels": fingerprint(mask),
    }
    return [row]


def _try(
    read: Callable[[Path], np.ndarray], root: Path, file: str
) -> tuple[np.ndarray | None, list[dict]]:
    """Return what `read` makes of a file, or None, and its faults."""
    try:
        return read(root / file), []
    except CovidLungsError as error:
        fault = str(error).removeprefix(f"{Path(file).name}: ").split(". ")[0]
        return None, [{"file": file, "fault": fault, "remedy": "restore the file"}]


def _refuse_empty_classes(data_set: DataSet, index: pd.DataFrame, left_out: list[dict]) -> None:
    """Stop at a class folder that holds nothing usable: a misspelt path must not pass as zero."""
    for class_name in sorted(set(data_set.classes) - set(index["class"])):
        faults = [row for row in left_out if row["file"].startswith(f"{class_name}/")]
        reason = f"; {faults[0]['file']}: {faults[0]['fault']}" if faults else ""
        raise CovidLungsError(
            f"{class_name}: this class folder has no usable X-ray with a mask{reason}. "
            "Restore its files, or remove the folder."
        )


def _summarise(data_set: DataSet, index: pd.DataFrame, left_out: list[dict]) -> dict:
    """Return the audit: name, counts, left-out files; nothing that depends on the machine."""
    counts = index["class"].value_counts()
    return {
        "data": {"name": data_set.name, "synthetic": data_set.synthetic},
        "counts": {name: int(counts[name]) for name in data_set.classes},
        "left_out": sorted(left_out, key=lambda row: row["file"]),
    }


def published_table(audit: dict) -> pd.DataFrame:
    """Return the counts per class beside those of the published database (- where it has none)."""
    counts = audit["counts"]
    names = [*counts, *(name for name in PUBLISHED_COUNTS if name not in counts)]
    table = pd.DataFrame(
        {
            "X-rays here": [f"{counts.get(name, 0):,}" for name in names],
            "published": [
                f"{PUBLISHED_COUNTS[name]:,}" if name in PUBLISHED_COUNTS else "-" for name in names
            ],
        },
        index=names,
    )
    table.loc["all"] = [f"{sum(counts.values()):,}", f"{sum(PUBLISHED_COUNTS.values()):,}"]
    return table


def write_index(run_folder: Path, index: pd.DataFrame, audit: dict) -> None:
    """Write `index.csv` and `audit.json` into a run folder.

    Raises:
        CovidLungsError: the folder holds the index of other data, which is not overwritten.
    """
    path = run_folder / "index.csv"
    text = index.to_csv(index=False, lineterminator="\n")
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise CovidLungsError(
            f"{shown(run_folder)} holds a run on other data, or on an earlier state of these: "
            "choose another name with `run`, or remove that folder if you no longer need it."
        )
    path.write_text(text, encoding="utf-8", newline="\n")
    audit_text = json.dumps(audit, indent=2, ensure_ascii=False) + "\n"
    (run_folder / "audit.json").write_text(audit_text, encoding="utf-8", newline="\n")


def read_index(run_folder: Path, data_set: DataSet) -> pd.DataFrame:
    """Return the index of a run, after a check that this data set has its files.

    Raises:
        CovidLungsError: there is no index yet, or it lists files that are not there.
    """
    path = require(run_folder / "index.csv", "01_get_data")
    try:
        # A class may be called NA, and a fingerprint may look like a number.
        index = pd.read_csv(path, dtype=TEXTS, keep_default_na=False)
    except ValueError:  # pandas' word for a file that is empty or no table
        index = pd.DataFrame()
    if list(index.columns) != COLUMNS:
        raise CovidLungsError(
            f"{shown(path)} has not the columns of an index: remove it and run 01_get_data again."
        )
    for file in [*index["file"], *index["mask"]]:
        if not (data_set.root / file).is_file():
            raise CovidLungsError(
                f"{shown(path)} lists {file}, which {data_set.name} does not have: "
                "give the `data` of this run, or run 01_get_data under another name."
            )
    return index

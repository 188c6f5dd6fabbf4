"""Tiny X-rays, masks and data sets that the tests make on the fly."""

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import nbformat
import numpy as np
import pandas as pd
import pytest

from helpers.data.sources import DataSet, find_data
from helpers.data.synthetic import draw_infected
from helpers.split.index import build_index, write_index
from helpers.split.splits import assign_splits, write_split
from helpers.storage import versions
from helpers.storage.errors import CovidLungsError

IMAGE_SHAPE = (40, 36)
MASK_SHAPE = (24, 20)
COUNTS = {"COVID": 4, "Normal": 5}
# One epoch on small images, where the chain is tested and not what the networks learn.
QUICK = ["-p", "epochs", "1", "-p", "image_size", "32", "-p", "seed", "7"]


@contextmanager
def refused(name: str, fault: str, remedy: str) -> Iterator[pytest.ExceptionInfo[CovidLungsError]]:
    """Expect a message that names the file or value, the fault and the remedy."""
    with pytest.raises(CovidLungsError) as caught:
        yield caught
    for part in (name, fault, remedy):
        assert part in str(caught.value)


def upgrade(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    """Let another version of a library count as installed."""
    version = versions.metadata.version
    monkeypatch.setattr(
        versions.metadata, "version", lambda name: version(name) + "1" * (name == library)
    )


def xray(number: int) -> np.ndarray:
    """Return grey noise that differs for every number, uint8 (40, 36)."""
    return np.random.default_rng(number).integers(1, 255, IMAGE_SHAPE, dtype=np.uint8)


def lung_mask(number: int) -> np.ndarray:
    """Return a mask of 0 and 255 with two boxes whose height depends on the number, (24, 20)."""
    mask = np.zeros(MASK_SHAPE, np.uint8)
    bottom = 10 + number % 12
    mask[4:bottom, 3:8] = mask[4:bottom, 12:17] = 255
    return mask


def write_image(path: Path, pixels: np.ndarray) -> Path:
    """Write pixels (colours in OpenCV's order) in the format that the name's ending says."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done, content = cv2.imencode(path.suffix, pixels)
    assert done
    path.write_bytes(content.tobytes())
    return path


def image_path(root: Path, class_name: str, number: int) -> Path:
    return root / class_name / "images" / f"{class_name}-{number}.png"


def mask_path(root: Path, class_name: str, number: int) -> Path:
    return root / class_name / "masks" / f"{class_name}-{number}.png"


def write_pair(root: Path, class_name: str, number: int, seed: int | None = None) -> None:
    """Write an X-ray and its RGB mask; pairs of one seed have equal pixels."""
    seed = zlib.crc32(f"{class_name}-{number}".encode()) if seed is None else seed
    write_image(image_path(root, class_name, number), xray(seed))
    write_image(mask_path(root, class_name, number), cv2.merge([lung_mask(seed)] * 3))


def make_data_set(folder: Path, counts: dict[str, int] = COUNTS) -> DataSet:
    """Write a data set in the database's layout and return it."""
    for class_name, count in counts.items():
        for number in range(1, count + 1):
            write_pair(folder, class_name, number)
    return DataSet(name=folder.name, folder=folder, synthetic=False)


QU_EX_CLASSES = {  # folder, how its files are called, and what is drawn in them
    "COVID-19": ("covid_{}", "COVID"),
    "Non-COVID": ("non_COVID ({})", "Lung_Opacity"),
    "Normal": ("Normal ({})", "Normal"),
}


def make_qu_ex(folder: Path, count: int = 2) -> DataSet:
    """Draw the infection part of COVID-QU-Ex: `count` X-rays of each split and class, with masks.

    As published, all is of 256 pixels a side and grey, and only the infection masks of COVID-19 are
    not black.
    """
    root = folder / "Infection Segmentation Data" / "Infection Segmentation Data"
    number = 0
    for split in ("Train", "Val", "Test"):
        for class_folder, (called, drawn) in QU_EX_CLASSES.items():
            for _ in range(count):
                number += 1
                image, lungs, infection = draw_infected(drawn, number)
                parts = {
                    "images": cv2.resize(image, lungs.shape, interpolation=cv2.INTER_AREA),
                    "lung masks": lungs,
                    "infection masks": infection * (drawn == "COVID"),
                }
                for part, pixels in parts.items():
                    name = f"{called.format(number)}.png"
                    write_image(root / split / class_folder / part / name, pixels)
    return find_data(str(folder))


def make_qata(folder: Path, count: int = 2) -> DataSet:
    """Draw both sets of QaTa-COV19, X-rays of 224 pixels a side with infection masks.

    In the training set are `8 * count` X-rays, in the test set `2 * count`: a quarter without a
    patient in their name, the others two a patient.
    """
    number = 0
    for part, total in {"Train Set": 8 * count, "Test Set": 2 * count}.items():
        for place in range(total):
            number += 1
            image, _, infection = draw_infected("COVID", number)
            patient = f"cxr_s{100 + (number - 1) // 2}-e{number}-r1"
            stem = f"covid_{number}" if place < total // 4 else patient
            image = cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)
            mask = cv2.resize(infection, (224, 224), interpolation=cv2.INTER_NEAREST)
            write_image(folder / part / "Images" / f"{stem}.png", image)
            write_image(folder / part / "Ground-truths" / f"mask_{stem}.png", mask)
    return find_data(str(folder))


def make_run(folder: Path, data_set: DataSet, seed: int = 7) -> pd.DataFrame:
    """Write index and split of a data set into a run folder and return the index."""
    folder.mkdir(parents=True, exist_ok=True)
    index, audit = build_index(data_set)
    write_index(folder, index, audit)
    write_split(folder, assign_splits(index, seed))
    return index


def write_notebook(path: Path, parameters: str, *codes: str) -> None:
    """Write a notebook of a cell of parameters and further cells of code."""
    cells = [nbformat.v4.new_code_cell(source) for source in (parameters, *codes)]
    cells[0].metadata.tags = ["parameters"]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    path.parent.mkdir(exist_ok=True)
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=kernel), path)


def png(
    size: tuple[int, int], depth: int, colour_type: int, rows: list[bytes], *chunks: bytes
) -> bytes:
    """Return a PNG file of any kind, byte by byte; `chunks` come before the pixels.

    The size is (height, width), as the file claims it.
    """
    header = struct.pack(">IIBBBBB", size[1], size[0], depth, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [png_chunk(b"IHDR", header), *chunks, png_chunk(b"IDAT", pixels)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts) + png_chunk(b"IEND", b"")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


class Watched:
    """An array that notes how often it was read, and how many rows at once, at most."""

    def __init__(self, array: np.ndarray):
        self.array, self.shape, self.most, self.reads = array, array.shape, 0, 0

    def __len__(self) -> int:
        return len(self.array)

    def __getitem__(self, rows):
        found = self.array[rows]
        self.reads += 1
        self.most = max(self.most, len(found) if found.ndim == self.array.ndim else 1)
        return found

"""Indexes that tests draw or spell out, without a picture on disk."""

import pandas as pd
from hypothesis import strategies as st


def table_of(rows: list[tuple[str, str, str]]) -> pd.DataFrame:
    """Return an index of files, classes and pixels; equal pixels are copies."""
    table = pd.DataFrame(rows, columns=["file", "class", "pixels"])
    table["mask_pixels"] = "m" + table["pixels"]
    return table.assign(copy_of=table.groupby("pixels")["file"].transform("min"))


@st.composite
def index_tables(draw) -> pd.DataFrame:
    """Indexes of up to four classes with copies, in any order; no pixels in two classes."""
    rows = []
    for name in ("COVID", "Normal", "Lung_Opacity", "Viral Pneumonia")[: draw(st.integers(1, 4))]:
        copies = draw(st.lists(st.sampled_from([1, 1, 1, 2, 3, 7]), min_size=3, max_size=40))
        pixels = [f"{name}{group}" for group, size in enumerate(copies) for _ in range(size)]
        numbered = enumerate(draw(st.permutations(pixels)))
        rows += [(f"{name}/images/{name}-{number}.png", name, value) for number, value in numbered]
    return table_of(rows)


@st.composite
def grouped_tables(draw) -> tuple[pd.DataFrame, pd.Series]:
    """Small indexes with copies and patients across classes, in any order."""
    counts = draw(st.lists(st.integers(5, 10), min_size=1, max_size=3))
    classes = [name for name, count in zip("ABC", counts, strict=False) for _ in range(count)]
    size = len(classes)
    order = draw(st.permutations(range(size)))
    files = [f"{classes[row]}/images/{row}.png" for row in order]
    # About one X-ray in eight is the copy of another, and one in three has a patient.
    firsts = draw(st.lists(st.integers(0, 8 * size), min_size=size, max_size=size))
    copies = [files[first] if first < size else files[row] for row, first in enumerate(firsts)]
    names = st.sampled_from([*([""] * 8), *"PQRS"])
    patients = draw(st.lists(names, min_size=size, max_size=size))
    table = pd.DataFrame({"file": files, "class": [file[0] for file in files], "copy_of": copies})
    return table.assign(pixels=table["file"], mask_pixels="m"), pd.Series(patients)


def patients_of(held: list[str]) -> tuple[pd.DataFrame, pd.Series]:
    """Return an index of one patient for each word, with an X-ray for each letter, its class."""
    rows = [(patient, name) for patient, names in enumerate(held) for name in names]
    table = table_of([(f"{row:02}", name, str(row)) for row, (_, name) in enumerate(rows)])
    return table, pd.Series([f"P{patient}" for patient, _ in rows])


def as_mapping(split: pd.DataFrame) -> dict[str, str]:
    return dict(zip(split["file"], split["split"], strict=True))

from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from helpers.data.images import fingerprint
from helpers.split.index import INDEX_COLUMNS, build_index, published_table, read_index, write_index
from tests.support.builders import (
    COUNTS,
    IMAGE_SHAPE,
    MASK_SHAPE,
    image_path,
    lung_mask,
    make_data_set,
    make_run,
    mask_path,
    refused,
    write_image,
    xray,
)

pytestmark = pytest.mark.usefixtures("runs")


def test_a_sound_data_set_is_indexed_whole(data_set):
    index, audit = build_index(data_set)
    names = [f"{name}-{number}.png" for name in COUNTS for number in range(1, COUNTS[name] + 1)]
    assert list(index.columns) == INDEX_COLUMNS
    assert [Path(file).name for file in index["file"]] == names
    assert audit["data"] == {"name": "tiny", "synthetic": False}
    assert audit["verdict"].startswith("Usable: 9 X-rays in 2 classes (0 errors, ")
    assert audit["counts"] == COUNTS
    assert audit["left_out"] == []


def test_a_row_holds_paths_sizes_and_fingerprints(data_set):
    write_image(image_path(data_set.root, "COVID", 2), xray(77))
    write_image(mask_path(data_set.root, "COVID", 2), lung_mask(77))
    row = build_index(data_set)[0].iloc[1]
    assert row.to_list() == [
        "COVID/images/COVID-2.png",
        "COVID",
        "COVID/masks/COVID-2.png",
        *IMAGE_SHAPE[::-1],
        *MASK_SHAPE[::-1],
        fingerprint(xray(77)),
        fingerprint(lung_mask(77) // 255),
        "",
        "COVID/images/COVID-2.png",
        *[""] * 4,
    ]


def test_a_row_holds_its_source_and_the_first_of_its_copies(data_set):
    write_image(image_path(data_set.root, "COVID", 3), xray(77))
    write_image(image_path(data_set.root, "COVID", 2), xray(77))
    table = "FILE NAME,URL\nCOVID-3,https://www.example.org/scans/3.html\n"
    (data_set.root / "COVID.metadata.csv").write_text(table)
    rows = build_index(data_set)[0].iloc[[1, 2, 3]]
    first = "COVID/images/COVID-2.png"
    assert rows["copy_of"].to_list() == [first, first, "COVID/images/COVID-4.png"]
    assert rows["source"].to_list() == ["", "example.org/scans", ""]


def test_another_format_of_the_same_pixels_has_the_same_fingerprint(data_set):
    pixels = xray(77)
    write_image(image_path(data_set.root, "COVID", 1), cv2.merge([pixels] * 3))
    write_image(image_path(data_set.root, "COVID", 2), pixels.astype(np.uint16) * 257)
    image_path(data_set.root, "COVID", 3).unlink()
    write_image(image_path(data_set.root, "COVID", 3).with_suffix(".TIFF"), pixels)
    found = build_index(data_set)[0]["pixels"]
    # 16 bits: the brightest pixel decides about the depth, and here it needs all of them.
    assert pixels.max() > 127
    assert set(found[:3]) == {fingerprint(pixels)}
    assert found.nunique() == len(found) - 2


def test_the_written_index_is_read_back(data_set, runs):
    index = make_run(runs / "a", data_set)
    pd.testing.assert_frame_equal(read_index(runs / "a", data_set), index)


def test_a_class_called_na_and_fingerprints_of_digits_are_read_back(tmp_path, runs):
    data_set = make_data_set(tmp_path / "odd", {"NA": 3})
    index, audit = build_index(data_set)
    index["pixels"], index["mask_pixels"] = "0123456789012345", "12345678901234e5"
    runs.mkdir()
    write_index(runs, index, audit)
    pd.testing.assert_frame_equal(read_index(runs, data_set), index)


def test_equal_data_give_equal_bytes_in_any_place(tmp_path, runs):
    for place in ("here", "there"):
        make_run(runs / place, make_data_set(tmp_path / place / "tiny"))
    for name in ("index.csv", "audit.json", "split.csv"):
        content = (runs / "here" / name).read_bytes()
        assert content == (runs / "there" / name).read_bytes()
        assert b"\r" not in content
        assert str(tmp_path).encode() not in content


def test_the_index_of_other_data_is_refused_and_kept(data_set, tmp_path, runs):
    make_run(runs / "a", data_set)
    make_run(runs / "a", data_set)  # the same again is allowed
    before = {path.name: path.read_bytes() for path in (runs / "a").iterdir()}
    other = make_data_set(tmp_path / "other", {"COVID": 3})
    with refused("runs/a", "holds a run on other data", "choose another name with `run`"):
        make_run(runs / "a", other)
    assert {path.name: path.read_bytes() for path in (runs / "a").iterdir()} == before


def test_a_missing_index_names_the_notebook_that_makes_it(data_set, runs):
    with refused("runs/a/index.csv", "not found", "run 01_get_data first"):
        read_index(runs / "a", data_set)


@pytest.mark.parametrize("part", ["images", "masks", "infection masks"])
def test_files_that_are_not_there_are_named(data_set, runs, part):
    infection = data_set.root / "Normal/infection masks/Normal-5.png"
    write_image(infection, lung_mask(5))
    make_run(runs / "a", data_set)
    (data_set.root / "Normal" / part / "Normal-5.png").unlink()
    with refused(
        f"Normal/{part}/Normal-5.png", "tiny does not have", "give the `data` of this run"
    ):
        read_index(runs / "a", data_set)


@pytest.mark.parametrize("content", [b"", b"file,class\na,b\n", b"\x89PNG\r\n\x1a\n\0\0\xff"])
def test_a_file_that_is_no_index_is_refused(data_set, runs, content):
    make_run(runs / "a", data_set)
    (runs / "a" / "index.csv").write_bytes(content)
    with refused("runs/a/index.csv", "does not have the columns of", "run 01_get_data again"):
        read_index(runs / "a", data_set)


def test_the_published_counts_stand_beside_ours():
    table = published_table({"counts": {"COVID": 1200, "Tuberculosis": 3}})
    assert table.loc["COVID"].to_list() == ["1,200", "3,616"]
    assert table.loc["Tuberculosis"].to_list() == ["3", "-"]
    assert table.loc["Viral Pneumonia"].to_list() == ["0", "1,345"]
    assert table.loc["all"].to_list() == ["1,203", "21,165"]


def test_the_real_archives_hold_what_their_readme_says(real_indexes):
    counts = {
        "COVID-19_Radiography_Dataset": {
            "COVID": 256,
            "Lung_Opacity": 481,
            "Normal": 579,
            "Viral Pneumonia": 289,
        },
        "shenzhen": {"Normal": 279, "Tuberculosis": 287},
    }
    for name, (index, audit) in real_indexes.items():
        assert audit["counts"] == counts[name]
        assert audit["left_out"] == []
        assert len(index) == sum(counts[name].values())
        assert set(index["mask_width"]) == set(index["mask_height"]) == {256}
        assert set(index["width"]) == set(index["height"]) == {299}

"""What stops a run: a data set that cannot be used as it is, and what may be allowed."""

import shutil

import pytest

from helpers.audit.examination import STOPS, check_allowed, examine
from helpers.data.sources import DataSet
from helpers.split.index import build_index
from tests.support.builders import image_path, mask_path, refused
from tests.support.faults import PLANTERS, Victim

EVERYTHING = ", ".join(STOPS)


@pytest.mark.parametrize(
    ("fault", "finding", "words"),
    [
        ("class without X-rays", "class_without_xrays", "without a usable X-ray (Tuberculosis)"),
        ("masks called otherwise", "mostly_unusable", "perhaps this is another data set"),
    ],
)
def test_what_stops_a_run_can_be_allowed(data_set, fault, finding, words):
    sound, _ = examine(data_set)
    PLANTERS[fault](Victim(data_set.root, "COVID", "COVID-1"))
    other = next(name for name in STOPS if name != finding)
    for allow in ("", other):
        with refused("tiny", words, f"allow {finding}"):
            build_index(data_set, allow)
    index, audit = build_index(data_set, f" {finding} ,{other},")
    assert set(index["file"]) == set(sound["file"]) - {row["file"] for row in audit["left_out"]}
    assert finding in {found["name"] for found in audit["findings"]}
    assert audit["verdict"].startswith("Not usable as it is, with only")


@pytest.mark.parametrize("name", ["speed", "Mostly_unusable", "blank_mask", "near_copies"])
def test_a_name_of_nothing_that_stops_a_run_cannot_be_allowed(name):
    with refused(f"allow {name!r}", "choose from", EVERYTHING):
        check_allowed(f"mostly_unusable,{name}")


def test_nothing_usable_cannot_be_allowed(data_set):
    for path in data_set.root.glob("*/masks/*.png"):
        path.write_bytes(b"")
    with refused("tiny", "no X-ray can be used", "COVID/masks/COVID-1.png: the file"):
        build_index(data_set, EVERYTHING)


def test_a_stop_shows_a_fault_of_the_class_that_it_names(data_set):
    image_path(data_set.root, "COVID", 1).write_bytes(b"")
    for number in range(1, 6):
        mask_path(data_set.root, "Normal", number).write_bytes(b"no mask")
    with refused("(Normal)", "For example Normal/masks/Normal-1.png: cannot be", "restore them"):
        build_index(data_set)
    shutil.rmtree(data_set.root / "Normal" / "masks")
    shutil.rmtree(data_set.root / "Normal" / "images")
    (data_set.root / "Normal" / "masks").mkdir()
    with refused("(Normal). Restore the files", "or remove the folders", "class_without_xrays"):
        build_index(data_set)


ODD_NAMES = ["line\nbreak.png", "return\r.png", "\x1b[31mred.png", "\t.txt", "caf\udce9.png"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_that_no_table_can_hold_is_refused(data_set, name):
    try:
        image_path(data_set.root, "COVID", 1).rename(data_set.root / "COVID" / "images" / name)
    except OSError:
        pytest.skip("this file system has no such names")
    with refused(repr(f"COVID/images/{name}"), "no table can hold", "Rename it"):
        build_index(data_set)


@pytest.mark.parametrize("folder", ["line\nbreak", "line\nbreak/COVID/images"])
def test_a_folder_whose_name_no_table_can_hold_is_refused(data_set, folder):
    (data_set.root / folder / "images").mkdir(parents=True)
    root = data_set.root / "line\nbreak" if "/" in folder else data_set.root
    with refused(repr("line\nbreak"), "no table can hold", "Rename it"):
        examine(DataSet(root.name, root, synthetic=False))

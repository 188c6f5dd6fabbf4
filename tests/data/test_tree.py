"""The tree: links are followed, circles are not, and litter is nobody's file."""

import os
from pathlib import Path

import pytest

from helpers.data.listing import describe_files, walk
from helpers.data.sources import find_data
from helpers.predict.files import find_xrays
from tests.support.builders import make_data_set, refused, xray

LITTER = [
    ".DS_Store",
    ".hidden.png",
    "._COVID-1.png",
    "Thumbs.db",
    "thumbs.DB",
    "desktop.ini",
    "~$COVID.metadata.xlsx",
    "__MACOSX/COVID-1.png",
    "@eaDir/COVID-1.png",
    ".ipynb_checkpoints/COVID-1.png",
]


def names(root: Path) -> list[str]:
    """Return the paths of all files that a walk meets, in its order."""
    return [f"{place}/{name}".lstrip("/") for place, found in walk(root) for name in found]


def touch(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_every_file_is_met_once_and_in_order(tmp_path):
    files = ["a.png", "b/c/d.txt", "b/c.png", "e/f.png"]
    for name in files[::-1]:
        touch(tmp_path / name)
    assert names(tmp_path) == ["a.png", "b/c.png", "b/c/d.txt", "e/f.png"]
    assert [place for place, _ in walk(tmp_path)] == ["", "b", "b/c", "e"]


def test_litter_is_left_out(tmp_path):
    for name in ("COVID-1.png", *LITTER):
        touch(tmp_path / name)
    assert names(tmp_path) == ["COVID-1.png"]


def test_links_to_folders_are_followed(tmp_path):
    touch(tmp_path / "elsewhere" / "deep" / "a.png")
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "here") == ["link/deep/a.png"]


def test_a_circle_of_links_ends(tmp_path):
    touch(tmp_path / "a" / "b" / "x.png")
    (tmp_path / "a" / "b" / "up").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "self").symlink_to(".")
    assert names(tmp_path) == ["a/b/x.png"]


def test_a_link_to_itself_is_a_file(tmp_path):
    (tmp_path / "round.png").symlink_to("round.png")
    assert names(tmp_path) == ["round.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may list every folder")
def test_a_folder_that_may_not_be_listed_is_named(tmp_path):
    closed = tmp_path / "COVID" / "closed"
    closed.mkdir(parents=True)
    closed.chmod(0)
    with refused("COVID/closed", "cannot be listed (Permission denied)", "Mend its permissions"):
        names(tmp_path)


def test_audit_and_prediction_follow_the_same_links(tmp_path):
    stored = make_data_set(tmp_path / "store").root
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("COVID", "Normal"):
        (linked / name).symlink_to(stored / name)
    (stored / "COVID" / "images" / "round").symlink_to(stored / "COVID" / "images")
    found = find_data(str(linked))
    assert found.classes == ["COVID", "Normal"]
    images = [place.file for place in found.list_files().places if place.part == "images"]
    assert len(images) == 9
    predicted = find_xrays([str(linked / "COVID" / "images"), str(linked / "Normal" / "images")])
    assert len(predicted) == 9


def test_litter_does_not_make_what_was_found_stale(data_set):
    before = sorted(describe_files(data_set.root))
    for name in LITTER:
        touch(data_set.root / "COVID" / "images" / name)
    assert sorted(describe_files(data_set.root)) == before
    (data_set.root / "COVID" / "images" / "COVID-1.png").write_bytes(xray(3).tobytes())
    assert sorted(describe_files(data_set.root)) != before

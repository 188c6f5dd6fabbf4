import errno
import os
from pathlib import Path

import pytest

from helpers.storage import folders
from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import (
    default_run_name,
    find_run,
    find_trained,
    project_root,
    require,
    shown,
)
from tests.support.builders import refused

PARTS = ["detection", "figures", "infection", "notebooks", "segmentation", "shortcuts"]
pytestmark = pytest.mark.usefixtures("runs", "cache")


def test_without_a_checkout_the_current_folder_is_the_root(tmp_path, monkeypatch):
    monkeypatch.setattr(
        folders, "__file__", str(tmp_path / "site-packages/helpers/storage/folders.py")
    )
    monkeypatch.chdir(tmp_path)
    assert project_root() == tmp_path


def test_runs_and_cache_default_to_the_project(monkeypatch):
    monkeypatch.delenv("COVID_LUNGS_RUNS")
    monkeypatch.delenv("COVID_LUNGS_CACHE")
    assert folders.runs_root() == project_root() / "runs"
    assert folders.cache_root() == project_root() / "cache"


def test_in_colab_runs_are_on_drive_and_the_cache_is_not(monkeypatch, tmp_path):
    monkeypatch.delenv("COVID_LUNGS_RUNS")
    monkeypatch.delenv("COVID_LUNGS_CACHE")
    monkeypatch.setattr(folders, "in_colab", lambda: True)
    monkeypatch.setattr(folders, "LOCAL_FOLDER", tmp_path / "local")
    monkeypatch.setattr(folders, "DRIVE_FOLDER", tmp_path / "MyDrive" / "covid-lungs")
    assert folders.runs_root() == tmp_path / "local" / "runs", "Drive is not mounted"
    (tmp_path / "MyDrive").mkdir()
    assert folders.runs_root() == tmp_path / "MyDrive" / "covid-lungs" / "runs"
    assert folders.cache_root() == tmp_path / "local" / "cache"


@pytest.fixture
def drive(monkeypatch, tmp_path):
    """Google Drive in Colab, mounted as soon as `MyDrive` in it is made."""
    monkeypatch.setattr("helpers.storage.colab.MOUNT_POINT", tmp_path / "drive")
    monkeypatch.setattr(folders, "in_colab", lambda: True)
    return tmp_path / "drive"


def test_a_missing_file_may_be_on_a_drive_that_is_not_mounted(drive):
    path = drive / "MyDrive" / "covid-lungs" / "runs" / "a" / "split.csv"
    with refused("split.csv not found: run 02_split", "If it is on Google Drive", "press “Connect"):
        require(path)
    path.parent.mkdir(parents=True)
    with pytest.raises(CovidLungsError, match=r"the same `data`, `run` and `recipe`\.$"):
        require(path)


def test_a_full_drive_says_where_to_make_room(drive, tmp_path, monkeypatch):
    def fill(path, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "mkdir", fill)
    with refused("a/detection: cannot be written", "Google Drive is full", "folder with `run`"):
        find_run(str(drive / "MyDrive" / "a"), "demo", "demo")
    with refused("a/detection: cannot be written", "No space left", "Make room, "):
        find_run(str(tmp_path / "a"), "demo", "demo")


@pytest.mark.parametrize(
    ("data", "recipe", "name"),
    [
        ("demo", "demo", "demo"),
        ("kaggle", "demo", "kaggle-demo"),
        (
            "some/COVID-19_Radiography_Dataset.zip",
            "original",
            "COVID-19_Radiography_Dataset-original",
        ),
        ("some/folder/", "demo", "folder-demo"),
    ],
)
def test_the_default_name_comes_from_data_and_recipe(data, recipe, name, runs):
    assert default_run_name(data, recipe) == name
    assert find_run(None, data, recipe) == runs / name


def test_a_name_is_a_folder_below_the_runs(runs):
    for name in ("second", "second/"):
        folder = find_run(name, "demo", "demo")
        assert folder == runs / "second"
        assert sorted(path.name for path in folder.iterdir()) == PARTS


def test_a_path_is_taken_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_run("./mine", "demo", "demo") == tmp_path / "mine"
    assert find_run(str(tmp_path / "deep" / "er"), "demo", "demo") == tmp_path / "deep" / "er"
    assert find_run(".", "demo", "demo") == tmp_path


@pytest.mark.parametrize("blocked", ["a", "a/detection"])
def test_a_run_folder_that_cannot_be_made_is_refused(runs, blocked):
    (runs / blocked).parent.mkdir(parents=True)
    (runs / blocked).write_text("in the way")
    with refused("a/detection: ", "cannot be written", "choose another folder with `run`"):
        find_run("a", "demo", "demo")


def test_the_folder_of_an_unknown_user_is_taken_as_a_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_run("~nobody-here/x", "demo", "demo") == tmp_path / "~nobody-here" / "x"


@pytest.mark.parametrize("run", ["", "no-such", "no/such", "x" * 300])
def test_a_run_that_is_not_there_is_refused(run):
    with refused(f"run {run!r}", "no such run", "covid-lungs run"):
        find_trained(run)


def test_paths_in_the_project_are_shown_from_its_root_and_others_whole(tmp_path):
    assert shown(project_root() / "notebooks" / "x.ipynb") == "notebooks/x.ipynb"
    assert shown(tmp_path / "elsewhere") == str(tmp_path / "elsewhere")

import errno
import os
import sys
import types
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from helpers.data.layouts import LAYOUTS
from helpers.data.sources import KAGGLE_DATA_SET, DataSet, find_data, find_path
from helpers.data.synthetic import SYNTHETIC_MARKER
from helpers.split.index import build_index
from helpers.storage import colab
from helpers.storage.errors import CovidLungsError
from tests.support.builders import COUNTS, make_data_set, refused, write_pair

pytestmark = pytest.mark.usefixtures("cache")


def zip_folder(folder: Path, archive: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(folder.rglob("*.png")):
            opened.write(path, prefix + path.relative_to(folder).as_posix())
    return archive


def test_a_folder_of_class_folders(data_set):
    found = find_data(str(data_set.root))
    assert found == DataSet(name="tiny", folder=data_set.root, synthetic=False)
    assert found.classes == ["COVID", "Normal"]
    assert found.label == "X-rays: tiny"


def test_a_relative_path_counts_from_the_current_folder(data_set, monkeypatch):
    monkeypatch.chdir(data_set.root.parent)
    assert find_data("tiny").root == data_set.root


def test_a_relative_path_counts_from_the_project_too(data_set, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr("helpers.data.sources.project_root", lambda: tmp_path)
    assert find_data("tiny").root == data_set.root


@pytest.mark.parametrize("prefix", ["", "COVID-19_Radiography_Dataset/"])
def test_an_archive_is_unpacked_into_the_cache(data_set, cache, prefix):
    archive = zip_folder(data_set.root, data_set.root.parent / "real v1.zip", prefix)
    found = find_data(str(archive))
    assert found.name == "real v1"
    assert found.root.is_relative_to(cache / "data")
    assert build_index(found)[1]["counts"] == COUNTS


def test_a_changed_archive_is_unpacked_again(data_set):
    archive = zip_folder(data_set.root, data_set.root.parent / "real.zip")
    first = find_data(str(archive)).root
    os.utime(archive, (1, 1))
    write_pair(data_set.root, "COVID", 99)
    second = find_data(str(zip_folder(data_set.root, archive))).root
    assert first != second
    assert (second / "COVID/images/COVID-99.png").is_file()


def test_the_marker_makes_every_figure_say_synthetic(data_set):
    (data_set.root / SYNTHETIC_MARKER).touch()
    assert find_data(str(data_set.root)).label == "synthetic X-rays"


@pytest.mark.parametrize("source", ["no/such/folder", "missing.zip", "Demo", "~nobody-here/x"])
def test_a_missing_path_is_refused(source, tmp_path, monkeypatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setattr("helpers.data.sources.project_root", lambda: tmp_path / "empty")
    with refused(repr(source), "no such folder or file", "Give demo, kaggle, a folder or a .zip"):
        find_data(source)


@given(source=st.text("aA ~./\\\0é*:-", max_size=30))
@example(source="a" * 5000)
@example(source="nul\0byte")
def test_any_text_is_a_path_or_refused(source):
    try:
        assert find_path(source).exists()
    except CovidLungsError as error:
        assert repr(source) in str(error)


@pytest.fixture
def drive(tmp_path, monkeypatch) -> Path:
    """The folder that Drive shows, once it is made."""
    monkeypatch.setattr(colab, "MOUNT_POINT", tmp_path / "drive")
    return tmp_path / "drive" / "MyDrive"


def test_a_path_on_a_drive_that_is_not_there_says_what_to_click(drive):
    with refused(str(drive / "x.zip"), "Google Drive is not there", "Connect to Google Drive"):
        find_data(str(drive / "x.zip"))
    drive.mkdir(parents=True)
    with refused(str(drive / "x.zip"), "no such folder or file", "Give demo"):
        find_data(str(drive / "x.zip"))


def test_a_drive_that_goes_away_is_named(drive, monkeypatch):
    def fail(path):
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    drive.mkdir(parents=True)
    (drive / "x.zip").touch()
    monkeypatch.setattr(Path, "is_dir", fail)
    with refused(str(drive / "x.zip"), "Google Drive went away", "Connect to Google Drive"):
        find_data(str(drive / "x.zip"))


def test_a_file_that_may_not_be_looked_at_is_named(data_set, monkeypatch):
    (data_set.root / "COVID" / "images" / "README").touch()

    look = Path.is_file

    def fail(path):
        if path.name == "README":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return look(path)

    monkeypatch.setattr(Path, "is_file", fail)
    with refused("COVID/images/README: cannot be read", "Permission denied", "Mend its"):
        find_data(str(data_set.root))


def test_an_archive_that_is_none_is_refused(tmp_path):
    (tmp_path / "xrays.txt").write_text("COVID-1.png")
    with refused("xrays.txt", "not a .zip archive", "Download it again"):
        find_data(str(tmp_path / "xrays.txt"))


def test_a_folder_without_layout_says_what_was_expected_and_found(tmp_path):
    (tmp_path / "loose" / "scans").mkdir(parents=True)
    (tmp_path / "loose" / "one.png").touch()
    with refused("loose", "pictures in the folder itself", "or lay the files out as") as caught:
        find_data(str(tmp_path / "loose"))
    assert all(layout.name in str(caught.value) for layout in LAYOUTS)


def test_what_is_neither_a_folder_nor_a_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "endless.zip")
    with refused("endless.zip", "neither a folder nor a file", "Give a folder or a .zip"):
        find_data(str(tmp_path / "endless.zip"))


def test_an_empty_folder_says_that_nothing_was_found(tmp_path):
    (tmp_path / "hollow").mkdir()
    with refused("hollow", "found nothing, no pictures", "Give the folder"):
        find_data(str(tmp_path / "hollow"))


def give_kagglehub(monkeypatch, download) -> None:
    module = types.ModuleType("kagglehub")
    module.dataset_download = download
    monkeypatch.setitem(sys.modules, "kagglehub", module)


def test_kaggle_gives_the_database(data_set, monkeypatch):
    folder = data_set.root.parent
    give_kagglehub(monkeypatch, {KAGGLE_DATA_SET: str(folder)}.__getitem__)
    assert find_data("kaggle") == DataSet("kaggle", folder, synthetic=False, inside="tiny")


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (OSError("401 Client Error.\n\nYou don't have permission"), "(You don't have permission)"),
        (TimeoutError(), "(TimeoutError)"),
    ],
)
def test_a_failed_download_says_why_and_names_the_ways_out(monkeypatch, error, fault):
    def fail(name):
        raise error

    give_kagglehub(monkeypatch, fail)
    with refused(
        "kaggle: tawsifurrahman/", fault, "create a token on kaggle.com/settings"
    ) as caught:
        find_data("kaggle")
    assert "download the .zip in a browser" in str(caught.value)


def test_the_demo_is_drawn_once(cache, monkeypatch):
    def draw(folder: Path) -> None:
        drawn.append(folder)
        make_data_set(folder)
        (folder / SYNTHETIC_MARKER).touch()

    drawn: list[Path] = []
    monkeypatch.setattr("helpers.data.synthetic.write_data_set", draw)
    first, second = find_data("demo"), find_data("demo")
    assert first == second
    assert (first.name, first.synthetic, len(drawn)) == ("demo", True, 1)
    assert [path.name for path in (cache / "data").iterdir()] == [first.root.name]


def test_two_processes_may_draw_the_demo_at_once(cache, monkeypatch):
    def draw(folder: Path) -> None:
        make_data_set(folder)
        if not others:  # while this process draws, another begins and ends
            others.append(folder)
            others.append(find_data("demo").root)

    others: list[Path] = []
    monkeypatch.setattr("helpers.data.synthetic.write_data_set", draw)
    found = find_data("demo")
    assert found.root == others[1] and len(found.classes) == 2
    assert [path.name for path in (cache / "data").iterdir()] == [found.root.name]


def test_an_interrupted_drawing_leaves_nothing(cache, monkeypatch):
    def fail(folder: Path) -> None:
        write_pair(folder, "COVID", 1)
        raise KeyboardInterrupt

    monkeypatch.setattr("helpers.data.synthetic.write_data_set", fail)
    with pytest.raises(KeyboardInterrupt):
        find_data("demo")
    assert list((cache / "data").iterdir()) == []

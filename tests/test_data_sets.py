import os
import sys
import types
import zipfile
from pathlib import Path

import pytest
from builders import COUNTS, make_data_set, refused, write_pair
from hypothesis import example, given
from hypothesis import strategies as st

from helpers.data_sets import KAGGLE_DATA_SET, DataSet, find_data, find_path
from helpers.errors import CovidLungsError
from helpers.index import build_index
from helpers.synthetic import SYNTHETIC_MARKER

pytestmark = pytest.mark.usefixtures("cache")


def zip_folder(folder: Path, archive: Path, prefix: str = "") -> Path:
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(folder.rglob("*.png")):
            opened.write(path, prefix + path.relative_to(folder).as_posix())
    return archive


def test_a_folder_of_class_folders(data_set):
    found = find_data(str(data_set.root))
    assert found == DataSet(name="tiny", root=data_set.root, synthetic=False)
    assert found.classes == ["COVID", "Normal"]
    assert found.label == "X-rays: tiny"


def test_a_folder_around_the_class_folders(data_set):
    found = find_data(str(data_set.root.parent))
    assert found.root == data_set.root
    assert found.name == data_set.root.parent.name


def test_other_folders_and_files_are_no_classes(data_set):
    (data_set.root / "notes").mkdir()
    (data_set.root / "COVID.metadata.xlsx").touch()
    assert find_data(str(data_set.root)).classes == ["COVID", "Normal"]


def test_a_relative_path_counts_from_the_current_folder(data_set, monkeypatch):
    monkeypatch.chdir(data_set.root.parent)
    assert find_data("tiny").root == data_set.root


def test_a_relative_path_counts_from_the_project_too(data_set, monkeypatch, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr("helpers.data_sets.project_root", lambda: tmp_path)
    assert find_data("tiny").root == data_set.root


@pytest.mark.parametrize("prefix", ["", "COVID-19_Radiography_Dataset/"])
def test_an_archive_is_unpacked_into_the_cache(data_set, cache, prefix):
    archive = zip_folder(data_set.root, data_set.root.parent / "real v1.zip", prefix)
    found = find_data(str(archive))
    assert found.name == "real v1"
    assert found.root.is_relative_to(cache / "data")
    assert build_index(found)[1]["counts"] == COUNTS


def test_a_mac_s_extra_folder_is_passed_over(data_set):
    archive = zip_folder(data_set.root, data_set.root.parent / "mac.zip", "xrays/")
    with zipfile.ZipFile(archive, "a") as opened:
        opened.writestr("__MACOSX/xrays/COVID/images/._COVID-1.png", "resource fork")
    assert find_data(str(archive)).root.name == "xrays"


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
    monkeypatch.setattr("helpers.data_sets.project_root", lambda: tmp_path / "empty")
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


def test_an_archive_that_is_none_is_refused(tmp_path):
    (tmp_path / "xrays.txt").write_text("COVID-1.png")
    with refused("xrays.txt", "not a .zip archive", "Download it again"):
        find_data(str(tmp_path / "xrays.txt"))


def test_a_folder_without_layout_says_what_was_expected_and_found(tmp_path):
    (tmp_path / "loose" / "scans").mkdir(parents=True)
    (tmp_path / "loose" / "one.png").touch()
    with pytest.raises(CovidLungsError) as caught:
        find_data(str(tmp_path / "loose"))
    assert str(caught.value) == (
        "loose: expected <class>/images/*.png with <class>/masks/*.png of the same names, found "
        "one.png, scans. Give the folder that holds the class folders."
    )


def test_an_empty_folder_says_that_nothing_was_found(tmp_path):
    (tmp_path / "hollow").mkdir()
    with refused("hollow", "found nothing", "Give the folder"):
        find_data(str(tmp_path / "hollow"))


def test_an_archive_without_layout_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "loose.zip", "w") as opened:
        opened.writestr("one.png", "")
    with refused("loose", "found one.png", "Give the folder"):
        find_data(str(tmp_path / "loose.zip"))


def give_kagglehub(monkeypatch, download) -> None:
    module = types.ModuleType("kagglehub")
    module.dataset_download = download
    monkeypatch.setitem(sys.modules, "kagglehub", module)


def test_kaggle_gives_the_database(data_set, monkeypatch):
    folders = {KAGGLE_DATA_SET: str(data_set.root.parent)}
    give_kagglehub(monkeypatch, folders.__getitem__)
    assert find_data("kaggle") == DataSet(name="kaggle", root=data_set.root, synthetic=False)


@pytest.mark.parametrize("error", [ConnectionError("first line\nno route to host"), OSError()])
def test_a_failed_download_names_the_ways_out(monkeypatch, error):
    def fail(name):
        raise error

    give_kagglehub(monkeypatch, fail)
    fault = "(no route to host)" if str(error) else "(OSError)"
    with refused("kaggle", fault, "download the .zip in a browser and give its path"):
        find_data("kaggle")


def test_the_demo_is_drawn_once(cache, monkeypatch):
    def draw(folder: Path) -> None:
        drawn.append(folder)
        make_data_set(folder)
        (folder / SYNTHETIC_MARKER).touch()

    drawn: list[Path] = []
    monkeypatch.setattr("helpers.synthetic.write_data_set", draw)
    first, second = find_data("demo"), find_data("demo")
    assert first == second
    assert (first.name, first.synthetic, len(drawn)) == ("demo", True, 1)
    assert [path.name for path in (cache / "data").iterdir()] == [first.root.name]


def test_an_interrupted_drawing_leaves_nothing(cache, monkeypatch):
    def fail(folder: Path) -> None:
        write_pair(folder, "COVID", 1)
        raise KeyboardInterrupt

    monkeypatch.setattr("helpers.synthetic.write_data_set", fail)
    with pytest.raises(KeyboardInterrupt):
        find_data("demo")
    assert list((cache / "data").iterdir()) == []


def test_the_real_archives_are_found(real_sets):
    radiography, shenzhen = real_sets["COVID-19_Radiography_Dataset"], real_sets["shenzhen"]
    assert radiography.classes == ["COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"]
    assert shenzhen.classes == ["Normal", "Tuberculosis"]
    assert not radiography.synthetic and not shenzhen.synthetic

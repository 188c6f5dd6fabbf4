import os
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers.audit.examination import examine
from helpers.audit.recall import recall
from helpers.data.sources import DataSet
from helpers.storage import versions
from helpers.storage.errors import CovidLungsError
from tests.support.builders import image_path, refused, upgrade, write_image, xray

pytestmark = pytest.mark.usefixtures("cache")
# A carriage return alone ends a line of a table; scan.py refuses names of no UTF-8 (Cs).
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r"))
REPORT = {"verdict": "Größe: 3 × 4", "counts": {"NA": 1}, "left_out": [], "low": None}


def make_pairs(**columns: list) -> pd.DataFrame:
    """Return pairs of one or more X-rays, of which some columns are given."""
    sizes = dict.fromkeys(["width", "height", "mask_width", "mask_height"], 299)
    return pd.DataFrame({"file": ["COVID/images/a.png"], **columns, **sizes})


class Examiner:
    """What `recall` calls; counts how often."""

    def __init__(self, pairs: pd.DataFrame | None = None):
        self.pairs = make_pairs() if pairs is None else pairs
        self.calls = 0

    def __call__(self, data_set: DataSet) -> tuple[pd.DataFrame, dict]:
        self.calls += 1
        return self.pairs, REPORT


def kept(cache: Path) -> list[Path]:
    """Return what lies in the cache of audits, whole or not."""
    return list((cache / "audits").glob("*"))


def test_an_unchanged_data_set_is_examined_once(data_set, cache):
    examine = Examiner()
    first, report = recall(data_set, examine)
    second, report_again = recall(replace(data_set), examine)
    assert examine.calls == 1
    pd.testing.assert_frame_equal(first, second)
    assert report == report_again == REPORT
    assert len(kept(cache)) == 1


def grow(data_set: DataSet) -> None:
    path = image_path(data_set.root, "COVID", 1)
    times = path.stat()
    path.write_bytes(path.read_bytes() + b"\0")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def age(data_set: DataSet) -> None:
    path = image_path(data_set.root, "COVID", 1)
    os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 1_000))


def add_a_link(data_set: DataSet) -> None:
    (data_set.root / "COVID/masks/b.png").symlink_to(image_path(data_set.root, "COVID", 1))


CHANGES = {
    "a file's size": grow,
    "a file's time": age,
    "a new X-ray": lambda data: write_image(data.root / "COVID/images/b.png", xray(0)),
    "new metadata": lambda data: (data.root / "COVID.metadata.xlsx").touch(),
    "a new class": lambda data: write_image(data.root / "NA/images/b.png", xray(0)),
    "a lost file": lambda data: image_path(data.root, "COVID", 1).unlink(),
    "a new name": lambda data: image_path(data.root, "COVID", 1).rename(
        data.root / "COVID/images/b.png"
    ),
    "a link": add_a_link,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_data_set_is_examined_again(change, data_set):
    examine = Examiner()
    recall(data_set, examine)
    CHANGES[change](data_set)
    recall(data_set, examine)
    recall(data_set, examine)
    assert examine.calls == 2


def test_the_target_of_a_link_counts_too(data_set, tmp_path):
    examine, target = Examiner(), write_image(tmp_path / "elsewhere.png", xray(0))
    (data_set.root / "COVID/images/b.png").symlink_to(target)
    recall(data_set, examine)
    write_image(target, xray(0)[:9])
    recall(data_set, examine)
    assert examine.calls == 2


def test_a_link_to_nowhere_is_left_to_the_scan(data_set):
    examine = Examiner()
    (data_set.root / "COVID/images/b.png").symlink_to(data_set.root / "nowhere.png")
    for _ in range(2):
        recall(data_set, examine)
    assert examine.calls == 1


def test_what_the_report_says_of_the_data_set_is_part_of_its_identity(data_set):
    examine = Examiner()
    for other in (data_set, replace(data_set, name="b"), replace(data_set, synthetic=True)):
        recall(other, examine)
    assert examine.calls == 3


def test_changed_code_examines_again(data_set, tmp_path, monkeypatch):
    code = tmp_path / "helpers" / "data"
    code.mkdir(parents=True)
    (code / "scan.py").write_text("LEVEL = 8")
    monkeypatch.setattr(versions, "PACKAGE", code.parent)
    examine = Examiner()
    monkeypatch.setattr(Examiner, "__module__", "helpers.data.scan")
    recall(data_set, examine)
    (code / "scan.py").write_text("LEVEL = 9")
    recall(data_set, examine)
    assert examine.calls == 2
    (code.parent / "report").mkdir()
    (code.parent / "report" / "plots.py").write_text("COLOUR = 3")
    recall(data_set, examine)
    assert examine.calls == 2, "nothing of the examination"
    (code / "scan.py").write_text("LEVEL = 8")
    recall(data_set, examine)
    assert examine.calls == 2, "the first one is still known"


@pytest.mark.parametrize("library", ["numpy", "opencv-python-headless", "openpyxl", "pydicom"])
def test_another_version_of_a_library_examines_again(library, data_set, monkeypatch):
    counts = []

    def count(data_set: DataSet) -> tuple[pd.DataFrame, dict]:
        counts.append(data_set)
        return make_pairs(), REPORT

    count.__module__ = examine.__module__
    recall(data_set, count)
    upgrade(monkeypatch, library)
    for _ in range(2):
        recall(data_set, count)
    assert len(counts) == 2


@pytest.mark.parametrize("writer", [(pd.DataFrame, "to_csv"), (Path, "write_text")])
def test_an_interrupted_write_leaves_nothing(writer, data_set, cache, monkeypatch):
    examine = Examiner()

    def stop(*given, **named) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(*writer, stop)
        with pytest.raises(KeyboardInterrupt):
            recall(data_set, examine)
    assert kept(cache) == []
    recall(data_set, examine)
    assert examine.calls == 2


def test_what_an_examination_raises_comes_through_and_nothing_is_kept(data_set, cache):
    def fail(data_set: DataSet) -> tuple[pd.DataFrame, dict]:
        raise CovidLungsError("COVID.metadata.xlsx: cannot be read")

    with pytest.raises(CovidLungsError, match=r"COVID\.metadata\.xlsx"):
        recall(data_set, fail)
    assert kept(cache) == []


def test_two_examinations_at_once_leave_one(data_set, cache):
    def examine_slowly(data_set: DataSet) -> tuple[pd.DataFrame, dict]:
        recall(data_set, Examiner())  # as another process would meanwhile
        return make_pairs(), REPORT

    pairs, report = recall(data_set, examine_slowly)
    pd.testing.assert_frame_equal(pairs, recall(data_set, Examiner())[0])
    assert report == REPORT
    assert len(kept(cache)) == 1


def test_types_survive(data_set):
    texts = ["NA", "null", "nan", "1e5", "0012", "True", "", 'a "b", c', "ü\n", "1_000", "1.0"]
    pairs = make_pairs(**{f"column {place}": [text] for place, text in enumerate(texts)})
    for _ in range(2):
        found, report = recall(data_set, Examiner(pairs))
        (row,) = found.to_dict("records")
        assert [row[f"column {place}"] for place in range(len(texts))] == texts
        for name in ("width", "height", "mask_width", "mask_height"):
            assert found[name].tolist() == [299]
            assert found[name].dtype == int
        assert report == REPORT


@settings(max_examples=50, deadline=None)
@example(texts=["\0", "\r\n", "\u2028", '"', " a ", "#"])
@given(texts=st.lists(TEXT, min_size=1, max_size=3))
def test_any_text_survives(texts, tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    (folder / "COVID/images").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVID_LUNGS_CACHE", str(folder / "cache"))
        data_set = DataSet("tiny", folder / "COVID", synthetic=False)
        pairs, _ = recall(data_set, Examiner(make_pairs(file=texts)))
    assert pairs["file"].tolist() == texts


def test_no_pairs_survive_as_no_pairs(data_set):
    pairs, _ = recall(data_set, Examiner(make_pairs().iloc[:0]))
    assert len(pairs) == 0
    assert pairs["width"].dtype == int


def test_a_folder_that_cannot_be_listed_is_named(data_set):
    shutil.rmtree(data_set.root)
    with refused(str(data_set.root), "cannot be listed", "Mend its permissions"):
        recall(data_set, Examiner())


def test_a_cache_that_cannot_be_made_is_named(data_set, cache):
    cache.touch()
    with refused("cache/audits", "cannot be written", "COVID_LUNGS_CACHE"):
        recall(data_set, Examiner())

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from helpers.audit import examination
from helpers.audit.examination import recall
from helpers.data.sources import DataSet
from helpers.storage import versions
from tests.support.builders import image_path, refused, upgrade, write_image, xray

pytestmark = pytest.mark.usefixtures("cache")
TEXT = st.text(st.characters(exclude_categories=["Cs"]))  # scan.py refuses names of no UTF-8
REPORT = {"verdict": "Größe: 3 × 4", "counts": {"NA": 1}, "left_out": [], "low": None}


def make_pairs(**columns: list) -> pd.DataFrame:
    """Return pairs of one or more X-rays, of which some columns are given."""
    sizes = dict.fromkeys(["width", "height", "mask_width", "mask_height"], 299)
    return pd.DataFrame({"file": ["COVID/images/a.png"], **columns, **sizes})


class Examiner:
    """What `recall` calls in place of `examine`; counts how often."""

    def __init__(self):
        self.pairs, self.calls = make_pairs(), 0
        self.__module__ = examination.__name__

    def __call__(self, data_set: DataSet) -> tuple[pd.DataFrame, dict]:
        self.calls += 1
        return self.pairs, REPORT


@pytest.fixture
def examiner(monkeypatch: pytest.MonkeyPatch) -> Examiner:
    """Let `recall` call this."""
    examiner = Examiner()
    monkeypatch.setattr(examination, "examine", examiner)
    return examiner


def kept(cache: Path) -> list[Path]:
    """Return what lies in the cache of audits, whole or not."""
    return list((cache / "audits").glob("*"))


def test_an_unchanged_data_set_is_examined_once(data_set, cache, examiner):
    first, report = recall(data_set)
    second, report_again = recall(replace(data_set))
    assert examiner.calls == 1
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
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_data_set_is_examined_again(change, data_set, examiner):
    recall(data_set)
    CHANGES[change](data_set)
    recall(data_set)
    recall(data_set)
    assert examiner.calls == 2


def test_the_target_of_a_link_counts_too(data_set, tmp_path, examiner):
    target = write_image(tmp_path / "elsewhere.png", xray(0))
    (data_set.root / "COVID/images/b.png").symlink_to(target)
    recall(data_set)
    write_image(target, xray(0)[:9])
    recall(data_set)
    assert examiner.calls == 2


def test_a_link_to_nowhere_is_left_to_the_scan(data_set, examiner):
    (data_set.root / "COVID/images/b.png").symlink_to(data_set.root / "nowhere.png")
    for _ in range(2):
        recall(data_set)
    assert examiner.calls == 1


def test_what_the_report_says_of_the_data_set_is_part_of_its_identity(data_set, examiner):
    for other in (data_set, replace(data_set, name="b"), replace(data_set, synthetic=True)):
        recall(other)
    assert examiner.calls == 3


def test_changed_code_examines_again(data_set, tmp_path, monkeypatch, examiner):
    code = tmp_path / "helpers" / "audit"
    code.mkdir(parents=True)
    monkeypatch.setattr(versions, "PACKAGE", code.parent)
    (code.parent / "report").mkdir()
    for file, text, calls in (
        ("examination.py", "LEVEL = 8", 1),
        ("examination.py", "LEVEL = 9", 2),
        ("../report/plots.py", "COLOUR = 3", 2),  # a package after this one
        ("examination.py", "LEVEL = 8", 2),  # the first one is still known
    ):
        (code / file).write_text(text)
        recall(data_set)
        assert examiner.calls == calls


@pytest.mark.parametrize("library", ["numpy", "openpyxl"])
def test_another_version_of_a_library_examines_again(library, data_set, monkeypatch, examiner):
    recall(data_set)
    upgrade(monkeypatch, library)
    for _ in range(2):
        recall(data_set)
    assert examiner.calls == 2


def test_an_interrupted_write_leaves_nothing(data_set, cache, monkeypatch, examiner):
    def stop(*given, **named) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", stop)
        with pytest.raises(KeyboardInterrupt):
            recall(data_set)
    assert kept(cache) == []
    recall(data_set)
    assert examiner.calls == 2


def test_two_examinations_at_once_leave_one(data_set, cache, monkeypatch, examiner):
    def examine_slowly(data_set: DataSet) -> tuple[pd.DataFrame, dict]:
        monkeypatch.setattr(examination, "examine", examiner)
        recall(data_set)  # as another process would meanwhile
        return make_pairs(), REPORT

    examine_slowly.__module__ = examination.__name__
    monkeypatch.setattr(examination, "examine", examine_slowly)
    pairs, report = recall(data_set)
    pd.testing.assert_frame_equal(pairs, recall(data_set)[0])
    assert (report, examiner.calls) == (REPORT, 1)
    assert len(kept(cache)) == 1


@settings(max_examples=50, deadline=None)
@example(texts=["\0", "\r\n", "\u2028", '"', " a ", "#", "NA", "null", "1e5", "0012", "True", ""])
@given(texts=st.lists(TEXT, min_size=1, max_size=3))
def test_any_text_survives(texts, tmp_path_factory):
    folder, examiner = tmp_path_factory.mktemp("texts"), Examiner()
    examiner.pairs = make_pairs(file=texts)
    (folder / "COVID/images").mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVID_LUNGS_CACHE", str(folder / "cache"))
        patch.setattr(examination, "examine", examiner)
        pairs, _ = recall(DataSet("tiny", folder / "COVID", synthetic=False))
    assert pairs["file"].tolist() == texts
    assert set(pairs["mask_width"]) == {299}


def test_no_pairs_survive_as_no_pairs(data_set, examiner):
    examiner.pairs = make_pairs().iloc[:0]
    pairs, _ = recall(data_set)
    assert len(pairs) == 0
    assert pairs["width"].dtype == int


def test_a_folder_that_cannot_be_listed_is_named(data_set):
    shutil.rmtree(data_set.root)
    with refused(str(data_set.root), "cannot be listed", "Mend its permissions"):
        recall(data_set)


def test_a_cache_that_cannot_be_made_is_named(data_set, cache, examiner):
    cache.touch()
    with refused("cache/audits", "cannot be written", "COVID_LUNGS_CACHE"):
        recall(data_set)

import shutil
from pathlib import Path

import pandas as pd
import pytest

from helpers.data.sources import DataSet
from helpers.split.index import read_index
from helpers.split.splits import AGAIN, assign_splits, read_split, write_split
from tests.support.builders import make_data_set, make_run, refused
from tests.support.indexes import as_mapping, table_of

pytestmark = pytest.mark.usefixtures("runs")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[DataSet, Path]:
    """A data set and its run, made once for the tests that change a copy of the run."""
    folder = tmp_path_factory.mktemp("finished")
    data_set = make_data_set(folder / "tiny")
    make_run(folder / "run", data_set)
    return data_set, folder / "run"


@pytest.fixture
def data_set(finished: tuple[DataSet, Path]) -> DataSet:
    return finished[0]


@pytest.fixture
def run_folder(finished: tuple[DataSet, Path], runs: Path) -> Path:
    return shutil.copytree(finished[1], runs / "a")


def test_the_written_file(runs):
    runs.mkdir()
    files = ["COVID/images/c.png", "COVID/images/b.png", "COVID/images/ä, b.png"]
    columns = {"class": "COVID", "group": files, "split": "train", "hash": "00ff"}
    path = write_split(runs, pd.DataFrame({"file": files, **columns}))
    assert path == runs / "split.csv"
    assert (
        path.read_bytes()
        == (
            "file,class,group,split,hash\n"
            "COVID/images/b.png,COVID,COVID/images/b.png,train,00ff\n"
            "COVID/images/c.png,COVID,COVID/images/c.png,train,00ff\n"
            '"COVID/images/ä, b.png",COVID,"COVID/images/ä, b.png",train,00ff\n'
        ).encode()
    )


def test_the_written_split_is_read_back_with_the_index(data_set, run_folder):
    index = read_index(run_folder, data_set)
    expected = assign_splits(index, seed=7)
    found = read_split(run_folder, data_set)
    pd.testing.assert_frame_equal(found[list(index.columns)], index)
    assert as_mapping(found) == as_mapping(expected)
    assert list(found["group"]) == list(expected["group"])


def drop_a_row(text: str) -> str:
    return text[: text.rindex("Normal/images/Normal-5.png,Normal")]


def swap_two_rows(text: str) -> str:
    head, first, second, *rest = text.splitlines()
    return "\n".join([head, second, first, *rest, ""])


def rename_a_column(text: str) -> str:
    return text.replace("group,split", "group,part")


def drop_the_hashes(text: str) -> str:
    """Return the file as the first version wrote it."""
    return "".join(line.rpartition(",")[0] + "\n" for line in text.splitlines())


def write_nothing(text: str) -> str:
    return ""


@pytest.mark.parametrize(
    "change", [drop_a_row, swap_two_rows, rename_a_column, drop_the_hashes, write_nothing]
)
def test_a_split_without_its_rows_or_columns_is_refused(data_set, run_folder, change):
    path = run_folder / "split.csv"
    path.write_text(change(path.read_text()))
    with refused("runs/a/split.csv", "does not list the X-rays of index.csv", AGAIN):
        read_split(run_folder, data_set)


EDITED = "Normal/images/Normal-2.png"
EDITS = [("class", "COVID"), ("group", ""), ("split", "validation"), ("hash", "0" * 16)]


@pytest.mark.parametrize(("column", "value"), EDITS)
def test_an_edited_row_is_named(data_set, run_folder, column, value):
    path = run_folder / "split.csv"
    split = pd.read_csv(path, dtype=str).set_index("file")
    assert split.loc[EDITED, column] != value
    split.loc[EDITED, column] = value
    split.to_csv(path)
    with refused(f"split.csv: {EDITED}", "does not agree with its hash", AGAIN):
        read_split(run_folder, data_set)


@pytest.mark.parametrize("column", ["class", "pixels", "mask_pixels"])
def test_an_xray_that_is_not_the_one_that_was_split_is_named(data_set, run_folder, column):
    index = read_index(run_folder, data_set)
    index.loc[index["file"] == EDITED, column] = "another"
    index.to_csv(run_folder / "index.csv", index=False)
    with refused(f"split.csv: {EDITED}", "does not agree with its hash", AGAIN):
        read_split(run_folder, data_set)


def test_networks_keep_the_split_that_they_learnt_from(runs):
    table = table_of([(f"A/images/{number}.png", "A", str(number)) for number in range(20)])
    first, second = assign_splits(table, 1), assign_splits(table, 2)
    (runs / "detection").mkdir(parents=True)
    write_split(runs, first)
    write_split(runs, second)
    (runs / "detection" / "model.keras").touch()
    write_split(runs, second)
    with refused("split.csv", "networks were trained on this split", "Choose another name"):
        write_split(runs, first)
    written = pd.read_csv(runs / "split.csv", dtype=str)
    assert as_mapping(written) == as_mapping(second)

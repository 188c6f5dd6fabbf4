import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from helpers.report.provenance import find_source
from helpers.run import up_to_date
from helpers.run.up_to_date import (
    describe_inputs,
    describe_sources,
    forget,
    record,
    why_stale,
)
from helpers.storage import versions
from helpers.storage.layout import CHAIN, find_step, list_files, list_notebooks
from tests.support.builders import refused, upgrade, write_notebook

NUMBERS = ("01", "02", "03", "04", "05", "06", "08")
PARAMETERS = (
    'data: str = "demo"\nrun: str = None\nseed: int = 7\nsize: int = 5\nepochs: int = None\n'
)
NEVER = "no result of it is here yet"
FILES = sorted({name for step in list_notebooks() for name in (*step.reads, *list_files(step))})
FILES = [name for name in FILES if "*" not in name] + [
    "shortcuts/whole/model.keras",
    "shortcuts/lungs/fold-1/model.keras",
    "figures/04_curves.png",
    "notebooks/03_n.ipynb",
]


class Chain:
    """Seven notebooks without a kernel, and a run folder in which all of them have finished."""

    def __init__(self, folder):
        self.notebooks = {number: folder / f"{number}_n.ipynb" for number in NUMBERS}
        self.run_folder, self.parameters = folder / "run", {"run": "x", "seed": 3}
        for notebook in self.notebooks.values():
            write_notebook(notebook, PARAMETERS, "print(seed)")
        for number, name in enumerate(FILES):
            path = self.run_folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"content {number}")
        for number in NUMBERS:
            self.finish(number)

    def inputs(self, number: str) -> dict:
        sources = describe_sources({"data": "demo"} | self.parameters)
        return describe_inputs(self.notebooks[number], self.run_folder, self.parameters, sources)

    def finish(self, number: str) -> None:
        record(self.notebooks[number].stem, self.run_folder, self.inputs(number))

    def why(self, number: str) -> str | None:
        return why_stale(self.notebooks[number].stem, self.run_folder, self.inputs(number))

    def stale(self) -> dict[str, str]:
        return {number: why for number in NUMBERS if (why := self.why(number))}


@pytest.fixture
def chain(tmp_path):
    return Chain(tmp_path)


def test_what_has_finished_and_not_changed_is_up_to_date(chain):
    assert chain.stale() == {}


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"01_n": 5}', '{"01_n": {"made": {}}}'])
def test_a_damaged_record_counts_as_none(chain, text):
    (chain.run_folder / CHAIN).write_text(text)
    assert chain.why("01") == NEVER
    chain.finish("01")
    assert chain.why("01") is None


def test_what_is_forgotten_is_stale_and_nothing_else(chain):
    forget(["03_n", "05_n"], chain.run_folder)
    assert chain.stale() == {"03": NEVER, "05": NEVER}


def users(name: str) -> set[str]:
    """Return the notebooks that must be run again when a file of the run folder changes."""
    readers = {number for number in NUMBERS if name in find_step(number).reads}
    part, _, file = name.partition("/")
    if part in ("figures", "notebooks"):
        return {file[:2]}
    if part == "shortcuts":
        return {"06"}
    return readers | {number for number in NUMBERS if name in list_files(find_step(number))}


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(name=st.sampled_from(FILES), data=st.data())
def test_any_changed_byte_makes_its_readers_and_its_maker_stale_and_no_other(chain, name, data):
    path = chain.run_folder / name
    before, status = path.read_bytes(), path.stat()
    place = data.draw(st.integers(0, len(before) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != before[place]))
    path.write_bytes(before[:place] + bytes([other]) + before[place + 1 :])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))  # the time alone tells nothing
    try:
        assert set(chain.stale()) == users(name)
    finally:
        path.write_bytes(before)
    assert chain.stale() == {}, "as it was, it is up to date"


def test_a_file_that_is_missing_or_changed_by_hand_is_named(chain):
    (chain.run_folder / "segmentation" / "history.csv").unlink()
    (chain.run_folder / "detection" / "history.csv").write_text("better")
    assert chain.stale() == {
        "03": "detection/history.csv was changed since",
        "04": "segmentation/history.csv is missing",
    }


def test_a_file_of_ones_own_in_the_run_folder_changes_nothing(chain):
    (chain.run_folder / "figures" / "04_mine.png").write_text("mine")
    (chain.run_folder / "detection" / "notes.txt").write_text("mine")
    assert chain.stale() == {}


def test_a_parameter_makes_stale_and_its_default_given_does_not(chain):
    chain.parameters |= {"epochs": None, "size": 5}
    assert chain.stale() == {}
    chain.parameters["epochs"] = 2
    chain.finish("04")
    assert chain.stale() == {
        number: "changed: parameter epochs" for number in NUMBERS if number != "04"
    }


def test_a_run_folder_that_was_moved_is_up_to_date(chain):
    chain.parameters["run"] = "elsewhere"
    assert chain.stale() == {}


def test_code_makes_its_notebook_stale_and_outputs_or_text_do_not(chain):
    notebook = chain.notebooks["02"]
    text = notebook.read_text()
    notebook.write_text(text.replace('"outputs": []', '"outputs": [{"x": 1}]', 1))
    assert chain.stale() == {}
    notebook.write_text(text.replace("print(seed)", "print(seed + 1)"))
    assert chain.stale() == {"02": "changed: code"}


def test_a_helper_makes_stale_who_imports_its_package_or_a_later_one(chain, tmp_path, monkeypatch):
    for name in ("storage", "data", "train", "report"):
        (tmp_path / "helpers" / name).mkdir(parents=True)
    monkeypatch.setattr(versions, "PACKAGE", tmp_path / "helpers")
    write_notebook(chain.notebooks["02"], PARAMETERS, "import helpers.data.images")
    write_notebook(chain.notebooks["03"], PARAMETERS, "from helpers.train.models import build")
    for number in ("02", "03"):
        chain.finish(number)
    (tmp_path / "helpers" / "report" / "plots.py").touch()
    assert chain.stale() == {}
    (tmp_path / "helpers" / "data" / "images.py").touch()
    assert chain.stale() == dict.fromkeys(("02", "03"), "changed: helpers.data")


def test_a_library_that_decodes_makes_the_index_stale_and_no_training(chain, monkeypatch):
    upgrade(monkeypatch, "tensorflow")
    assert chain.stale() == {}
    upgrade(monkeypatch, "numpy")
    assert chain.stale() == {"01": "changed: version of numpy"}
    chain.finish("01")
    assert chain.stale() == {}, "the index came out as it was"
    (chain.run_folder / "index.csv").write_text("of other pixels")
    assert set(chain.stale()) == users("index.csv")


def test_a_library_that_decodes_makes_a_test_on_xrays_from_elsewhere_stale(
    chain, data_set, monkeypatch
):
    write_notebook(chain.notebooks["05"], PARAMETERS + "external: str = None\n", "print(external)")
    chain.finish("05")
    with monkeypatch.context() as patch:
        upgrade(patch, "numpy")
        assert set(chain.stale()) == {"01"}
    chain.parameters["external"] = str(data_set.root)
    for number in NUMBERS:
        chain.finish(number)
    upgrade(monkeypatch, "numpy")
    assert set(chain.stale()) == {"01", "05"}


def test_an_archive_is_told_by_its_size_and_time_and_a_groups_file_by_its_content(tmp_path):
    for name, by_time in {"data.zip": True, "groups.csv": False}.items():
        path = tmp_path / name
        path.write_text("a")
        first = describe_sources({"data": str(path)})
        os.utime(path, ns=(1, path.stat().st_mtime_ns + 1))
        assert (describe_sources({"data": str(path)}) != first) == by_time
        path.write_text("bb")
        assert describe_sources({"data": str(path)}) != first


def test_a_file_that_cannot_be_read_has_a_remedy(chain, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(up_to_date.hashlib, "file_digest", fail)
    with refused("run/index.csv", "cannot be read (Input/output error)", "reconnect the drive"):
        chain.why("03")


def test_the_source_that_a_run_was_made_from(chain, tmp_path):
    assert find_source(chain.run_folder) == "demo"
    chain.parameters["data"] = str(tmp_path)
    forget([f"{number}_n" for number in NUMBERS], chain.run_folder)
    with refused("run", "do not say where its X-rays are", "--data"):
        find_source(chain.run_folder)
    chain.finish("02")
    assert find_source(chain.run_folder) == str(tmp_path)

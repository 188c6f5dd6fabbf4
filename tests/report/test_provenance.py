import getpass
import json
import os
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from helpers.report import provenance
from helpers.report.provenance import describe_data, describe_environment, describe_machine, record
from tests.support.builders import make_data_set, make_run, refused

PARAMETERS = {"data": "demo", "run": "/home/anna/runs/a", "recipe": "demo", "seed": 7}


@pytest.fixture
def run(data_set, runs):
    make_run(runs / "a", data_set)
    return runs / "a"


def read(run):
    return json.loads((run / "provenance.json").read_text())


def test_a_notebook_s_entry_says_when_how_long_and_by_which_numbers(run):
    record(run, "03_detect_covid", 61.26, {**PARAMETERS, "epochs": 2, "batch_size": None})
    entry = read(run)["notebooks"]["03_detect_covid"]
    started = datetime.fromisoformat(entry["started"])
    passed = datetime.now(UTC) - started
    assert timedelta(seconds=61) <= passed < timedelta(seconds=75)
    assert entry["seconds"] == 61.3
    expected = {"data": "demo", "recipe": "demo", "seed": 7, "epochs": 2, "batch_size": None}
    assert entry["parameters"] == expected
    assert (entry["settings"]["epochs"], entry["settings"]["batch_size"]) == (2, 8)


@pytest.mark.parametrize(
    ("notebook", "size"), [("03_a", 128), ("04_a", 128), ("06_a", 64), ("05_a", None)]
)
def test_a_notebook_that_trains_has_the_settings_of_its_part(run, notebook, size):
    record(run, notebook, 1, PARAMETERS)
    settings = read(run)["notebooks"][notebook]["settings"]
    assert (settings and settings["image_size"]) == size


def test_notebooks_are_added_and_replaced(run):
    record(run, "02_split_data", 1, PARAMETERS)
    record(run, "01_get_data", 2, PARAMETERS)
    record(run, "02_split_data", 3, PARAMETERS)
    notebooks = read(run)["notebooks"]
    seconds = [(name, entry["seconds"]) for name, entry in notebooks.items()]
    assert seconds == [("01_get_data", 2), ("02_split_data", 3)]


def test_each_notebook_names_the_machine_it_ran_on(run, monkeypatch):
    for notebook, name in (("01_a", "x"), ("02_a", "y"), ("03_a", "x"), ("01_a", "z")):
        monkeypatch.setattr(provenance, "_processor", lambda name=name: name)
        record(run, notebook, 1, PARAMETERS)
    machines = [
        entry["environment"]["machine"].partition(",")[0]
        for entry in read(run)["notebooks"].values()
    ]
    assert machines == [f"{os.cpu_count()} cores of {name}" for name in "zyx"]


def test_a_machine_is_described_in_a_line(monkeypatch):
    monkeypatch.setattr(provenance, "_processor", lambda: "a processor")
    start = rf"{os.cpu_count()} cores of a processor, \d+\.\d GiB of memory, "
    for said, gpus in (("Tesla T4\nTesla V4", "GPU: Tesla T4, Tesla V4"), (None, "no GPU")):
        monkeypatch.setattr(provenance, "_ask", lambda *_, said=said: said)
        assert re.fullmatch(start + gpus, describe_machine())


def test_no_path_and_nobody_s_name_is_kept(run, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    paths = {"data": "/home/anna/x rays.zip", "groups": "/home/anna/patients.csv"}
    record(run, "01_get_data", 1, {**PARAMETERS, **paths})
    text = (run / "provenance.json").read_text()
    found = read(run)["notebooks"]["01_get_data"]["parameters"]
    assert found == {"data": "x rays.zip", "groups": "patients.csv", "recipe": "demo", "seed": 7}
    for word in ("anna", str(run), socket.gethostname()):
        assert word not in text
    assert not re.search(rf"\b{re.escape(getpass.getuser())}\b", text)


def test_equal_data_have_equal_hashes_wherever_they_lie(tmp_path, run):
    elsewhere = make_data_set(tmp_path / "elsewhere" / "other")
    make_run(tmp_path / "b", elsewhere)
    assert describe_data(run) == describe_data(tmp_path / "b")
    assert describe_data(run)["xrays"] == 9
    path = run / "index.csv"
    first = path.read_text().splitlines()[1].split(",")[7]
    path.write_text(path.read_text().replace(first, first[::-1]))
    assert describe_data(run) != describe_data(tmp_path / "b")


def test_without_an_index_there_are_no_data(tmp_path):
    assert describe_data(tmp_path) is None


def test_versions_are_those_of_the_libraries_that_results_depend_on(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)  # installed, without a checkout
    found = describe_environment()
    assert {"keras", "numpy", "opencv-python-headless", "tensorflow"} < set(found["packages"])
    assert found["packages"]["numpy"] == __import__("numpy").__version__
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert re.fullmatch(r"\d+\.\d+\.\d+", found["code"])


def test_code_of_a_checkout_has_its_commit_and_says_if_it_was_modified(tmp_path, monkeypatch):
    monkeypatch.setattr(provenance, "ROOT", tmp_path)
    (tmp_path / "a").write_text("1")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for arguments in (["init", "-q"], ["add", "a"], ["commit", "-qm", "a"]):
        subprocess.run([*git, *arguments], check=True)
    assert re.search(r" \([0-9a-f]{12}\)$", provenance.describe_code())
    (tmp_path / "a").write_text("2")
    assert re.search(r" \([0-9a-f]{12}, modified\)$", provenance.describe_code())


def test_the_backend_is_the_one_that_keras_would_take(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert provenance._backend() == "tensorflow"
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    assert provenance._backend() == "torch"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert provenance._backend() == "jax"


def test_looking_at_the_machine_does_not_import_keras():
    code = (
        "import sys; from helpers.report.provenance import describe_environment as d; d();"
        "print({'keras', 'tensorflow'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"notebooks": 1}'])
def test_a_damaged_record_is_refused_and_kept(run, text):
    (run / "provenance.json").write_text(text)
    with refused("runs/a/provenance.json", "damaged", "remove it"):
        record(run, "01_get_data", 1, PARAMETERS)
    assert (run / "provenance.json").read_text() == text

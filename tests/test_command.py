import json
import subprocess
import sys

import pytest
from builders import make_run

from helpers import chain
from helpers.command import main

pytestmark = pytest.mark.usefixtures("runs")
BAD_INPUT = {
    "unknown parameter": (["-p", "epoch", "2"], "parameter 'epoch' is unknown"),
    "value of another type": (["-p", "epochs", "two"], "give a value of type int"),
    "negative seed": (["-p", "seed", "-1"], "give a whole number from 0"),
    "option as parameter": (["-p", "data", "x.zip"], "give it as --data x.zip"),
    "unknown recipe": (["--recipe", "fast"], "recipe 'fast' is unknown"),
    "missing source": (["--data", "no/such.zip"], "data 'no/such.zip': no such folder or file"),
    "unknown notebook": (["--only", "09"], "notebook '09': choose one of"),
    "unknown start": (["--from", "9"], "notebook '9': choose one of"),
    "nothing left": (["--only", "01", "--from", "02"], "no notebook is left to run"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_bad_input_gives_one_line_and_status_1(name, runs, capsys):
    arguments, fault = BAD_INPUT[name]
    assert main(["run", *arguments]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("covid-lungs: ")
    assert fault in output.err
    assert len(output.err.splitlines()) == 1
    assert not runs.exists(), "nothing was begun"


def test_a_run_folder_that_cannot_be_made_gives_status_1(runs, capsys):
    runs.write_text("in the way")
    assert main(["run"]) == 1
    assert "the run folder cannot be made" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [[], ["walk"], ["run", "--speed", "9"], ["run", "-p", "epochs"], ["run", "--data"]]
)
def test_misuse_gives_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: covid-lungs" in capsys.readouterr().err


def test_a_finished_chain_ends_with_its_figures_and_status_0(data_set, runs, capsys, monkeypatch):
    make_run(runs / "a", data_set)
    monkeypatch.setattr("helpers.chain.run_chain", lambda **options: runs / "a")
    assert main(["run"]) == 0
    assert f"Made:\n  {runs.as_posix()}/a/index.csv" in capsys.readouterr().out


def test_a_run_that_cannot_be_described_gives_status_1(runs, capsys, monkeypatch):
    monkeypatch.setattr("helpers.chain.run_chain", lambda **options: runs / "a")
    assert main(["run"]) == 1
    assert "runs/a/audit.json not found" in capsys.readouterr().err


def test_options_reach_the_chain(monkeypatch, capsys):
    monkeypatch.setattr("helpers.chain.run_chain", lambda **options: sys.exit(json.dumps(options)))
    line = "run --data x.zip --recipe original --run b -p epochs 2 -p seed 3 --only 03 --only 04"
    with pytest.raises(SystemExit) as caught:
        main([*line.split(), "--from", "04"])
    assert json.loads(caught.value.code) == {
        "data": "x.zip",
        "recipe": "original",
        "run": "b",
        "given": {"epochs": "2", "seed": "3"},
        "only": ["03", "04"],
        "start": "04",
    }


def test_python_m_helpers_is_the_same_command():
    command = [sys.executable, "-m", "helpers", "run", "--recipe", "fast"]
    folder = chain.project_root()
    result = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("covid-lungs: recipe 'fast' is unknown")
    assert "Traceback" not in result.stderr

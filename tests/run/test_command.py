import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict

import pytest

from helpers.data.archives import alone
from helpers.run.command import main
from helpers.storage.folders import project_root
from tests.support.builders import image_path, make_run

pytestmark = pytest.mark.usefixtures("runs")
BAD_INPUT = {
    "unknown parameter": (["-p", "epoch", "2"], "parameter 'epoch' is unknown"),
    "unknown recipe": (["--recipe", "fast"], "recipe 'fast' is unknown"),
    "missing source": (["--data", "no/such.zip"], "data 'no/such.zip': no such folder or file"),
    "unknown notebook": (["--only", "09"], "notebook '09': choose one of"),
    "missing groups": (["--groups", "no/such.csv"], "groups 'no/such.csv': no such folder or file"),
    "unknown split": (["--split", "theirs"], "split 'theirs': choose drawn or published"),
    "unknown finding": (["--allow", "speed"], "allow 'speed': choose from class_without_xrays"),
    "no time": (["--timeout", "0"], "--timeout 0: give seconds from 1 to 999999"),
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


MISUSES = [
    ["predict", "x.png", "--cluster"],
    [],
    ["walk"],
    ["run", "--speed", "9"],
    ["run", "-p", "epochs"],
    ["run", "--data"],
]
MISUSES += [["predict", "x.png", "--cluster"]]
MISUSES += [["run", "--timeout", text] for text in ("1.5", "ten", "9" * 5000)]


@pytest.mark.parametrize("arguments", MISUSES, ids=lambda arguments: " ".join(arguments)[:20])
def test_misuse_gives_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: covid-lungs" in capsys.readouterr().err


def test_a_finished_chain_ends_with_its_figures_and_status_0(data_set, runs, capsys, monkeypatch):
    make_run(runs / "a", data_set)
    monkeypatch.setattr("helpers.run.chain.run_chain", lambda request: runs / "a")
    assert main(["run"]) == 0
    assert f"Made:\n  {runs.as_posix()}/a/index.csv" in capsys.readouterr().out


def test_options_reach_the_chain(monkeypatch, capsys):

    def tell(request):
        sys.exit(json.dumps(asdict(request)))

    monkeypatch.setattr("helpers.run.chain.run_chain", tell)
    line = "run --data x.zip --recipe original --run b -p epochs 2 -p seed 3 --only 03 --only 04"
    line += " --from 04 --groups g.csv --split published --external x.zip"
    line += " --allow mostly_unusable --allow class_without_xrays"
    line += " --force --timeout 60"
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    assert json.loads(caught.value.code) == {
        "data": "x.zip",
        "recipe": "original",
        "run": "b",
        "given": {"epochs": "2", "seed": "3"},
        "only": ["03", "04"],
        "start": "04",
        "groups": "g.csv",
        "split": "published",
        "external": "x.zip",
        "allow": "mostly_unusable,class_without_xrays",
        "force": True,
        "timeout": 60,
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_gives_status_130_and_the_line_that_goes_on(number, monkeypatch, capsys):
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    usual = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(
        "helpers.run.chain.run_chain", lambda request: os.kill(os.getpid(), number) or time.sleep(9)
    )
    assert main(["run", "--data", "my X-rays.zip", "--force"]) == 130
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.splitlines() == [
        "covid-lungs: stopped. To go on: covid-lungs run --data 'my X-rays.zip'"
    ]
    assert signal.getsignal(signal.SIGTERM) == usual


def test_an_audit_with_errors_gives_status_1_and_shows_them_with_a_remedy(data_set, capsys):
    for number in range(1, 5):
        image_path(data_set.root, "COVID", number).write_bytes(b"")
    assert main(["audit", str(data_set.root)]) == 1
    said = capsys.readouterr().out
    assert said.startswith("tiny: Not usable as it is, with only 5 X-rays in 1 class (2 errors")
    assert "  error       4  empty files\n" in said
    assert " → restore them from the archive\n" in said


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("no/such", "no/such"),
        ("empty", "empty"),
        ("text.zip", "text.zip"),
        ("tiny", "COVID/images/line\\nbreak.txt"),
    ],
)
def test_a_source_that_cannot_be_audited_gives_one_line_and_status_1(
    source, named, data_set, tmp_path, cache, capsys
):
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("no archive")
    (data_set.root / "COVID" / "images" / "line\nbreak.txt").touch()
    assert main(["audit", str(tmp_path / source)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert len(output.err.splitlines()) == 1
    assert output.err.startswith("covid-lungs: ")
    assert named in output.err


def test_the_cache_is_described_and_emptied(data_set, cache, capsys):
    assert main(["audit", str(data_set.root)]) == 0
    assert capsys.readouterr().out.startswith("tiny: Usable: 9 X-rays in 2 classes (0 errors, ")
    assert main(["cache"]) == 0
    assert "\naudits        1 kept" in capsys.readouterr().out
    assert main(["cache", "--clear"]) == 0
    assert capsys.readouterr().out == f"{cache}: 1 files and folders removed\n"


def test_a_cache_that_is_in_use_gives_status_1(cache, capsys):
    (cache / "data").mkdir(parents=True)
    (cache / "data/a-0123456789ab.copy").touch()
    with alone(cache / "data/a-0123456789ab"):
        assert main(["cache", "--clear"]) == 1
    assert "data/a-0123456789ab.copy stays: another process" in capsys.readouterr().out


def test_a_console_without_arrows_shows_an_audit_too(data_set, cache):
    command = [sys.executable, "-m", "helpers", "audit", str(data_set.root)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        command, capture_output=True, cwd=project_root(), env=environment, check=False
    )
    assert result.stderr == b""
    assert result.returncode == 0
    assert b"\\u2192 find larger ones" in result.stdout


def test_a_reader_that_stops_reading_ends_a_command_quietly(data_set, cache):
    """As `| head` does: the pipe's other end is closed before anything is written."""
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [sys.executable, "-m", "helpers", "audit", str(data_set.root)],
        stdout=writing,
        stderr=subprocess.PIPE,
        cwd=project_root(),
        check=False,
    )
    os.close(writing)
    assert result.stderr == b""
    assert result.returncode == 141

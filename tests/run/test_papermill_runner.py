import json
import os
import re
import signal
import subprocess
import sys
import time

import nbformat
import pytest

from helpers.run.papermill_runner import execute
from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import project_root
from tests.support.builders import refused, write_notebook

PARAMETERS = "count: int = 1\n"


@pytest.fixture
def run(tmp_path):
    """Execute a notebook of these cells, and return the executed one as it was kept."""
    output = tmp_path / "run" / "notebooks" / "01_first.ipynb"
    output.parent.mkdir(parents=True)

    def execute_cells(*codes, timeout=None, **parameters):
        notebook = tmp_path / "01_first.ipynb"
        write_notebook(notebook, PARAMETERS, *codes)
        execute(notebook, output, parameters, timeout)
        return output

    execute_cells.output = output
    return execute_cells


def outputs(path) -> list:
    """Return what the code cells of an executed notebook gave."""
    cells = nbformat.read(path, 4).cells
    return [output for cell in cells if cell.cell_type == "code" for output in cell.outputs]


def test_the_executed_notebook_has_its_parameters_outputs_and_name(run):
    path = run("print(count + 1)", count=4)
    assert [output.text for output in outputs(path)] == ["5\n"]
    assert [path.name for path in path.parent.iterdir()] == ["01_first.ipynb"]


def test_a_failing_cell_is_named_with_its_number_first_line_and_last_line(run):
    failing = "numbers = [1]\n\nraise ValueError('first line\\nlast line\\n')"
    with pytest.raises(CovidLungsError) as caught:
        run("print(1)", failing, "print(2)")
    first, second = str(caught.value).splitlines()
    assert first == "01_first stopped at cell 3 (numbers = [1]): ValueError: last line"
    assert f"The executed notebook is {run.output}" in second
    assert "the same command goes on from here" in second
    printed, error = outputs(run.output)
    assert printed.text == "1\n"
    assert error.ename == "ValueError"
    assert "raise ValueError" in re.sub(r"\x1b\[[0-9;]*m", "", "".join(error.traceback))


def test_our_own_error_is_shown_as_it_is(run):
    code = (
        "from helpers.storage.errors import CovidLungsError\n"
        "raise CovidLungsError('x.csv: no.\\nRun 02.')"
    )
    with pytest.raises(CovidLungsError) as caught:
        run(code)
    lines = str(caught.value).splitlines()
    assert lines[0].endswith("(from helpers.storage.errors import CovidLungsError): x.csv: no.")
    assert lines[1] == "Run 02."


@pytest.mark.parametrize("kind", ["MemoryError", "ResourceExhaustedError"])
def test_too_little_memory_has_its_remedy(run, kind):
    code = f"class ResourceExhaustedError(Exception): pass\nraise {kind}"
    with refused("cell 2", f"{kind} Try a smaller image_size", "batch_size"):
        run(code)


def test_a_failure_before_the_first_cell_says_so(run, monkeypatch):
    command = [sys.executable, "-c", "raise SystemExit('no ipykernel')"]
    monkeypatch.setattr("helpers.run.papermill_runner.make_ipkernel_cmd", lambda: command)
    with refused("stopped before its first cell", "does not answer", "uv run covid-lungs"):
        run("")


def test_a_cell_that_takes_too_long_is_named_and_what_came_before_is_kept(run):
    begun = time.monotonic()
    with refused("cell 3 (import time)", "not done within 1 seconds", "--timeout"):
        run("print('before')", "import time\ntime.sleep(60)", timeout=1)
    assert time.monotonic() - begun < 30
    assert outputs(run.output)[0].text == "before\n"


def test_a_notebook_runs_where_nobody_is_asked_and_its_kernel_is_a_plain_one_of_here(
    run, tmp_path, monkeypatch
):
    spec = {"argv": ["another-kernel", "{connection_file}"], "language": "python"}
    (tmp_path / "kernels" / "python3").mkdir(parents=True)
    (tmp_path / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    monkeypatch.setenv("COVID_LUNGS_CACHE", str(tmp_path / "cache"))
    told = ["COVID_LUNGS_UNATTENDED", "COVID_LUNGS_CACHE"]
    path = run(f"import os, sys\nprint(sys.executable, *map(os.environ.get, {told}))")
    (printed,) = outputs(path)
    assert printed.text.split() == [sys.executable, "1", str(tmp_path / "cache")]


def test_a_kernel_that_dies_is_named_with_the_likely_reason(run, capfd):
    with refused("cell 3 (import os, signal)", "its kernel died", "smaller image_size"):
        run("print('before')", "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert outputs(run.output)[0].text == "before\n"
    assert capfd.readouterr().err == "", "papermill's own words stay away from the terminal"


def test_no_progress_bar_is_kept_in_an_executed_notebook(run):
    codes = [
        "from tqdm import tqdm\nfor _ in tqdm(range(3)): pass",
        "from helpers.data.threads import read_all\nlist(read_all(str, [1, 2], 'reading'))",
    ]
    assert [output.output_type for output in outputs(run(*codes))] == ["execute_result"]


def start_command(folder, code: str) -> subprocess.Popen:
    """Start `covid-lungs run --run a` on a chain of one notebook with one cell."""
    write_notebook(folder / "notebooks" / "01_first.ipynb", "data: str = ''\nrun: str = ''\n", code)
    script = (
        "import sys, pathlib, helpers.run.notebooks, helpers.run.command\n"
        f"helpers.run.notebooks._folder = lambda: pathlib.Path({str(folder / 'notebooks')!r})\n"
        "sys.exit(helpers.run.command.main(['run', '--run', 'a']))"
    )
    return subprocess.Popen(
        [sys.executable, "-c", script],
        cwd=project_root(),
        env={**os.environ, "COVID_LUNGS_RUNS": str(folder / "runs")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # What a shell starts in the background ignores the interrupt, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_command_and_kernel_at_once(tmp_path, number):
    told = tmp_path / "kernel"
    deaf = (
        "import os, pathlib, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        f"pathlib.Path({str(told)!r}).write_text(str(os.getpid()))\n"
        "sum(range(10**13))  # answers nobody"
    )
    with start_command(tmp_path, deaf) as command:
        wait_until(lambda: told.is_file() and told.read_text())
        begun = time.monotonic()
        command.send_signal(number)
        _, said = command.communicate(timeout=30)
    assert time.monotonic() - begun < 5
    assert command.returncode == 130
    assert said == "covid-lungs: stopped. To go on: covid-lungs run --run a\n"
    wait_until(lambda: not alive(int(told.read_text())))
    left = [path.name for path in (tmp_path / "runs" / "a" / "notebooks").glob("*.ipynb")]
    assert left == [], "what has not ended has no name yet"


def test_a_log_has_a_line_for_each_step_and_nothing_else(tmp_path):
    with start_command(tmp_path, "import os; os._exit(1)") as command:
        output, said = command.communicate(timeout=60)
    assert command.returncode == 1
    assert output == "01_first: runs (no result of it is here yet)\n"
    assert said.startswith("covid-lungs: 01_first stopped at cell 3 (import os; os._exit(1)): its")
    assert len(said.splitlines()) == 2


def test_epochs_are_lines_of_the_log_and_what_else_cells_print_is_not(run, capsys):
    told = ["epoch  1/10  loss 0.500", "epoch  2/10  loss 0.250"]
    path = run(f"print('epochs 10')\nprint({told[0]!r}, flush=True)\nprint({told[1]!r})")
    assert capsys.readouterr().out == "".join(f"  {line}\n" for line in told)
    printed = "".join(output.text for output in outputs(path))
    assert printed == "\n".join(["epochs 10", *told, ""])


def wait_until(holds, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True

"""How much longer the chain takes by the command than its notebooks by plain papermill.

`uv run python -m tests.benchmarks.overhead --rounds 3`

Both run the demo from the start in folders of their own, in turn; the audits and arrays in the
cache are there for both, since a run before the first round makes them.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from helpers.run.notebooks import find_notebooks
from helpers.storage.folders import project_root


def run_command(run: Path) -> None:
    """Run the chain by the project's command."""
    command = [sys.executable, "-m", "helpers", "run", "--run", str(run)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=project_root())


def run_papermill(run: Path) -> None:
    """Run the same notebooks one by one by papermill's own command."""
    run.mkdir()
    for notebook in find_notebooks([], None):
        command = [sys.executable, "-m", "papermill", str(notebook), str(run / notebook.name)]
        command += ["--cwd", str(notebook.parent), "-p", "run", str(run), "--no-progress-bar"]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def main() -> None:
    """Print the seconds of each round, and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    ways = {"papermill": run_papermill, "command": run_command}
    seconds = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COVID_LUNGS_RUNS"] = folder
        run_command(Path(folder) / "first")
        for number in range(options.rounds):
            for name, run in ways.items():
                begun = time.perf_counter()
                run(Path(folder) / f"{name}-{number}")
                seconds[name].append(time.perf_counter() - begun)
                print(f"round {number + 1} {name}: {seconds[name][-1]:.1f} s", flush=True)
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    print(f"command / papermill: {medians['command'] / medians['papermill']:.3f}")


if __name__ == "__main__":
    main()

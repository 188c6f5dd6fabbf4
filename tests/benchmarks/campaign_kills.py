"""Whether a chain that is killed again and again comes to the same as one that is not.

`uv run --group dev python -m tests.benchmarks.campaign_kills --kills 50`

The demo chain runs once undisturbed. Then it runs anew and is killed by SIGKILL at moments drawn at
random from all that the undisturbed run took, each time started again by the same command, until it
ends; and so on until there were kills enough. Killed is the command, its notebook's kernel, or both
at once. Each run must end well and leave the same tables and figures, byte for byte, and no
training may go back behind its last whole epoch.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil

from helpers.storage.folders import project_root
from helpers.storage.layout import PROVENANCE, RECORD, STATE, STEPS, list_results

# The tables and scores of a run; its networks differ in the time that is written into them.
REPRODUCED = [
    name
    for name in list_results()
    if name.endswith((".csv", ".json")) and not name.startswith(("external/", PROVENANCE))
]
AT_MOST = 17  # kills in one run
TARGETS = ("command", "kernel", "both")
PARTS = [folder for step in STEPS for folder in step.trains]


class Moment(NamedTuple):
    """When to kill: so many seconds after a command has begun a notebook."""

    notebook: str
    seconds: float


class Kill(NamedTuple):
    """What one kill hit: whom, in which notebook, after which whole epoch, and what was lost."""

    target: str
    notebook: str
    epoch: int | None
    seconds_lost: float


def draw_moments(whole: Path, count: int) -> list[Moment]:
    """Return random moments of an undisturbed run, the earliest first."""
    notebooks = json.loads((whole / "provenance.json").read_text())["notebooks"]
    lengths = {name: notebook["seconds"] for name, notebook in notebooks.items()}
    names = random.choices(list(lengths), list(lengths.values()), k=count)
    return sorted(Moment(name, random.uniform(0, lengths[name])) for name in names)


def start(run: Path, arguments: list[str]) -> subprocess.Popen:
    """Start the chain on a run folder; what it says goes to a file beside the folder."""
    command = [sys.executable, "-m", "helpers", "run", "--run", str(run), *arguments]
    with open_log(run, "w") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=project_root())


def open_log(run: Path, mode: str = "r"):
    """Open the file of what the last command on a run folder said."""
    return run.with_suffix(".log").open(mode)


def find_kernel(process: subprocess.Popen) -> psutil.Process | None:
    """Return the notebook's kernel that a command has started, or None."""
    with suppress(psutil.Error):  # one or the other may be ending just now
        for child in psutil.Process(process.pid).children():
            if "ipykernel_launcher" in child.cmdline():
                return child
    return None


def find_files(run: Path, name: str) -> list[Path]:
    """Return the files of that name of all trainings."""
    return [path for part in PARTS for path in run.glob(f"{part}/{name}")]


def count_epochs(run: Path) -> dict[Path, int]:
    """Return the whole epochs of each training that is under way."""
    counts = {}
    for path in find_files(run, STATE):
        # Their training may be ending just now. The weights in them are not read.
        with suppress(FileNotFoundError), np.load(path) as state:
            counts[path] = len(json.loads(str(state["facts"]))["rows"])
    return counts


def kill(process: subprocess.Popen, run: Path, target: str, begun: float) -> Kill:
    """Kill a command, its kernel, or both; return what that hit."""
    kernel = find_kernel(process)
    target = target if kernel else "command"
    files = [*find_files(run, STATE), *find_files(run, RECORD), *run.glob("chain.json")]
    kept = [begun]  # when something was kept from which the run goes on
    for path in files:
        with suppress(FileNotFoundError):  # a training may be ending just now
            kept.append(path.stat().st_mtime)
    lost = time.time() - max(kept)
    victims = {"command": [process], "kernel": [kernel], "both": [process, kernel]}[target]
    for victim in victims:
        with suppress(psutil.Error):
            victim.kill()
    process.wait()
    running, finished = read_log(run)
    notebook = "between notebooks" if running == finished else running
    if target == "kernel" and process.returncode:  # else it was ending anyway
        said = open_log(run).read()
        assert "its kernel" in said, said
    return Kill(target, notebook, next(iter(count_epochs(run).values()), None), lost)


def read_log(run: Path) -> tuple[str, str]:
    """Return the notebooks that the last command began and finished last, "" before any."""
    lines = open_log(run).read().splitlines()
    begun = [line.partition(":")[0] for line in lines if ": runs (" in line]
    finished = [line.partition(":")[0] for line in lines if ": finished in" in line]
    return begun[-1] if begun else "", finished[-1] if finished else ""


def disturb(run: Path, arguments: list[str], moments: list[Moment]) -> Kill | None:
    """Start the chain and kill it at the first moment that comes; return None if none did.

    Moments that have come or can come no more are taken from the list.

    Raises:
        AssertionError: it ended badly, or repeated a whole epoch.
    """
    begun, known, running, since = time.time(), count_epochs(run), "", 0.0
    process = start(run, arguments)
    while process.poll() is None:
        epochs = count_epochs(run)
        for path in known.keys() & epochs.keys():
            assert epochs[path] >= known[path], f"{path} repeated a whole epoch"
        known = epochs
        if running != read_log(run)[0]:
            running, since = read_log(run)[0], time.time()
        while moments and moments[0].notebook < running:
            moments.pop(0)
        if moments and running == moments[0].notebook and time.time() - since > moments[0].seconds:
            moments.pop(0)
            return kill(process, run, random.choice(TARGETS), begun)
        time.sleep(0.05)
    assert process.returncode == 0, open_log(run).read()
    return None


def run_disturbed(run: Path, arguments: list[str], moments: list[Moment]) -> list[Kill]:
    """Bring a run to its end through kills at these moments, the earliest first."""
    hit: list[Kill] = []
    while found := disturb(run, arguments, moments):
        hit.append(found)
    return hit


def find_unequal(one: Path, other: Path) -> list[str]:
    """Return the files that two runs should have equal, byte for byte, and have not."""
    return [name for name in REPRODUCED if (one / name).read_bytes() != (other / name).read_bytes()]


def main() -> None:
    """Print each kill, and whether every run came to the same."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COVID_LUNGS_RUNS"] = folder
        whole, hit = Path(folder) / "whole", []
        begun = time.time()
        assert disturb(whole, [], []) is None
        print(f"undisturbed: {time.time() - begun:.0f} s", flush=True)
        while len(hit) < options.kills:
            run = Path(folder) / f"after-{len(hit)}"
            moments = draw_moments(whole, min(AT_MOST, options.kills - len(hit)))
            new = run_disturbed(run, [], moments)
            for number, found in enumerate(new, len(hit) + 1):
                epoch = "" if found.epoch is None else f"after epoch {found.epoch}"
                place = f"{found.notebook:18} {epoch:14}"
                print(f"{number:2} {found.target:7} {place} {found.seconds_lost:5.1f} s lost")
            hit += new
            print(f"{run.name}: unequal files: {find_unequal(whole, run) or 'none'}", flush=True)
        lost = sum(found.seconds_lost for found in hit)
        print(f"{len(hit)} kills, {lost / len(hit):.1f} s lost on average, no whole epoch repeated")


if __name__ == "__main__":
    main()

"""Whether `predict --cluster local:N` leaves the bytes of the plain command, and how fast it is.

`uv run --group dev python -m tests.benchmarks.cluster --count 2000`

It predicts synthetic X-rays, drawn or copied, with a network as of the recipe `demo`: by the plain
command, by two workers, with one of them killed midway, with the command killed midway and started
again, and with an X-ray that ends each worker that reads it. Every time the files must be equal.
Then it times the plain command and one worker in turn, without what both do before they begin.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from helpers.data.images import read_xray, resize_image
from helpers.predict import prediction
from helpers.predict.cluster import ENDED, Cluster
from helpers.predict.files import TABLE, UNFINISHED, find_xrays
from helpers.predict.networks import load_likeness, load_networks
from helpers.predict.novelty import learn_likeness, write_likeness
from helpers.predict.scheduler import reach
from helpers.storage.folders import project_root
from tests.benchmarks.prediction import SIZE, train_briefly, write_xrays

ROUNDS = 5  # of each way, in turn, since the machine's speed changes
FATAL = {"DASK_DISTRIBUTED__WORKER__PRELOAD": "['tests.support.fatal']"}


def make_run(folder: Path, files: list[Path]) -> None:
    """Leave a lung network, and what its X-rays look like, as a run does."""
    part = folder / "segmentation"
    part.mkdir(parents=True)
    train_briefly().save(part / "model.keras")
    known = files[:200]
    images = np.stack([resize_image(read_xray(file), SIZE) for file in known])
    write_likeness(part, learn_likeness(images, pd.Series(range(len(known)))))


class Commands:
    """Starts `predict` on the X-rays of a folder, each time into another one."""

    def __init__(self, folder: Path):
        self.folder = folder

    def start(self, out: str, *more: str, **environment: str) -> subprocess.Popen:
        """Start a command."""
        given = ["--run", str(self.folder / "run"), "--out", str(self.folder / out), *more]
        command = [sys.executable, "-m", "helpers", "predict", *given, str(self.folder / "in")]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        surroundings = os.environ | environment
        return subprocess.Popen(command, cwd=project_root(), env=surroundings, **quiet)

    def finish(self, process: subprocess.Popen, status: int = 0) -> str:
        """Wait for a command and return what it said."""
        said = process.communicate()[1]
        assert process.returncode == status, said
        return said

    def wait(self, out: str, share: float) -> None:
        """Wait until this share of the batches is done."""
        kept = self.folder / out / UNFINISHED
        batches = len(list((self.folder / "in").iterdir())) / prediction.BATCH
        while not kept.is_file() or kept.read_bytes().count(b"\n") < share * batches:
            time.sleep(0.02)

    def read(self, out: str) -> dict[str, bytes]:
        """Return all files that a command has left, hidden ones too."""
        found = (path for path in (self.folder / out).rglob("*") if path.is_file())
        return {path.relative_to(self.folder / out).as_posix(): path.read_bytes() for path in found}


def kill_a_worker(process: subprocess.Popen) -> None:
    """End one of a command's workers, as the system does when memory is short."""
    children = psutil.Process(process.pid).children()
    workers = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    workers[-1].kill()


def compare(commands: Commands) -> Iterator[tuple[str, bool]]:
    """Yield each way to predict, and whether it leaves the bytes of the plain command."""
    commands.finish(commands.start("plain"))
    plain = commands.read("plain")
    two = ("--cluster", "local:2")
    commands.finish(commands.start("two", *two))
    yield "two workers", commands.read("two") == plain
    process = commands.start("worker", *two)
    commands.wait("worker", 0.4)
    kill_a_worker(process)
    commands.finish(process)
    yield "one of them killed midway", commands.read("worker") == plain
    process = commands.start("command", *two)
    commands.wait("command", 0.4)
    process.kill()
    process.communicate()
    said = commands.finish(commands.start("command", *two))
    assert "going on after" in said, said
    yield "the command killed midway", commands.read("command") == plain
    yield "an X-ray that ends its workers", survives(commands)


def survives(commands: Commands) -> bool:
    """Return whether an X-ray that ends its workers is named, and all others are the same."""
    first = next((commands.folder / "in").iterdir())
    (commands.folder / "in/fatal.png").write_bytes(first.read_bytes())
    commands.finish(commands.start("usual"))
    process = commands.start("fatal", "--cluster", "local:2", **FATAL)
    said = commands.finish(process, status=1)
    usual, made = commands.read("usual"), commands.read("fatal")
    tables = [files.pop(TABLE).decode().splitlines() for files in (usual, made)]
    others = [[line for line in table if "/fatal.png" not in line] for table in tables]
    kept = {name: content for name, content in usual.items() if "/fatal." not in name}
    (commands.folder / "in/fatal.png").unlink()
    return f"fatal.png: {ENDED}" in said and others[0] == others[1] and made == kept


@contextmanager
def timing(seconds: list[float]) -> Iterator[None]:
    """Note how long predictions take in the block, from their first batch on."""
    act = prediction._predict_all

    def predict_all(*arguments):
        start = time.perf_counter()
        rows = act(*arguments)
        seconds.append(time.perf_counter() - start)
        return rows

    prediction._predict_all = predict_all
    try:
        yield
    finally:
        prediction._predict_all = act


def measure(folder: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Return the seconds of threads here and of one worker, in turn; the first round warms up."""
    run, files = folder / "run", find_xrays([folder / "in"])
    networks, likeness = load_networks(run), load_likeness(run)
    with reach("local:1") as client:
        ways: list[Callable | None] = [None, Cluster(client, "local:1", run).hire]
        seconds: list[float] = []
        with timing(seconds):
            for _ in range(rounds + 1):
                for hire in ways:
                    prediction.predict_files(networks, files, folder / "timed", likeness, hire)
    return seconds[2::2], seconds[3::2]


def main() -> None:
    """Print whether the bytes are equal, and the rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        files = write_xrays(folder / "in", options.count)
        make_run(folder / "run", files)
        for way, equal in compare(Commands(folder)):
            print(f"{way}: {'equal bytes' if equal else 'OTHER BYTES'}", flush=True)
        here, there = measure(folder, ROUNDS)
    for way, seconds in {"plain": here, "one worker": there}.items():
        rates = [options.count / value for value in seconds]
        print(f"{way}: {', '.join(f'{rate:.0f}' for rate in rates)} X-rays a second")
    ratios = [one / other for one, other in zip(here, there, strict=True)]
    print(f"one worker / plain, round by round: {json.dumps([round(r, 2) for r in ratios])}")
    print(f"median {statistics.median(ratios):.2f}; load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()

"""How much memory each notebook of the chain takes on a data set of the database's size.

`uv run --group dev python -m tests.benchmarks.memory --chain FOLDER` runs the recipe `demo` with
one epoch. FOLDER is drawn where it does not exist: 21,165 synthetic pairs, 2 GB, a quarter of an
hour; the run takes an hour or two.

Memory is the highest anonymous one of any process (RssAnon of Linux, 1 GB is 1e9 bytes): what no
file holds, so that the system can only swap it out.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from threading import Thread

import psutil

from helpers.data.sources import PUBLISHED_COUNTS
from helpers.data.synthetic import write_data_set

INTERVAL = 0.02  # seconds between two looks


class Watch(Thread):
    """Looks at the processes below this one, and notes the highest memory that one of them has.

    Attributes:
        step: what they are doing.
        peaks: GB, by step.
    """

    def __init__(self):
        super().__init__(daemon=True)
        self.step, self.peaks = "", defaultdict(float)
        self.start()

    def run(self) -> None:
        """Look until the program ends."""
        while True:
            step = self.step
            for process in psutil.Process().children(recursive=True):
                self.peaks[step] = max(self.peaks[step], read_memory(process.pid))
            time.sleep(INTERVAL)


def read_memory(pid: int) -> float:
    """Return the anonymous memory of a process in GB; 0 for one that has ended."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024 / 1e9
    return 0.0


def measure_chain(folder: Path) -> None:
    """Print seconds and memory of each notebook of the chain on a data set."""
    if not folder.exists():
        write_data_set(folder, PUBLISHED_COUNTS, seed=3)
    watch, begun = Watch(), time.perf_counter()
    with tempfile.TemporaryDirectory() as place:
        command = [sys.executable, "-m", "helpers", "run", "--data", str(folder)]
        command += ["--run", f"{place}/run", "-p", "epochs", "1"]
        cache = {"COVID_LUNGS_CACHE": f"{place}/cache"}
        with subprocess.Popen(
            command, env=os.environ | cache, stdout=subprocess.PIPE, text=True
        ) as run:
            for line in run.stdout:
                print(line, end="", flush=True)
                if ": runs (" in line:
                    watch.step = line.partition(":")[0]
                elif ": finished in " in line:
                    print(f"{watch.step}: {watch.peaks[watch.step]:.3f} GB", flush=True)
    seconds = time.perf_counter() - begun
    print(f"exit {run.returncode}, {seconds:.0f} s, at most {max(watch.peaks.values()):.3f} GB")


def main() -> None:
    """Measure the whole chain."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chain", type=Path, metavar="FOLDER", required=True)
    measure_chain(parser.parse_args().chain)


if __name__ == "__main__":
    main()

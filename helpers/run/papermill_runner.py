"""Papermill runner: execute one notebook by papermill, write it whole, explain a failure."""

import io
import logging
import os
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import papermill
from ipykernel.kernelspec import make_ipkernel_cmd
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

from helpers.run.notebooks import count_begun, read_cells
from helpers.storage.colab import UNATTENDED
from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import cache_root, refusing, shown
from helpers.storage.layout import UNFINISHED
from helpers.storage.locks import for_notebooks

KERNEL = "python3"  # its name in the executed notebook; `QuietKernelManager` starts it
EPOCH = re.compile(r"epoch +\d+/\d+ ")  # how `training.describe_epoch` begins a line
# Cells take moments or hours: their rate, or a time that remains, would be wrong.
BAR = {"leave": False, "disable": None, "bar_format": "{desc}: {bar} cell {n_fmt} of {total_fmt}"}
LESS_MEMORY = "Try a smaller image_size or batch_size, or close other programs."

# It repeats on the terminal what the error says; without any handler, Python would print it.
logging.getLogger("papermill").addHandler(logging.NullHandler())


class QuietKernelManager(AsyncKernelManager):
    """Starts kernels that write nothing on the terminal, and no progress bar anywhere.

    They are plain ones of this environment, whatever the machine calls `python3`: Colab's own
    would fetch the helpers anew in each notebook.
    """

    @property
    def kernel_spec(self) -> KernelSpec:
        """Return how a kernel of this environment is started."""
        return KernelSpec(argv=make_ipkernel_cmd(), language="python")

    async def start_kernel(self, **options: object) -> None:
        """Start a kernel with its own standard error dropped, so that progress bars stay whole."""
        told = {"TQDM_DISABLE": "1", UNATTENDED: "1", "COVID_LUNGS_CACHE": str(cache_root())}
        await super().start_kernel(
            stderr=subprocess.DEVNULL, env={**os.environ, **told}, **for_notebooks(), **options
        )


class EpochLines(io.StringIO):
    """Takes what cells print, and repeats the lines about epochs on the terminal."""

    def write(self, text: str) -> int:
        """Write the lines about epochs, above the progress bars of a terminal."""
        for line in text.splitlines():
            if EPOCH.match(line):
                tqdm.write(f"  {line}")
                sys.stdout.flush()
        return len(text)


def execute(
    notebook: Path, output: Path, parameters: dict[str, object], timeout: int | None = None
) -> None:
    """Execute a notebook and write it with what its cells gave, up to the one that failed.

    Until it has ended, it is in `unfinished/` beside the output, which stays as it was. An
    interrupt ends the kernel at once. `timeout` is in seconds a cell, None for no limit.

    Raises:
        CovidLungsError: a cell failed, was not done in time, or its kernel died.
    """
    partial = output.parent / UNFINISHED / output.name
    with refusing(partial):
        partial.parent.mkdir(parents=True, exist_ok=True)
        try:
            papermill.execute_notebook(
                notebook,
                partial,
                parameters=parameters,
                cwd=notebook.parent,
                kernel_name=KERNEL,
                kernel_manager_class=QuietKernelManager,
                shutdown_kernel="immediate",
                execution_timeout=timeout,
                stdout_file=EpochLines(),
                progress_bar={"desc": notebook.stem, **BAR},
            )
        except (PapermillExecutionError, DeadKernelError, CellTimeoutError, RuntimeError) as error:
            place = _last_cell(partial)
            _finish(partial, output)
            raise CovidLungsError(
                f"{notebook.stem} stopped {place}: {_explain(error, timeout)}\n"
                f"The executed notebook is {shown(output)}. Once this is mended, the same command "
                "goes on from here."
            ) from error
        _finish(partial, output)


def _finish(partial: Path, output: Path) -> None:
    """Give an executed notebook its name; the folder goes with the last one in it."""
    partial.replace(output)
    with suppress(OSError):
        partial.parent.rmdir()


def _last_cell(executed: Path) -> str:
    """Return number and first line of the last code cell that began, for the message."""
    cells = read_cells(executed)
    begun = count_begun(cells)
    if not begun:
        return "before its first cell"
    line = "".join(cells[begun - 1]["source"]).strip().partition("\n")[0]
    return f"at cell {begun} ({line:.60})"


def _explain(error: Exception, timeout: int | None) -> str:
    """Return why a notebook stopped, and the remedy."""
    if isinstance(error, CellTimeoutError):
        return f"it was not done within {timeout} seconds. Give a cell longer with --timeout."
    if isinstance(error, DeadKernelError):
        return f"its kernel died, mostly for lack of memory. {LESS_MEMORY}"
    if not isinstance(error, PapermillExecutionError):
        remedy = "`uv run covid-lungs …` installs what is missing"
        return f"its kernel does not answer ({error}). {remedy}."
    message = error.evalue.strip()
    if error.ename == CovidLungsError.__name__:
        return message
    remedy = f" {LESS_MEMORY}" if error.ename in ("MemoryError", "ResourceExhaustedError") else ""
    return ": ".join([error.ename, *message.splitlines()[-1:]]) + remedy

"""Watching: how far a chain is, shown in a notebook's page while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from threading import Event, Thread

from IPython.display import HTML, DisplayHandle, display

from helpers.run.notebooks import find_notebooks, read_cells
from helpers.storage.errors import CovidLungsError
from helpers.storage.layout import NOTEBOOKS, UNFINISHED

PAUSE = 1  # seconds between two looks


@contextmanager
def watch(run_folder: Path) -> Iterator[None]:
    """Show at which cell of which notebook a chain is, as long as the block runs."""
    shown, ended = display(HTML(""), display_id=True), Event()
    follower = Thread(target=_follow, args=(run_folder, shown, ended), daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()
        shown.update(HTML(""))


def _follow(run_folder: Path, shown: DisplayHandle, ended: Event) -> None:
    """Renew what is shown whenever the chain has gone on."""
    before = ""
    while not ended.wait(PAUSE):
        now = describe_progress(run_folder)
        if now and now != before:
            shown.update(HTML(now))
            before = now


def describe_progress(run_folder: Path) -> str:
    """Return a bar, the cell that runs and the last line that it printed, as HTML.

    It is read from the notebook that the chain executes; "" where there is none, or one that is
    being written just now.
    """
    names = [path.name for path in find_notebooks([], None)]
    for path in (run_folder / NOTEBOOKS / UNFINISHED).glob("*.ipynb"):
        try:
            cells = read_cells(path)
        except CovidLungsError:
            continue
        begun = [c for c in cells if c["metadata"].get("papermill", {}).get("start_time")]
        done = names.index(path.name) + max(len(begun) - 1, 0) / len(cells)
        line = _last_line(begun[-1]) if begun else ""
        return (
            f'<progress max="{len(names)}" value="{done:.2f}"></progress> '
            f"{escape(path.stem)}, cell {len(begun)} of {len(cells)}<br><code>{escape(line)}</code>"
        )
    return ""


def _last_line(cell: dict) -> str:
    """Return the last line that a cell has printed so far."""
    printed = [o["text"] for o in cell["outputs"] if o.get("name") == "stdout"]
    lines = "".join("".join(text) for text in printed).strip().splitlines()
    return lines[-1] if lines else ""

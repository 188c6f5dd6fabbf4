"""Progress: how far a chain is, shown in a notebook's page while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from threading import Event, Thread

from IPython.display import HTML, display

from helpers.run.notebooks import count_begun, find_notebooks, read_cells
from helpers.storage.errors import CovidLungsError
from helpers.storage.layout import NOTEBOOKS, UNFINISHED

PAUSE = 1  # seconds between two looks


@contextmanager
def watch(run_folder: Path) -> Iterator[None]:
    """Show at which cell of which notebook a chain is, as long as the block runs."""
    shown, ended = display(HTML(""), display_id=True), Event()

    def follow() -> None:
        before = ""
        while not ended.wait(PAUSE):
            now = describe_progress(run_folder)
            if now and now != before:
                shown.update(HTML(now))
                before = now

    follower = Thread(target=follow, daemon=True)
    follower.start()
    try:
        yield
    finally:
        ended.set()
        follower.join()
        shown.update(HTML(""))


def describe_progress(run_folder: Path) -> str:
    """Return a bar and the cell that runs, as HTML; "" between two notebooks.

    It is read from the notebook that the chain executes, which papermill writes cell by cell.
    """
    names = [path.name for path in find_notebooks([], None)]
    for path in (run_folder / NOTEBOOKS / UNFINISHED).glob("*.ipynb"):
        try:
            cells = read_cells(path)
        except CovidLungsError:  # it is being written just now
            continue
        begun = count_begun(cells)
        done = names.index(path.name) + max(begun - 1, 0) / len(cells)
        return (
            f'<progress max="{len(names)}" value="{done:.2f}"></progress> '
            f"{escape(path.stem)}, cell {begun} of {len(cells)}"
        )
    return ""

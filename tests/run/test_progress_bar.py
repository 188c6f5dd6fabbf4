import json
import time
from types import SimpleNamespace

import pytest

from helpers.run import progress_bar
from helpers.run.progress_bar import describe_progress, watch


@pytest.fixture
def executed(tmp_path, monkeypatch):
    """Write a notebook as papermill leaves it while a cell runs, of which so many have begun.

    It is the second of three notebooks of the chain, and has four code cells.
    """
    names = ["01_first.ipynb", "02_second.ipynb", "03_third.ipynb"]
    monkeypatch.setattr(
        progress_bar, "find_notebooks", lambda *_: [tmp_path / name for name in names]
    )
    path = tmp_path / "notebooks" / "unfinished" / names[1]
    path.parent.mkdir(parents=True)

    def write(begun: int) -> None:
        cells = [
            {
                "cell_type": "code",
                "metadata": {"papermill": {"start_time": "now" if number < begun else None}},
            }
            for number in range(4)
        ]
        path.write_text(json.dumps({"cells": [{"cell_type": "markdown"}, *cells]}))

    write.path = path
    return write


def test_bar_and_cell_are_those_of_the_notebook_that_runs(tmp_path, executed):
    executed(3)
    shown = describe_progress(tmp_path)
    assert '<progress max="3" value="1.50">' in shown
    assert "02_second, cell 3 of 4" in shown


def test_between_notebooks_or_while_one_is_written_nothing_is_known(tmp_path, executed):
    assert describe_progress(tmp_path) == ""
    executed(2)
    executed.path.write_text(executed.path.read_text()[:-9])
    assert describe_progress(tmp_path) == ""


def test_the_display_follows_the_chain_and_is_empty_at_the_end(tmp_path, executed, monkeypatch):
    shown = []
    handle = SimpleNamespace(update=lambda html: shown.append(html.data))
    monkeypatch.setattr(progress_bar, "display", lambda html, display_id: handle)
    monkeypatch.setattr(progress_bar, "PAUSE", 0.01)
    with pytest.raises(ZeroDivisionError), watch(tmp_path):
        for begun in (1, 2):
            executed(begun)
            end = time.monotonic() + 20
            while not any(f"cell {begun} of 4" in html for html in shown):
                assert time.monotonic() < end
                time.sleep(0.01)
        1 / 0  # noqa: B018 - a chain that fails
    assert shown[-1] == ""
    assert len(shown) == 3, "nothing is shown twice"

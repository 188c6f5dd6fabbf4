import json
import time
from types import SimpleNamespace

import pytest

from helpers.run import progress_bar
from helpers.run.progress_bar import describe_progress, watch


@pytest.fixture
def executed(tmp_path, monkeypatch):
    """Write a notebook as papermill leaves it while a cell runs: how many began, and what it says.

    It is the second of three notebooks of the chain, and has four code cells.
    """
    names = ["01_first.ipynb", "02_second.ipynb", "03_third.ipynb"]
    monkeypatch.setattr(
        progress_bar, "find_notebooks", lambda *_: [tmp_path / name for name in names]
    )
    path = tmp_path / "notebooks" / "unfinished" / names[1]
    path.parent.mkdir(parents=True)

    def write(begun: int, *printed: str) -> None:
        cells = [
            {
                "cell_type": "code",
                "metadata": {"papermill": {"start_time": "now" if number < begun else None}},
                "outputs": [{"name": "stdout", "text": text} for text in printed],
            }
            for number in range(4)
        ]
        path.write_text(json.dumps({"cells": [{"cell_type": "markdown"}, *cells]}))

    write.path = path
    return write


def test_bar_cell_and_last_line_are_those_of_the_notebook_that_runs(tmp_path, executed):
    executed(3, "epoch 1/9  loss 0.5\n", "epoch 2/9  loss 0.4\n")
    shown = describe_progress(tmp_path)
    assert '<progress max="3" value="1.50">' in shown
    assert "02_second, cell 3 of 4" in shown
    assert "<code>epoch 2/9  loss 0.4</code>" in shown


def test_what_a_cell_prints_is_shown_as_text(tmp_path, executed):
    executed(1, "<b>COVID</b>")
    assert "<code>&lt;b&gt;COVID&lt;/b&gt;</code>" in describe_progress(tmp_path)


def test_a_notebook_before_its_first_cell_has_done_nothing(tmp_path, executed):
    executed(0)
    assert 'value="1.00"' in describe_progress(tmp_path)


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

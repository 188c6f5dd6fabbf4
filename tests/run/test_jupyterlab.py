"""The series in JupyterLab, as a user runs it: each notebook opened in a browser, all cells run.

They go on with a run that the command has made, so that nothing is trained twice.
"""

import contextlib
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from helpers.storage.folders import project_root
from maintenance.remake_notebooks import list_series
from tests.support.browsing import open_browser

NOTEBOOKS = list_series(project_root())
SLIDER = "07_read_an_xray.ipynb"  # the notebook that has one
CHANGED = {"run": '"quick"', "split": '"published"', "epochs": "1", "image_size": "128"}
MINUTES = 60_000  # milliseconds
READY = "window.jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status == 'idle'"
# The menu's command, which ends when the last cell has.
RUN_ALL = "async () => { await window.jupyterapp.commands.execute('runmenu:run-all') }"
SAVE = "async () => { await window.jupyterapp.commands.execute('docmanager:save') }"


def make_quick(notebook: Path, folder: Path, data: Path) -> Path:
    """Copy a notebook, its outputs dropped and its parameters those of the quick run on `data`."""
    content = nbformat.read(notebook, as_version=4)
    for cell in content.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
        if "parameters" in cell.metadata.get("tags", []):
            for name, value in (CHANGED | {"data": f'"{data}"'}).items():
                cell.source = re.sub(
                    rf'^({name}\b.*?= )(None|"\w*")', rf"\g<1>{value}", cell.source, flags=re.M
                )
    path = folder / notebook.name
    nbformat.write(content, path)
    return path


@pytest.fixture(scope="module")
def folder(quick_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The notebooks of the series, made quick."""
    folder = tmp_path_factory.mktemp("lab")
    for notebook in NOTEBOOKS:
        make_quick(notebook, folder, quick_data)
    return folder


@pytest.fixture(scope="module")
def address(
    folder: Path, quick_run: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """JupyterLab's address on this machine alone, with its token."""
    settings = tmp_path_factory.mktemp("settings")
    environment = os.environ | {
        "PYTHONPATH": str(project_root()),
        "COVID_LUNGS_RUNS": str(quick_run.parent),
        **{f"JUPYTER_{name}_DIR": str(settings) for name in ("CONFIG", "RUNTIME")},
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(settings),
    }
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0", "--LabApp.news_url="]
    options += ["--expose-app-in-browser", f"--notebook-dir={folder}", "--IdentityProvider.token=t"]
    log = settings / "log"
    with log.open("w") as opened:
        command = [sys.executable, "-m", "jupyterlab", *options]
        process = subprocess.Popen(command, env=environment, stdout=opened, stderr=opened)
    try:
        yield wait_for_address(process, log)
    finally:
        process.terminate()
        process.wait()


def wait_for_address(process: subprocess.Popen, log: Path) -> str:
    """Return the address that a starting server prints, once it answers there."""
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        found = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())
        # It prints the address before it listens.
        with contextlib.suppress(urllib.error.URLError):
            if found:
                urllib.request.urlopen(f"{found[0]}api/status?token=t").close()
                return found[0]
        time.sleep(0.2)
    raise AssertionError(log.read_text())


@pytest.fixture(scope="module")
def page(address: str) -> Iterator:
    with open_browser() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(10 * MINUTES)
        yield page


def run_all(page, address: str, path: Path) -> None:
    """Open a notebook, run all its cells, and look at what they left."""
    page.goto(f"{address}lab/tree/{path.name}?token=t&reset")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.wait_for_function(READY)  # else nothing runs, and nothing says so
    page.evaluate(RUN_ALL)
    page.evaluate(SAVE)
    cells = [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == "code"]
    assert all(cell.execution_count for cell in cells if cell.source)
    errors = [output for cell in cells for output in cell.outputs if output.output_type == "error"]
    assert not errors
    shown = [kind for cell in cells for output in cell.outputs for kind in output.get("data", {})]
    # 00 ends with the report in a frame, all others draw.
    assert any(kind.startswith("image/") for kind in shown) or "text/html" in shown


@pytest.mark.parametrize("name", [path.name for path in NOTEBOOKS if path.name != SLIDER])
def test_all_cells_of_each_notebook_run_in_a_browser(name, page, address, folder):
    run_all(page, address, folder / name)


def test_all_cells_of_07_run_and_its_outline_follows_the_slider(page, address, folder):
    run_all(page, address, folder / SLIDER)
    handle = page.locator(".widget-slider .noUi-handle")
    handle.scroll_into_view_if_needed()
    page.wait_for_selector("text=Above 0.50, the lungs fill")
    before = page.locator("img.widget-image").get_attribute("src")
    handle.press("ArrowRight")
    page.wait_for_selector("text=Above 0.51, the lungs fill", timeout=MINUTES)
    page.wait_for_function(
        "before => document.querySelector('img.widget-image').src != before", arg=before
    )

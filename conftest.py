"""What every test shares; here at the root, because the notebooks are tests too."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

# It runs the whole chain once more; tests/campaign_colab.py executes it, for one epoch.
collect_ignore = ["notebooks/00_run_everything.ipynb"]
RUNS = pytest.StashKey[str]()
# Files that take a minute and more, the longest first: begun last, they would end alone.
LONG = ("notebooks", "test_run", "test_jupyterlab", "test_hostile", "test_shortcut_campaign")


def pytest_configure(config: pytest.Config) -> None:
    """Lead tests, and the kernels that nbval starts, away from the user's runs."""
    config.stash[RUNS] = os.environ["COVID_LUNGS_RUNS"] = tempfile.mkdtemp(prefix="covid-lungs-")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's runs."""
    # A kernel that was killed may still be writing; what it leaves is temporary anyway.
    shutil.rmtree(config.stash[RUNS], ignore_errors=True)


@pytest.hookimpl(tryfirst=True)  # the plugin that runs several files reads the groups afterwards
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file together, and all notebooks, and begin with the long ones."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
    items.sort(key=lambda item: (*LONG, group_of(item)).index(group_of(item)))


def group_of(item: pytest.Item) -> str:
    """Return the name of the tests that share fixtures, or the run folder, with this one."""
    return "notebooks" if item.path.suffix == ".ipynb" else item.path.stem


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of real X-rays, or skip the test where there is none."""
    folder = os.environ.get("COVID_LUNGS_DATA")
    if not folder:
        pytest.skip("needs real X-rays: set COVID_LUNGS_DATA to the folder with their archives")
    path = Path(folder).resolve()
    if not path.is_dir():
        pytest.fail(f"COVID_LUNGS_DATA={folder} is no folder: correct it, or unset it to skip")
    return path

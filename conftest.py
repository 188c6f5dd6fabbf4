"""What every test shares; here at the root, because the notebooks are tests too."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

# It runs the whole chain once more; tests/colab/campaign.py executes it, for one epoch.
collect_ignore = ["notebooks/00_run_everything.ipynb"]
RUNS = pytest.StashKey[str]()
THREADS = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS")
# Files that take a minute and more, the longest first: begun last, they would end alone.
LONG = (
    *("notebooks", "test_run", "test_jupyterlab", "campaign", "test_shortcut_campaign"),
    "test_hostile",
)
SHARED = {"test_jupyterlab": "test_run"}  # the first goes on with the second's run


def pytest_configure(config: pytest.Config) -> None:
    """Lead tests, and the kernels that nbval starts, away from the user's runs."""
    config.stash[RUNS] = os.environ["COVID_LUNGS_RUNS"] = tempfile.mkdtemp(prefix="covid-lungs-")
    if "PYTEST_XDIST_WORKER" in os.environ:  # a core each: more threads would only wait
        os.environ |= dict.fromkeys(THREADS, "1")


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the session's runs."""
    # A kernel that was killed may still be writing; what it leaves is temporary anyway.
    shutil.rmtree(config.stash[RUNS], ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the long files; notebook 07 shows what those of the whole chain have made."""
    items.sort(key=lambda item: "/07_" in item.nodeid)
    items.sort(key=lambda item: (*LONG, name_file(item.nodeid)).index(name_file(item.nodeid)))


def name_file(nodeid: str) -> str:
    """Return the name of a test's file; all notebooks count as one, since they share a run."""
    path = Path(nodeid.partition("::")[0])
    return "notebooks" if path.parent.name == "notebooks" else path.stem


class FileByFile(LoadScopeScheduling):
    """Gives each worker whole files, since the tests of a file share what takes time to make."""

    def _split_scope(self, nodeid: str) -> str:
        name = name_file(nodeid)
        return SHARED.get(name, name)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileByFile:
    """Choose who runs what."""
    return FileByFile(config, log)


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

"""Fixtures that several test files share; those of every test are in the conftest.py above."""

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from helpers.data.sources import DataSet, find_data
from helpers.run.command import main
from helpers.split.index import build_index
from helpers.storage.folders import cache_root, runs_root
from tests.support.builders import QUICK, make_data_set, make_qu_ex


@pytest.fixture(scope="session", autouse=True)
def audits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep the audits of the tests out of the user's cache, whose demo X-rays they share."""
    usual, folder = cache_root(), tmp_path_factory.mktemp("audits")

    def choose() -> Path:
        chosen = cache_root()
        return folder if chosen == usual else chosen  # a test may have led it elsewhere

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("helpers.audit.examination.cache_root", choose)
        yield


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lead the cache of one test away from the user's."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("COVID_LUNGS_CACHE", str(folder))
    return folder


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Lead the runs of one test away from those of the others."""
    folder = tmp_path / "runs"
    monkeypatch.setenv("COVID_LUNGS_RUNS", str(folder))
    return folder


@pytest.fixture
def data_set(tmp_path: Path) -> DataSet:
    """Four X-rays of COVID and five normal ones, as `builders` draws them."""
    return make_data_set(tmp_path / "tiny")


@pytest.fixture
def figures():
    """Close the figures that a test leaves open."""
    yield
    plt.close("all")


@pytest.fixture(scope="session")
def quick_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """X-rays in COVID-QU-Ex's layout, ten of each class in each split."""
    folder = tmp_path_factory.mktemp("drawn") / "qu"
    make_qu_ex(folder, 10)
    return folder


@pytest.fixture(scope="session")
def quick(quick_data: Path) -> list[str]:
    """What the command is asked for the run `quick`, besides its name."""
    return ["run", "--data", str(quick_data), "--split", "published", *QUICK]


@pytest.fixture(scope="session")
def quick_run(quick: list[str]) -> Path:
    """The run `quick` of the whole chain, on the published split."""
    assert main([*quick, "--run", "quick"]) == 0
    return runs_root() / "quick"


@pytest.fixture(scope="session")
def real_sets(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataSet]:
    """The real data sets, unpacked once for all tests."""
    names = ("COVID-19_Radiography_Dataset", "shenzhen")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COVID_LUNGS_CACHE", str(tmp_path_factory.mktemp("cache")))
        return {name: find_data(str(real_data / f"{name}.zip")) for name in names}


@pytest.fixture(scope="session")
def real_indexes(real_sets: dict[str, DataSet]) -> dict[str, tuple[pd.DataFrame, dict]]:
    """Index and audit of each real data set."""
    return {name: build_index(data_set) for name, data_set in real_sets.items()}

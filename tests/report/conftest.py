"""Fixtures that the tests of several kinds of pictures share."""

import pandas as pd
import pytest

from helpers.data.sources import DataSet
from helpers.split.index import build_index


@pytest.fixture
def rows(data_set: DataSet) -> pd.DataFrame:
    """Two X-rays of COVID and a normal one."""
    return build_index(data_set)[0].iloc[[0, 1, 6]]

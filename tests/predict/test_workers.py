"""The workers of a cluster as a team, with an executor that needs no Dask."""

from concurrent.futures import Executor, Future
from pathlib import Path

import pytest
from distributed.scheduler import KilledWorker
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data.threads import in_blocks
from helpers.predict import cluster
from helpers.predict.batch import BATCH, Answer
from helpers.predict.cluster import Workers
from helpers.predict.files import XrayFile


class AtOnce(Executor):
    """Does what it is asked to before it returns."""

    def submit(self, work, *arguments):
        future = Future()
        try:
            future.set_result(work(*arguments))
        except KilledWorker as error:
            future.set_exception(error)
        return future


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 150), st.integers(1, 6), st.sets(st.integers(0, 149), max_size=3))
def test_all_xrays_are_answered_once_and_only_those_that_kill_are_blamed(count, size, numbers):
    files = [XrayFile(f"{number}.png", str(number)) for number in range(count)]
    fatal = {file for number, file in enumerate(files) if number in numbers}

    def work(job, batch, only=None):
        chosen = batch if only is None else [batch[only]]
        if fatal & set(chosen):
            raise KilledWorker("task", None, 1)
        return Answer([[file.path] for file in chosen], [""] * len(chosen))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "predict_batch", work)
        workers = Workers.__new__(Workers)
        workers.pool, workers.ahead = AtOnce(), 3
        workers.work = lambda block: [work(None, batch) for batch in block]
        workers.job, workers.folder, workers.parts = None, Path(), []
        batches = in_blocks(files, BATCH)
        answered = dict.fromkeys(map(tuple, batches))
        for batch, found in workers.predict(in_blocks(batches, size)):
            assert answered[tuple(batch)] is None
            answered[tuple(batch)] = found
    for batch, found in answered.items():
        assert [row[0] for row in found.rows] == [file.path for file in batch]
        blamed = {file for file, remedy in zip(batch, found.remedies, strict=True) if remedy}
        assert blamed == fatal & set(batch)

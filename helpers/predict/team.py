"""Team: who predicts, block by block: the threads of this process, or workers elsewhere."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from helpers.data.threads import begin_ahead
from helpers.predict.batch import Answer, predict_block
from helpers.predict.files import XrayFile
from helpers.predict.networks import Networks
from helpers.predict.novelty import Likeness

# Each has a batch in memory. More than cores, since threads wait for files.
THREADS = min(8, 2 * (os.cpu_count() or 1))
Block = list[list[XrayFile]]  # batches


class Team:
    """An executor that predicts blocks.

    Attributes:
        pool: the executor.
        work: what it does with a block: it gives an answer for each batch.
        ahead: blocks that may wait their turn.
        size: batches of a block.
    """

    def __init__(
        self, pool: Executor, work: Callable[[Block], list[Answer]], ahead: int, size: int = 1
    ):
        self.pool, self.work, self.ahead, self.size = pool, work, ahead, size

    def predict(self, blocks: Iterable[Block]) -> Iterator[tuple[list[XrayFile], Answer]]:
        """Yield each batch with its answer; what the work raises comes through."""
        for block, future in begin_ahead(self.pool, self.work, blocks, self.ahead):
            yield from zip(block, future.result(), strict=True)


@contextmanager
def hire_threads(networks: Networks, likeness: Likeness | None, folder: Path) -> Iterator[Team]:
    """Give a team of this process's threads, which writes into a folder."""
    for network in networks.list_present():
        network.make_predict_function()  # once, before several threads ask for it
    with ThreadPoolExecutor(THREADS) as pool:
        yield Team(pool, partial(predict_block, networks, likeness, folder), THREADS)

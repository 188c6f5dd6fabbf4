"""Cluster: the workers of a Dask scheduler, which predict for `predict --cluster`."""

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from uuid import uuid4

from distributed import Client
from distributed.scheduler import KilledWorker

from helpers.data.threads import begin_ahead
from helpers.predict.batch import Answer, answer, give_up
from helpers.predict.files import CHOICE, XrayFile
from helpers.predict.team import Block, Team
from helpers.predict.unfinished import clear_partial
from helpers.predict.worker import Job, find_fault, find_versions, predict_batch, predict_block
from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import PARTIAL, refusing

PATIENCE = 60  # seconds without any worker, as when all of them are started again
PULSE = 1  # seconds between two looks at the workers, while nothing ends
SIZE = 4  # batches of a block: a second of work, so that one scheduler serves many workers
AHEAD = 512  # blocks: enough for workers that join later
SAMPLES = 50  # X-rays that each worker must see
FEW = 3  # workers that a message names
ENDED = "ended every worker that predicted it"
REMEDY = "Give the workers more memory, save it anew in another program"


class Cluster:
    """The workers of a scheduler, and whose networks they load."""

    def __init__(self, client: Client, address: str, run: Path | None):
        """Take a connected client, its address as the user gave it, and the run's folder."""
        self.client, self.address, self.run = client, address, run

    @contextmanager
    def hire(
        self, folder: Path, parts: list[str], files: list[XrayFile], asked: str
    ) -> Iterator["Workers"]:
        """Give the workers as a team that writes into a folder, once all of them can.

        Args:
            folder: where masks and overlays go.
            parts: its folders that are filled.
            files: the X-rays to predict.
            asked: what decides predictions, as `describe_networks` gives it.

        Raises:
            CovidLungsError: a worker has another version, or does not see the run, the X-rays or
                the folder.
        """
        with _marking(folder) as mark:
            run = None if self.run is None else str(self.run.resolve())
            here, there = str(Path.cwd()), str(folder.resolve())
            job = Job(here, run, there, mark, asked, find_versions())
            self.check(job, files)
            try:
                yield Workers(self, job, folder, parts, files)
            finally:
                clear_partial(folder)  # of workers that died

    def check(self, job: Job, files: list[XrayFile]) -> None:
        """Ask every worker whether it can do a job.

        Raises:
            CovidLungsError: one cannot; the message names it.
        """
        answers = self.client.run(find_fault, job, _choose(files), on_error="return")
        faults = []
        for address, said in answers.items():
            machine, fault = said if isinstance(said, tuple) else ("", _explain(said))
            if fault:
                faults.append(f"{machine or 'a machine'} ({address}) {fault}")
        if faults:
            more = f" And {len(faults) - FEW:,} more." * (len(faults) > FEW)
            workers = f"{len(faults):,} of {len(answers):,} workers cannot predict"
            raise CovidLungsError(f"{workers}: {'; '.join(faults[:FEW])}.{more}")

    def count(self) -> int:
        """Return how many workers there are now."""
        try:
            return len(self.client.nthreads())
        except (OSError, TimeoutError, RuntimeError):  # no scheduler, or none any more
            return 0


def _choose(files: list[XrayFile]) -> list[tuple[str, int]]:
    """Return the paths of some X-rays, spread over all, each with its bytes."""
    chosen = []
    for file in files[:: max(1, len(files) // SAMPLES)]:
        with suppress(OSError):  # it cannot be read here either, which its row says
            chosen.append((file.path, Path(file.path).stat().st_size))
    return chosen


def _explain(error: Exception) -> str:
    """Return why a worker did not answer a question."""
    if "ModuleNotFoundError" in repr(error):  # Dask wraps it in an exception of its own
        return f"cannot import covid-lungs ({error}). Install it there, in the same version"
    return f"does not answer ({error}). Stop its worker, or start it again"


@contextmanager
def _marking(folder: Path) -> Iterator[str]:
    """Give the name of a file that is in a folder while the block runs."""
    mark = folder / f"{PARTIAL}{uuid4().hex}"
    with refusing(folder, CHOICE):
        mark.touch()
    try:
        yield mark.name
    finally:
        with suppress(OSError):
            mark.unlink()


class Workers(Team):
    """The workers of a cluster, which predict a job."""

    def __init__(
        self, cluster: Cluster, job: Job, folder: Path, parts: list[str], files: list[XrayFile]
    ):
        super().__init__(cluster.client.get_executor(), partial(predict_block, job), AHEAD, SIZE)
        self.cluster, self.job, self.folder, self.parts = cluster, job, folder, parts
        self.files = files

    def predict(self, blocks: Iterable[Block]) -> Iterator[tuple[list[XrayFile], Answer]]:
        """Yield each batch with its answer, last those of blocks that have ended their workers."""
        fatal: list[list[XrayFile]] = []
        with closing(begin_ahead(self.pool, self.work, blocks, self.ahead)) as begun:
            for block, future in begun:
                try:
                    yield from zip(block, self._take(future), strict=True)
                except KilledWorker:
                    fatal += block
        for batch in fatal:  # one at a time, so that none is blamed for another
            yield batch, self._isolate(batch)

    def _take(self, future: Future):
        """Return what a worker has made, once it has.

        Raises:
            CovidLungsError: the scheduler or all workers are gone, or one cannot do the job.
            KilledWorker: those who did it have died.
        """
        seen = time.monotonic()
        while not wait([future], PULSE).done:
            if self.cluster.count():
                seen = time.monotonic()
            elif time.monotonic() - seen > PATIENCE:
                raise CovidLungsError(
                    f"{self.cluster.address}: all workers are gone, for {PATIENCE} seconds now. "
                    "Start some, and give the same command again: it goes on."
                )
        try:
            return future.result()
        except CancelledError as error:
            raise CovidLungsError(
                f"{self.cluster.address}: the scheduler is gone. Start it and its workers, and "
                "give the same command again: it goes on."
            ) from error
        except (KilledWorker, CovidLungsError):
            raise
        except Exception:
            self.cluster.check(self.job, self.files)  # a worker may have joined that cannot
            raise

    def _isolate(self, files: list[XrayFile]) -> Answer:
        """Return the answer for a batch whose worker died: alone, or else X-ray by X-ray."""
        with suppress(KilledWorker):
            return self._take(self.pool.submit(predict_batch, self.job, files))
        rows, remedies = [], []
        for place, file in enumerate(files):
            try:
                alone = self._take(self.pool.submit(predict_batch, self.job, files, place))
            except KilledWorker:
                alone = self._blame(file)
            rows += alone.rows
            remedies += alone.remedies
        return Answer(rows, remedies)

    def _blame(self, file: XrayFile) -> Answer:
        """Return the answer for an X-ray that ends its workers."""
        return answer([give_up(self.folder, self.parts, file, ENDED, REMEDY)])

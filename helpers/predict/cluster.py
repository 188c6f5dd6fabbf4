"""Cluster: a Dask scheduler whose workers predict for `predict --cluster`."""

import json
import logging
import re
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Thread
from uuid import uuid4

from helpers.data.threads import begin_ahead
from helpers.predict.batch import Answer, answer, give_up
from helpers.predict.files import CHOICE, XrayFile
from helpers.predict.team import THREADS, Block, Team
from helpers.predict.unfinished import clear_partial
from helpers.predict.worker import Job, find_fault, find_versions, predict_batch, predict_block
from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import PARTIAL, refusing

try:
    import dask
    from distributed import Client, LocalCluster
    from distributed.scheduler import KilledWorker
except ImportError as error:
    raise CovidLungsError(
        "--cluster needs Dask. Install it with `uv sync --extra cluster`, or write "
        "`uv run --extra cluster covid-lungs predict …`."
    ) from error

CONNECT = 10  # seconds in which a scheduler answers
PATIENCE = 60  # seconds without any worker, as when a queue starts them or a nanny restarts them
PULSE = 1  # seconds between two looks at the workers, while nothing ends
SIZE = 4  # batches of a block: seconds of work, so that a scheduler serves many workers
AHEAD = 512  # blocks: enough for workers that join later
SAMPLES = 50  # X-rays that each worker must see
FEW = 3  # workers that a message names
ENDED = "ended every worker that predicted it"
REMEDY = "Give workers more memory, save it anew in another program"
FORMS = (
    "Give local:N for N workers on this machine, a scheduler's address, such as "
    "tcp://192.168.0.5:8786 or tls://192.168.0.5:8786, or the path of its scheduler file"
)


@contextmanager
def join(address: str, run: Path | None) -> Iterator["Cluster"]:
    """Give the cluster of an address, with at least one worker, until the block ends.

    Args:
        address: `local:N` for N processes of this machine, `tcp://…` or `tls://…` of a scheduler,
            or the path of the file that `dask scheduler --scheduler-file` has written.
        run: the folder of the run whose networks predict; None for the one inside the package.

    Raises:
        CovidLungsError: the address is malformed, no scheduler answers there, or it has no workers.
    """
    local = re.fullmatch(r"local:(\d{1,4})", address)
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        if local and int(local[1]):
            client = stack.enter_context(_start(int(local[1])))
        else:
            client = stack.enter_context(_connect(address, _find_scheduler(address)))
        try:
            client.wait_for_workers(int(local[1]) if local else 1, timeout=PATIENCE)
        except (OSError, TimeoutError) as error:
            raise CovidLungsError(
                f"{address}: no worker within {PATIENCE} seconds. Start some with `dask worker "
                "ADDRESS`, and give the same command again."
            ) from error
        print(f"covid-lungs: {_describe(client)}", file=sys.stderr)
        yield Cluster(client, address, run)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's notes, of workers that die and come back, from standard error."""
    logger = logging.getLogger("distributed")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _start(count: int) -> Iterator[Client]:
    """Give a client of so many workers on this machine, which end with the block."""
    # A block that ends two workers is looked at more closely; other machines have their own limit.
    limits = {"distributed.scheduler.allowed-failures": 1}
    threads = max(2, THREADS // count)
    with (
        dask.config.set(limits),
        LocalCluster(
            n_workers=count,
            threads_per_worker=threads,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            memory_limit=None,  # as without a cluster, the system watches it
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def _find_scheduler(address: str) -> str:
    """Return a scheduler's own address.

    Raises:
        CovidLungsError: it is malformed, or there is no such scheduler file.
    """
    if re.fullmatch(r"(tcp|tls)://(\[[\da-fA-F:.%]+\]|[\w.-]+):\d{1,5}", address):
        return address
    path = Path(address)
    if "://" in address or address.startswith("local:"):
        raise CovidLungsError(f"--cluster {address!r}: is no address of a cluster. {FORMS}.")
    try:
        return _find_scheduler(str(json.loads(path.read_bytes())["address"]))
    except OSError as error:
        reason = error.strerror or error
        raise CovidLungsError(
            f"--cluster {address!r}: cannot be read as a scheduler file ({reason}). Start a "
            f"scheduler with `dask scheduler --scheduler-file {address}`. {FORMS}."
        ) from error
    except (ValueError, TypeError, LookupError) as error:
        raise CovidLungsError(
            f"{address}: is no scheduler file. Let `dask scheduler --scheduler-file {address}` "
            "write it anew."
        ) from error


@contextmanager
def _connect(asked: str, address: str) -> Iterator[Client]:
    """Give a client of a scheduler that runs already, and goes on afterwards."""
    found: list[Client | Exception] = []

    def connect() -> None:
        try:
            found.append(Client(address, timeout=CONNECT, set_as_default=False))
        except Exception as error:
            found.append(error)

    # What answers there may be no scheduler, for which Dask would wait without end.
    thread = Thread(target=connect, daemon=True)
    thread.start()
    thread.join(CONNECT + 5)
    client = found[0] if found else TimeoutError("it does not answer as one")
    if isinstance(client, TypeError):  # Dask's, of a missing certificate
        raise CovidLungsError(
            f"{asked}: needs the certificates of its cluster. Name them in Dask's configuration "
            "(docs/cluster.md says how)."
        ) from client
    if isinstance(client, Exception):
        raise CovidLungsError(
            f"{asked}: no Dask scheduler answers at {address} ({client}). Start one with "
            "`dask scheduler`, open the port between the machines, or correct the address."
        ) from client
    with client:
        yield client


def _describe(client: Client) -> str:
    """Return how many workers there are, and where to see what they do."""
    threads = client.nthreads()
    count = f"{len(threads):,} worker{'s' * (len(threads) > 1)}"
    return f"{count}, {sum(threads.values()):,} threads. See them at {client.dashboard_link}"


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
        chosen = files[:: max(1, len(files) // SAMPLES)]
        samples = []
        for file in chosen:
            with suppress(OSError):  # it cannot be read here either, which its row says
                samples.append((file.path, Path(file.path).stat().st_size))
        answers = self.client.run(find_fault, job, samples, on_error="return")
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


def _explain(error: Exception) -> str:
    """Return why a worker did not answer a question."""
    if isinstance(error, ImportError):
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

"""Scheduler: how a Dask scheduler is reached by its address, or started on this machine."""

import json
import logging
import os
import re
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Thread

from helpers.storage.errors import CovidLungsError

try:
    import dask
    from distributed import Client, LocalCluster, Security
except ImportError as error:
    raise CovidLungsError(
        "--cluster needs Dask. Install it with `uv sync --extra cluster`, or write "
        "`uv run --extra cluster covid-lungs predict` and so on."
    ) from error

CONNECT = 10  # seconds in which a scheduler answers
PATIENCE = 60  # seconds until the first worker is there
# Deaths of workers after which a block is looked at X-ray by X-ray, less one. On other machines
# the scheduler's own configuration says.
FAILURES = 1
ADDRESS = re.compile(r"(tcp|tls)://(\[[\da-fA-F:.%]+\]|[\w.-]+):\d{1,5}")
FORMS = (
    "Give local:N for N workers on this machine, a scheduler's address, such as "
    "tcp://192.168.0.5:8786 or tls://192.168.0.5:8786, or the path of its scheduler file"
)


@contextmanager
def reach(address: str) -> Iterator[Client]:
    """Give a client of the scheduler at an address, with a worker at least, until the block ends.

    Args:
        address: `local:N` for N processes of this machine, `tcp://…` or `tls://…` of a scheduler,
            or the path of the file that `dask scheduler --scheduler-file` has written.

    Raises:
        CovidLungsError: the address is malformed, no scheduler answers there, or it has no workers.
    """
    count = re.fullmatch(r"local:([1-9]\d{0,3})", address)
    with ExitStack() as stack:
        stack.enter_context(_quiet())
        if count:
            client = stack.enter_context(_start(int(count[1])))
        else:
            client = stack.enter_context(_connect(address, find_scheduler(address)))
        try:
            client.wait_for_workers(int(count[1]) if count else 1, timeout=PATIENCE)
        except (OSError, TimeoutError) as error:
            raise CovidLungsError(
                f"{address}: no worker within {PATIENCE} seconds. Start some with `dask worker`, "
                "and give the same command again."
            ) from error
        print(f"covid-lungs: {_describe(client)}", file=sys.stderr)
        yield client


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
    preload = [*dask.config.get("distributed.worker.preload"), "helpers.predict.worker"]
    threads = max(2, 2 * (os.cpu_count() or 1) // count)  # more than cores: they wait for files
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": FAILURES}),
        LocalCluster(
            n_workers=count,
            threads_per_worker=threads,
            preload=preload,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
            memory_limit=None,  # as without a cluster, the system watches it
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def find_scheduler(address: str) -> str:
    """Return a scheduler's own address.

    Raises:
        CovidLungsError: it is malformed, or there is no such scheduler file.
    """
    if ADDRESS.fullmatch(address):
        return address
    path = Path(address)
    if "://" in address or address.startswith("local:"):
        raise CovidLungsError(f"--cluster {address!r}: is no address of a cluster. {FORMS}.")
    write = f"`dask scheduler --scheduler-file {address}`"
    try:
        found = str(json.loads(path.read_bytes())["address"])
    except OSError as error:
        reason = error.strerror or error
        raise CovidLungsError(
            f"--cluster {address!r}: cannot be read as a scheduler file ({reason}). Start a "
            f"scheduler with {write}. {FORMS}."
        ) from error
    except (ValueError, TypeError, LookupError, RecursionError):
        found = ""
    if not ADDRESS.fullmatch(found):
        raise CovidLungsError(f"{address}: is no scheduler file. Let {write} write it anew.")
    return found


@contextmanager
def _connect(asked: str, address: str) -> Iterator[Client]:
    """Give a client of a scheduler that runs already, and goes on afterwards."""
    try:
        missing = not Security().get_connection_args("client").get("ssl_context")
    except (OSError, ValueError) as error:  # a certificate that is named and cannot be read
        raise _lack_certificates(asked, error) from error
    if missing and address.startswith("tls:"):
        raise _lack_certificates(asked, "none is named")
    found: list[Client | Exception] = []

    def connect() -> None:
        try:
            found.append(Client(address, timeout=CONNECT, set_as_default=False))
        except Exception as error:
            found.append(error)

    # What answers there may be no scheduler, for which Dask would wait without end.
    thread = Thread(target=connect, daemon=True)
    thread.start()
    thread.join(2 * CONNECT)
    client = found[0] if found else TimeoutError("what listens there does not answer as one")
    if isinstance(client, Exception):
        raise CovidLungsError(
            f"{asked}: no Dask scheduler answers at {address} ({client}). Start one with "
            "`dask scheduler`, open the port between the machines, or correct the address."
        ) from client
    with client:
        yield client


def _lack_certificates(asked: str, reason: object) -> CovidLungsError:
    """Return the error that Dask's configuration names no certificates for a scheduler."""
    return CovidLungsError(
        f"{asked}: Dask's configuration lacks the certificates of this cluster ({reason}). Name "
        "them as docs/cluster.md says."
    )


def _describe(client: Client) -> str:
    """Return how many workers there are, and where to see what they do."""
    threads = client.nthreads()
    count = f"{len(threads):,} worker{'s' * (len(threads) > 1)}"
    return f"{count}, {sum(threads.values()):,} threads. See them at {client.dashboard_link}"

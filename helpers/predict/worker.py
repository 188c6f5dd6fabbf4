"""Worker: what a process on another machine does for `predict --cluster`.

The command sends it blocks of X-rays; it loads the networks once, and writes masks and overlays
into the folder that all machines see. Keras is imported when it is needed, in a thread, so that the
process answers its scheduler meanwhile.
"""

import asyncio
import hashlib
import json
import platform
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple

from helpers.predict.files import XrayFile
from helpers.storage.errors import CovidLungsError
from helpers.storage.versions import library_versions, package_versions

if TYPE_CHECKING:
    from helpers.predict.batch import Answer
    from helpers.predict.networks import Networks
    from helpers.predict.novelty import Likeness

# Of the code that this process has imported, which a worker may do long before a command comes.
CODE = hashlib.sha256(json.dumps(package_versions(__name__)).encode()).hexdigest()[:12]
_loading = Lock()


class Job(NamedTuple):
    """What a command asks of its workers. Paths are absolute.

    Attributes:
        here: the command's current folder, from which paths of X-rays start.
        run: the run's folder; None for the network inside the package.
        folder: where masks and overlays go.
        mark: the name of a file in it that is there while the command runs.
        asked: what decides predictions, as `describe_networks` gives it.
        versions: the command's, as `find_versions` gives them.
    """

    here: str
    run: str | None
    folder: str
    mark: str
    asked: str
    versions: dict[str, str]


def dask_setup(worker: object) -> None:
    """Leave Ctrl-C to the command: Dask calls this in each process that the command has started."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def find_versions() -> dict[str, str]:
    """Return the versions of what decides the bytes of a prediction."""
    import scipy

    from helpers.train.backend import keras

    backend = keras.backend.backend()
    calculates = __import__(backend).__version__
    own = {"covid-lungs": CODE, "keras": keras.__version__, "scipy": scipy.__version__}
    return own | {"Keras backend": f"{backend} {calculates}"} | library_versions()


async def find_fault(job: Job, samples: list[tuple[str, int]]) -> tuple[str, str]:
    """Return this machine's name, and why it cannot do a job, "" if it can.

    `samples` are some X-rays, each with its bytes.
    """
    return platform.node(), await asyncio.to_thread(_find_fault, job, samples)


def _find_fault(job: Job, samples: list[tuple[str, int]]) -> str:
    """Return why this process cannot do a job, "" if it can."""
    try:
        _compare_versions(job)
        _require_mark(job)
        for path, size in samples:
            found = Path(job.here, path)
            if not found.is_file() or found.stat().st_size != size:
                return (
                    f"does not see the X-ray {found} as it is here. Give all machines one drive, "
                    "at the same path"
                )
        _prepare(job)
    except CovidLungsError as error:
        return str(error)
    return ""


def _compare_versions(job: Job) -> None:
    """Refuse a job of another version: its bytes could differ."""
    own = find_versions()
    names = sorted(own.keys() | job.versions.keys())
    other = [
        f"{name} {own.get(name, 'none')} (here {job.versions.get(name, 'none')})"
        for name in names
        if own.get(name) != job.versions.get(name)
    ]
    if other:
        raise CovidLungsError(
            f"has {', '.join(other)}. Install the same versions there, and start its worker again"
        )


def _require_mark(job: Job) -> None:
    """Refuse a job whose output folder is not here, or whose command has ended."""
    if not Path(job.folder, job.mark).is_file():
        raise CovidLungsError(
            f"does not see {job.folder}, where predictions go, as it is here. Choose a folder with "
            "--out on a drive that all machines see at the same path"
        )


@contextmanager
def _naming_machine() -> Iterator[None]:
    """Let an error say on which machine it arose."""
    try:
        yield
    except CovidLungsError as error:
        raise CovidLungsError(f"the worker on {platform.node()}: {error}") from error


def _prepare(job: Job) -> "tuple[Networks, Likeness | None]":
    """Return the networks of a job, which must be the command's, and what they know.

    Raises:
        CovidLungsError: this process is of another version, or sees another run.
    """
    with _loading:  # several threads may ask at once
        return _load(json.dumps(job))


@lru_cache(maxsize=1)
def _load(written: str) -> "tuple[Networks, Likeness | None]":
    """Load the networks of a job that is written as JSON, which a cache can compare."""
    from helpers.predict.networks import describe_networks, load_likeness, load_networks

    job = Job(*json.loads(written))
    _compare_versions(job)
    run = None if job.run is None else Path(job.run)
    networks, likeness = load_networks(run), load_likeness(run)
    if describe_networks(networks, likeness) != job.asked:
        raise CovidLungsError(
            f"does not see the run {run} as it is here. Give all machines one drive, at the same "
            "path"
        )
    for network in networks.list_present():
        network.make_predict_function()
    return networks, likeness


def predict_block(job: Job, block: list[list[XrayFile]]) -> "list[Answer]":
    """Write masks and overlays of some batches of X-rays; return an answer for each.

    Raises:
        CovidLungsError: the folder cannot be written to, or this process cannot do the job.
    """
    return [predict_batch(job, files) for files in block]


def predict_batch(job: Job, files: list[XrayFile], only: int | None = None) -> "Answer":
    """Write masks and overlays of a batch, or of `only` the X-ray at that place; return its answer.

    Raises:
        CovidLungsError: the folder cannot be written to, or this process cannot do the job.
    """
    from helpers.predict import batch

    with _naming_machine():
        networks, likeness = _prepare(job)
        _require_mark(job)  # after a command was killed, the next one must not find us writing
        found = [file._replace(path=str(Path(job.here, file.path))) for file in files]
        predicted = batch.predict_batch(networks, likeness, Path(job.folder), found, only)
    asked = files if only is None else [files[only]]
    named = [one._replace(file=file.path) for one, file in zip(predicted, asked, strict=True)]
    return batch.answer(named)

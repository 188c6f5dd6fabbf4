"""Folders: the project's root, the runs, the cache, and how a path is shown."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from helpers.storage.colab import (
    DRIVE_FOLDER,
    LOCAL_FOLDER,
    WHAT_TO_CLICK,
    in_colab,
    is_mounted,
    on_drive,
)
from helpers.storage.errors import CovidLungsError
from helpers.storage.layout import NETWORKS, find_writer, list_parts

PARTIAL = ".partial-"  # begins the name of a hidden folder for what is not whole yet


def project_root() -> Path:
    """Return the checkout that holds `helpers`, or the current folder if it was pip-installed."""
    root = Path(__file__).resolve().parents[2]
    return root if (root / "pyproject.toml").is_file() else Path.cwd()


def runs_root() -> Path:
    """Return the folder of all runs: `$COVID_LUNGS_RUNS`, or `runs/`, in Colab on Drive."""
    if named := os.environ.get("COVID_LUNGS_RUNS"):
        return Path(named).expanduser().resolve()
    if in_colab():
        return (DRIVE_FOLDER if DRIVE_FOLDER.parent.is_dir() else LOCAL_FOLDER) / "runs"
    return project_root() / "runs"


def cache_root() -> Path:
    """Return the local folder for what can be made again: `$COVID_LUNGS_CACHE`, or `cache/`."""
    if named := os.environ.get("COVID_LUNGS_CACHE"):
        return Path(named).expanduser().resolve()
    return (LOCAL_FOLDER if in_colab() else project_root()) / "cache"


def default_run_name(data: str, recipe: str) -> str:
    """Return `demo` for the demo by its own recipe, else `<data's stem>-<recipe>`."""
    if data == recipe == "demo":
        return "demo"
    return f"{Path(data).resolve().stem}-{recipe}"


def find_run(run: str | None, data: str, recipe: str) -> Path:
    """Return the run's folder, made if it is missing.

    `run` is a name below the runs' root, a folder's path, or None for the default name.

    Raises:
        CovidLungsError: the folder cannot be made.
    """
    folder = _run_folder(run or default_run_name(data, recipe))
    for part in list_parts():
        with refusing(folder / part):
            (folder / part).mkdir(parents=True, exist_ok=True)
    return folder


def find_trained(run: str) -> Path:
    """Return the folder of a run, given by name or path, that has a network to predict with.

    Raises:
        CovidLungsError: there is no such run, or it has no network yet.
    """
    with suppress(OSError):  # too long for a path
        folder = _run_folder(run)
        if run and folder.is_dir():
            if not is_trained(folder):
                *others, last = sorted(find_writer(Path(file)) for file in NETWORKS)
                raise _missing(f"{shown(folder)}: no network yet", f"{', '.join(others)} or {last}")
            return folder
    trained = sorted(folder.name for folder in runs_root().glob("*") if is_trained(folder))
    choice = f"Choose from {', '.join(trained)}" if trained else "Begin with `covid-lungs run`"
    raise CovidLungsError(
        f"run {run!r}: no such run in {shown(runs_root())}. {choice}, or give a run folder's path."
    )


def is_trained(folder: Path) -> bool:
    """Return whether a run has at least one network that predicts."""
    return any((folder / file).is_file() for file in NETWORKS)


def _run_folder(name: str) -> Path:
    """Return the folder of a run given by its name, or by a path."""
    name = name.rstrip("/")
    is_path = name != Path(name).name or name in {".", ".."}
    # Not by Path, which has an error of its own for the folder of an unknown user.
    return Path(os.path.expanduser(name)).resolve() if is_path else runs_root() / name  # noqa: PTH111


def require(path: Path) -> Path:
    """Return the path of a run's file, or say which notebook makes it.

    Raises:
        CovidLungsError: the file does not exist.
    """
    if not path.is_file():
        raise _missing(f"{shown(path)} not found", find_writer(path))
    return path


def _missing(what: str, writer: str) -> CovidLungsError:
    """Return the error that something of a run is missing, and which notebook makes it."""
    drive = ""
    if in_colab() and not is_mounted():
        drive = f" If it is on Google Drive, run the cell that mounts it and {WHAT_TO_CLICK}."
    return CovidLungsError(
        f"{what}: run {writer} first, with the same `data`, `run` and `recipe`.{drive}"
    )


@contextmanager
def refusing(path: Path, choice: str = "`run`") -> Iterator[None]:
    """Turn the system's errors in a block that writes a path into a CovidLungsError.

    Its message names `choice`, with which a user chooses another folder.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        # zipfile has a ValueError of its own for a file that it could not write to the end.
        cause = error if isinstance(error, OSError) else error.__context__
        if not isinstance(cause, OSError):
            raise
        remedy = "Make room, mend the permissions, close what has it open, or reconnect the drive"
        if on_drive(path):
            remedy = (
                "Google Drive is full or went away: delete files there and empty its trash, or run "
                f"the cell that mounts it again and {WHAT_TO_CLICK}"
            )
        raise CovidLungsError(
            f"{shown(path)}: cannot be written ({cause.strerror or cause}). {remedy}; or choose "
            f"another folder with {choice}. What was there stays."
        ) from error


def shown(path: Path) -> str:
    """Return a path as a reader should see it: below the project's root, if it is there."""
    root = project_root()
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path)

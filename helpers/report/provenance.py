"""Provenance: the data, code and machine that a run's notebooks were executed with."""

import csv
import hashlib
import json
import os
import platform
import subprocess
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

from helpers.storage.errors import CovidLungsError
from helpers.storage.files import write_whole
from helpers.storage.folders import shown
from helpers.storage.layout import CHAIN, PROVENANCE, trained_part
from helpers.storage.versions import library_versions
from helpers.train.devices import count_devices
from helpers.train.recipes import find_recipe

ROOT = Path(__file__).resolve().parents[2]  # of a checkout, which has .git here
# Besides those that decode X-rays.
LIBRARIES = ("keras", "tensorflow", "jax", "pandas", "scikit-learn", "scipy", "matplotlib")


def record(run_folder: Path, notebook: str, seconds: float, parameters: dict[str, object]) -> None:
    """Add how a notebook, such as `03_detect_covid`, was executed to `provenance.json`.

    `parameters` are those given and its own defaults. Neither paths nor the names of users and
    computers are kept.

    Raises:
        CovidLungsError: the file is there but cannot be read.
    """
    path = run_folder / PROVENANCE
    entries = _read(path)
    started = datetime.now(UTC) - timedelta(seconds=seconds)
    entries[notebook] = {
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "parameters": {
            name: Path(value).name if isinstance(value, str) else value
            for name, value in sorted(parameters.items())
            if name != "run"
        },
        "settings": _settings(notebook, parameters),
        "environment": describe_environment(),
    }
    content = {"data": describe_data(run_folder), "notebooks": dict(sorted(entries.items()))}
    write_whole(path, json.dumps(content, indent=2) + "\n")


def _read(path: Path) -> dict[str, dict]:
    """Return each notebook's entry in `provenance.json`."""
    if not path.is_file():
        return {}
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["notebooks"])
    except (ValueError, LookupError, TypeError) as error:
        raise CovidLungsError(
            f"{shown(path)} is damaged: remove it. What it said of earlier notebooks is lost, "
            "their results are not."
        ) from error


def _settings(notebook: str, parameters: dict[str, object]) -> dict[str, object] | None:
    """Return the numbers that a notebook trained by, None if it trains nothing."""
    part = trained_part(notebook)
    if part is None or not parameters.get("recipe"):
        return None
    settings = getattr(find_recipe(str(parameters["recipe"])), part)
    changes = {name: parameters.get(name) for name in ("epochs", "batch_size", "image_size")}
    return asdict(settings.override(**changes))


def describe_data(run_folder: Path) -> dict[str, object] | None:
    """Return the data set's number of X-rays and a hash of their names and pixels.

    Equal data have equal hashes wherever they lie; None where there is no index yet.
    """
    path = run_folder / "index.csv"
    if not path.is_file():
        return None
    digest, count = hashlib.sha256(), 0
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            found = [row.get(name) for name in ("file", "class", "pixels", "mask_pixels")]
            digest.update(json.dumps(found).encode() + b"\n")
            count += 1
    return {"xrays": count, "hash": digest.hexdigest()}


def find_source(run_folder: Path) -> str:
    """Return the source of the data that a run was made from, as `sources.find_data` takes it.

    Raises:
        CovidLungsError: no command made the run.
    """
    for kept in read_state(run_folder).values():
        if source := kept["inputs"].get("parameter data"):
            return source
    raise CovidLungsError(
        f"{shown(run_folder)}: no command made this run, so that its files do not say where its "
        "X-rays are. Give demo, or their folder or .zip, with --data."
    )


def read_state(run_folder: Path) -> dict[str, dict]:
    """Return what a command kept of each finished notebook; nothing if that is damaged."""
    try:
        state = json.loads((run_folder / CHAIN).read_text(encoding="utf-8"))
        return {
            stem: {"inputs": dict(kept["inputs"]), "made": dict(kept["made"])}
            for stem, kept in state.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def describe_environment() -> dict[str, object]:
    """Return versions and hardware, without importing Keras."""
    devices = count_devices()
    return {
        "code": describe_code(),
        "python": platform.python_version(),
        "system": platform.system(),
        "keras_backend": _backend() + (f" on {devices} devices" if devices > 1 else ""),
        "machine": describe_machine(),
        "packages": _find_versions(*LIBRARIES) | library_versions(),
    }


def describe_machine() -> str:
    """Return a machine's processor, memory and GPU in a line, for a reader."""
    parts = [f"{os.cpu_count()} cores of {_processor()}"]
    with suppress(AttributeError, OSError, ValueError):  # not every system has both names
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        parts.append(f"{memory / 2**30:.1f} GiB of memory")
    gpus = _ask("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return ", ".join([*parts, f"GPU: {', '.join(gpus.splitlines())}" if gpus else "no GPU"])


def describe_code() -> str:
    """Return the package's version, and in a checkout its commit and whether it was modified."""
    version = _find_versions("covid-lungs").get("covid-lungs", "unknown version")
    described = "describe", "--tags", "--always", "--abbrev=12", "--dirty=, modified"
    commit = _ask("git", "-C", str(ROOT), *described) if (ROOT / ".git").exists() else None
    return f"{version} ({commit})" if commit else version


def _find_versions(*names: str) -> dict[str, str]:
    """Return the versions of those packages that are installed."""
    versions = {}
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def _backend() -> str:
    """Return the backend that Keras takes: by its variable, its file, or its own default."""
    if named := os.environ.get("KERAS_BACKEND"):
        return named
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((Path(home) / "keras.json").read_text(encoding="utf-8"))["backend"])
    return "tensorflow"


def _processor() -> str:
    """Return the processor's name."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _ask(*command: str) -> str | None:
    """Return what a program prints, None if it is not there or fails."""
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip() or None
    return None

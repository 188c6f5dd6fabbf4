"""Provenance: the data, code and machine that a run's notebooks were executed with."""

import csv
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tomllib
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib import metadata
from pathlib import Path

from helpers.storage.errors import CovidLungsError
from helpers.storage.files import write_whole
from helpers.storage.folders import shown
from helpers.storage.layout import CHAIN, PROVENANCE, trained_part
from helpers.train.recipes import find_recipe

PACKAGE = "covid-lungs"
ROOT = Path(__file__).resolve().parents[2]  # a checkout has pyproject.toml here
CHANGES = ("epochs", "batch_size", "image_size")
GIBIBYTE = 2**30


def record(run_folder: Path, notebook: str, seconds: float, parameters: dict[str, object]) -> Path:
    """Add how a notebook was executed to `provenance.json`, and return that file's path.

    Notebooks of one run may have been executed on several machines, as in Colab: each names its
    own among `environments`. Neither paths nor the names of users and computers are kept.

    Args:
        run_folder: of the run, with `index.csv`.
        notebook: its name without ending, such as `03_detect_covid`.
        seconds: how long it took.
        parameters: what it was given, and its own defaults.

    Raises:
        CovidLungsError: the file is there but cannot be read.
    """
    path = run_folder / PROVENANCE
    entries, environments = _read(path)
    started = datetime.now(UTC) - timedelta(seconds=seconds)
    entries[notebook] = {
        "started": started.isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "recipe": parameters.get("recipe"),
        "seed": parameters.get("seed"),
        "parameters": _without_paths(parameters),
        "settings": _settings(notebook, parameters),
    }
    environments[notebook] = describe_environment()
    different: list[dict] = []
    for name in sorted(entries):
        if environments[name] not in different:
            different.append(environments[name])
        entries[name] |= {"environment": different.index(environments[name])}
    content = {
        "data": describe_data(run_folder),
        "notebooks": dict(sorted(entries.items())),
        "environments": different,
    }
    return write_whole(path, json.dumps(content, indent=2) + "\n")


def _read(path: Path) -> tuple[dict[str, dict], dict[str, dict]]:
    """Return each notebook's entry in `provenance.json`, and its environment."""
    if not path.is_file():
        return {}, {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        entries, environments = content["notebooks"], content["environments"]
        return entries, {name: environments[entries[name]["environment"]] for name in entries}
    except (ValueError, LookupError, TypeError) as error:
        raise CovidLungsError(
            f"{shown(path)} is damaged: remove it. What it said of earlier notebooks is lost, "
            "their results are not."
        ) from error


def _without_paths(parameters: dict[str, object]) -> dict[str, object]:
    """Return the parameters less `run`, of paths the last part only."""
    return {
        name: re.split(r"[/\\]", value.rstrip("/\\"))[-1] if isinstance(value, str) else value
        for name, value in sorted(parameters.items())
        if name != "run"
    }


def _settings(notebook: str, parameters: dict[str, object]) -> dict[str, object] | None:
    """Return the numbers that a notebook trained by, None if it trains nothing."""
    part = trained_part(notebook)
    if part is None or not parameters.get("recipe"):
        return None
    settings = getattr(find_recipe(str(parameters["recipe"])), part)
    return asdict(settings.override(**{name: parameters.get(name) for name in CHANGES}))


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
    return {
        "code": _code_version(),
        "python": platform.python_version(),
        "system": platform.system(),
        "keras_backend": _backend(),
        "packages": {name: _version(name) for name in _dependencies()},
        "hardware": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_gib": _memory(),
            "gpu": _gpu(),
        },
    }


def describe_machine() -> str:
    """Return a machine's processor, memory and GPU in a line, for a reader."""
    memory, gpu = _memory(), _gpu()
    parts = [f"{os.cpu_count()} cores of {_processor() or 'an unknown processor'}"]
    parts += [f"{memory} GiB of memory"] if memory else []
    return ", ".join([*parts, f"GPU: {gpu}" if gpu else "no GPU"])


def _code_version() -> str:
    """Return the package's version, and in a checkout its commit and whether it was modified."""
    version = _version(PACKAGE) or "unknown version"
    described = "describe", "--tags", "--always", "--abbrev=12", "--dirty=, modified"
    commit = _ask("git", "-C", str(ROOT), *described) if (ROOT / ".git").exists() else None
    return f"{version} ({commit})" if commit else version


def _dependencies() -> list[str]:
    """Return the names of the packages that the project needs."""
    if (ROOT / "pyproject.toml").is_file():
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        needed = project["dependencies"]
    else:
        needed = metadata.requires(PACKAGE) or []
    return sorted(re.match(r"[\w.-]+", text)[0] for text in needed)


def _version(name: str) -> str | None:
    """Return the installed version of a package, None if it is not installed."""
    with suppress(metadata.PackageNotFoundError):
        return metadata.version(name)
    return None


def _backend() -> str:
    """Return the backend that Keras takes: by its variable, its file, or its own default."""
    if named := os.environ.get("KERAS_BACKEND"):
        return named
    home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
    with suppress(OSError, ValueError, KeyError, TypeError):
        return str(json.loads((Path(home) / "keras.json").read_text(encoding="utf-8"))["backend"])
    return "tensorflow"


def _processor() -> str | None:
    """Return the processor's name."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or None


def _memory() -> float | None:
    """Return the machine's memory in GiB."""
    with suppress(AttributeError, OSError, ValueError):  # not every system has both names
        return round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIBIBYTE, 1)
    return None


def _gpu() -> str | None:
    """Return the names of NVIDIA's GPUs, None without one."""
    found = _ask("nvidia-smi", "--query-gpu=name", "--format=csv,noheader")
    return ", ".join(found.splitlines()) if found else None


def _ask(program: str, *arguments: str) -> str | None:
    """Return what a program prints, None if it is not there or fails."""
    path = shutil.which(program)
    if path is None:
        return None
    with suppress(OSError, subprocess.SubprocessError):
        answer = subprocess.run(
            [path, *arguments], capture_output=True, text=True, timeout=20, check=True
        )
        return answer.stdout.strip() or None
    return None

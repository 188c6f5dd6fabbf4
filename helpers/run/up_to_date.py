"""Freshness: whether what a notebook made, or the report, is still what it would make now."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from helpers.audit.examination import describe_files
from helpers.data.images import read_xray
from helpers.data.sources import find_path
from helpers.report.provenance import STATE, read_state
from helpers.run.notebooks import read_code, read_parameters
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import remove, write_whole
from helpers.storage.folders import SEGMENTER, TRAINING_RECORD, TRAINING_STATE, shown
from helpers.storage.versions import PACKAGE, code_version, used_helpers, used_libraries

# Parameters that name what a notebook reads outside the run folder.
SOURCES = ("data", "groups", "external")
# Files of the run folder that each notebook reads.
READS = {
    "02": ("index.csv",),
    "03": ("index.csv", "split.csv"),
    "04": ("index.csv", "split.csv"),
    "05": (
        "index.csv",
        "split.csv",
        SEGMENTER,
        *(f"detection/{name}" for name in ("model.keras", "predictions.csv", "metrics.json")),
    ),
    "06": ("index.csv", "split.csv"),
}
# Files of the run folder that each notebook makes, besides its figures and itself.
MAKES = {
    "01": ("index.csv", "audit.json"),
    "02": ("split.csv",),
    "03": tuple(
        f"detection/{name}"
        for name in ("model.keras", "history.csv", "predictions.csv", "metrics.json")
    ),
    "04": (SEGMENTER, "segmentation/history.csv", "segmentation/likeness.npz"),
    "05": (
        "segmentation/scores.csv",
        "segmentation/metrics.json",
        *(f"external/{name}" for name in ("predictions.csv", "scores.csv", "metrics.json")),
    ),
    "06": tuple(
        f"shortcuts/{pattern}"
        for pattern in ("*.*", "*/model.keras", "*/history.csv", "lungs/*/model.keras")
    ),
}

REPORT = Path("report.html")  # in the run folder
REPORT_READS = (
    "audit.json",
    "split.csv",
    "provenance.json",
    "*/metrics.json",
    "shortcuts/verdict.json",
    "figures/*.png",
    "notebooks/*.ipynb",
)
REPORT_MAKES = (REPORT.name, "notebooks/*.html")


def describe_sources(parameters: dict[str, object]) -> dict[str, str]:
    """Return, for each parameter that names a source, what changes with its content.

    The code that draws the demo is among the helpers of every notebook, and what Kaggle's client
    has fetched stays as it is.

    Raises:
        CovidLungsError: a source cannot be read.
    """
    given = {name: parameters[name] for name in SOURCES if parameters.get(name)}
    return {name: _describe_source(str(source)) for name, source in given.items()}


def _describe_source(source: str) -> str:
    """Return what changes with a folder's files, an archive, or another file."""
    if source in ("demo", "kaggle"):
        return source
    path = find_path(source)
    if path.is_dir():
        lines = "".join(sorted(describe_files(path)))
        return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()
    if path.suffix.lower() == ".zip":  # as large as a disk; its X-rays are kept under the same two
        return f"{path.stat().st_size} {path.stat().st_mtime_ns}"
    return _digest(path)


def describe_inputs(
    notebook: Path, run_folder: Path, parameters: dict[str, object], sources: dict[str, str]
) -> dict[str, object]:
    """Return what a notebook's results follow from, by name: values, and digests of files.

    Where it decodes X-rays into an index, the versions of the libraries that decode them are among
    that. Others read the index, and follow from it: equal pixels need no new training.

    Args:
        notebook: its file.
        run_folder: where it reads and writes.
        parameters: what it is given.
        sources: as `describe_sources` returns them.
    """
    known = read_parameters(notebook)
    values = {name: known[name].default for name in known} | parameters
    code = "\n".join(read_code(notebook))
    inputs = {f"parameter {name}": value for name, value in values.items() if name != "run"}
    inputs |= {f"content of {name}": sources[name] for name in known if name in sources}
    inputs["code"] = hashlib.sha256(code.encode()).hexdigest()
    inputs |= {
        path.relative_to(PACKAGE.parent).as_posix(): _digest(path) for path in used_helpers(code)
    }
    if notebook.name[:2] == "01" or "external" in known.keys() & sources.keys():
        decoding = used_libraries(f"import {read_xray.__module__}")
        inputs |= {f"version of {name}": version for name, version in decoding.items()}
    return inputs | {name: _digest(run_folder / name) for name in READS.get(notebook.name[:2], ())}


def describe_report(run_folder: Path) -> dict[str, object]:
    """Return what the report follows from, as `describe_inputs` does for a notebook."""
    templates = [path for path in PACKAGE.rglob("*") if path.suffix in (".html", ".css")]
    read = [path for pattern in REPORT_READS for path in run_folder.glob(pattern)]
    return {
        "code": code_version("helpers.report.report"),  # not imported here: that takes a second
        **{path.relative_to(PACKAGE).as_posix(): _digest(path) for path in templates},
        **{path.relative_to(run_folder).as_posix(): _digest(path) for path in read},
    }


def why_stale(notebook: Path, run_folder: Path, inputs: dict[str, object]) -> str | None:
    """Return why a notebook must be run again, in a few words; None if it is up to date.

    Args:
        notebook: its file, or REPORT.
        run_folder: where it reads and writes.
        inputs: as `describe_inputs` returns them now.
    """
    kept = read_state(run_folder).get(notebook.stem)
    if kept is None:
        return "no result of it is here yet"
    used, made = kept["inputs"], kept["made"]
    changed = [name for name in sorted(used | inputs) if used.get(name) != inputs.get(name)]
    if changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        return f"changed: {', '.join(changed[:3])}{more}"
    for name, digest in made.items():
        found = _digest(run_folder / name)
        if found != digest:
            return f"{name} {'is missing' if found is None else 'was changed since'}"
    return None


def record(notebook: Path, run_folder: Path, inputs: dict[str, object]) -> None:
    """Keep what a notebook that has finished used, and what it made, for the next run.

    Args:
        notebook: its file.
        run_folder: where it read and wrote.
        inputs: as `describe_inputs` returned them before it ran.
    """
    number = notebook.name[:2]
    patterns = (*MAKES.get(number, ()), f"figures/{number}_*.png", f"notebooks/{notebook.name}")
    _keep(notebook, run_folder, inputs, patterns)


def record_report(run_folder: Path, inputs: dict[str, object]) -> None:
    """Keep what the report was made from, as `describe_report` gave it before, and its pages."""
    _keep(REPORT, run_folder, inputs, REPORT_MAKES)


def _keep(path: Path, run_folder: Path, inputs: dict[str, object], patterns: Iterable[str]) -> None:
    """Keep under a file's name what was used, and the digests of what was made."""
    made = {file for pattern in patterns for file in run_folder.glob(pattern)}
    state = read_state(run_folder)
    state[path.stem] = {
        "inputs": inputs,
        "made": {file.relative_to(run_folder).as_posix(): _digest(file) for file in sorted(made)},
    }
    _write_state(run_folder, state)


def forget(notebooks: list[Path], run_folder: Path) -> None:
    """Let notebooks count as never run."""
    stems = {notebook.stem for notebook in notebooks}
    state = read_state(run_folder)
    _write_state(run_folder, {stem: kept for stem, kept in state.items() if stem not in stems})


def forget_trainings(folder: Path) -> None:
    """Let every training below a folder begin anew; finished networks stay until then.

    Raises:
        CovidLungsError: what tells of a training cannot be removed.
    """
    remove(*folder.rglob(TRAINING_RECORD), *folder.rglob(TRAINING_STATE))


def _write_state(run_folder: Path, state: dict[str, dict]) -> None:
    """Write what is known of each notebook, whole or not at all."""
    write_whole(run_folder / STATE, json.dumps(state, indent=1) + "\n")


def _digest(path: Path) -> str | None:
    """Return what changes with a file's content; None if there is no such file."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CovidLungsError(
            f"{shown(path)}: cannot be read ({error.strerror}). Mend its permissions, or reconnect "
            "the drive that it is on."
        ) from error

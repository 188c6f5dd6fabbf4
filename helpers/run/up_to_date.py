"""Up to date: whether what a notebook or the report made is still what it would make now.

A notebook runs again when its parameters, its code, a file that it read or made, or the code of a
package that it imports or of one before that has changed. Its training need not: that is recalled
by what the training itself depends on.
"""

import hashlib
import json
from pathlib import Path

from helpers.data.listing import describe_files
from helpers.data.sources import find_path
from helpers.report.provenance import read_state
from helpers.run.notebooks import read_code, read_parameters
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import remove, write_whole
from helpers.storage.folders import shown
from helpers.storage.layout import CHAIN, RECORD, STATE, find_step, list_files, trained_part
from helpers.storage.versions import library_versions, package_versions

SOURCES = ("data", "groups", "external")  # parameters that name files outside the run folder


def describe_sources(parameters: dict[str, object]) -> dict[str, str]:
    """Return, for each parameter that names a source, what changes with its content."""
    given = {name: parameters[name] for name in SOURCES if parameters.get(name)}
    return {name: _describe_source(str(source)) for name, source in given.items()}


def _describe_source(source: str) -> str:
    """Return what changes with a folder's files, an archive, or another file."""
    if source in ("demo", "kaggle"):  # the code of the helpers draws one, the other never changes
        return source
    path = find_path(source)
    if path.is_dir():
        lines = "".join(sorted(describe_files(path)))
        return hashlib.sha256(lines.encode(errors="surrogateescape")).hexdigest()
    if path.suffix.lower() == ".zip":  # too large to read each time
        return f"{path.stat().st_size} {path.stat().st_mtime_ns}"
    return _digest(path)


def describe_inputs(
    notebook: Path, run_folder: Path, parameters: dict[str, object], sources: dict[str, str]
) -> dict[str, object]:
    """Return what a notebook's results depend on, by name: values, versions, digests of files.

    The libraries that decode X-rays count only where X-rays are first decoded. Later notebooks
    depend on the pixels recorded in index.csv: equal pixels need no new training. `parameters` are
    what the notebook is given, `sources` as `describe_sources` returns them.
    """
    known = read_parameters(notebook)
    values = {name: known[name].default for name in known} | parameters
    code = "\n".join(read_code(notebook))
    inputs = {f"parameter {name}": value for name, value in values.items() if name != "run"}
    inputs |= {f"content of {name}": sources[name] for name in known if name in sources}
    inputs["code"] = hashlib.sha256(code.encode()).hexdigest()
    inputs |= package_versions(code)
    if notebook.name.startswith("01") or "external" in known.keys() & sources.keys():
        inputs |= {f"version of {name}": text for name, text in library_versions().items()}
    reads = find_step(notebook.stem).reads
    return inputs | {name: _digest(run_folder / name) for name in reads}


def describe_report(run_folder: Path) -> dict[str, object]:
    """Return what the report depends on, as `describe_inputs` does for a notebook."""
    reads = find_step("report").reads
    return package_versions("helpers.report") | _digest_all(run_folder, reads)


def why_stale(name: str, run_folder: Path, inputs: dict[str, object]) -> str | None:
    """Return why a notebook or the report must be made again, in a few words; None if not.

    `name` is that of the notebook, without ending, or "report".
    """
    kept = read_state(run_folder).get(name)
    if kept is None:
        return "no result of it is here yet"
    used = kept["inputs"]
    changed = [key for key in sorted(used | inputs) if used.get(key) != inputs.get(key)]
    if changed:
        return f"changed: {', '.join(changed[:3])}" + ", …" * (len(changed) > 3)
    for file, digest in kept["made"].items():
        found = _digest(run_folder / file)
        if found != digest:
            return f"{file} {'is missing' if found is None else 'was changed since'}"
    return None


def record(name: str, run_folder: Path, inputs: dict[str, object]) -> None:
    """Keep what a notebook or the report was made from, and what it made, for the next run."""
    made = _digest_all(run_folder, list_files(find_step(name)))
    _write_state(run_folder, read_state(run_folder) | {name: {"inputs": inputs, "made": made}})


def forget(names: list[str], run_folder: Path) -> None:
    """Let notebooks count as never run, and let each of their trainings begin anew.

    Finished networks stay until then.
    """
    for name in names:
        if part := trained_part(name):
            forget_trainings(run_folder / part)
    state = read_state(run_folder)
    _write_state(run_folder, {name: kept for name, kept in state.items() if name not in names})


def forget_trainings(folder: Path) -> None:
    """Let every training below a folder begin anew."""
    remove(*folder.rglob(RECORD), *folder.rglob(STATE))


def _write_state(run_folder: Path, state: dict[str, dict]) -> None:
    """Write what is known of each notebook, whole or not at all."""
    write_whole(run_folder / CHAIN, json.dumps(state, indent=1) + "\n")


def _digest_all(run_folder: Path, patterns: list[str]) -> dict[str, str]:
    """Return the digests of the files that fit a pattern, by their path below the run folder."""
    files = {path for pattern in patterns for path in run_folder.glob(pattern)}
    return {path.relative_to(run_folder).as_posix(): _digest(path) for path in sorted(files)}


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

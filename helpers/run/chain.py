"""The chain: the notebooks in order, each brought up to date in one run folder."""

import ast
import time
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from helpers.audit.examination import check_allowed
from helpers.data.layouts import INFECTION, MASKS, POSITIVE_CLASS
from helpers.data.sources import find_data, find_path
from helpers.report import provenance
from helpers.run import up_to_date
from helpers.run.notebooks import Parameter, find_notebooks, read_parameters
from helpers.split.index import build_index, has_infection, has_masks
from helpers.split.splits import check_way, refuse_unpublished
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import clear_partial
from helpers.storage.folders import cache_root, find_run
from helpers.storage.layout import find_step, trained_part
from helpers.storage.locks import hold_run
from helpers.train.devices import check_devices, count_devices, refuse_batch_size
from helpers.train.recipes import Recipe, find_recipe

# Options of the command itself, which are no parameters for `-p`.
OPTIONS = ("data", "run", "recipe", "groups", "split", "external", "allow")
TYPES = {"int": [int], "float": [int, float], "bool": [bool]}
LARGEST_SEED = 2**31 - 1
LONGEST_TIMEOUT = 999_999  # seconds, eleven days


@dataclass(frozen=True)
class Request:
    """What a run is asked for: the options of `covid-lungs run`, which its --help explains.

    Attributes:
        given: parameters of the notebooks, as text.
        only: two-digit numbers of the notebooks to run; empty runs all.
        start: the first number to run (`--from`).
        allow: names of findings, separated by commas.
        timeout: seconds that a cell may take, or None for no limit.
    """

    data: str = "demo"
    recipe: str = "demo"
    run: str | None = None
    given: dict[str, str] = field(default_factory=dict)
    only: list[str] = field(default_factory=list)
    start: str | None = None
    groups: str | None = None
    split: str = "drawn"
    external: str | None = None
    allow: str = ""
    force: bool = False
    timeout: int | None = None


def run_chain(request: Request) -> Path:
    """Bring the notebooks up to date, in order, and return the run folder.

    Input is checked before anything runs, so that no night is lost to a typing error. A notebook
    runs only if what it used or made has changed.

    Raises:
        CovidLungsError: bad input, or a cell of a notebook failed.
    """
    notebooks = find_notebooks(request.only, request.start)
    parameters = _check(request, notebooks)
    folder = find_run(request.run, parameters["data"], request.recipe)
    parameters["run"] = str(folder)
    sources = up_to_date.describe_sources(parameters)
    clear_partial(cache_root())
    with hold_run(folder):
        if request.force:
            up_to_date.forget([notebook.stem for notebook in notebooks], folder)
        for notebook in notebooks:
            if missing := _find_missing(notebook, folder):
                print(f"{notebook.stem}: skipped, since it needs {missing}.", flush=True)
            else:
                _bring_up_to_date(notebook, folder, parameters, sources, request.timeout)
        _report(folder)
    return folder


def _bring_up_to_date(
    notebook: Path,
    folder: Path,
    parameters: dict[str, object],
    sources: dict[str, str],
    timeout: int | None,
) -> None:
    """Run a notebook if what it used or made has changed."""
    known = read_parameters(notebook)
    declared = {name: parameter.default for name, parameter in known.items()}
    own = {name: value for name, value in parameters.items() if name in known}
    inputs = up_to_date.describe_inputs(notebook, folder, own, sources)
    reason = up_to_date.why_stale(notebook.stem, folder, inputs)
    if reason is None:
        print(f"{notebook.stem}: up to date, not run again (--force runs it anyway)", flush=True)
        return
    from helpers.run.papermill_runner import execute  # here, since it takes a second to import

    print(f"{notebook.stem}: runs ({reason})", flush=True)
    begun = time.monotonic()
    execute(notebook, folder / "notebooks" / notebook.name, own, timeout)
    seconds = time.monotonic() - begun
    provenance.record(folder, notebook.stem, seconds, declared | own)
    up_to_date.record(notebook.stem, folder, inputs)
    print(f"{notebook.stem}: finished in {seconds:.0f} s", flush=True)


def _report(folder: Path) -> None:
    """Write the report if what it shows, its templates or its code have changed since."""
    inputs = up_to_date.describe_report(folder)
    if up_to_date.why_stale("report", folder, inputs):
        from helpers.report.report import write_report  # here, since it takes a second to import

        write_report(folder)
        up_to_date.record("report", folder, inputs)


def _check(request: Request, notebooks: list[Path]) -> dict[str, object]:
    """Return the parameters of all notebooks but `run`, after a check of each."""
    check_allowed(request.allow)
    check_way(request.split)
    if request.timeout is not None and not 1 <= request.timeout <= LONGEST_TIMEOUT:
        raise CovidLungsError(
            f"--timeout {request.timeout}: give seconds from 1 to {LONGEST_TIMEOUT}."
        )
    recipe, groups, devices = find_recipe(request.recipe), request.groups, count_devices()
    data, external = _find(request.data, "data"), _find(request.external, "external")
    if groups is not None:
        groups = str(find_path(groups, "groups", "Give a .csv with the columns file and group."))
    parameters = check_parameters(notebooks, request.given)
    changes = {name: parameters.get(name) for name in ("epochs", "batch_size", "image_size")}
    _refuse_settings(notebooks, recipe, changes, data, devices)
    check_devices(devices)
    if request.split == "published":
        refuse_unpublished(place.split for place in find_data(data).list_files().places)
    if external is not None and any(notebook.name.startswith("05") for notebook in notebooks):
        build_index(find_data(external), request.allow)  # kept: notebook 05 need not do it again
    shared = {"data": data, "recipe": request.recipe, "groups": groups, "external": external}
    return parameters | shared | {"split": request.split, "allow": request.allow}


def _refuse_settings(
    notebooks: list[Path], recipe: Recipe, changes: dict[str, object], data: str, devices: int
) -> None:
    """Stop if a network that is to be trained cannot take changes of its settings."""
    for notebook in notebooks:
        if not (part := trained_part(notebook.name)):
            continue
        try:
            settings = getattr(recipe, part).override(**changes)
            refuse_batch_size(settings.batch_size, devices)
        except CovidLungsError:
            if not _lacks(data, notebook):  # else it is skipped, and any size will do
                raise


def _lacks(data: str, notebook: Path) -> bool:
    """Return whether a data set surely lacks what a notebook needs."""
    listing = find_data(data).list_files()
    parts, classes = {place.part for place in listing.places}, set(listing.spellings)
    return bool(_name_missing(notebook, MASKS in parts, INFECTION in parts, classes))


def _find(source: str | None, name: str) -> str | None:
    """Return a data set's source, a path made absolute."""
    return source if source in ("demo", "kaggle", None) else str(find_path(source, name))


def check_parameters(notebooks: list[Path], given: dict[str, str]) -> dict[str, object]:
    """Return the parameters as Python values, after a check against the notebooks' own.

    papermill itself only warns about a name that it does not know, and goes on without it.

    Raises:
        CovidLungsError: a name that no notebook has, or a value of another type.
    """
    known: dict[str, Parameter] = {}
    for path in notebooks:
        known |= read_parameters(path)
    values = {}
    for name, text in given.items():
        if name in OPTIONS:
            raise CovidLungsError(f"parameter {name!r}: give it as --{name} {text}, without -p.")
        if name not in known:
            others = ", ".join(name for name in known if name not in OPTIONS)
            raise CovidLungsError(f"parameter {name!r} is unknown: choose from {others}.")
        values[name] = _parse(name, text, known[name])
    return values


def _parse(name: str, text: str, declared: Parameter) -> object:
    """Return the value of a parameter's text, which must be of the type the notebook declares."""
    kind = declared.type_name
    if kind == "str":
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        value = text
    if value is None and declared.default is None:
        return value
    if type(value) not in TYPES[kind]:
        raise CovidLungsError(f"parameter {name} = {text!r}: give a value of type {kind}.")
    if name == "seed" and not 0 <= value <= LARGEST_SEED:
        raise CovidLungsError(f"parameter seed = {text}: give a number from 0 to {LARGEST_SEED}.")
    return value


def _find_missing(notebook: Path, run_folder: Path) -> str | None:
    """Return what a notebook needs that the run's X-rays lack; None where that is not known."""
    index = run_folder / "index.csv"
    if not index.is_file():
        return None
    columns = ["class", "mask", "infection_mask"]
    table = pd.read_csv(index, dtype=str, keep_default_na=False)
    table = table.reindex(columns=columns, fill_value="")  # earlier versions had fewer
    return _name_missing(notebook, has_masks(table), has_infection(table), set(table["class"]))


def _name_missing(notebook: Path, masks: bool, infection: bool, classes: set[str]) -> str | None:
    """Return what a notebook needs that X-rays with these masks and classes lack."""
    needs = find_step(notebook.name).needs
    if "masks" in needs and not masks:
        return "lung masks, which these X-rays do not have"
    if "infection masks" in needs and not infection:
        return "infection masks, which these X-rays do not have"
    if "COVID" in needs and not (POSITIVE_CLASS in classes and len(classes) > 1):
        return f"the class {POSITIVE_CLASS} and another"
    return None

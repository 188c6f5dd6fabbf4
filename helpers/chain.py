"""The chain: the notebooks in order, executed by papermill into a run folder."""

import ast
import subprocess
from pathlib import Path

import pandas as pd
import papermill
from jupyter_client import AsyncKernelManager
from nbclient.exceptions import DeadKernelError
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

from helpers.audit import check_allowed
from helpers.data_sets import POSITIVE_CLASS, find_path
from helpers.errors import CovidLungsError
from helpers.folders import find_run, project_root, shown
from helpers.recipes import Recipe, find_recipe

SHARED_PARAMETERS = ("data", "run", "recipe", "seed")
OPTIONS = ("data", "run", "recipe", "groups", "allow")  # options of the command itself
TYPES = {"int": int, "float": (int, float), "str": str, "bool": bool}
DETECTION_NOTEBOOK, SEGMENTATION_NOTEBOOK, SHORTCUTS_NOTEBOOK = "03", "04", "06"
LARGEST_SEED = 2**31 - 1


class QuietKernelManager(AsyncKernelManager):
    """Starts kernels that write nothing on the terminal: the executed notebook has it all."""

    async def start_kernel(self, **options: object) -> None:
        """Start a kernel with its own standard error dropped, so that progress bars stay whole."""
        await super().start_kernel(stderr=subprocess.DEVNULL, **options)


def find_notebooks(only: list[str], start: str | None) -> list[Path]:
    """Return the notebooks of the chain in order, from 01 to 06.

    Args:
        only: two-digit numbers to keep; empty keeps all.
        start: the first number to run, or None.

    Raises:
        CovidLungsError: a number that no notebook has, or no notebooks at all.
    """
    notebooks = {path.name[:2]: path for path in sorted(_folder().glob("0[1-6]_*.ipynb"))}
    if not notebooks:
        raise CovidLungsError(f"{_folder()} holds no notebooks 01 to 06: restore them with git.")
    for number in [*only, *([start] if start else [])]:
        if number not in notebooks:
            raise CovidLungsError(f"notebook {number!r}: choose one of {', '.join(notebooks)}.")
    chosen = [number for number in notebooks if not only or number in only]
    chosen = [number for number in chosen if start is None or number >= start]
    if not chosen:
        raise CovidLungsError(
            f"no notebook is left to run: --only {' --only '.join(only)} comes before "
            f"--from {start}. Leave one of them out."
        )
    return [notebooks[number] for number in chosen]


def _folder() -> Path:
    """Return the notebooks' folder, which a checkout has and an installed package does not."""
    folder = project_root() / "notebooks"
    if not folder.is_dir():
        raise CovidLungsError(
            f"{folder} not found: run this command inside a clone of the project."
        )
    return folder


def check_parameters(notebooks: list[Path], given: dict[str, str]) -> dict[str, object]:
    """Return the parameters as Python values, after a check against the notebooks' own.

    papermill itself only warns about a name that it does not know, and goes on without it.

    Raises:
        CovidLungsError: a name that no notebook has, or a value of another type.
    """
    known: dict[str, dict] = {}
    for path in notebooks:
        known |= papermill.inspect_notebook(path)
    values = {}
    for name, text in given.items():
        if name in OPTIONS:
            raise CovidLungsError(f"parameter {name!r}: give it as --{name} {text}, without -p.")
        if name not in known:
            allowed = ", ".join(name for name in known if name not in SHARED_PARAMETERS)
            raise CovidLungsError(
                f"parameter {name!r} is unknown. Besides {', '.join(SHARED_PARAMETERS)} "
                f"these notebooks have: {allowed or 'none'}."
            )
        values[name] = _parse(name, text, known[name])
    return values


def _parse(name: str, text: str, declared: dict) -> object:
    """Return the value of a parameter's text, which must be of the type the notebook declares."""
    type_name, default = declared["inferred_type_name"], declared["default"]
    if type_name == "str":
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError):
        value = text
    if value is None and default == "None":
        return value
    if not isinstance(value, TYPES[type_name]) or isinstance(value, bool) != (type_name == "bool"):
        raise CovidLungsError(f"parameter {name} = {text!r}: give a value of type {type_name}.")
    if name == "seed" and not 0 <= value <= LARGEST_SEED:
        raise CovidLungsError(
            f"parameter seed = {text}: give a whole number from 0 to {LARGEST_SEED}."
        )
    return value


def run_chain(
    data: str,
    recipe: str,
    run: str | None,
    given: dict[str, str],
    only: list[str],
    start: str | None,
    groups: str | None = None,
    allow: str = "",
) -> Path:
    """Run the notebooks in order and return the run folder.

    Everything that can be checked beforehand is, so that no night is lost to a typing error.

    Args:
        data: the data set's source.
        recipe: the recipe's name.
        run: the run's name or folder, or None for the default.
        given: parameters of the notebooks, as text.
        only: two-digit numbers of the notebooks to run; empty runs all.
        start: the first number to run, or None.
        groups: the path of a groups file, or None.
        allow: findings of the audit that shall not stop the run, separated by commas.

    Raises:
        CovidLungsError: bad input, or a cell of a notebook failed.
    """
    notebooks = find_notebooks(only, start)
    chosen = find_recipe(recipe)
    if data not in ("demo", "kaggle"):
        data = str(find_path(data))
    if groups is not None:
        groups = str(find_path(groups, "groups", "Give a .csv with the columns file and group."))
    check_allowed(allow)
    parameters = check_parameters(notebooks, given)
    _check_settings(chosen, notebooks, parameters)
    folder = find_run(run, data, recipe)
    shared = {"data": data, "run": str(folder), "recipe": recipe}
    shared |= {"groups": groups, "allow": allow}
    for notebook in tqdm(notebooks, desc=f"run {folder.name}", unit="notebook", disable=None):
        needs_covid = notebook.name[:2] in (DETECTION_NOTEBOOK, SHORTCUTS_NOTEBOOK)
        if needs_covid and not _has_detection(folder):
            tqdm.write(f"{notebook.stem}: skipped, since it needs the class COVID and another.")
            continue
        _execute(notebook, folder, {**parameters, **shared})
    return folder


def _check_settings(recipe: Recipe, notebooks: list[Path], parameters: dict) -> None:
    """Let the settings of the networks to be trained refuse what does not fit them."""
    numbers = [notebook.name[:2] for notebook in notebooks]
    changes = {name: parameters.get(name) for name in ("epochs", "batch_size", "image_size")}
    if DETECTION_NOTEBOOK in numbers:
        recipe.detection.override(**changes)
    if SEGMENTATION_NOTEBOOK in numbers:
        recipe.segmentation.override(**changes)
    if SHORTCUTS_NOTEBOOK in numbers:
        recipe.shortcuts.override(**changes)


def _has_detection(run_folder: Path) -> bool:
    """Return whether the run's X-rays can train a detector; yes where that is not known yet."""
    index = run_folder / "index.csv"
    if not index.is_file():
        return True
    classes = set(pd.read_csv(index, usecols=["class"], dtype=str, keep_default_na=False)["class"])
    return POSITIVE_CLASS in classes and len(classes) > 1


def _execute(notebook: Path, run_folder: Path, parameters: dict[str, object]) -> None:
    """Execute one notebook into the run folder, with the parameters that it has."""
    known = papermill.inspect_notebook(notebook)
    output = run_folder / "notebooks" / notebook.name
    try:
        papermill.execute_notebook(
            notebook,
            output,
            parameters={name: value for name, value in parameters.items() if name in known},
            cwd=notebook.parent,
            kernel_name="python3",
            kernel_manager_class=QuietKernelManager,
            progress_bar={"desc": notebook.stem, "leave": False, "disable": None},
        )
    except PapermillExecutionError as error:
        raise CovidLungsError(
            f"{notebook.stem} stopped: {error.ename}: {error.evalue}\n"
            f"The executed notebook is {shown(output)}."
        ) from error
    except DeadKernelError as error:
        raise CovidLungsError(
            f"{notebook.stem} stopped: its kernel died, mostly for lack of memory. "
            "Try a smaller image_size or batch_size, or close other programs."
        ) from error

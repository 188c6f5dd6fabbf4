"""Notebooks: the files of the chain, their code, and the parameters that they declare."""

import ast
import json
from pathlib import Path
from typing import NamedTuple

from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import project_root, shown
from helpers.storage.layout import list_notebooks

INSTALLED = Path(__file__).parents[1] / "series"  # pyproject.toml puts the notebooks here


class Parameter(NamedTuple):
    """A parameter as its notebook declares it, such as `epochs: int = None`."""

    type_name: str
    default: object


def find_notebooks(only: list[str], start: str | None) -> list[Path]:
    """Return the notebooks of the chain in order.

    Args:
        only: two-digit numbers to keep; empty keeps all.
        start: the first number to run, or None.

    Raises:
        CovidLungsError: a number that no notebook has, or none is left.
    """
    numbers = {step.name[:2] for step in list_notebooks()}
    paths = sorted(_folder().glob("*.ipynb"))
    notebooks = {path.name[:2]: path for path in paths if path.name[:2] in numbers}
    for number in [*only, *([start] if start else [])]:
        if number not in notebooks:
            raise CovidLungsError(f"notebook {number!r}: choose one of {', '.join(notebooks)}.")
    chosen = [n for n in notebooks if n in (only or notebooks) and n >= (start or "")]
    if not chosen:
        raise CovidLungsError("no notebook is left to run: leave out --only or --from.")
    return [notebooks[number] for number in chosen]


def _folder() -> Path:
    """Return the notebooks' folder: an installed package's own, or the checkout's."""
    return INSTALLED if INSTALLED.is_dir() else project_root() / "notebooks"


def read_code(notebook: Path) -> list[str]:
    """Return the source of each code cell of a notebook."""
    return ["".join(cell["source"]) for cell in read_cells(notebook)]


def read_parameters(notebook: Path) -> dict[str, Parameter]:
    """Return the parameters of a notebook: the lines of its cell tagged `parameters`."""
    cells = read_cells(notebook)
    tagged = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", [])]
    lines = ast.parse("".join(tagged[0]["source"])).body if tagged else []
    return {
        line.target.id: Parameter(ast.unparse(line.annotation), ast.literal_eval(line.value))
        for line in lines
        if isinstance(line, ast.AnnAssign)
    }


def count_begun(cells: list[dict]) -> int:
    """Return how many code cells have begun in a notebook that papermill executes."""
    starts = [cell["metadata"].get("papermill", {}).get("start_time") for cell in cells]
    return len([start for start in starts if start])


def read_cells(notebook: Path) -> list[dict]:
    """Return the code cells of a notebook, read as JSON.

    Raises:
        CovidLungsError: the file is no notebook.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CovidLungsError(
            f"{shown(notebook)} is no notebook ({error}): restore it with git."
        ) from error
    return [cell for cell in cells if cell["cell_type"] == "code"]

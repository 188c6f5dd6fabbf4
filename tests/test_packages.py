"""The packages of helpers: nine of them, each importing only from those before it."""

import ast
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

import helpers
from helpers import PACKAGES

ROOT = Path(helpers.__file__).parent
NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
HEAVY = "import sys\nprint(*sorted({'jax', 'keras', 'tensorflow'} & {*sys.modules}))"


def imported_packages(code: str) -> set[str]:
    """Return the packages of helpers that code imports from, inside its functions too."""
    names = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += [f"{node.module}.{alias.name}" for alias in node.names]
    parts = [name.split(".") for name in names]
    return {part[1] for part in parts if part[0] == "helpers"} - {"PACKAGES"}


def wrong_imports(package: str, code: str) -> set[str]:
    """Return what code of a package imports from packages that come after it, or do not exist."""
    allowed = PACKAGES[: PACKAGES.index(package) + 1]
    return imported_packages(code) - {*allowed}


def test_helpers_holds_the_nine_packages_and_little_else():
    found = {path.name for path in ROOT.iterdir()} - {"__pycache__"}
    assert found == {*PACKAGES, "__init__.py", "__main__.py"}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_only_from_those_before_it(package):
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = {path.name: wrong_imports(package, path.read_text(encoding="utf-8")) for path in files}
    assert {name: packages for name, packages in wrong.items() if packages} == {}


@pytest.mark.parametrize(
    "code",
    [
        "from helpers.run import chain",
        "from helpers import run",
        "import helpers.run.chain as c",
        "def late():\n    from helpers.run.chain import run_chain",
    ],
)
def test_an_import_that_runs_the_wrong_way_is_found(code):
    assert wrong_imports("data", code) == {"run"}
    assert wrong_imports("run", code) == set()


def test_every_package_has_its_tests_in_a_folder_of_its_name():
    folders = {path.name for path in Path(__file__).parent.iterdir() if path.is_dir()}
    assert {*PACKAGES} <= folders


@pytest.mark.parametrize("name", ["01_get_data", "02_split_data"])
def test_notebooks_without_networks_wait_for_no_library_of_networks(name):
    cells = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4).cells
    (imports,) = [cell.source for cell in cells if cell.id == f"{name[:2]}-imports"]
    command = [sys.executable, "-c", f"{imports}\n{HEAVY}"]
    ran = subprocess.run(command, cwd=ROOT.parent, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout.strip()) == (0, ""), ran.stderr

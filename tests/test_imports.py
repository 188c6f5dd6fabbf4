import pytest

from helpers import imports
from helpers.imports import used_helpers
from helpers.notebooks import find_notebooks, read_code

PACKAGE = {
    "__init__": "",
    "base": "import os\n",
    "middle": "import numpy\nfrom helpers.base import thing\n",
    "late": "def work():\n    from helpers import middle\n",
    "alone": "",
    "part/__init__": "from helpers.part.inner import draw\n",
    "part/inner": "",
    "part/other": "",
}

LONELY = {"leaks.py": "02", "grad_cam.py": "03", "likeness.py": "04", "scores.py": "05"}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of our own, whose imports are known."""
    folder = tmp_path / "helpers"
    for name, code in PACKAGE.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    monkeypatch.setattr(imports, "PACKAGE", folder)
    imports._imported.cache_clear()
    yield folder
    imports._imported.cache_clear()


def names(package, code: str) -> set[str]:
    return {path.relative_to(package).with_suffix("").as_posix() for path in used_helpers(code)}


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import numpy\nfrom os import path", set()),
        ("from helpers import alone", {"__init__", "alone"}),
        ("import helpers.alone as a", {"__init__", "alone"}),
        ("from helpers.middle import thing", {"__init__", "middle", "base"}),
        ("from helpers import alone, late", {"__init__", "alone", "late", "middle", "base"}),
        ("from helpers import part", {"__init__", "part/__init__", "part/inner"}),
        ("import helpers.part.other", {"__init__", "part/__init__", "part/inner", "part/other"}),
        ("if True:\n    %pip install x\n!ls\nimport helpers.base", {"__init__", "base"}),
    ],
)
def test_the_files_that_code_imports_itself_and_through_others(package, code, expected):
    assert names(package, code) == expected


def test_code_that_cannot_be_parsed_may_use_everything(package):
    assert names(package, "import helpers.base\nhelp?") == set(PACKAGE)


def test_helpers_that_import_each_other_are_no_trap(package):
    (package / "base.py").write_text("from helpers import middle")
    assert names(package, "import helpers.base") == {"__init__", "base", "middle"}


def test_each_notebook_uses_what_draws_the_demo_and_nothing_of_the_chain():
    for notebook in find_notebooks([], None):
        used = {path.stem for path in used_helpers("\n".join(read_code(notebook)))}
        assert {"data_sets", "xrays", "skeleton", "folders"} <= used, notebook.name
        assert not {"chain", "command", "executing", "freshness"} & used, notebook.name


def test_what_only_one_notebook_uses_is_of_no_other():
    used = {
        notebook.name[:2]: {path.name for path in used_helpers("\n".join(read_code(notebook)))}
        for notebook in find_notebooks([], None)
    }
    for helper, number in LONELY.items():
        assert [place for place in used if helper in used[place]] == [number], helper

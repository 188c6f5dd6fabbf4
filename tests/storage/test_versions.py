import pytest

from helpers.run.notebooks import find_notebooks, read_code
from helpers.storage import versions
from helpers.storage.versions import code_version, used_helpers, used_libraries

PACKAGE = {
    "__init__": "",
    "base": "import os\n",
    "middle": "import cv2.gapi\nimport no_such\nfrom helpers.base import thing\n",
    "late": "def work():\n    from helpers import middle\n",
    "alone": "",
    "part/__init__": "from helpers.part.inner import draw\n",
    "part/inner": "",
    "part/other": "",
}

LONELY = {"leaks.py": "02", "grad_cam.py": "03", "novelty.py": "04", "segmentation.py": "05"}


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package of our own, whose imports are known."""
    folder = tmp_path / "helpers"
    for name, code in PACKAGE.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(code)
    monkeypatch.setattr(versions, "PACKAGE", folder)
    return folder


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


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import os, no_such", {}),
        ("import helpers.alone", {}),
        ("from numpy import array\nimport helpers.alone", {"numpy": "2.1"}),
        ("import helpers.late", {"opencv-python": "5.0", "opencv-python-headless": "5.0"}),
    ],
)
def test_the_libraries_that_code_imports_itself_and_through_others(
    package, installed, code, expected
):
    assert used_libraries(code) == expected


@pytest.fixture
def installed(monkeypatch):
    """The versions of what is installed, which a test may change."""
    found = {"opencv-python": "5.0", "opencv-python-headless": "5.0", "numpy": "2.1"}
    providers = {"cv2": ["opencv-python", "opencv-python-headless"], "numpy": ["numpy"]}
    monkeypatch.setattr(versions, "_providers", lambda: providers)
    monkeypatch.setattr(versions.metadata, "version", found.get)
    return found


def test_a_version_is_that_of_the_code_and_of_the_libraries_below_it(package, installed):
    first = code_version("helpers.part", "helpers.late")
    assert code_version("helpers.part", "helpers.late") == first != code_version("helpers.late")
    (package / "alone.py").write_text("changed = True")
    installed["numpy"] = "2.2"
    assert code_version("helpers.part", "helpers.late") == first, "neither is used"
    for change in (
        lambda: (package / "base.py").write_text("changed = True"),
        lambda: (package / "part" / "inner.py").write_text("changed = True"),
        lambda: installed.update({"opencv-python-headless": "5.1"}),
        lambda: (package / "part" / "inner.py").rename(package / "part" / "deep.py"),
    ):
        before = code_version("helpers.part", "helpers.late")
        change()
        assert code_version("helpers.part", "helpers.late") != before


def test_modules_of_others_have_one_version(package, installed):
    assert code_version("__main__") == code_version("os.path", "json")


def test_each_notebook_uses_what_draws_the_demo_and_nothing_of_the_chain():
    for notebook in find_notebooks([], None):
        used = {path.stem for path in used_helpers("\n".join(read_code(notebook)))}
        assert {"sources", "xrays", "anatomy", "folders"} <= used, notebook.name
        assert not {"chain", "command", "papermill_runner", "up_to_date"} & used, notebook.name


def test_what_only_one_notebook_uses_is_of_no_other():
    used = {
        notebook.name[:2]: {path.name for path in used_helpers("\n".join(read_code(notebook)))}
        for notebook in find_notebooks([], None)
    }
    for helper, number in LONELY.items():
        assert [place for place in used if helper in used[place]] == [number], helper

import pytest

from helpers import PACKAGES
from helpers.run.notebooks import find_notebooks, read_code
from helpers.storage import versions
from helpers.storage.versions import code_version, package_versions
from tests.support.builders import upgrade


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The nine packages with one module each, whose code a test may change."""
    for name in PACKAGES:
        (tmp_path / name / "inner").mkdir(parents=True)
        (tmp_path / name / "inner" / "module.py").write_text("LEVEL = 8")
    monkeypatch.setattr(versions, "PACKAGE", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("code", "last"),
    [
        ("import numpy\nfrom os import path", None),
        ("helpers.data.images", "data"),
        ("from helpers.storage import files\nfrom helpers.train.models import build_unet", "train"),
        ("%pip install x\nif True:\n    import helpers.report.plots as p", "report"),
        ("from helpers import audit, storage", "audit"),
        ("from helpers.storage import run", "storage"),
        ("import helpers.training", None),
    ],
)
def test_the_packages_that_code_imports_and_those_before_them(package, code, last):
    expected = PACKAGES[: PACKAGES.index(last) + 1] if last else ()
    assert [*package_versions(code)] == [f"helpers.{name}" for name in expected]


@pytest.mark.parametrize("file", ["module.py", "new.py", "page.html", "page.css", "weights.npz"])
def test_a_package_has_another_version_when_its_code_changes(package, file):
    before = package_versions("import helpers.split")
    (package / "train" / "inner" / file).write_text("LEVEL = 9")
    after = package_versions("import helpers.split")
    assert {name for name in after if after[name] != before[name]} == {"helpers.train"}


def test_text_and_what_python_compiles_are_no_code(package):
    before = package_versions("import helpers.run")
    for name in ("README.md", "module.pyc"):
        (package / "train" / name).touch()
    assert package_versions("import helpers.run") == before


def test_a_name_changes_with_the_code_before_it_and_the_libraries(package, monkeypatch):
    first = code_version("helpers.data.images", "helpers.data.arrays")
    (package / "train" / "inner" / "module.py").write_text("LEVEL = 9")
    assert code_version("helpers.data.images") == first, "train comes after data"
    (package / "storage" / "inner" / "module.py").write_text("LEVEL = 9")
    second = code_version("helpers.data.images")
    assert second != first
    upgrade(monkeypatch, "opencv-python-headless")
    assert code_version("helpers.data.images") not in (first, second)


def test_no_notebook_depends_on_what_runs_it():
    for notebook in find_notebooks([], None):
        used = package_versions("\n".join(read_code(notebook)))
        assert "helpers.evaluate" in used or notebook.name[:2] in ("01", "02"), notebook.name
        assert "helpers.run" not in used, notebook.name

import json
import re
import shutil
from pathlib import Path

import pytest

from maintenance.stamp_address import ROOT, main, read_address, stamp, stamped_files

NOTEBOOKS = sorted((ROOT / "notebooks").rglob("*.ipynb"))
BADGE_PICTURE = "https://colab.research.google.com/assets/colab-badge.svg"
COLAB_LINK = re.compile(r"https://colab\.research\.google\.com/github/[^\s)\"'>]+")
OTHERS = (
    "See https://github.com/someone/chest-xrays and "
    "https://colab.research.google.com/github/someone/lessons/blob/main/lesson.ipynb.\r\n"
)


def badge_targets(path: Path) -> list[str]:
    """Return the Colab links of a notebook's cells that show the badge."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown"]
    return [link for text in sources if BADGE_PICTURE in text for link in COLAB_LINK.findall(text)]


def own_link(path: Path) -> str:
    """Return the address that opens this notebook in Colab."""
    repository = read_address(ROOT).repository
    folder = "notebooks/solutions" if path.parent.name == "solutions" else "notebooks"
    return f"https://colab.research.google.com/github/{repository}/blob/main/{folder}/{path.name}"


def write_notebook(path: Path, text: str) -> Path:
    """Write a notebook with one text cell, in a layout that no serialiser would choose."""
    cell = {"cell_type": "markdown", "metadata": {}, "source": [text]}
    notebook = {"nbformat_minor": 5, "nbformat": 4, "metadata": {}, "cells": [cell]}
    path.write_bytes(json.dumps(notebook, indent=3).replace("\n", "\r\n").encode())
    return path


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Copy the stamped files, and a notebook that has everything, to a folder of their own."""
    for path in [ROOT / "pyproject.toml", *stamped_files(ROOT)]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    address = read_address(ROOT)
    install = f'%pip install "git+https://github.com/{address.repository}@v{address.version}"'
    clone = f"git clone https://github.com/{address.repository}"
    workflow = f"https://github.com/{address.repository}/actions/workflows/ci.yml"
    folder = tmp_path / "notebooks"
    folder.mkdir(exist_ok=True)
    link = own_link(folder / "99_all.ipynb")
    link += f"\nhttps://github.com/{address.repository}/blob/main/notebooks/references.md"
    text = f"{link}\n{install}\n{clone}.\n{clone}.git\n{workflow}\n{OTHERS}"
    write_notebook(folder / "99_all.ipynb", text)
    return tmp_path


def change_pyproject(project: Path, old: str, new: str) -> None:
    path = project / "pyproject.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def contents(project: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in stamped_files(project)}


def test_every_file_has_the_address_of_pyproject(capsys):
    assert main(["--check"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_badge_opens_its_own_notebook(notebook):
    assert badge_targets(notebook) == [own_link(notebook)]


def test_badges_of_the_readme_open_notebooks_that_exist():
    links = COLAB_LINK.findall((ROOT / "README.md").read_text(encoding="utf-8"))
    assert set(links) <= {own_link(path) for path in NOTEBOOKS}


def test_a_notebook_without_badge_has_no_target(tmp_path):
    path = tmp_path / "01_get_data.ipynb"
    assert badge_targets(write_notebook(path, f"# Title\n{own_link(path)}")) == []
    badge = f"[![Open in Colab]({BADGE_PICTURE})]({own_link(path)})"
    assert badge_targets(write_notebook(path, f"# Title\n{badge}")) == [own_link(path)]


def test_another_owner_changes_all_addresses_and_only_these(project):
    before, old = contents(project), read_address(ROOT).repository
    change_pyproject(project, f"github.com/{old}", "github.com/some-one/lungs.x-rays")
    stamp(project)
    new = b"some-one/lungs.x-rays"
    expected = {name: data.replace(old.encode(), new) for name, data in before.items()}
    assert expected["99_all.ipynb"].count(new) == 6
    assert contents(project) == expected


def test_another_version_changes_the_tag_and_the_citation(project):
    version = read_address(ROOT).version
    change_pyproject(project, f'version = "{version}"', 'version = "12.3.4"')
    stamp(project)
    assert b"@v12.3.4" in contents(project)["99_all.ipynb"]
    assert b'\nversion: "12.3.4"\n' in contents(project)["CITATION.cff"]
    assert b"\ncff-version: 1.2.0\n" in b"\n" + contents(project)["CITATION.cff"]


def test_stamping_twice_changes_nothing_more(project):
    change_pyproject(project, read_address(ROOT).repository, "someone/lungs")
    assert stamp(project)
    once = contents(project)
    assert stamp(project) == []
    assert contents(project) == once


def test_check_names_the_files_and_leaves_them(project, capsys):
    before = contents(project)
    change_pyproject(project, read_address(ROOT).repository, "someone/lungs")
    assert main(["--check"], root=project) == 1
    output = capsys.readouterr()
    assert "CITATION.cff: differs" in output.out
    assert "notebooks/99_all.ipynb: differs" in output.out
    assert "uv run python -m maintenance.stamp_address" in output.err
    assert contents(project) == before


def test_an_address_elsewhere_than_github_is_refused(project, capsys):
    change_pyproject(project, "https://github.com/", "https://example.org/")
    assert main([], root=project) == 1
    assert "pyproject.toml: [project.urls] Repository" in capsys.readouterr().err


def test_a_missing_file_is_named(project, capsys):
    (project / "CITATION.cff").unlink()
    assert main([], root=project) == 1
    assert "CITATION.cff not found" in capsys.readouterr().err

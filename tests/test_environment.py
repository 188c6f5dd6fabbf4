import re
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]

COLAB_PYTHON = "3.13"
COLAB_PINS = (ROOT / "tests" / "colab" / "requirements.txt").read_text(encoding="utf-8")
COLAB_VERSIONS = dict(re.findall(r"^([\w-]+)==(\S+)$", COLAB_PINS, re.M))
ONLY_IN_COLAB = {"ipython", "pip"}  # a notebook's, not this project's
NOT_IN_COLAB = {"papermill"}
UNWANTED = {
    "google-colab",  # comes with Colab's runtime only
    "opencv-contrib-python",  # these three replace the headless cv2 with other builds of it
    "opencv-contrib-python-headless",
    "opencv-python",
}

PYPROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
ENVIRONMENT = (ROOT / "environment.yml").read_text(encoding="utf-8")
CONDA_ENTRIES = yaml.safe_load(ENVIRONMENT)["dependencies"]
PIP_ENTRIES = next(entry["pip"] for entry in CONDA_ENTRIES if isinstance(entry, dict))


def by_name(requirements: list[str]) -> dict[str, Requirement]:
    return {Requirement(text).name: Requirement(text) for text in requirements}


def reasons(text: str, entry: str) -> dict[str, str]:
    """Map what `entry` matches first to the comment beside it, which no parser keeps."""
    lines = re.findall(rf"^\s*{entry}(?:\s*#\s*(.*))?$", text, re.M)
    return {name: reason.strip() for name, reason in reversed(lines)}


PROJECT = tomllib.loads(PYPROJECT)
RANGES = by_name(PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"])
PINS = by_name([entry for entry in PIP_ENTRIES if not entry.startswith("-")])


def test_both_files_list_the_same_packages():
    assert sorted(PINS) == sorted(RANGES)


@pytest.mark.parametrize("extra", PROJECT["project"]["optional-dependencies"])
def test_what_is_optional_is_there_for_the_tests(extra):
    for name, wanted in by_name(PROJECT["project"]["optional-dependencies"][extra]).items():
        assert wanted.specifier.contains(str(PINS[name].specifier).removeprefix("=="))


def test_a_run_installs_none_of_the_developers_packages():
    assert PROJECT["tool"]["uv"]["default-groups"] == []


def test_no_package_is_listed_twice():
    assert len(PIP_ENTRIES) == len(set(PIP_ENTRIES)) == len(PINS) + 1


@pytest.mark.parametrize("name", sorted(PINS))
def test_exact_version_lies_in_the_range(name):
    version = re.fullmatch(r"==(\d[\w.]*)", str(PINS[name].specifier))
    assert version, f"environment.yml: {PINS[name]} is no exact version"
    assert RANGES[name].specifier.contains(version[1])


def test_python_lies_in_the_range():
    (python,) = [entry for entry in CONDA_ENTRIES if str(entry).startswith("python=")]
    minor = python.removeprefix("python=")
    assert re.fullmatch(r"3\.\d+", minor)
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(minor)


def test_conda_users_get_the_command():
    assert "-e ." in PIP_ENTRIES


def test_every_package_has_the_same_reason_in_both_files():
    ranges = reasons(PYPROJECT, r'"([\w-]+)[<>=][^"]*",?')
    pins = reasons(ENVIRONMENT, r"- ([\w-]+)==\S+")
    assert pins == {name: ranges[name] for name in RANGES}
    assert all(pins.values()), "a reason is missing"


def test_every_other_entry_of_the_environment_has_a_reason():
    entries = reasons(ENVIRONMENT.partition("dependencies:")[2], r"- (?!pip:)(.*?)")
    assert len(entries) == len(CONDA_ENTRIES) - 1 + len(PIP_ENTRIES)
    assert [entry for entry, reason in entries.items() if not reason] == []


@pytest.mark.parametrize("name", sorted(UNWANTED))
def test_unwanted_package_is_not_listed(name):
    assert name not in RANGES
    assert name not in PINS


@pytest.mark.parametrize("name", sorted(set(COLAB_VERSIONS) - ONLY_IN_COLAB))
def test_colab_keeps_its_own_copy(name):
    assert RANGES[name].specifier.contains(COLAB_VERSIONS[name])


def test_every_dependency_was_looked_up_in_colab():
    dependencies = set(by_name(PROJECT["project"]["dependencies"]))
    assert dependencies == set(COLAB_VERSIONS) - ONLY_IN_COLAB | NOT_IN_COLAB


def test_colab_python_lies_in_the_range():
    assert SpecifierSet(PROJECT["project"]["requires-python"]).contains(COLAB_PYTHON)

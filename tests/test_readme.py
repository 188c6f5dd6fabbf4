"""The texts at the front: short enough, and no link or command that leads nowhere."""

import argparse
import math
import re
import shlex
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest

from helpers.run.command import build_parser

ROOT = Path(__file__).resolve().parents[1]
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/cluster.md",
    "docs/scale.md",
    "docs/using.md",
    "helpers/train/README.md",
    "notebooks/README.md",
    "tests/benchmarks/README.md",
)
TWO_SCREENS = 120  # lines of text
WIDTH = 110  # characters of a line
LINK = re.compile(r'\]\(([^)\s]+)\)|src="([^"]+)"')
COMMAND = re.compile(r"`(uv run [^`]+)`|^(?:.*&& )?(uv run .+)$", re.M)
# What installs a tool that a run does not need.
INSTALLED_BY = {
    **{"pytest": "--group dev", "ruff": "--group dev"},
    **{"jupyter": "--extra jupyter", "dask": "--extra cluster"},
}


def read(page: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8")


def count_lines(text: str) -> int:
    """Return the lines of a text besides its tables, long ones as often as they wrap."""
    lines = [line for line in text.splitlines() if not line.startswith("|")]
    return sum(max(1, math.ceil(len(line) / WIDTH)) for line in lines)


def find_links(text: str) -> list[str]:
    """Return what a text links to inside the project."""
    found = [first or second for first, second in LINK.findall(text)]
    return [link for link in found if not re.match(r"https?:", link)]


def find_anchors(text: str) -> set[str]:
    """Return the names that GitHub gives the headings of a text."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {heading.replace(" ", "-") for heading in plain}


def find_fault(page: Path, link: str) -> str | None:
    """Return what is wrong with a link of a page, or None."""
    name, _, anchor = unquote(link).partition("#")
    target = (page.parent / name).resolve() if name else page
    if not target.exists():
        return f"{link}: no such file or folder"
    if anchor and anchor not in find_anchors(target.read_text(encoding="utf-8")):
        return f"{link}: no such heading"
    return None


def find_commands(text: str) -> list[str]:
    return [first or second for first, second in COMMAND.findall(text)]


def check_command(command: str) -> None:
    """Fail unless the tool of a `uv run` is installed by it, and what it names exists."""
    options = argparse.ArgumentParser(exit_on_error=False)
    options.add_argument("--group")
    options.add_argument("--with")
    options.add_argument("--extra", action="append")
    options.add_argument("words", nargs=argparse.REMAINDER)
    tool, *rest = options.parse_args(shlex.split(command)[2:]).words
    assert INSTALLED_BY.get(tool, "") in command
    if tool == "python":
        assert rest[0] == "-m"
        assert find_spec(rest[1]), f"no module {rest[1]}"
    elif tool == "covid-lungs":
        if rest != ["--help"]:
            build_parser().parse_args(rest)
    elif tool in ("pytest", "papermill"):
        named = [word for word in rest if word.startswith(("notebooks", "tests"))]
        assert [name for name in named if not (ROOT / name).exists()] == []
    else:
        assert tool in INSTALLED_BY, f"{tool} is not known here"


COMMANDS = [text for page in (*PAGES, ".ci/run") for text in find_commands(read(page))]


def test_the_readme_is_two_screens_long():
    assert count_lines(read("README.md")) <= TWO_SCREENS


def test_a_line_that_wraps_counts_twice_and_a_table_does_not():
    assert count_lines("one\n\n" + WIDTH * "x" + "y\n| a | b |\n") == 4


@pytest.mark.parametrize("page", PAGES)
def test_every_link_leads_somewhere(page):
    links = find_links(read(page))
    assert links
    assert [fault for link in links if (fault := find_fault(ROOT / page, link))] == []


@pytest.mark.parametrize("link", ["docs/nothing.md", "README.md#nothing", "#nothing"])
def test_a_link_that_leads_nowhere_is_found(link):
    assert find_links(f"See [this]({link}).") == [link]
    assert find_fault(ROOT / "README.md", link)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_can_be_given(command):
    check_command(command)


@pytest.mark.parametrize(
    "command",
    [
        "uv run python -m tests.benchmarks.nothing",
        "uv run --group dev pytest tests/nothing.py",
        "uv run pytest",
        "uv run papermill notebooks/nothing.ipynb out.ipynb",
        "uv run nothing",
    ],
)
def test_a_command_of_nothing_is_found(command):
    assert find_commands(f"Give `{command}`.") == find_commands(f"```\n{command}\n```") == [command]
    with pytest.raises(AssertionError):
        check_command(command)


def test_a_command_with_a_wrong_option_is_found():
    with pytest.raises(SystemExit):
        check_command("uv run covid-lungs run --date demo")


def test_the_page_for_lecturers_names_every_notebook_and_sorts_its_glossary():
    page = read("notebooks/README.md")
    named = set(re.findall(r"^\| \[[^]]+\]\((\w+\.ipynb)\) \|", page, re.M))
    assert named == {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    terms = re.findall(r"^\| ([^|]+) \|", page.partition("## Glossary")[2], re.M)[1:]
    words = [term.casefold() for term in terms if not term.startswith("-")]
    assert len(words) > 40
    assert words == sorted(words)


def test_every_benchmark_is_described():
    names = {path.stem for path in (ROOT / "tests/benchmarks").glob("*.py")} - {"__init__"}
    assert set(re.findall(r"^\| `tests\.benchmarks\.(\w+)`", read(PAGES[-1]), re.M)) == names

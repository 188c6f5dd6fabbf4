"""Imports: which files of this package some code uses."""

import ast
import re
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parent
MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)  # IPython's own lines, such as %pip


def used_helpers(code: str) -> list[Path]:
    """Return the files of this package that code imports, itself or through others, sorted.

    Code that cannot be parsed may import anything, and so uses all of them.
    """
    found: set[Path] = set()
    waiting = set(_imported(code))
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting |= _imported(path.read_text(encoding="utf-8"))
    return sorted(found)


@cache  # the notebooks share most of their helpers
def _imported(code: str) -> frozenset[Path]:
    """Return the files that code imports itself, inside its functions too."""
    try:
        tree = ast.parse(MAGIC.sub(r"\1pass", code))
    except SyntaxError:
        return frozenset(PACKAGE.rglob("*.py"))
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(path for name in names for path in _files(name))


def _files(name: str) -> list[Path]:
    """Return the files that Python reads for a dotted name; none if it is not of this package."""
    parts = name.split(".")
    if parts[0] != PACKAGE.name:
        return []
    paths = [PACKAGE.joinpath(*parts[1:length]) for length in range(1, len(parts) + 1)]
    files = [
        *(path / "__init__.py" for path in paths),
        *(path.with_suffix(".py") for path in paths),
    ]
    return [path for path in files if path.is_file()]

"""Imports: which files of this package some code uses, and which libraries."""

import ast
import hashlib
import json
import re
from functools import cache
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
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


def used_libraries(code: str) -> dict[str, str]:
    """Return the versions of the libraries that code imports, itself or through this package.

    By the names under which they are installed, sorted; one that is not installed is left out.
    """
    texts = [code, *(path.read_text(encoding="utf-8") for path in used_helpers(code))]
    modules = {name.partition(".")[0] for text in texts for name in _names(text) or ()}
    providers = _providers()
    installed = {name for module in modules for name in providers.get(module, ())}
    return {name: metadata.version(name) for name in sorted(installed)}


def code_version(*modules: str) -> str:
    """Return a name that changes with what modules of this package do.

    It changes with their code, with that of the modules that they import, and with the versions of
    the libraries that any of them imports.

    Args:
        modules: dotted names, as `__name__` gives them; those of other packages count for nothing.
    """
    code = "\n".join(f"import {name}" for name in modules)
    digest = hashlib.sha256(json.dumps(used_libraries(code)).encode())
    for path in used_helpers(code):
        digest.update(f"{path.relative_to(PACKAGE).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _imported(code: str) -> frozenset[Path]:
    """Return the files that code imports itself."""
    names = _names(code)
    if names is None:
        return frozenset(PACKAGE.rglob("*.py"))
    return frozenset(path for name in names for path in _files(name))


@cache  # the notebooks share most of their helpers
def _names(code: str) -> frozenset[str] | None:
    """Return the dotted names that code imports, inside its functions too; None if unparsable."""
    try:
        tree = ast.parse(MAGIC.sub(r"\1pass", code))
    except SyntaxError:
        return None
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return frozenset(names)


@cache
def _providers() -> dict[str, list[str]]:
    """Return by which installed packages each module comes; OpenCV's `cv2` has several to choose.

    This package is none of them.
    """
    return {
        name: packages
        for name, packages in metadata.packages_distributions().items()
        if name != PACKAGE.name
    }


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

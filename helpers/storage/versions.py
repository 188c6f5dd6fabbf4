"""Versions: digests of the code and the libraries that a result depends on."""

import hashlib
import json
import re
from contextlib import suppress
from importlib import metadata
from pathlib import Path

from helpers import PACKAGES

PACKAGE = Path(__file__).parents[1]
# The report's templates are code, too, and so is what the lung network has learnt.
CODE = (".py", ".html", ".css", ".toml", ".npz")
# They decode X-rays and read their tables; several packages provide `cv2`, one is installed.
LIBRARIES = (
    *("numpy", "openpyxl", "pillow", "pydicom"),
    *("opencv-python", "opencv-python-headless"),
    *("opencv-contrib-python", "opencv-contrib-python-headless"),
)


def package_versions(code: str) -> dict[str, str]:
    """Return a digest of each package of helpers that code imports, and of those before them.

    `code` is Python, or dotted names of modules.
    """
    named = [name for name in PACKAGES if re.search(rf"\bhelpers(\.| import .*\b){name}\b", code)]
    packages = PACKAGES[: PACKAGES.index(named[-1]) + 1] if named else ()
    return {f"helpers.{package}": _digest(PACKAGE / package) for package in packages}


def library_versions() -> dict[str, str]:
    """Return the installed versions of the libraries that decode X-rays and read their tables."""
    versions = {}
    for name in LIBRARIES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def code_version(*modules: str) -> str:
    """Return a name that changes with what modules of helpers make of X-rays.

    It changes with the code of their packages and of those before them, and with the libraries
    that decode X-rays. Modules are named as by `__name__`; those of others count for nothing.
    """
    versions = package_versions("\n".join(modules)) | library_versions()
    return hashlib.sha256(json.dumps(versions).encode()).hexdigest()[:16]


def _digest(folder: Path) -> str:
    """Return what changes with the code in a folder."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in CODE):
        digest.update(f"{path.relative_to(folder).as_posix()}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()

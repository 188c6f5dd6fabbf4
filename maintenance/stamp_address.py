"""Copy the project's address and version from pyproject.toml to the files that repeat them.

`uv run python -m maintenance.stamp_address` rewrites the Colab badges, the bootstrap cells'
`git+https` addresses and CITATION.cff; `--check` only names the files that differ.
"""

import argparse
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

# A name may hold dots, but neither the one that ends a sentence nor a clone address' `.git`.
OWNER_AND_NAME = r"[\w-]+/[\w-]+(?:\.(?!git\b)[\w-]+)*"

# The forms in which a file names this project; links to other projects have other forms.
COLAB_ADDRESS = re.compile(
    rf"(https://colab\.research\.google\.com/github/){OWNER_AND_NAME}(/blob/main/notebooks/)"
)
INSTALL_ADDRESS = re.compile(rf"(git\+https://github\.com/){OWNER_AND_NAME}(?:@[\w.+-]*\w)?")
DOCUMENT_ADDRESS = re.compile(
    rf"(https://github\.com/){OWNER_AND_NAME}(/blob/main/(?:notebooks|helpers)/)"
)
WORKFLOW_ADDRESS = re.compile(rf"(https://github\.com/){OWNER_AND_NAME}(/actions/workflows/)")
CLONE_ADDRESS = re.compile(rf"(git clone https://github\.com/){OWNER_AND_NAME}")
CITATION_ADDRESS = re.compile(rf'^(repository-code: "?https://github\.com/){OWNER_AND_NAME}', re.M)
CITATION_VERSION = re.compile(r'^(version: "?)[\w.+-]+', re.M)


class AddressError(Exception):
    """A file that cannot be read or stamped, with the remedy."""


@dataclass(frozen=True)
class Address:
    """Where the project lives: `repository` is `owner/name`, `version` that of pyproject.toml."""

    repository: str
    version: str


def read_address(root: Path) -> Address:
    """Read the address and the version from `root/pyproject.toml`."""
    project = tomllib.loads(read_text(root / "pyproject.toml")).get("project", {})
    url = project.get("urls", {}).get("Repository", "")
    match = re.fullmatch(rf"https://github\.com/({OWNER_AND_NAME})", url)
    if match is None:
        raise AddressError(
            f"pyproject.toml: [project.urls] Repository is {url!r}: "
            'write it as "https://github.com/owner/name"'
        )
    if "version" not in project:
        raise AddressError('pyproject.toml: [project] has no version: add version = "0.1.0"')
    return Address(match[1], project["version"])


def read_text(path: Path) -> str:
    """Read a UTF-8 file with the line ends that it has."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        raise AddressError(f"{path.name} not found in {path.parent}: restore it") from None
    except UnicodeDecodeError as error:
        raise AddressError(f"{path.name} is not UTF-8 ({error}): save it as UTF-8") from None


def stamped_files(root: Path) -> list[Path]:
    """List the files that repeat the address."""
    notebooks = sorted((root / "notebooks").rglob("*.ipynb"))
    return [root / "README.md", root / "CITATION.cff", *notebooks]


def stamp_text(text: str, address: Address) -> str:
    """Return `text` with this project's address wherever it names the project."""
    repository = address.repository
    text = COLAB_ADDRESS.sub(rf"\g<1>{repository}\g<2>", text)
    text = INSTALL_ADDRESS.sub(rf"\g<1>{repository}@v{address.version}", text)
    text = DOCUMENT_ADDRESS.sub(rf"\g<1>{repository}\g<2>", text)
    text = WORKFLOW_ADDRESS.sub(rf"\g<1>{repository}\g<2>", text)
    return CLONE_ADDRESS.sub(rf"\g<1>{repository}", text)


def stamp_citation(text: str, address: Address) -> str:
    """Return the text of CITATION.cff with this project's address and version."""
    text = CITATION_ADDRESS.sub(rf"\g<1>{address.repository}", text)
    return CITATION_VERSION.sub(rf"\g<1>{address.version}", text)


def stamp(root: Path, check: bool = False) -> list[Path]:
    """Stamp the files below `root`, or with `check` only compare; return those that differed."""
    address = read_address(root)
    different = []
    for path in stamped_files(root):
        stamp_file = stamp_citation if path.suffix == ".cff" else stamp_text
        text = read_text(path)
        stamped = stamp_file(text, address)
        if stamped == text:
            continue
        different.append(path)
        if not check:
            path.write_bytes(stamped.encode("utf-8"))
    return different


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """Run the command line; return its exit code."""
    parser = argparse.ArgumentParser("python -m maintenance.stamp_address", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 if any differ")
    check = parser.parse_args(arguments).check
    try:
        different = stamp(root, check)
    except AddressError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path in different:
        print(f"{path.relative_to(root).as_posix()}: {'differs' if check else 'stamped'}")
    if check and different:
        print("remedy: uv run python -m maintenance.stamp_address", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

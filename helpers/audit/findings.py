"""Findings: what an audit found, how bad it is, and what to do about it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

LEVELS = ("error", "warning", "note")  # the worst first


@dataclass(frozen=True)
class Finding:
    """One kind of fault in a data set.

    Attributes:
        name: a short name in snake_case; `--allow` takes those of `audit.STOPS`.
        level: one of `LEVELS`. Errors are files that no run can use; warnings are used and may
            mislead; notes are good to know.
        text: what was found, as a phrase.
        files: POSIX paths below the data set's root, or other names, that it was found in.
        remedy: what to do about it.
    """

    name: str
    level: str
    text: str
    files: Sequence[str]
    remedy: str


def find(name: str, level: str, text: str, files: Iterable[str], remedy: str) -> list[Finding]:
    """Return the finding, in a list, or no finding where there are no files."""
    found = tuple(files)
    return [Finding(name, level, text, found, remedy)] if found else []

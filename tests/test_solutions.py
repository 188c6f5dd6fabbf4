"""The solutions of the exercises: each has its exercise, and they are stored clean."""

import re

import nbformat
import pytest

from maintenance.remake_notebooks import SIZE_LIMIT, clean
from tests.test_notebooks import EXERCISE, NOTEBOOKS, code_cells, read

SERIES = [path for path in NOTEBOOKS if path.name[:2] not in ("00", "07")]

pytestmark = pytest.mark.parametrize("path", SERIES, ids=lambda path: path.stem)


def solutions_of(path):
    return path.parent / "solutions" / path.name


def test_each_exercise_has_a_solution_and_the_questions_have_answers(path):
    exercises = re.findall(EXERCISE, "\n".join(cell.source for cell in read(path).cells), re.M)
    texts = "\n".join(cell.source for cell in read(solutions_of(path)).cells)
    sections = re.findall(r"^## (.+)$", texts, re.M)
    assert sections == [*exercises, "Answers to the questions"]
    answers = texts.partition("## Answers to the questions")[2]
    assert len(re.findall(r"^\d\. ", answers, re.M)) == 3


def test_a_solution_opens_with_title_badge_and_bootstrap(path):
    first, bootstrap = read(solutions_of(path)).cells[:2]
    assert first.source.startswith(f"# Solutions to {path.name[:2]} · ")
    assert f"/blob/main/notebooks/solutions/{path.name})" in first.source
    assert f"](../{path.name})" in first.source
    assert bootstrap.source.startswith('if "google.colab" in str(get_ipython())')


def test_a_stored_solution_is_clean_and_something_in_it_is_compared(path):
    text = solutions_of(path).read_text(encoding="utf-8")
    assert len(text.encode()) <= SIZE_LIMIT
    assert nbformat.writes(clean(read(solutions_of(path))), indent=1) + "\n" == text
    cells = code_cells(solutions_of(path))
    assert max(len(cell.source.splitlines()) for cell in cells) <= 30
    compared = [cell for cell in cells if "nbval-check-output" in cell.metadata.get("tags", [])]
    assert len(compared) >= 3
    for cell in compared:
        assert [output.get("name") for output in cell.outputs] == ["stdout"]

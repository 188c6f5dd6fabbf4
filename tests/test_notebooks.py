"""The stored notebooks: their fixed opening, their parameters, and what may be in them."""

import ast
import json
import re
from pathlib import Path

import nbformat
import papermill
import pytest

from helpers.run.notebooks import read_parameters
from helpers.split.splits import WAYS
from helpers.train.recipes import RECIPES
from maintenance.remake_notebooks import NOT_STORED, SIZE_LIMIT, clean, list_series

NOTEBOOKS = list_series(Path(__file__).parents[1])
CHECKED = "nbval-check-output"
# What stands between a parameter and its help: the field that Colab shows, by type or by choices.
FIELD = re.compile(r'@param (?:\{type:"(\w+)"\}|(\[.+\])(?: \{allow-input: true\})?)  # .+')
# The fields that fit a type; a number that may be None is typed in as it is.
FIELDS = {"str": "string", "bool": "boolean", "int": "integer", "int or None": "raw"}
EXERCISE = r"^\*\*(\d\. [^*]+)\*\* \(about \d+ minutes\)\. .+ \*Expect:\* .+$"
# As the notebooks cite: (Guo et al. 2017), Maguolo and Nanni 2021, Dice 1945.
CITED = re.compile(r"\b[A-Z][\w-]+(?: et al\.| and [A-Z][\w-]+)? (?:19|20)\d\d\b")
CHOICES = {"recipe": RECIPES, "split": WAYS}

pytestmark = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def skip_that_which_runs_the_others(path: Path) -> None:
    if path.name.startswith("00"):
        pytest.skip("it runs the others, and tells no story of its own")


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code"]


def tagged(path: Path, tag: str) -> list[nbformat.NotebookNode]:
    return [cell for cell in code_cells(path) if tag in cell.metadata.get("tags", [])]


def test_opens_with_title_badge_goal_and_files(path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    assert first.source.startswith(f"# {path.name[:2]} · ")
    assert f"/blob/main/notebooks/{path.name})" in first.source
    assert "**At the end of this notebook" in first.source
    assert "| reads | writes |" in first.source


def test_bootstrap_imports_and_parameters_follow_in_this_order(path):
    bootstrap, imports, parameters = code_cells(path)[:3]
    assert bootstrap.source.startswith('if "google.colab" in str(get_ipython())')
    assert len(bootstrap.source.splitlines()) == 2
    assert "import" in imports.source
    assert parameters.metadata.tags == ["parameters"]


def test_parameters_cell_holds_typed_commented_literals_only(path):
    (cell,) = tagged(path, "parameters")
    for line, statement in zip(cell.source.splitlines(), ast.parse(cell.source).body, strict=True):
        assert isinstance(statement, ast.AnnAssign)
        ast.literal_eval(statement.value)
        assert "  # " in line


def test_papermill_sees_the_shared_parameters_and_their_types(path):
    parameters = papermill.inspect_notebook(path)
    assert list(parameters)[:4] == ["data", "run", "recipe", "seed"]
    assert {details["inferred_type_name"] for details in parameters.values()} <= {
        "str",
        "int",
        "bool",
    }
    ours = {name: kind for name, (kind, _) in read_parameters(path).items()}
    assert ours == {name: details["inferred_type_name"] for name, details in parameters.items()}


def test_papermill_shows_the_field_that_colab_has_for_each_parameter_and_its_help(path):
    for name, details in papermill.inspect_notebook(path).items():
        match = FIELD.fullmatch(details["help"])
        assert match, details["help"]
        kind, choices = match.groups()
        or_none = " or None" if details["default"] == "None" else ""
        if choices is None:
            assert kind == FIELDS[details["inferred_type_name"] + or_none], name
        else:
            assert ast.literal_eval(details["default"]) in json.loads(choices), name
            assert name == "data" or set(json.loads(choices)) == set(CHOICES[name])


def test_at_least_three_cells_are_compared_and_have_something_to_compare(path):
    skip_that_which_runs_the_others(path)
    cells = tagged(path, CHECKED)
    assert len(cells) >= 3
    for cell in cells:
        assert cell.execution_count, "nbval passes over a cell that was never run"
        assert [output.get("name") for output in cell.outputs] == ["stdout"]


def test_no_output_is_an_error_or_a_message_of_the_machine(path):
    outputs = [output for cell in code_cells(path) for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert "WARNING:" not in "".join(output.get("text", "") for output in outputs)


def test_stored_notebook_is_clean(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.encode()) <= SIZE_LIMIT
    assert nbformat.writes(clean(read(path)), indent=1) + "\n" == text
    assert not [cell for cell in tagged(path, NOT_STORED) if cell.outputs]
    printed = "".join(
        output.text for cell in code_cells(path) for output in cell.outputs if "text" in output
    )
    assert not re.search(r"\d:\d\d:\d\d|it/s|ms/step|/(home|Users|tmp|content)/", printed)


def test_text_and_code_take_turns_and_cells_are_short(path):
    skip_that_which_runs_the_others(path)
    cells = read(path).cells
    assert 20 <= len(cells) <= 80
    assert max(len(cell.source.splitlines()) for cell in code_cells(path)) <= 30
    longest_run_of_code = max(
        len(run)
        for run in re.findall("c+", "".join("c" if c.cell_type == "code" else "t" for c in cells))
    )
    assert longest_run_of_code <= 5


def test_every_figure_is_kept_under_the_notebooks_number(path):
    skip_that_which_runs_the_others(path)
    sources = "\n".join(cell.source for cell in code_cells(path))
    if path.name.startswith("07"):  # of a user's X-ray nothing is kept, but figures say whose it is
        assert "plots.finish" not in sources
        of_whom = re.findall(r"plots\.sign\(figure, (label|data_set\.label)\)", sources)
        assert sources.count("figure = ") == len(of_whom) >= 3
        assert "label" in of_whom
        return
    names = re.findall(r'plots\.finish\(figure, run_folder, f?"([^"]+)"', sources)
    assert names
    assert all(name.startswith(path.name[:3].replace("_", "") + "_") for name in names)
    assert len(re.findall(r"figure = ", sources)) == len(names)


def test_every_training_is_told_whether_to_be_reproducible(path):
    code = "\n".join(cell.source for cell in code_cells(path))
    given = code.count("training.make_reproducible(seed, deterministic=reproducible)")
    always = path.name.startswith("05")  # which trains nothing
    assert code.count("make_reproducible") == given + always
    assert given == bool(re.search(r"\b(resumable|Trainer)\(", code)), "06 trains by Trainer"
    handed_on = given or '"reproducible": reproducible' in code  # as 00 does
    assert bool(handed_on) == ("reproducible" in read_parameters(path))


def test_every_training_is_timed(path):
    code = "\n".join(cell.source for cell in code_cells(path)[1:])  # the first holds %pip
    calls = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    for call in calls:
        if ast.unparse(call.func) in ("training.resumable", "trainer.train"):
            given = [*call.args, *(keyword.value for keyword in call.keywords)]
            assert "clock" in map(ast.unparse, given)
            assert "print(clock.describe(" in code


def test_the_opening_has_goals_prerequisites_minutes_and_the_notebooks_beside(path):
    skip_that_which_runs_the_others(path)
    opening = read(path).cells[0].source
    goals = opening.partition("**You will learn**")[2].partition("**Prerequisites:**")[0]
    assert 3 <= len(re.findall(r"^- ", goals, re.M)) <= 5
    assert re.search(r"^\*\*Prerequisites:\*\* .+$", opening, re.M)
    assert re.search(r"^\*\*Time:\*\* .*\d+ minutes", opening, re.M)
    assert "](#" not in opening, "Colab's links inside a notebook do not work"
    place = NOTEBOOKS.index(path)
    beside = [("Before", place - 1), ("Next", place + 1)]
    lines = [
        f"**{word}:** [{read(NOTEBOOKS[at]).cells[0].source.splitlines()[0][2:]}]"
        f"({NOTEBOOKS[at].name})"
        for word, at in beside
        if 1 <= at < len(NOTEBOOKS)  # 00 runs all others, and so comes before none
    ]
    assert opening.endswith(" · ".join(lines))


def test_the_end_recalls_asks_and_gives_exercises(path):
    if path.name[:2] in ("00", "07"):
        pytest.skip("it stands outside the chain")
    texts = [cell.source for cell in read(path).cells if cell.cell_type == "markdown"]
    sections = re.findall(r"^## (.+)$", "\n".join(texts), re.M)
    assert sections[-3:] == ["What you learned", "Questions", "Exercises"]
    parts = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n?)*)", "\n".join(texts), re.M))
    assert len(re.findall(r"^- ", parts["What you learned"], re.M)) >= 3
    assert len(re.findall(r"^\d\. .+\?$", parts["Questions"], re.M)) == 3
    assert 3 <= len(re.findall(EXERCISE, parts["Exercises"], re.M)) <= 5
    assert f"](solutions/{path.name})" in parts["Exercises"]


def test_links_to_documents_lead_to_files_on_github_since_colab_opens_none(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    targets = re.findall(r"\]\(([^)\s]+\.md)[#)]", text)
    places = [target.partition("/blob/main/")[2] for target in targets]
    assert all(place and (path.parents[1] / place).is_file() for place in places), targets


def test_links_to_other_notebooks_lead_somewhere(path):
    text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
    targets = re.findall(r"\]\((\d\d_\w+\.ipynb)\)", text)
    assert targets
    assert all((path.parent / target).is_file() for target in targets)


def test_every_work_that_is_cited_is_in_the_references(path):
    solutions = path.parent / "solutions" / path.name
    pages = [read(page) for page in (path, solutions) if page.is_file()]
    text = "\n".join(
        cell.source for page in pages for cell in page.cells if cell.cell_type == "markdown"
    )
    references = (path.parent / "references.md").read_text(encoding="utf-8")
    listed = re.findall(r"^- \*\*(.+)\.\*\* ", references, re.M)
    assert set(CITED.findall(text)) <= set(listed)

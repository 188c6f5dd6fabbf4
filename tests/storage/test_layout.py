import ast
import re
from pathlib import Path

import pytest

from helpers.run.notebooks import find_notebooks, read_code
from helpers.storage import layout
from helpers.storage.layout import STEPS, find_step, find_writer, list_files, list_notebooks

HELPERS = Path(layout.__file__).parents[1]


def test_every_notebook_of_the_chain_has_a_row_in_order():
    assert [step.name for step in list_notebooks()] == [
        path.stem for path in find_notebooks([], None)
    ]


def test_every_file_has_one_writer():
    files = [name for step in STEPS for name in list_files(step)]
    assert len(files) == len(set(files))


def test_what_a_notebook_reads_an_earlier_one_writes():
    written = set()
    for step in list_notebooks():
        assert set(step.reads) <= written, step.name
        written |= set(list_files(step))


@pytest.mark.parametrize(
    ("file", "writer"),
    [
        ("split.csv", "02_split_data"),
        ("detection/model.keras", "03_detect_covid"),
        ("segmentation/metrics.json", "05_evaluate"),
        ("shortcuts/lungs/fold-1/model.keras", "06_audit_shortcuts"),
        ("infection/severity.csv", "08_segment_infection"),
        ("figures/04_curves.png", "04_segment_lungs"),
        ("notebooks/03_detect_covid.html", "report"),
    ],
)
def test_a_file_is_known_by_its_place_in_any_run_folder(file, writer):
    for run in ("/runs/a", "/runs/shortcuts", "relative"):
        assert find_writer(Path(run, file)) == writer


def test_the_rows_name_what_the_notebooks_code_reads():
    calls = {
        "read_index": {"index.csv"},
        "read_split": {"index.csv", "split.csv"},
        "headline_table": {"detection/metrics.json"},
    }
    for notebook in find_notebooks([], None):
        code, reads = "\n".join(read_code(notebook)), set(find_step(notebook.stem).reads)
        for call, files in calls.items():
            assert files <= reads or not re.search(rf"\b{call}\(", code), notebook.name
        for part, name in re.findall(r'require\(run_folder / "(\w+)" / "([\w.]+)"', code):
            assert f"{part}/{name}" in reads, notebook.name


def test_results_are_in_the_order_in_which_a_run_makes_them():
    results = layout.list_results()
    assert results[:3] == ["index.csv", "audit.json", "split.csv"]
    assert results[-2:] == ["provenance.json", "report.html"]
    assert "segmentation/likeness.npz" in results
    assert "detection/training.json" not in results


def find_lists(code: str) -> list[str]:
    """Return the collections in code that name two or more files of a run."""
    names = {
        name for step in STEPS for path in list_files(step) for name in (path, Path(path).name)
    }
    found = []
    for node in ast.walk(ast.parse(code)):
        parts = getattr(node, "elts", None) or getattr(node, "values", None) or []
        texts = {part.value for part in parts if isinstance(part, ast.Constant)}
        if len(texts & names) > 1 and isinstance(node, ast.List | ast.Tuple | ast.Set | ast.Dict):
            found.append(ast.unparse(node))
    return found


def test_no_other_module_lists_files_of_a_run():
    assert find_lists('A = ("model.keras", "x", "history.csv")') == [
        "('model.keras', 'x', 'history.csv')"
    ]
    for path in HELPERS.rglob("*.py"):
        if path != Path(layout.__file__):
            assert find_lists(path.read_text(encoding="utf-8")) == [], path.name

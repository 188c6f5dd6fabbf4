"""Execute the notebooks by the demo recipe and store them as the repository shows them.

`uv run --group dev python -m maintenance.remake_notebooks` runs the series from the start in a
temporary folder, keeps the outputs that a reader wants, drops what differs from run to run (times,
paths, progress, start-up notes), and copies the pictures of our texts to `figures/`.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import nbformat
import papermill
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parents[1]
SIZE_LIMIT = 600_000  # bytes of a notebook: what readers on GitHub can load without waiting
WIDGET = "application/vnd.jupyter.widget-view+json"  # dead where its kernel has ended
README_FIGURES = {
    "03_detection.png": "detection.png",
    "06_aurocs.png": "shortcuts.png",
    "08_infection.png": "infection.png",
    "08_agreement.png": "severity.png",
}
NOT_STORED = "not-stored"  # a tag for cells whose outputs would be too large


def clean(notebook: NotebookNode) -> NotebookNode:
    """Return a notebook with the outputs of its cells and nothing that depends on the run."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "colab": {"toc_visible": True},  # its list of sections: links inside a page fail there
    }
    count = 0
    for cell in notebook.cells:
        cell.metadata = {"tags": tags} if (tags := cell.metadata.get("tags")) else {}
        if cell.cell_type == "code":
            count += 1
            cell.execution_count = count
            kept = [] if NOT_STORED in cell.metadata.get("tags", []) else cell.outputs
            cell.outputs = _clean_outputs(kept, count)
    return notebook


def _clean_outputs(outputs: list[NotebookNode], count: int) -> list[NotebookNode]:
    """Return outputs without standard error and buttons, printed text in one piece."""
    kept: list[NotebookNode] = []
    for output in outputs:
        if output.get("name") == "stderr" or WIDGET in output.get("data", {}):
            continue
        if "execution_count" in output:
            output.execution_count = count
        if output.get("name") == "stdout" and kept and kept[-1].get("name") == "stdout":
            kept[-1].text += output.text
        else:
            kept.append(output)
    return kept


def faults(text: str, forbidden: list[str]) -> list[str]:
    """Return what is wrong with a notebook's text: too large, or with a path of this machine."""
    found = [f"shows the path {path}" for path in forbidden if path in text]
    size = len(text.encode())
    return found + ([f"has {size:,} bytes, more than {SIZE_LIMIT:,}"] if size > SIZE_LIMIT else [])


def execute(path: Path, runs: Path) -> str:
    """Return the text of a notebook executed with its runs in a temporary folder."""
    executed = runs / path.parent.name / path.name
    executed.parent.mkdir(exist_ok=True)
    papermill.execute_notebook(path, executed, cwd=path.parent, kernel_name="python3")
    text = nbformat.writes(clean(nbformat.read(executed, as_version=4)), indent=1) + "\n"
    return text.replace(str(runs), "runs")


def list_series(root: Path) -> list[Path]:
    """Return the notebooks in the order to read them: 00, the chain, and 07, which it leads to."""
    paths = (root / "notebooks").glob("0?_*.ipynb")
    return sorted(paths, key=lambda path: (path.name.startswith("07"), path.name))


def remake(root: Path) -> list[str]:
    """Execute every notebook and store them with the README's figures, or return their faults."""
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder)
        os.environ["COVID_LUNGS_RUNS"] = folder
        first, *paths = list_series(root)
        paths.append(first)  # 00 last: it keeps what they trained
        paths += sorted((root / "notebooks" / "solutions").glob("*.ipynb"))
        texts = {path: execute(path, runs) for path in paths}
        forbidden = [str(root), str(Path.home())]
        found = [
            f"{path.name} {fault}" for path in paths for fault in faults(texts[path], forbidden)
        ]
        if not found:
            for path, text in texts.items():
                path.write_text(text, encoding="utf-8", newline="\n")
            for source, target in README_FIGURES.items():
                shutil.copyfile(runs / "demo" / "figures" / source, root / "figures" / target)
    return found


def main() -> int:
    """Remake the notebooks; return 1 if one of them must not be committed as it is."""
    found = remake(ROOT)
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

"""The run folder: every file in it, by the notebook or command that writes it.

A new notebook needs one new row in STEPS; a new file, a name in its notebook's row. Notebooks 00
and 07 write no file of their own.
"""

from pathlib import Path
from typing import NamedTuple

# The files of a training, in its own folder: RECORD says how a finished network was trained, STATE
# is what an interrupted training continues from.
NETWORK, HISTORY, RECORD = "model.keras", "history.csv", "training.json"
UNFINISHED = "unfinished"  # a folder beside the files of a training, or the executed notebooks
STATE = f"{UNFINISHED}/state.npz"
FILMSTRIP = "filmstrip.npz"  # beside STATE while a network learns, then beside the network
DETECTOR, SEGMENTER = f"detection/{NETWORK}", f"segmentation/{NETWORK}"
INFECTION_SEGMENTER = f"infection/{NETWORK}"
NETWORKS = (SEGMENTER, DETECTOR, INFECTION_SEGMENTER)  # that predict; a run need not have all
CHAIN, PROVENANCE, REPORT = "chain.json", "provenance.json", "report.html"
LOCK = ".lock"  # in the run folder, and in the folder of an unfinished training
FIGURES, NOTEBOOKS = "figures", "notebooks"  # folders that several notebooks share


class Step(NamedTuple):
    """A notebook or a command with its files: paths or patterns below the run folder.

    Attributes:
        needs: what the X-rays must have, else the notebook is skipped: "COVID", "masks",
            "infection masks".
        trains: the folders in which it trains a network.
        scores: the files that it makes with a network; those in the network's folder are removed
            when the network is replaced.
        writes: the other files that it writes, its figures aside.
    """

    name: str
    needs: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    trains: tuple[str, ...] = ()
    scores: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()


STEPS = (
    Step("01_get_data", writes=("index.csv", "audit.json")),
    Step("02_split_data", reads=("index.csv",), writes=("split.csv",)),
    Step(
        "03_detect_covid",
        needs=("COVID",),
        reads=("index.csv", "split.csv"),
        trains=("detection",),
        scores=("detection/predictions.csv", "detection/metrics.json"),
    ),
    Step(
        "04_segment_lungs",
        needs=("masks",),
        reads=("index.csv", "split.csv"),
        trains=("segmentation",),
        scores=(f"segmentation/{FILMSTRIP}", "segmentation/likeness.npz"),
    ),
    Step(
        "05_evaluate",
        needs=("masks",),
        reads=(
            *("index.csv", "split.csv", SEGMENTER, f"segmentation/{FILMSTRIP}", DETECTOR),
            *("detection/predictions.csv", "detection/metrics.json"),
        ),
        scores=(
            *("segmentation/scores.csv", "segmentation/metrics.json"),
            *("external/predictions.csv", "external/scores.csv", "external/metrics.json"),
        ),
    ),
    Step(
        "06_audit_shortcuts",
        needs=("COVID",),
        reads=("index.csv", "split.csv"),
        trains=("shortcuts/*", "shortcuts/lungs/*"),
        scores=("shortcuts/predictions.csv", "shortcuts/metrics.json", "shortcuts/verdict.json"),
    ),
    Step(
        "08_segment_infection",
        needs=("infection masks",),
        reads=("index.csv", "split.csv", SEGMENTER),
        trains=("infection",),
        scores=("infection/scores.csv", "infection/severity.csv", "infection/metrics.json"),
    ),
    Step("run", writes=(PROVENANCE, CHAIN, LOCK)),
    Step(
        "report",
        reads=(
            *("audit.json", "split.csv", PROVENANCE, "*/metrics.json", "shortcuts/verdict.json"),
            *(f"{FIGURES}/*.png", f"{NOTEBOOKS}/*.ipynb"),
        ),
        writes=(REPORT, f"{NOTEBOOKS}/*.html"),
    ),
    Step("predict", reads=NETWORKS, writes=("predictions/**/*",)),
    Step("export", reads=(*NETWORKS, "index.csv", "split.csv"), writes=("export/*",)),
)
# The names of files that are removed beside a network that is replaced.
SCORES = sorted({Path(path).name for step in STEPS for path in step.scores})


def list_notebooks() -> list[Step]:
    """Return the rows of the notebooks, in order."""
    return [step for step in STEPS if step.name[:2].isdigit()]


def find_step(name: str) -> Step:
    """Return the row of a command by its name, or of a notebook by the number that begins it."""
    start = name[:2] if name[:2].isdigit() else name
    return next(step for step in STEPS if step.name.startswith(start))


def list_files(step: Step) -> list[str]:
    """Return all that a notebook or command writes, as paths and patterns."""
    trained = [f"{folder}/{name}" for folder in step.trains for name in (NETWORK, HISTORY, RECORD)]
    files = [*trained, *step.scores, *step.writes]
    if step.name[:2].isdigit():
        files += [f"{FIGURES}/{step.name[:2]}_*.png", f"{NOTEBOOKS}/{step.name[:2]}_*.ipynb"]
    return files


def find_writer(path: Path) -> str:
    """Return the name of the notebook or command that writes a file of a run."""
    return next(step.name for step in STEPS if any(map(path.match, list_files(step))))


def trained_part(notebook: str) -> str | None:
    """Return the folder in which a notebook trains, which is also its part of a recipe."""
    folders = find_step(notebook).trains
    return folders[0].partition("/")[0] if folders else None


def list_parts() -> list[str]:
    """Return the folders that every run folder has."""
    trained = [trained_part(step.name) for step in STEPS if step.trains]
    return [*trained, FIGURES, NOTEBOOKS]


def list_results() -> list[str]:
    """Return what a reader looks for in a run folder, in the order in which it is made."""
    files = [name for step in list_notebooks() for name in list_files(step)]
    single = [name for name in files if "*" not in name and not name.endswith(RECORD)]
    return [*single, f"{FIGURES}/*.png", f"{NOTEBOOKS}/*.ipynb", PROVENANCE, REPORT]

"""How many pictures that are no chest X-rays a run does not accept, and how many X-rays.

`uv run --group dev python -m tests.benchmarks.refusals --run RUN --data SOURCE --seed 0`
RUN has its networks, and was trained on SOURCE. The pictures are those of
`tests/support/strangers.py`.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import cv2
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))  # as pytest does
from helpers.data.sources import find_data
from helpers.evaluate.intervals import estimate_share
from helpers.predict.files import XrayFile, find_xrays
from helpers.predict.networks import load_likeness, load_networks
from helpers.predict.prediction import predict_files
from helpers.split.splits import read_split
from helpers.storage.folders import find_trained
from tests.support.strangers import make_strangers


def write_strangers(folder: Path, seed: int) -> tuple[list[Path], list[str]]:
    """Write the pictures as PNG; return their files and kinds."""
    files, kinds = [], []
    for number, (kind, picture) in enumerate(make_strangers(seed)):
        files.append(folder / f"{number:03}.png")
        files[-1].write_bytes(cv2.imencode(".png", picture)[1].tobytes())
        kinds.append(kind)
    return files, kinds


def judge(run_folder: Path, files: list[XrayFile]) -> pd.DataFrame:
    """Return what `covid-lungs predict` says of files."""
    likeness = load_likeness(run_folder)
    assert likeness is not None, "run 04_segment_lungs again"
    with tempfile.TemporaryDirectory() as out:
        return predict_files(load_networks(run_folder), files, Path(out), likeness)


def report(table: pd.DataFrame, names: list[str], title: str) -> None:
    """Print how many of each kind were not accepted, and why."""
    table = table.assign(kind=names, refused=~table["accepted"])
    share = estimate_share(table["refused"], pd.Series(table.index))
    print(f"\n{title}: not accepted {share.text(4)} ({table['refused'].sum()} of {share.n})")
    for kind, rows in table.groupby("kind", sort=False):
        print(f"  {kind:20} {rows['refused'].sum():4} of {len(rows)}")
    for reason, count in table.loc[table["refused"], "reason"].value_counts().items():
        print(f"  because {reason}: {count}")


def main() -> None:
    """Count both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    run_folder, data_set = find_trained(options.run), find_data(options.data)
    with tempfile.TemporaryDirectory() as folder:
        files, kinds = write_strangers(Path(folder), options.seed)
        report(judge(run_folder, find_xrays(files)), kinds, f"no chest X-rays, seed {options.seed}")
    split = read_split(run_folder, data_set)
    xrays = [XrayFile((data_set.root / file).as_posix(), file) for file in split["file"]]
    report(judge(run_folder, xrays), list(split["split"]), "X-rays of the run's data")


if __name__ == "__main__":
    main()

"""Whether the verdict of notebook 06 names planted shortcuts, and is quiet where there is none.

`uv run python -m tests.benchmarks.campaign_shortcuts --seeds 20`

For each seed four data sets of synthetic X-rays are drawn, COVID and Normal in equal numbers: one
clean, whose classes differ in the lungs only, and one for each kind of planted shortcut, which
goes with the class at a correlation of 0.9. Each is split, its three views without lungs are learnt
by the demo's settings with fewer epochs, and judged as the notebook does. A view that equals one
learnt before, as the mask's shape does in a seed's four data sets, is not learnt again.
"""

import argparse
import os
import tempfile
import time
from hashlib import sha256
from pathlib import Path

import numpy as np

from helpers.data import arrays, synthetic
from helpers.data.sources import find_data
from helpers.evaluate import detection, shortcuts
from helpers.evaluate.views import OUTSIDE, View
from helpers.split.index import build_index
from helpers.split.splits import assign_splits
from helpers.train.backend import keras
from helpers.train.recipes import find_recipe

KINDS = (None, *synthetic.SHORTCUTS)
PER_CLASS = 200
SETTINGS = find_recipe("demo").shortcuts


def find_shortcut(folder: Path, kind: str | None, seed: int, learnt: dict[str, np.ndarray]) -> dict:
    """Return the verdict on a data set that is drawn into a folder with this shortcut, or none.

    Args:
        folder: for the data set and the networks.
        kind: of the planted shortcut.
        seed: of all that is drawn.
        learnt: answers to views, by the views' content; new ones are added.
    """
    counts = {"COVID": PER_CLASS, "Normal": PER_CLASS}
    synthetic.write_data_set(folder / "data", counts, seed, copies=0, shortcut=kind)
    data_set = find_data(str(folder / "data"))
    index, _ = build_index(data_set)
    split = index.assign(**assign_splits(index, seed)[["group", "split"]])
    labels = detection.covid_labels(split)
    xrays = arrays.prepare_images(data_set, split, SETTINGS.image_size)
    masks = arrays.prepare_masks(data_set, split, SETTINGS.image_size)
    predictions = split[["group", "split"]].assign(label=labels)
    trainer = shortcuts.Trainer(labels, split, SETTINGS, seed)
    for name in OUTSIDE:
        view = View(name, xrays, masks)[:]
        content = sha256(view.tobytes() + split[["file", "split"]].to_csv().encode()).hexdigest()
        if content not in learnt:
            learnt[content] = trainer.train(view, folder)
        predictions[name] = learnt[content]
    return shortcuts.judge(predictions, shortcuts.measure_views(predictions, OUTSIDE))


def main() -> None:
    """Print each verdict, then how many of each kind named a shortcut."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    options = parser.parse_args()
    named = dict.fromkeys(KINDS, 0)
    start = time.perf_counter()
    for seed in range(options.first, options.first + options.seeds):
        learnt = {}
        keras.utils.clear_session()  # else what earlier networks leave fills the memory
        for kind in KINDS:
            with tempfile.TemporaryDirectory() as folder:
                os.environ["COVID_LUNGS_CACHE"] = f"{folder}/cache"
                verdict = find_shortcut(Path(folder), kind, seed, learnt)
            named[kind] += bool(verdict["views"])
            p_values = ", ".join(f"{name} {p:.2g}" for name, p in verdict["p_values"].items())
            found = verdict["views"] or "quiet"
            print(f"seed {seed} {kind or 'clean'}: {found} ({p_values})", flush=True)
    for kind, count in named.items():
        print(f"{kind or 'clean'}: a shortcut named in {count} of {options.seeds} data sets")
    print(f"{(time.perf_counter() - start) / 60:.0f} min")


if __name__ == "__main__":
    main()

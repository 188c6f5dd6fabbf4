"""How the infection network of `best` was chosen: validation Dice of some trainings.

`uv run python -m tests.benchmarks.infection --data SOURCE --groups FILE --try lungs --try best`

Each training has the same split and epochs, and its last weights are scored, looking twice. With
`--leave-out WORD` the X-rays whose path holds that word are of another hospital: they leave the
training and validation splits, and are scored by themselves. The test split is never looked at.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.data import arrays
from helpers.data.sources import DataSet, find_data
from helpers.split.groups import read_groups
from helpers.split.index import build_index
from helpers.split.splits import assign_splits
from helpers.train import backend, inference, lungs, models, training
from helpers.train.batches import Batches
from helpers.train.recipes import SegmentationSettings, find_recipe
from tests.benchmarks.difference import score_infection

BEST = find_recipe("best")
TRIED = {
    "lungs": BEST.segmentation,  # the U-Net that draws lungs, unchanged
    "begun": replace(BEST.segmentation, from_lungs=True),
    "light": replace(BEST.segmentation, from_lungs=True, augmentation="light"),
    "best": BEST.infection,
}


def score(
    data_set: DataSet, split: pd.DataFrame, settings: SegmentationSettings
) -> dict[str, float]:
    """Train a network and return its mean Dice on the validation split, and elsewhere."""
    training.make_reproducible(7)
    backend.use_fastest(settings, backend.look_at_machine())
    xrays = arrays.prepare_images(data_set, split, settings.image_size)
    masks = arrays.prepare_infection(data_set, split, settings.image_size)
    rows = {name: np.flatnonzero(split["split"] == name) for name in split["split"].unique()}
    learn = Batches(xrays, masks, rows["train"], settings.batch_size, 7, settings.augmentation)
    model = models.build_unet(settings, "infection")
    if settings.from_lungs:
        lungs.give_weights(model)
    training.compile_segmenter(model, settings, len(learn))
    for epoch in range(settings.epochs):
        learn.start_epoch(epoch)
        model.fit(learn, shuffle=False, verbose=0)
    twice, found = models.look_twice(model), {}
    for name in rows.keys() & {"validation", "elsewhere"}:
        probabilities = inference.predict(twice, xrays[rows[name]])
        scores = score_infection(data_set, split.iloc[rows[name]], probabilities)
        found[name] = scores.loc[scores["infected"], "dice"].mean()
    return found


def main() -> None:
    """Print the mean Dice of each training that is tried."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--groups")
    parser.add_argument("--try", dest="tried", action="append", choices=TRIED, required=True)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--leave-out", metavar="WORD")
    options = parser.parse_args()
    data_set = find_data(options.data)
    index, _ = build_index(data_set)
    groups = read_groups(Path(options.groups), index) if options.groups else None
    split = index.assign(split=assign_splits(index, 7, groups)["split"])
    if options.leave_out:
        other = split["file"].str.contains(options.leave_out, regex=False)
        split.loc[other & (split["split"] != "test"), "split"] = "elsewhere"
    split = split[split["infection_mask"] != ""].reset_index(drop=True)
    for name in options.tried:
        found = score(data_set, split, TRIED[name].override(epochs=options.epochs))
        print(name, {place: round(value, 4) for place, value in sorted(found.items())}, flush=True)


if __name__ == "__main__":
    main()

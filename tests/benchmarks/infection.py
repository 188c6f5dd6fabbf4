"""How the infection networks of `best` and `demo` were chosen: validation Dice of some trainings.

`uv run python -m tests.benchmarks.infection --data SOURCE --groups FILE --try lungs --try best`

Each training has the same split, and its last weights are scored. With `--leave-out WORD` the
X-rays whose path holds that word are of another hospital: they leave the training and validation
splits, and are scored by themselves. The test split is never looked at. A validation split of the
demo has few healthy X-rays: other ones are drawn and scored, too.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from helpers.data import arrays
from helpers.data.sources import DataSet, find_data
from helpers.data.synthetic import write_data_set
from helpers.evaluate.infection import measure_infection
from helpers.split.groups import read_groups
from helpers.split.index import build_index
from helpers.split.splits import assign_splits
from helpers.train import backend, inference, lungs, models, training
from helpers.train.backend import keras
from helpers.train.batches import Batches
from helpers.train.recipes import SegmentationSettings, find_recipe
from tests.benchmarks.difference import score_infection

BEST, DEMO = find_recipe("best"), find_recipe("demo")
TRIED = {
    "lungs": BEST.segmentation,  # the U-Net that draws lungs, unchanged
    "begun": replace(BEST.segmentation, from_lungs=True),
    "light": replace(BEST.segmentation, from_lungs=True, augmentation="light"),
    "best": BEST.infection,
    "demo-unaided": replace(DEMO.infection, from_lungs=False),
    "demo-fast": replace(DEMO.infection, learning_rate=2e-3),
    "demo": DEMO.infection,
    "demo-slow": replace(DEMO.infection, learning_rate=7e-4),
    "demo-light": replace(DEMO.infection, augmentation="light"),
    "demo-large": replace(DEMO.infection, image_size=192),
}
# X-rays of the demo that none of its splits holds.
DRAWN, DRAWN_SEED = {"COVID": 40, "Normal": 120, "Lung_Opacity": 20, "Viral Pneumonia": 20}, 991


def train(data_set: DataSet, split: pd.DataFrame, settings: SegmentationSettings) -> keras.Model:
    """Return a network trained on the training split, with the weights of its last epoch."""
    training.make_reproducible(7)
    backend.use_fastest(settings, backend.look_at_machine())
    xrays = arrays.prepare_images(data_set, split, settings.image_size)
    masks = arrays.prepare_infection(data_set, split, settings.image_size)
    rows = np.flatnonzero(split["split"] == "train")
    learn = Batches(xrays, masks, rows, settings.batch_size, 7, settings.augmentation)
    model = models.build_unet(settings, "infection")
    if settings.from_lungs:
        lungs.give_weights(model)
    training.compile_segmenter(model, settings, len(learn))
    for epoch in range(settings.epochs):
        learn.start_epoch(epoch)
        model.fit(learn, shuffle=False, verbose=0)
    return models.look_twice(model) if settings.look_twice else model


def score(
    model: keras.Model, data_set: DataSet, rows: pd.DataFrame, image_size: int
) -> dict[str, float]:
    """Return the mean Dice on infected X-rays, and the share of healthy lungs called infected."""
    probabilities = inference.predict(model, arrays.prepare_images(data_set, rows, image_size))
    if (rows["mask"] == "").any():  # Dice is the same, whatever the lungs
        return {"dice": score_infection(data_set, rows, probabilities)["dice"].mean()}
    lung_masks = arrays.prepare_masks(data_set, rows, image_size)
    scores, _ = measure_infection(data_set, rows, probabilities, lung_masks, lung_masks)
    ill, healthy = scores[scores["infected"]], scores[~scores["infected"]]
    return {"dice": ill["dice"].mean(), "invented": healthy["predicted_share"].mean()}


def prepare(options: argparse.Namespace) -> tuple[DataSet, pd.DataFrame]:
    """Return the data set and its index with splits, of X-rays with an infection mask alone."""
    data_set = find_data(options.data)
    index, _ = build_index(data_set)
    groups = read_groups(Path(options.groups), index) if options.groups else None
    split = index.assign(split=assign_splits(index, 7, groups)["split"])
    if options.leave_out:
        other = split["file"].str.contains(options.leave_out, regex=False)
        split.loc[other & (split["split"] != "test"), "split"] = "elsewhere"
    return data_set, split[split["infection_mask"] != ""].reset_index(drop=True)


def find_places(
    data_set: DataSet, split: pd.DataFrame, folder: Path
) -> dict[str, tuple[DataSet, pd.DataFrame]]:
    """Return where to score: the rows by name, each with its data set."""
    names = [name for name in ("validation", "elsewhere") if name in set(split["split"])]
    places = {name: (data_set, split[split["split"] == name]) for name in names}
    if data_set.synthetic:
        write_data_set(folder, DRAWN, seed=DRAWN_SEED, copies=0)
        drawn = find_data(str(folder))
        places["drawn"] = drawn, build_index(drawn)[0]
    return places


def main() -> None:
    """Print what each training that is tried reaches."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--groups")
    parser.add_argument("--try", dest="tried", action="append", choices=TRIED, required=True)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--leave-out", metavar="WORD")
    options = parser.parse_args()
    data_set, split = prepare(options)
    with tempfile.TemporaryDirectory() as folder:
        places = find_places(data_set, split, Path(folder))
        for name in options.tried:
            settings = TRIED[name].override(epochs=options.epochs)
            model = train(data_set, split, settings)
            for place, (source, rows) in places.items():
                found = score(model, source, rows.reset_index(drop=True), settings.image_size)
                scores = ", ".join(f"{key} {value:.4f}" for key, value in found.items())
                print(f"{name}, {place}: {scores}", flush=True)


if __name__ == "__main__":
    main()

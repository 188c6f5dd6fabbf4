"""How good the lung network of the package is, what it refuses, and what it doubts.

`uv run --group dev python -m tests.benchmarks.lungs --data SOURCE [SOURCE …]`

For each data set: how many of its X-rays `predict` does not accept, and how many it doubts; where
it has lung masks, Dice, IoU and Hausdorff distance with intervals, the worst X-ray, and whether the
Dice that the network expects of itself tells the bad masks from the good ones. Then the pictures of
`tests/support/strangers.py`. `--network FILE` measures another U-Net of the same size.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

sys.path.insert(0, str(Path(__file__).parent))  # as pytest does
from helpers.audit.mask_shapes import measure_masks, shrink_mask, why_implausible
from helpers.data import arrays
from helpers.data.images import resize_image
from helpers.data.sources import DataSet, find_data
from helpers.evaluate.intervals import estimate_mean, estimate_share
from helpers.evaluate.segmentation import score_masks
from helpers.predict.doubt import find_doubts
from helpers.split.index import build_index
from helpers.train import lungs
from helpers.train.backend import keras
from helpers.train.inference import predict
from helpers.train.postprocessing import draw_lungs, expect_dice
from helpers.train.trained import load_model
from tests.support.strangers import make_strangers

DIGITS = {"dice": 4, "iou": 4, "hausdorff_95": 2}
BAD = 0.9  # Dice below which a mask is bad
WORST, FLAGGED = 0.1, 0.2  # shares of the X-rays: the worst, and the most doubtful
SIZE = (256, 256)


def measure(network: keras.Model, data_set: DataSet) -> None:
    """Print what is known of a data set."""
    index, _ = build_index(data_set)
    xrays = arrays.prepare_images(data_set, index, SIZE[0])
    probabilities = predict(network, xrays)
    report_refusals(data_set.name, xrays, probabilities)
    if (index["mask"] == "").any():
        return
    seen = lungs.find_seen(xrays)
    scores = score_masks(data_set, index, probabilities)
    for name, digits in DIGITS.items():
        estimate = estimate_mean(scores[name], pd.Series(scores.index))
        print(f"  {name}: {estimate.text(digits)}")
    worst = scores.loc[scores["dice"].idxmin()]
    print(f"  worst: {worst['dice']:.3f}, {worst['file']}; seen in training: {seen.sum()}")
    report_doubt(scores["dice"].to_numpy(), expect(probabilities))


def expect(probabilities: np.ndarray) -> np.ndarray:
    """Return the Dice that the network expects of each of its masks, at its own size."""
    return np.array(
        [expect_dice(probability, draw_lungs(probability, SIZE)) for probability in probabilities]
    )


def report_refusals(name: str, xrays: np.ndarray, probabilities: np.ndarray) -> None:
    """Print how many pictures `predict` does not accept, and how many it doubts."""
    masks = [draw_lungs(one, SIZE) for one in probabilities]
    doubts = find_doubts(lungs.load_network(), None, xrays, probabilities)
    implausible = why_implausible(measure_masks([shrink_mask(mask) for mask in masks])) != ""
    refused = pd.Series([bool(doubt.refusal) for doubt in doubts]) | implausible
    doubted = pd.Series([bool(doubt.warning) for doubt in doubts]) & ~refused
    shares = [estimate_share(part, pd.Series(part.index)).text(4) for part in (refused, doubted)]
    print(
        f"{name}: {len(doubts)} pictures, not accepted {shares[0]}, doubtful {shares[1]}",
        flush=True,
    )


def report_doubt(dice: np.ndarray, expected: np.ndarray) -> None:
    """Print how well the expected Dice tells bad masks from good ones."""
    bad, flagged = dice < BAD, expected <= np.quantile(expected, FLAGGED)
    worst = dice <= np.quantile(dice, WORST)
    area = roc_auc_score(bad, -expected) if 0 < bad.sum() < len(bad) else np.nan
    print(
        f"  Dice below {BAD}: {bad.sum()}; AUROC of the expected Dice {area:.3f}; "
        f"of the worst tenth {flagged[worst].mean():.3f} are among the {FLAGGED:.0%} flagged\n"
        f"  expected Dice: mean {expected.mean():.4f}, off by {np.abs(expected - dice).mean():.4f}"
    )


def main() -> None:
    """Measure the network on each data set, and on pictures that are no chest X-rays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", nargs="+", default=[])
    parser.add_argument("--network", type=Path)
    parser.add_argument("--seed", type=int, default=0, help="of the pictures that are no X-rays")
    options = parser.parse_args()
    network = lungs.load_network()
    if options.network:
        network = lungs.build_network(load_model(options.network))
    for source in options.data:
        measure(network, find_data(source))
    strangers = np.stack([resize_image(one, SIZE) for _, one in make_strangers(options.seed)])
    report_refusals("no chest X-rays", strangers, predict(network, strangers))


if __name__ == "__main__":
    main()

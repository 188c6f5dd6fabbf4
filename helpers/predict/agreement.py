"""Agreement: how far converted networks are from Keras, X-ray by X-ray."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from tqdm import tqdm

from helpers.predict.conversion import ENDINGS, HELP, Network
from helpers.storage.errors import CovidLungsError
from helpers.train.batches import scale

LARGEST_DIFFERENCE = 1e-4  # of two probabilities
MOST_WRONG = 1e-4  # share of the pixels of all masks

# Takes probabilities, float32 (height, width), and a size; returns a mask, uint8 of that size.
Draw = Callable[[np.ndarray, tuple[int, int]], np.ndarray]


def compare(
    right: Network,
    networks: dict[str, Network],
    images: np.ndarray,
    sizes: list[tuple[int, int]],
    draw: Draw | None,
) -> pd.DataFrame:
    """Return how far networks are from the right one, each run on one X-ray at a time.

    Args:
        right: the network to compare with.
        networks: the others by their names, such as `ONNX`.
        images: uint8, (N, image_size, image_size).
        sizes: height and width of each X-ray, and so of its mask, in pixels.
        draw: what makes a mask of the probabilities; None for a detector.

    Returns:
        a row for each network: its name as `format`, the largest `difference` of a probability,
        and the share of `equal_pixels` of the masks, NaN for a detector.
    """
    differences, equal = dict.fromkeys(networks, 0.0), dict.fromkeys(networks, 0)
    pixels = 0
    pairs = zip(images, sizes, strict=True)
    for image, size in tqdm(pairs, "comparing", total=len(images), unit="file", disable=None):
        xray = scale(image[None])
        expected = right(xray)
        mask = _draw(expected, size, draw)
        pixels += mask.size
        for name, network in networks.items():
            found = network(xray)
            difference = np.abs(found - expected).max()
            differences[name] = np.maximum(differences[name], difference)  # NaN stays NaN
            equal[name] += (_draw(found, size, draw) == mask).sum()
    shares = [count / pixels if pixels else np.nan for count in equal.values()]
    return pd.DataFrame(
        {"format": [*networks], "difference": [*differences.values()], "equal_pixels": shares}
    )


def _draw(probabilities: np.ndarray, size: tuple[int, int], draw: Draw | None) -> np.ndarray:
    """Return the mask that a network predicts, without any pixels for a detector."""
    return draw(probabilities[0, ..., 0], size) if draw else np.empty(0)


def refuse_disagreement(name: str, table: pd.DataFrame) -> None:
    """Stop if a converted network disagrees with Keras; `table` is what `compare` returns.

    Raises:
        CovidLungsError: masks or probabilities differ by too much, or are not numbers.
    """
    for row in table[table["format"].isin(ENDINGS)].itertuples():
        wrong = 0 if np.isnan(row.equal_pixels) else 1 - row.equal_pixels
        if row.difference <= LARGEST_DIFFERENCE and wrong <= MOST_WRONG:
            continue
        raise CovidLungsError(
            f"{name}: as {row.format} it disagrees with Keras on the test split (probabilities "
            f"differ by up to {row.difference:.1e}, {wrong:.2%} of mask pixels differ), so nothing "
            f"was written. {HELP}"
        )


def agreement_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `compare`, with a column `network` added to them, as texts to read."""
    shares = np.floor(1e6 * table["equal_pixels"]) / 1e4  # 100 only if all are equal
    return pd.DataFrame(
        {
            "network": table["network"],
            "format": table["format"],
            "largest difference": table["difference"].map("{:.1e}".format),
            "equal pixels": shares.map("{:.4f} %".format).replace("nan %", "-"),
        }
    )

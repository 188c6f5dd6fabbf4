"""Agreement: whether exported networks answer as Keras does, and how fast each is."""

import time
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from tqdm import tqdm

from helpers.evaluate.postprocessing import draw_lungs
from helpers.storage.errors import CovidLungsError
from helpers.train.batches import scale

LARGEST_DIFFERENCE = 1e-4  # of two probabilities
FEWEST_EQUAL = 0.9999  # share of the pixels of all masks

# Takes an X-ray, float32 (1, height, width, 1), and returns probabilities, (1, ...).
Network = Callable[[np.ndarray], np.ndarray]


def compare(
    networks: dict[str, Network], images: np.ndarray, sizes: list[tuple[int, int]]
) -> pd.DataFrame:
    """Return how far networks are from the first one, each asked about one X-ray at a time.

    Args:
        networks: by their names, such as `ONNX`.
        images: uint8, (N, image_size, image_size).
        sizes: height and width of each X-ray, and so of its mask, in pixels.

    Returns:
        a row a network: its name as `format`, the largest `difference` of a probability, the
        share of `equal_pixels` of the cleaned masks (NaN where the answer is one number), and the
        median `milliseconds` an X-ray.
    """
    for network in networks.values():
        network(scale(images[:1]))  # the first answer takes longer
    rows = []
    pairs = zip(images, sizes, strict=True)
    for image, size in tqdm(pairs, "comparing", total=len(images), unit="file", disable=None):
        rows += _compare_one(networks, scale(image[None]), size)
    table = pd.DataFrame(rows, columns=["format", "difference", "equal", "pixels", "seconds"])
    found = table.groupby("format", sort=False)
    figures = {
        # NaN if one is, since that is no agreement; pandas would leave it out.
        "difference": found["difference"].agg(lambda column: column.max(skipna=False)),
        "equal_pixels": found["equal"].sum(min_count=1) / found["pixels"].sum(),
        "milliseconds": 1000 * found["seconds"].median(),
    }
    return pd.DataFrame(figures).reset_index()


def _compare_one(
    networks: dict[str, Network], xray: np.ndarray, size: tuple[int, int]
) -> list[tuple]:
    """Return, for each network, its name and what `compare` needs to know of one X-ray."""
    rows, right, mask = [], None, None
    for name, network in networks.items():
        begun = time.perf_counter()
        answer = network(xray)
        seconds = time.perf_counter() - begun
        drawn = draw_lungs(answer[0, ..., 0], size) if answer.ndim == 4 else np.array(np.nan)
        if right is None:
            right, mask = answer, drawn
        equal = (drawn == mask).sum() if answer.ndim == 4 else np.nan
        rows.append((name, np.abs(answer - right).max(), equal, drawn.size, seconds))
    return rows


def refuse_disagreement(name: str, table: pd.DataFrame, formats: Iterable[str]) -> None:
    """Stop if a network does not answer as Keras does in one of the formats.

    Args:
        name: what the network is called.
        table: as `compare` returns it.
        formats: those that must agree.

    Raises:
        CovidLungsError: masks or probabilities differ by too much, or are no numbers.
    """
    for row in table[table["format"].isin(formats)].itertuples():
        is_picture = not np.isnan(row.equal_pixels)
        near = row.difference <= LARGEST_DIFFERENCE
        if near and (not is_picture or row.equal_pixels >= FEWEST_EQUAL):
            continue
        masks = f", {1 - row.equal_pixels:.2%} of the masks' pixels differ" if is_picture else ""
        raise CovidLungsError(
            f"{name}: as {row.format} it does not answer as Keras does on the test split "
            f"(probabilities are up to {row.difference:.1e} off{masks}), so nothing was written. "
            "Use the versions that the project names (`uv run --extra export covid-lungs export`), "
            "or report this as an issue."
        )


def agreement_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `compare`, with a column `network` added to them, as texts to read."""
    shares = np.floor(1e6 * table["equal_pixels"]) / 1e4  # 100 only if all are equal
    return pd.DataFrame(
        {
            "network": table["network"],
            "format": table["format"],
            "largest difference": [
                f"{value:.1e}" if value else "0" for value in table["difference"]
            ],
            "equal pixels": ["-" if np.isnan(share) else f"{share:.4f} %" for share in shares],
            "ms an X-ray": [f"{value:.1f}" for value in table["milliseconds"]],
        }
    )

"""Segmentation: how well predicted masks fit the true ones, image by image and on average.

The outline of a mask is its pixels that have a pixel without lung beside, above or below them;
outside the image there is no lung. Distances are Euclidean, between the centres of pixels, and
defined as in Metrics Reloaded (Maier-Hein et al., Nature Methods 21, 2024).
"""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from scipy import ndimage

from helpers.audit.mask_shapes import measure_masks, shrink_mask, why_implausible
from helpers.data import arrays
from helpers.data.images import resize_image
from helpers.data.sources import DataSet
from helpers.data.threads import read_all
from helpers.evaluate.intervals import Estimate, estimate_mean
from helpers.train import inference, lungs
from helpers.train.metrics import SMOOTHING, dice, iou
from helpers.train.postprocessing import clean_mask, draw_lungs
from helpers.train.recipes import THRESHOLD

OVERLAP = ["iou", "dice", "dice_loss"]
DISTANCES = [
    "hausdorff_95",
    "average_surface_distance",
    "surface_dice",
    "hausdorff_95_of_diagonal",
    "average_surface_distance_of_diagonal",
]
UNCLEANED = "dice_uncleaned"
SCORES = [*OVERLAP, *DISTANCES, UNCLEANED]
HEADS = {
    "iou": "IoU",
    "dice": "Dice coefficient",
    "dice_loss": "Dice loss",
    "hausdorff_95": "95 % Hausdorff (pixels)",
    "average_surface_distance": "surface distance (pixels)",
    "surface_dice": "surface Dice",
}
DIGITS = {name: 2 if "pixels" in head else 3 for name, head in HEADS.items()}
COMPARED = ("iou", "dice")  # with the package's lung network
TOLERANCE = 0.005  # of the image's diagonal, 1.8 pixels at 256: outlines so close count as equal
WORST_SHARE = 0.01
FEWEST_WORST, MOST_WORST = 4, 12  # masks in a gallery that shows something and can be read
MUCH_MORE = 2.0  # times as many pixels on one side of the error as on the other
SMALL_ERROR = 0.05  # of the true mask's pixels
SMALL_PART = 0.01  # of the true mask's pixels: a smaller region is a speck
FAR = 0.03  # of the image's diagonal, 11 pixels at 256: no longer an error along the outline
BRIGHTER = 25  # grey levels of 255 by which missed lung is denser than the lung that was found


def score_masks(
    data_set: DataSet, rows: pd.DataFrame, probabilities: Iterable[np.ndarray]
) -> pd.DataFrame:
    """Return `file`, `class` and the SCORES of each X-ray, at its mask's own size.

    The network's probabilities are resized to the mask: a score at the network's size would hide
    what a small input lost. IoU, Dice and the distances are of the cleaned mask
    (`postprocessing.draw_lungs`), `dice_uncleaned` is of the mask before it was cleaned, and Dice
    loss, 1 - soft Dice, of the probabilities.

    Args:
        data_set: where the masks are.
        rows: of the index.
        probabilities: of each row, float32 (image_size, image_size). They may come one by one, as
            from `inference.predict_each`; each is forgotten once it is scored.

    Raises:
        CovidLungsError: a mask cannot be decoded, or differs from that in the index.
    """

    def score(row: tuple[str, str, np.ndarray]) -> dict[str, float]:
        mask, recorded, probability = row
        true = data_set.read_mask(mask)
        arrays.refuse_changed(mask, true, recorded)
        return _score(true, probability)

    given = zip(rows["mask"], rows["mask_pixels"], probabilities, strict=True)
    scores = read_all(score, given, "scoring", len(rows))
    named = rows[["file", "class"]].reset_index(drop=True)
    return named.join(pd.DataFrame(scores, columns=SCORES).round(6))


def _score(true: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Return the scores of one image."""
    resized = resize_image(probability, true.shape)
    uncleaned = (resized > THRESHOLD).astype(np.uint8)
    predicted = clean_mask(uncleaned)
    return {
        **measure_overlap(true, predicted, resized),
        UNCLEANED: float(dice(true[None, ..., None], uncleaned[None, ..., None])[0]),
        **measure_distances(true, predicted),
    }


def measure_overlap(
    true: np.ndarray, predicted: np.ndarray, probability: np.ndarray
) -> dict[str, float]:
    """Return the scores OVERLAP of one image.

    Both masks are zeros and ones, uint8, and the probability is float32, all (height, width).
    """
    batches = true[None, ..., None], predicted[None, ..., None]
    # As `metrics.dice_loss`, but summed in float64: float32 is off by 1e-6.
    shared = np.sum(probability, where=true == 1, dtype=np.float64)
    total = np.sum(probability, dtype=np.float64) + true.sum()
    return {
        "iou": float(iou(*batches)[0]),
        "dice": float(dice(*batches)[0]),
        "dice_loss": float(1 - (2 * shared + SMOOTHING) / (total + SMOOTHING)),
    }


def measure_distances(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return the DISTANCES between the outlines of two masks.

    - `hausdorff_95`: 95 % of each outline lie within this distance of the other, in pixels
      (Huttenlocher et al. 1993).
    - `average_surface_distance`: the mean distance of the pixels of both outlines from the other
      outline, in pixels.
    - `surface_dice`: the share of both outlines that lies within TOLERANCE of the other
      (Nikolov et al. 2018).
    - the first two as a share of the image's diagonal.

    Two empty masks agree: distances 0, surface Dice 1. If only one is empty: distances NaN,
    surface Dice 0. The masks are zeros and ones, (height, width).
    """
    diagonal = math.hypot(*true.shape)
    one, other = _draw_outline(true), _draw_outline(predicted)
    if one.any() and other.any():
        there = ndimage.distance_transform_edt(~other)[one]
        back = ndimage.distance_transform_edt(~one)[other]
        both = np.concatenate([there, back])
        far = max(np.percentile(there, 95), np.percentile(back, 95))
        mean, close = both.mean(), (both <= TOLERANCE * diagonal).mean()
    elif one.any() or other.any():
        far, mean, close = math.nan, math.nan, 0.0
    else:
        far, mean, close = 0.0, 0.0, 1.0
    values = far, mean, close, far / diagonal, mean / diagonal
    return dict(zip(DISTANCES, map(float, values), strict=True))


def _draw_outline(mask: np.ndarray) -> np.ndarray:
    """Return where the outline of a mask is: bool, of the same shape."""
    lung = mask.astype(bool)
    return lung & ~ndimage.binary_erosion(lung)  # outside the image there is no lung


def mean_scores(scores: pd.DataFrame, groups: pd.Series) -> dict[str, Estimate]:
    """Return the mean of each score over all images, then class by class (`dice/COVID`).

    `cleaning_gain` is the mean of what cleaning the masks added to an image's Dice. Images without
    a distance, since one of the two masks is empty, are left out of the means of distances. Scores
    and groups have the same index.
    """
    scores = scores.assign(cleaning_gain=scores["dice"] - scores[UNCLEANED])
    parts = {"": scores} | {f"/{name}": part for name, part in scores.groupby("class")}
    return {
        f"{name}{suffix}": estimate_mean(part[name], groups[part.index])
        for suffix, part in parts.items()
        for name in [*SCORES, "cleaning_gain"]
    }


def compare_with_package(
    data_set: DataSet, rows: pd.DataFrame, scores: pd.DataFrame
) -> dict[str, Estimate]:
    """Return the means of the package's lung network and the run's on the same X-rays.

    X-rays of the set that the package's network learnt from are left out; the value of
    `package_seen` is their number. Of the others, if there are any, each of COMPARED has three
    means: of the package's network (`package_dice`), of the run's (`package_dice_run`), and of what
    the package's is better by, X-ray by X-ray (`package_dice_gain`).

    Args:
        data_set: where X-rays and masks are.
        rows: of the split, with `group`.
        scores: of the run's network, as `score_masks` returns them for these rows.

    Raises:
        CovidLungsError: an X-ray or mask has changed, or the network cannot be read.
    """
    xrays = read_all(data_set.read_xray, list(rows["file"]), "comparing")
    seen = lungs.find_seen(xrays)
    compared = {"package_seen": Estimate(float(seen.sum()), len(seen))}
    if seen.all():
        return compared
    rows, own = (table[~seen].reset_index(drop=True) for table in (rows, scores))
    network = lungs.load_network()
    images = arrays.prepare_images(data_set, rows, network.input_shape[1])
    found = score_masks(data_set, rows, inference.predict_each(network, images))
    for name in COMPARED:
        pair = {"": found[name], "_run": own[name], "_gain": found[name] - own[name]}
        for ending, values in pair.items():
            compared[f"package_{name}{ending}"] = estimate_mean(values, rows["group"])
    return compared


def describe_package(compared: dict[str, Estimate], data_set: DataSet) -> str:
    """Return what to know before one reads `package_table`, as a text to print."""
    seen, count = compared["package_seen"][:2]
    text = (
        f"{seen:.0f} of {count} X-rays are left out: the package's network learnt from their set."
    )
    if seen == count:
        return f"{text} None is left to compare on."
    if data_set.synthetic:
        text += "\nSynthetic: others that the same program drew were among its training X-rays."
    return text


def package_table(compared: dict[str, Estimate]) -> pd.DataFrame:
    """Return `compare_with_package` as a table to read; without rows if all had been seen."""
    columns = {"this run": "_run", "package": "", "package is better by": "_gain"}
    rows = {
        HEADS[name]: {
            head: compared[f"package_{name}{ending}"].text(DIGITS[name])
            for head, ending in columns.items()
        }
        | {"X-rays": compared[f"package_{name}"].n}
        for name in COMPARED
        if f"package_{name}" in compared
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def score_table(means: dict[str, Estimate], names: Sequence[str]) -> pd.DataFrame:
    """Return the named scores of `mean_scores` as a table to read, each mean with its interval.

    There is a row for each class. A page has room for three scores.
    """
    classes = [name.removeprefix("dice/") for name in means if name.startswith("dice/")]
    rows = [
        {HEADS[name]: means[name + suffix].text(DIGITS[name]) for name in names}
        | {"X-rays": means["dice" + suffix].n}
        for suffix in ("", *(f"/{name}" for name in classes))
    ]
    return pd.DataFrame(rows, index=["all", *classes])  # a class may be called "all" too


def score_sources(scores: pd.DataFrame, split: pd.DataFrame) -> pd.DataFrame:
    """Return a `score_table` of OVERLAP with a row for each source ("unknown" for none).

    The split has the same rows as the scores, with `source` and `group`.
    """
    sources = split["source"].replace("", "unknown")
    means = mean_scores(scores.assign(**{"class": sources}), split["group"])
    table = score_table(means, OVERLAP)
    return table.iloc[1:]  # without the first row, which is of all


def ranked_cases(scores: pd.DataFrame, count: int) -> dict[str, pd.DataFrame]:
    """Return the `count` best and median rows by Dice; ties go by file name."""
    ordered = scores.sort_values(["dice", "file"], ascending=[False, True])
    middle = max(0, (len(ordered) - count) // 2)
    return {"best": ordered.head(count), "median": ordered.iloc[middle : middle + count]}


def worst_cases(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the worst one per cent of the rows by Dice, the worst first: 4 to 12 of them."""
    count = min(max(math.ceil(WORST_SHARE * len(scores)), FEWEST_WORST), MOST_WORST)
    return scores.sort_values(["dice", "file"], ascending=[True, False]).head(count)


def likely_reasons(data_set: DataSet, rows: pd.DataFrame, probabilities: np.ndarray) -> list[str]:
    """Return for each row of the index the likely reason why the masks differ.

    The network's probabilities of lung are float32, (rows, height, width).
    """
    reasons = []
    for row, probability in zip(rows.itertuples(), probabilities, strict=True):
        true = data_set.read_mask(row.mask)
        image = data_set.read_xray(row.file)
        reasons.append(likely_reason(image, true, draw_lungs(probability, true.shape)))
    return reasons


def likely_reason(image: np.ndarray, true: np.ndarray, predicted: np.ndarray) -> str:
    """Return in a few words why two masks probably differ: a hint for a reader, no diagnosis.

    A part of the lungs is missed, or is too much, if the largest wrong region is no speck and
    reaches far from the true outline. The masks are zeros and ones, (height, width); the X-ray is
    uint8 of any size.
    """
    for name, mask in (("true mask", true), ("prediction", predicted)):
        if fault := why_implausible(measure_masks([shrink_mask(mask)])).item():
            return f"{name}: {fault}"
    missed, taken = (_largest_region(wrong) for wrong in (true > predicted, predicted > true))
    part = missed if missed.sum() >= taken.sum() else taken
    if _is_a_part(part, true):
        if part is taken:
            return "includes more than the lungs"
        grey, found = resize_image(image, true.shape).astype(float), true & predicted == 1
        if found.any() and grey[missed].mean() > grey[found].mean() + BRIGHTER:
            return "misses a dense part: opacity, or heart?"
        return "misses a part"
    return _describe_edges(np.sum(true > predicted), np.sum(predicted > true), true.sum())


def _largest_region(wrong: np.ndarray) -> np.ndarray:
    """Return the largest connected region of a mask of bool, of the same shape."""
    labels, count = ndimage.label(wrong)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    sizes[0] = 0  # what is not wrong
    return wrong & (labels == sizes.argmax())


def _is_a_part(region: np.ndarray, true: np.ndarray) -> bool:
    """Return whether a wrong region is no speck, and reaches far from the true outline."""
    if region.sum() < SMALL_PART * true.sum():
        return False
    within, outside = (ndimage.distance_transform_edt(mask) for mask in (true, 1 - true))
    far = np.maximum(within, outside)[region].max(initial=0)
    return bool(far > FAR * math.hypot(*true.shape))


def _describe_edges(missed: int, taken: int, lung: int) -> str:
    """Return how two outlines that lie near one another differ, given counts of pixels."""
    if missed + taken < SMALL_ERROR * lung:
        return f"few wrong pixels (under {SMALL_ERROR:.0%})"
    if missed > MUCH_MORE * taken:
        return "the outline lies too far inside"
    if taken > MUCH_MORE * missed:
        return "the outline lies too far outside"
    return "the edges differ"

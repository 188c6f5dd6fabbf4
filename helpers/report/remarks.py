"""Remarks: what a result shows, in a sentence made from the data, for a notebook to print."""

import textwrap
from collections.abc import Iterable

import numpy as np
import pandas as pd

from helpers.data.layouts import POSITIVE_CLASS
from helpers.evaluate.infection_map import average
from helpers.evaluate.intervals import Estimate, subtract
from helpers.evaluate.shortcuts import OUTSIDE
from helpers.report.error_maps import find_near_outline
from helpers.train.recipes import THRESHOLD

WIDTH = 88  # letters of a line: more, and narrow pages break words
RISEN = 1.2  # times as large a validation loss is more than its jumps
CLOSE = 0.005  # two shares that print alike to two digits
FAR_BELOW = 0.05  # a Dice so much below the mean is one that the mean does not tell of
MOSTLY = 0.9  # a share that leaves little else
WELL_ABOVE = 1.5  # times the chance error: less than that, chance often makes by itself
ALIKE = 0.1  # shares of heat that differ by less hardly depend on the answer
MINUS = "\N{MINUS SIGN}"
SEVERITY = ("spearman", "bias", "low", "high")
GUESS = 0.3  # a predicted share of the lungs, as an example
RELATED = 0.5  # a rank correlation below which one map tells little about another


def remark_on_accuracy(metrics: dict[str, Estimate]) -> str:
    """Return whether a detector is better than to always predict the larger class.

    `metrics` are those of `detection.detection_metrics`.
    """
    accuracy, majority = metrics["accuracy"], metrics["majority_accuracy"].value
    line = f"The accuracy is {accuracy.value:.3f}; {majority:.3f} needs no network. "
    if accuracy.low > majority:
        return line + "The whole interval lies above that: the network has learnt something."
    if accuracy.high < majority:
        return line + "The whole interval lies below that: something went wrong."
    return line + (
        "The interval contains that: the accuracy does not show that it learnt anything. Look at "
        "sensitivity and AUROC."
    )


def remark_on_agreement(correlations: np.ndarray) -> str:
    """Return whether two heat maps of an X-ray agree, given their rank correlation for each X-ray.

    They are what `heat_maps.correlate` returns: (N,), NaN where a map has no heat.
    """
    known = correlations[~np.isnan(correlations)]
    if not len(known):
        return "No X-ray has heat in both maps, so they cannot be compared."
    low, high = known.min(), known.max()
    values = f"{low:.2f}" if len(known) == 1 else f"{low:.2f} to {high:.2f}"
    said = (
        f"Rank correlation of the two maps: {values} (1: the same order of places, 0: unrelated). "
    )
    if high < RELATED:
        return said + "The methods disagree, so neither map can be trusted alone."
    if low < RELATED:
        return said + "The methods agree on some X-rays and disagree on others."
    return said + "The methods largely agree."


def remark_on_averaging(inside: float, averaged: float) -> str:
    """Return what averaging the gradients over places changes, in shares of heat in the lungs.

    `inside` is HiResCAM's share, `averaged` is Grad-CAM's.
    """
    if abs(inside - averaged) < CLOSE:
        return (
            f"Averaged or not, {inside:.0%} of the heat lies in the lungs: here averaging does not "
            "change the share."
        )
    where = "out of" if averaged < inside else "into"
    return (
        f"Averaging the gradients moves heat {where} the lungs: {averaged:.0%} lies in them "
        f"instead of {inside:.0%}, though network and X-rays are the same."
    )


def remark_on_calibration(metrics: dict[str, Estimate]) -> str:
    """Return whether the temperature made the calibration error better or worse, if that shows.

    `metrics` are those of `detection.detection_metrics`.
    """
    if metrics["temperature"].value == 1:
        return "The temperature is 1: it changes nothing."
    before, after = (metrics[f"calibration_error{suffix}"] for suffix in ("", "_scaled"))
    wrong, still_wrong = (
        metrics[name].value > WELL_ABOVE * metrics[f"{name}_by_chance"].value
        for name in ("calibration_error", "calibration_error_scaled")
    )
    count = f"{before.n:,} X-rays cannot tell whether the temperature helps."
    if not (wrong or still_wrong):
        return f"Neither error is well above chance: {count}"
    if wrong and still_wrong:
        return (
            f"Both errors are well above chance: the probabilities are off by {before.value:.3f} "
            f"without the temperature and by {after.value:.3f} with it, on average."
        )
    at, effect = ("without", "helps") if wrong else ("with", "harms")
    return (
        f"Only the error {at} the temperature is well above chance: a hint that the temperature "
        f"{effect}, and no proof."
    )


def remark_on_certainty(shares: dict[float, float]) -> str:
    """Return how a mask shrinks as its threshold rises, given its share of the image at each."""
    low, high = min(shares), max(shares)
    if not shares[low]:
        return f"Even above a threshold of {low} the mask is empty: the network sees no lungs here."
    lost = 1 - shares[high] / shares[low]
    sure = "nearly all" if lost < 0.1 else "most" if lost < 0.5 else "few"
    return (
        f"From a threshold of {low} to {high} the mask loses {lost:.0%} of its pixels: the network "
        f"is sure of {sure} of them."
    )


def remark_on_classes(counts: dict[str, int]) -> str:
    """Return how many times as large the largest class is, and how far guessing it alone gets.

    `counts` are the X-rays by class.
    """
    total, names = sum(counts.values()), sorted(counts, key=counts.get)
    least, most = names[0], names[-1]
    if len(names) == 1:
        return f"All {total:,} X-rays are of one class, {most}: no detector can be trained on them."
    ratio = f"{counts[most] / counts[least]:.1f} times" if counts[least] else "infinitely"
    sentence = f"{most} has {ratio} as many X-rays as {least}."
    if POSITIVE_CLASS in counts:
        share = counts[POSITIVE_CLASS] / total
        word = "yes" if share > 0.5 else "no"
        sentence += (
            f"\n{share:.1%} of all are {POSITIVE_CLASS}: whoever always answers “{word}” to the "
            f"question “is it {POSITIVE_CLASS}?” is right in {max(share, 1 - share):.1%} of cases."
        )
    return sentence


def remark_on_copies(index: pd.DataFrame) -> str:
    """Return how many X-rays are in how many families of copies, and how that adds up.

    The index has the columns `copy_of` and `pixels`, one row an X-ray.
    """
    related = index["copy_of"].duplicated(keep=False)
    if not related.any():
        return f"None of the {len(index):,} X-rays is a copy of another one."
    families = index.loc[related, "copy_of"].nunique()
    exact = index["pixels"].duplicated(keep=False)
    distinct = index.drop_duplicates("pixels")
    altered = index.index.isin(distinct.index[distinct["copy_of"].duplicated(keep=False)])
    both = int((exact & altered).sum())
    superfluous = related.sum() - families
    return (
        f"{related.sum():,} of {len(index):,} X-rays have a copy.\nThey form {families:,} "
        f"{'family' if families == 1 else 'families'}. The X-rays of a family seem to show the "
        f"same exposure, so all but one of each, {superfluous:,} in all, seem superfluous.\n"
        f"The findings count members of families: {exact.sum():,} with a copy of equal pixels + "
        f"{altered.sum():,} with an altered copy − {both:,} in both lists = {related.sum():,}."
    )


def remark_on_curves(history: pd.DataFrame) -> str:
    """Return which epoch was kept, and where the validation loss rose while the training loss fell.

    `history` has a row an epoch, with `epoch`, `loss` and `val_loss`.
    """
    best = history.loc[history["val_loss"].idxmin()]
    kept = f"Kept: epoch {best['epoch']:.0f}, where the validation loss was lowest "
    kept += f"({best['val_loss']:.3f}). "
    low, high = _find_rise(history)
    if high["val_loss"] > RISEN * low["val_loss"]:
        return kept + (
            f"From epoch {low['epoch']:.0f} to {high['epoch']:.0f} it rose from "
            f"{low['val_loss']:.3f} to {high['val_loss']:.3f}, while the training loss fell from "
            f"{low['loss']:.3f} to {high['loss']:.3f}: a sign of overfitting."
            + (" Later it fell again." if best["epoch"] > high["epoch"] else "")
        )
    if best["epoch"] == history["epoch"].iloc[-1]:
        return kept + "It was the last: with more epochs the network might still improve."
    return kept + "The epochs after it brought nothing better."


def remark_on_decision(probability: float, chosen: float, truth: str = "") -> str:
    """Return what a probability is called at 0.5 and at a run's chosen threshold, and how narrowly.

    `truth` is the X-ray's class, or nothing if nobody knows it.
    """
    usual, own = _decide(probability, THRESHOLD), _decide(probability, chosen)
    said = (
        f"{probability:.2f}, as predicted, lies {_margin(probability, THRESHOLD)} "
        f"{THRESHOLD:.2f}: {usual}.\n"
        f"It lies {_margin(probability, chosen)} {chosen:.2f}, the threshold that the run chose "
        f"on its validation split: {own}.\n"
    )
    if usual != own:
        said += "The threshold alone decides, so neither answer is firm.\n"
    if not truth:
        return said + "Nobody here knows the truth about this X-ray."
    drawn = f"This X-ray was drawn with signs of {truth}"
    right = POSITIVE_CLASS if truth == POSITIVE_CLASS else f"not {POSITIVE_CLASS}"
    if usual != own:
        return said + f"{drawn}: the {'first' if usual == right else 'second'} answer is right."
    return said + f"{drawn}: the network is {'right' if usual == right else 'wrong'}."


def remark_on_finding(metrics: dict[str, Estimate]) -> str:
    """Return in how many X-rays infection is found where there is some, and where there is none.

    `metrics` are what `infection.infection_metrics` returns.
    """
    lines = []
    for name, there, found in (
        ("sensitivity", "with infection", "some"),
        ("specificity", "without infection", "none"),
    ):
        share = metrics[name]
        if share.value is None:
            lines.append(f"No X-ray is {there}: there is no {name}.")
            continue
        count = round(share.value * share.n)
        lines.append(
            f"In {count:,} of {share.n:,} X-rays {there} it finds {found}: {name} {share.text(3)}."
        )
    return "\n".join(lines)


def remark_on_heat(method: str, inside: float, lungs: float) -> str:
    """Return how much of a method's heat lies in the lungs, beside what an even spread would give.

    `inside` is the lungs' share of the heat, NaN without heat; `lungs` is their share of the X-ray.
    """
    if np.isnan(inside):
        return f"{method}: nothing raised the probability of COVID, so there is no heat."
    lungs = round(lungs, 2)  # as it is shown
    compared = f": {round(inside, 2) / lungs:.1f} times as much as an even spread" if lungs else ""
    return (
        f"{method} puts {inside:.0%} of its heat in the lungs, which fill {lungs:.0%} of the "
        f"image{compared}."
    )


def remark_on_heat_by_class(shares: np.ndarray, labels: np.ndarray) -> str:
    """Return whether heat lies in the lungs more often where there is COVID.

    Args:
        shares: the lungs' share of each X-ray's heat, (N,), NaN without heat.
        labels: 1 or 0, (N,); 1 is COVID.
    """
    ill, others = (shares[(labels == label) & ~np.isnan(shares)] for label in (1, 0))
    if not (len(ill) and len(others)):
        return "Without heat both in COVID and in other X-rays there is nothing to compare."
    said = (
        f"In X-rays with {POSITIVE_CLASS}, {ill.mean():.0%} of the heat lies in the lungs, in the "
        f"others {others.mean():.0%}. "
    )
    if abs(ill.mean() - others.mean()) < ALIKE:
        return said + "So this share says little about the disease."
    return said + "The share differs, whether by the disease or by the source of the X-rays."


def remark_on_infected_pixels(masks: np.ndarray) -> str:
    """Return how few pixels are infected, and how right a network is that finds none of them.

    The infection masks are zeros and ones, uint8 (N, height, width).
    """
    share = float(average(masks).mean())
    if not share:
        return "No pixel is infected: no network can learn what an infection looks like."
    return (
        f"{share:.1%} of all pixels are infected. Whoever calls every pixel healthy is right about "
        f"{1 - share:.1%} of them, and finds no infection."
    )


def remark_on_invented(metrics: dict[str, Estimate]) -> str:
    """Return how much infection a network invents on X-rays without any, and outside the lungs.

    `metrics` are what `infection.infection_metrics` returns.
    """
    invented, outside = metrics["invented_share"], metrics["outside_lungs"]
    healthy = metrics["specificity"].n
    if not healthy:
        said = "No X-ray is without infection: what it would invent there cannot be measured."
    elif invented.value is None:
        said = (
            "On no X-ray without infection are lungs predicted: what share of them it would "
            "invent cannot be measured."
        )
    else:
        some = "" if invented.n == healthy else " and with predicted lungs"
        said = (
            f"On the {invented.n:,} X-rays without infection{some} it calls {_percent(invented)} "
            "of the lungs infected, on average."
        )
    if outside.value is None:
        return f"{said}\nIt predicts no infection at all, so none lies outside the lungs."
    return f"{said}\nOf what it calls infected, {_percent(outside)} lies outside the lungs."


def remark_on_leaks(split: pd.DataFrame, leaked: pd.DataFrame, groups: pd.Series) -> str:
    """Return how many test X-rays of a split leak, and how many have relatives at all.

    Args:
        split: one row an X-ray, with `split`.
        leaked: what `splits.find_leaks` returns of it.
        groups: the group of each row, by the same index.
    """
    tested = split["split"] == "test"
    related = groups.duplicated(keep=False)
    if not related.any():
        return "No X-ray has a relative here, so no split can leak one."
    return (
        f"{len(leaked):,} of {tested.sum():,} test X-rays have a relative in training: "
        f"{len(leaked) / max(tested.sum(), 1):.1%} of the test would reward memory.\nOf all "
        f"X-rays {related.mean():.1%} have relatives."
    )


def remark_on_majority(history: pd.DataFrame, labels: np.ndarray) -> str:
    """Return up to which epoch a detector may have given every X-ray the same answer.

    Args:
        history: one row an epoch, with `epoch` and `val_accuracy`.
        labels: zeros and ones of the validation split, (N,).
    """
    accuracy, share = history["val_accuracy"], np.mean(labels)
    nearest = min(share, 1 - share, key=lambda constant: abs(accuracy.iloc[0] - constant))
    alike = (accuracy - nearest).abs() < CLOSE
    epochs = int(alike.cummin().sum())
    if not epochs:
        return (
            "From the first epoch on the validation accuracy differs from the share of either "
            "class: the network does not give every X-ray the same answer."
        )
    return (
        f"The validation accuracy up to epoch {epochs} is {accuracy.iloc[epochs - 1]:.3f}, the "
        "share of one class, as if every X-ray got the same answer: it does not show yet that "
        "anything was learnt."
    )


def remark_on_map(metrics: dict[str, Estimate]) -> str:
    """Return what always giving the same answer would reach, and what the network adds to it.

    `metrics` are those that `infection_map.compare_with_map` returns.
    """
    constant, gain = metrics["map_dice"], metrics["map_dice_gain"]
    if constant.value is None:
        return "No X-ray has any infection: there is no Dice to compare."
    size = f"{abs(gain.value):.3f}"
    side = f"{size} {'higher' if gain.value > 0 else 'lower'}" if float(size) else "as high"
    said = (
        f"Always giving the same answer would have reached a Dice of {constant.text(3)}. The "
        f"network's is {side}"
    )
    if gain.low is None:
        return f"{said}, of too few patients or X-rays for an interval."
    said += f", X-ray by X-ray: a gain of {gain.text(3)}"
    if gain.low > 0:
        return f"{said}. So much it reads in the X-ray itself."
    if gain.high < 0:
        return f"{said}. It would be better not to look."
    return f"{said}. Chance alone may explain it: it is not shown that it looks at the X-ray."


def remark_on_masks_by_class(means: dict[str, Estimate]) -> str:
    """Return which class has the best and the worst masks, and whether that may be chance.

    `means` are what `segmentation.mean_scores` returns.
    """
    classes = {key[5:]: mean for key, mean in means.items() if key.startswith("dice/")}
    if len(classes) < 2:
        mean = means["dice"].text(3)
        return f"All X-rays that are scored are of one class. Their mean Dice is {mean}."
    worst, best = (choose(classes, key=lambda key: classes[key].value) for choose in (min, max))
    said = (
        f"The mean Dice is lowest for {worst}, {classes[worst].text(3)}, and highest for {best}, "
        f"{classes[best].text(3)}."
    )
    difference = subtract(classes[best], classes[worst])
    if difference.low is None:
        return f"{said} One has no interval: too few X-rays to compare them."
    said += f" The difference is {difference.text(3)}"
    if difference.low <= 0:
        return f"{said}: chance alone may explain it."
    if len(classes) == 2:
        return f"{said}: more than chance."
    return f"{said}, but of {len(classes)} classes we picked these after looking: test it anew."


def remark_on_outlines(counts: dict[str, list[tuple[int, int]]]) -> str:
    """Return how many of their wrong pixels networks have along the outline of the lungs.

    `counts` are, by the network's name, what `error_maps.count_near_outline` returns for X-rays.
    """
    lines = []
    for name, pairs in counts.items():
        near, wrong = np.sum(pairs, axis=0)
        if not wrong:
            lines.append(f"{name}: no pixel is wrong.")
            continue
        edge = near / wrong >= MOSTLY
        said = "The others are few." if edge else "The others are missed or added parts."
        lines.append(
            f"{name}: of {wrong:,} wrong pixels {near / wrong:.0%} lie along the outline. {said}"
        )
    return "\n".join(lines)


def remark_on_ranking(test: pd.DataFrame) -> str:
    """Return whether any threshold would part COVID from the rest without an error.

    `test` has a row an X-ray, with its `label`, 1 for COVID, and its `probability`.
    """
    lowest = test.loc[test["label"] == 1, "probability"].min()
    highest = test.loc[test["label"] == 0, "probability"].max()
    if lowest > highest:
        return (
            f"Every COVID X-ray has a higher probability (at least {lowest:.2f}) than every other "
            f"(at most {highest:.2f}). A threshold in between would make no error, but whoever "
            "chooses it on these X-rays has used the test split up."
        )
    return (
        f"COVID X-rays have probabilities from {lowest:.2f}, others up to {highest:.2f}: no "
        "threshold is right about all of them."
    )


def remark_on_severity(metrics: dict[str, Estimate]) -> str:
    """Return whether predicted shares of the lungs rank X-rays rightly, and how far off they are.

    `metrics` are what `infection.infection_metrics` returns.
    """
    ranks, bias, low, high = (metrics[f"severity_{name}"] for name in SEVERITY)
    if low.value is None:
        return (
            "Fewer than three X-rays with infection and lungs in both masks: too few to compare "
            "shares of the lungs."
        )
    if ranks.value is None:
        lines = ["There is no rank correlation: true or predicted shares are all the same."]
    else:
        alike = "nearly" if ranks.value >= MOSTLY else "roughly"
        if ranks.value < RELATED:
            alike = "hardly"
        value = ranks.text(2).replace("-", MINUS)
        lines = [f"Rank correlation {value}: its order of the X-rays is {alike} that of the masks."]
    side = "above" if bias.value >= 0 else "below"
    said = f"On average it is {100 * abs(bias.value):.1f} percentage points {side} the true share"
    if bias.low is not None and bias.low <= 0 <= bias.high:
        said += ", which may be chance"
    least, most = (np.clip(GUESS - limit.value, 0, 1) for limit in (high, low))
    lines += [
        f"{said}.",
        f"95 of 100 differences would lie between {_points(low)} and {_points(high)} points, if "
        f"they are spread like a bell curve: where it says {GUESS:.0%}, the truth may be "
        f"{least:.0%} to {most:.0%}.",
    ]
    return "\n".join(lines)


def remark_on_shares(split: pd.DataFrame) -> str:
    """Return which split is furthest from its share of X-rays with relatives, and why.

    `split` has the columns `class`, `group` and `split`, one row an X-ray.
    """
    related = split[split["group"].duplicated(keep=False)]
    if related.empty:
        return "No X-ray has a relative here, so there are no groups to share out."
    parts = split["split"].value_counts(normalize=True).sort_index()
    held = pd.crosstab(related["class"], related["split"]).reindex(
        columns=parts.index, fill_value=0
    )
    fair = pd.DataFrame(np.outer(held.sum(axis=1), parts), held.index, parts.index)
    name = (held - fair).sum().abs().idxmax()
    off = (held - fair).abs().to_numpy().max()
    largest = related["group"].value_counts().max()
    said = (
        f"{len(related) / len(split):.1%} of all X-rays have relatives. The fair share of the "
        f"split {name} is {fair[name].sum():.1f} of these X-rays; it has {held[name].sum()}.\n"
    )
    if off < largest:
        return said + (
            f"Class by class, no split is more than {off:.1f} X-rays with relatives away from its "
            f"fair share; a group, which cannot be divided, has up to {largest}. Such gaps can add "
            "up over the classes."
        )
    return said + (
        f"A class is off by {off:.1f} X-rays, and the largest group has {largest}: these groups "
        "are not shared out evenly."
    )


def remark_on_soft_errors(true: np.ndarray, probability: np.ndarray) -> str:
    """Return what an X-ray's Dice loss consists of, in three parts, and which is the largest.

    Args:
        true: zeros and ones, one is lung, (height, width).
        probability: of lung, of the same shape.
    """
    errors = np.abs(true - probability.astype("float64"))
    if not errors.any():
        return "The Dice loss is 0: every pixel is right, and with certainty."
    wrong = (probability > THRESHOLD) != (true == 1)
    near = find_near_outline(true)
    places = {
        f"pixels on the wrong side of {THRESHOLD}": wrong,
        "pixels on the right side near the outline": ~wrong & near,
        "pixels on the right side far from it": ~wrong & ~near,
    }
    shares = {name: errors[place].sum() / errors.sum() for name, place in places.items()}
    parts = [f"{share:.0%} come from {name}" for name, share in shares.items()]
    largest = max(places, key=shares.get)
    return (
        f"Of the Dice loss {'; '.join(parts)}. The largest part: {places[largest].sum():,} "
        f"{largest}, each wrong by {errors[places[largest]].mean():.3f} on average."
    )


def remark_on_sources(counts: pd.DataFrame) -> str:
    """Return whether sources and classes can be told apart.

    `counts` are X-rays, as `metadata.source_table` returns them: a row a source, a column a class.
    """
    known = counts.drop(index="unknown", errors="ignore")
    if known.empty:
        return "The metadata name no source: whether one tells the classes apart cannot be seen."
    if len(known) == 1:
        return (
            f"The metadata name a single source, “{known.index[0]}”: it cannot tell the classes "
            "apart.\nThere is nothing to compare."
        )
    if POSITIVE_CLASS not in counts:
        return f"The metadata name {len(known)} sources, none of them with {POSITIVE_CLASS}."
    others = known.drop(columns=POSITIVE_CLASS).sum(axis=1)
    mixed = (known[POSITIVE_CLASS] > 0) & (others > 0)
    alone = known.loc[~mixed, POSITIVE_CLASS].sum() / max(known[POSITIVE_CLASS].sum(), 1)
    return (
        f"{mixed.sum()} of {len(known)} sources gave both {POSITIVE_CLASS} and other X-rays.\n"
        f"Of the {POSITIVE_CLASS} X-rays with a known source, {alone:.1%} come from sources that "
        "gave nothing else."
    )


def remark_on_split(split: pd.DataFrame) -> str:
    """Return how far the share of each class in a split is from its share in all X-rays at most.

    `split` has the columns `class` and `split`, one row an X-ray.
    """
    shares = pd.crosstab(split["class"], split["split"], normalize="columns")
    apart = shares.sub(split["class"].value_counts(normalize=True), axis=0).abs()
    name, place = apart.stack().idxmax()
    largest = apart.loc[name, place] * 100
    return f"{(split['split'] == 'train').mean():.1%} of the X-rays are for training.\n" + (
        f"The share of a class in a split differs from its share in all X-rays by at most "
        f"{largest:.1f} percentage points ({name} in {place})."
        if largest >= 0.05  # what is printed as 0.1
        else "Every class has the same share in all splits."
    )


def remark_on_surest(surest: pd.DataFrame) -> str:
    """Return in words what `one_xray.pick_surest` found: a COVID X-ray recognised, and an error.

    `surest` has `class`, `probability` and `right`, a row each.
    """
    said = [
        f"Surest and {'right' if row['right'] else 'wrong'}: truly {row['class']}, predicted COVID "
        f"{row['probability']:.2f}."
        for _, row in surest.iterrows()
    ]
    if not surest["right"].any():
        said.append(
            "It recognised none of its test X-rays with COVID: there is no success to show."
        )
    if surest["right"].all():
        said.append("It was wrong about none of its test X-rays, so there is no failure to show.")
    return "\n".join(said)


def remark_on_tail(scores: pd.DataFrame) -> str:
    """Return how far the worst X-ray is below the mean Dice, and how many are far below it.

    `scores` has `file` and `dice`, a row an X-ray.
    """
    mean = scores["dice"].mean()
    worst = scores.loc[scores["dice"].idxmin()]
    far = int((scores["dice"] < mean - FAR_BELOW).sum())
    said = f"The mean Dice is {mean:.3f}, the lowest {worst['dice']:.3f} ({worst['file']})."
    if not far:
        return f"{said} No X-ray is more than {FAR_BELOW} below the mean: here it speaks for all."
    return f"{said} {far} of {len(scores)} are more than {FAR_BELOW} below it: the mean hides them."


def remark_on_thresholds(thresholds: list[float], scores: list[float]) -> str:
    """Return how much the Dice of an X-ray depends on the threshold."""
    best = int(np.argmax(scores))
    return (
        f"From threshold {min(thresholds):.2f} to {max(thresholds):.2f} the Dice lies between "
        f"{min(scores):.3f} and {max(scores):.3f}; it is highest at {thresholds[best]:.2f}."
    )


def remark_on_views(figures: dict[str, Estimate], names: Iterable[str]) -> str:
    """Return in which views of the X-rays a network can tell COVID from the rest.

    Args:
        figures: AUROC `auroc_<view>` of each view, with its interval.
        names: of the views.
    """
    found = {name: figures[f"auroc_{name}"] for name in names}
    measured = {name: auroc for name, auroc in found.items() if auroc.low is not None}
    if not measured:
        return "Without an interval no AUROC shows anything: the test split is too small."
    seen = [name for name, auroc in measured.items() if auroc.low > 0.5]
    rest = [name for name in measured if name not in seen]
    without = [name for name in seen if name in OUTSIDE]

    def tell(chosen: Iterable[str]) -> str:
        """Return views with their AUROCs."""
        told = [f"{name.replace('_', ' ')} {found[name].value:.3f}" for name in chosen]
        return ", ".join(told) or "none"

    lines = [
        f"Intervals above 0.5: {tell(seen)}.",
        f"Intervals that reach 0.5 or below: {tell(rest)}.",
        "None of the views without lungs is shown to suffice.",
    ]
    if without:
        lines[-1] = f"Without the lungs: {tell(without)}. That hints at a shortcut."
    elif not seen:
        lines[-1] = "No network is shown to do better than guessing, even with the lungs in view."
    return "\n".join([*lines, "The verdict decides: it allows for several views, and is stricter."])


def say(remark: str) -> None:
    """Print a remark in lines that no page breaks in the middle of a word."""
    print("\n".join(textwrap.fill(line, WIDTH) for line in remark.splitlines()))


def _decide(probability: float, threshold: float) -> str:
    """Return what a probability is called."""
    return POSITIVE_CLASS if probability > threshold else f"not {POSITIVE_CLASS}"


def _find_rise(history: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Return the two epochs between which the validation loss rose most, the training loss fell."""
    pairs = [
        (before, after)
        for _, before in history.iterrows()
        for _, after in history.iterrows()
        if after["epoch"] >= before["epoch"] and after["loss"] <= before["loss"]
    ]
    return max(pairs, key=lambda pair: pair[1]["val_loss"] / pair[0]["val_loss"])


def _margin(probability: float, threshold: float) -> str:
    """Return how far a probability is from a threshold, and on which side."""
    margin = abs(round(probability, 2) - round(threshold, 2))  # that of the numbers that are shown
    return f"{margin:.2f} {'over' if probability > threshold else 'under'}"


def _percent(share: Estimate) -> str:
    """Return a share with its interval, if it has one, in per cent."""
    interval = "" if share.low is None else f" [{share.low:.1%}, {share.high:.1%}]"
    return f"{share.value:.1%}{interval}"


def _points(difference: Estimate) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    return f"{100 * difference.value:+.1f}".replace("-", MINUS)

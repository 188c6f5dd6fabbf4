"""Infection: remarks on what a network finds, invents and measures of infected lung."""

import numpy as np

from helpers.evaluate.infection_map import average
from helpers.evaluate.intervals import Estimate
from helpers.report.remarks.limits import MOSTLY, RELATED

MINUS = "\N{MINUS SIGN}"
SEVERITY = ("spearman", "bias", "low", "high")
GUESS = 0.3  # a predicted share of the lungs, as an example


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
        return f"{said}. So much it reads in the X-ray, the place of the lungs included."
    if gain.high < 0:
        return f"{said}. It would be better not to look."
    return f"{said}. Chance alone may explain it: it is not shown that it looks at the X-ray."


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


def _percent(share: Estimate) -> str:
    """Return a share with its interval, if it has one, in per cent."""
    interval = "" if share.low is None else f" [{share.low:.1%}, {share.high:.1%}]"
    return f"{share.value:.1%}{interval}"


def _points(difference: Estimate) -> str:
    """Return a difference of shares in percentage points, with its sign."""
    return f"{100 * difference.value:+.1f}".replace("-", MINUS)

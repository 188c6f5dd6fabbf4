"""Views: a remark on what a network can tell from parts of the X-rays alone."""

from collections.abc import Iterable

from helpers.evaluate.intervals import Estimate
from helpers.evaluate.views import OUTSIDE


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

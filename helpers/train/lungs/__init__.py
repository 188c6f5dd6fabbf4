"""Lungs: a trained network that draws the lungs in a chest X-ray, inside the package.

`segment` is all that most need: `from helpers.train import lungs; mask = lungs.segment(image)`.
What it was trained on, how good it is and what it must not be used for: MODEL_CARD.md.
"""

from helpers.train.lungs.network import (
    CARD,
    FOLDER,
    LICENCE,
    NAME,
    RESTORE,
    VERSION,
    WEIGHTS,
    build_network,
    describe_network,
    give_weights,
    load_network,
    segment,
    write_weights,
)
from helpers.train.lungs.seen import find_seen

__all__ = [
    "CARD",
    "FOLDER",
    "LICENCE",
    "NAME",
    "RESTORE",
    "VERSION",
    "WEIGHTS",
    "build_network",
    "describe_network",
    "find_seen",
    "give_weights",
    "load_network",
    "segment",
    "write_weights",
]

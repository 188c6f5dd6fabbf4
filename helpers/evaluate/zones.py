"""Zones: six parts of the lungs, and how much of each an infection takes."""

import numpy as np

ZONES = tuple(
    f"{side}_{third}" for side in ("right", "left") for third in ("upper", "middle", "lower")
)
SHARES = ("infected_share", "right_share", "left_share", *ZONES)


def number_zones(lungs: np.ndarray) -> np.ndarray:
    """Return the zone of each pixel: 0 outside the lungs, then 1 to 6 in the order of ZONES."""
    height, width = lungs.shape
    thirds = 3 * np.arange(height)[:, None] // height
    sides = 2 * np.arange(width)[None] // width
    return (lungs * (1 + thirds + 3 * sides)).astype(np.uint8)


def infected_shares(infection: np.ndarray, lungs: np.ndarray) -> dict[str, float]:
    """Return the infected share of the lungs, of each lung and of each zone, by SHARES."""
    zones = number_zones(lungs)
    parts = [range(1, 7), range(1, 4), range(4, 7), *([number] for number in range(1, 7))]
    found = [infection[np.isin(zones, list(part))] for part in parts]
    return {
        name: float(part.mean()) if part.size else np.nan
        for name, part in zip(SHARES, found, strict=True)
    }

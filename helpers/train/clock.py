"""Clock: how fast networks train here, and how much of the time they wait for data."""

import math

DATABASE = 16_932  # X-rays of the COVID-19 Radiography Database in a training split, 0.8 of 21,165


class Clock:
    """Adds up the time of a notebook's trainings, epoch by epoch."""

    def __init__(self):
        self.trainings: list[list[tuple[int, float, float, float]]] = []

    def begin(self) -> None:
        """Begin a training, to which the epochs that follow belong."""
        self.trainings.append([])

    def add(self, xrays: int, learning: float, loading: float, whole: float) -> None:
        """Count an epoch.

        Args:
            xrays: how many it trained on.
            learning: seconds of its training steps, with the wait for their batches.
            loading: seconds of them in which a batch was made; NaN if the GPU itself made them.
            whole: seconds of the epoch, with the look at the validation split.
        """
        self.trainings[-1].append((xrays, learning, loading, whole))

    def describe(self, epochs: int) -> str:
        """Return for a reader how fast the trainings were, and would be on the real database.

        `epochs` are those of all trainings together. The first one of each builds its network's
        program and does not count if there are others.
        """
        later = [epoch for training in self.trainings for epoch in training[1:]]
        timed = later or [epoch for training in self.trainings for epoch in training]
        if not timed:
            return "Nothing was trained now, so there is no time to tell."
        xrays, learning, loading, whole = map(sum, zip(*timed, strict=True))
        seconds = epochs * DATABASE * whole / xrays
        waited = "The GPU made the batches itself, so there was no data to wait for."
        if not math.isnan(loading):
            share = min(1, loading / learning)
            waited = f"At most {share:.0%} of the time the network waited for data."
        return (
            f"{xrays / learning:,.0f} X-rays a second. {waited}\n"
            f"With the COVID-19 Radiography Database this would take {_round(seconds)} "
            f"here ({DATABASE:,} X-rays in the training split, {epochs} epochs)."
        )


def _round(seconds: float) -> str:
    """Return a time in words, about."""
    if seconds < 90:
        return "about a minute"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} minutes"
    return f"about {seconds / 3600:.1f} hours"

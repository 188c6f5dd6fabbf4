"""Recipes: every number of a training run, under one name."""

from dataclasses import asdict, dataclass, replace

import pandas as pd

from helpers.errors import CovidLungsError

THRESHOLD = 0.5  # a probability above it counts as COVID, or as lung


@dataclass(frozen=True)
class Settings:
    """The numbers of one training.

    Attributes:
        image_size: height and width of the network's input, in pixels.
        filters: of each convolution block, in order.
        epochs: passes over the training split.
        batch_size: X-rays a step.
        learning_rate: of Adam.
    """

    image_size: int
    filters: tuple[int, ...]
    epochs: int
    batch_size: int
    learning_rate: float

    def override(self, **changes: int | None) -> "Settings":
        """Return these settings with changes; None means: as the recipe says.

        Raises:
            CovidLungsError: a value is not a whole number above zero, or the images are so small
                that nothing is left of them after the network's poolings.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        for name, value in given.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise CovidLungsError(f"{name} = {value!r}: give a whole number above zero.")
        settings = replace(self, **given)
        step = 2 ** len(self.filters)
        # From 24 pixels the detector's three convolutions without padding leave one.
        smallest = max(24, 2 * step)
        if settings.image_size % step or settings.image_size < smallest:
            raise CovidLungsError(
                f"image_size = {settings.image_size}: this network halves its input "
                f"{len(self.filters)} times, so give a multiple of {step}, at least {smallest}."
            )
        return settings

    def table(self) -> pd.DataFrame:
        """Return the settings as a table to print, a row a number."""
        rows = {name.replace("_", " "): str(value) for name, value in asdict(self).items()}
        return pd.DataFrame({"value": rows})


@dataclass(frozen=True)
class Recipe:
    """Settings for the detector and for the segmenter."""

    detection: Settings
    segmentation: Settings


RECIPES = {
    # Minutes on two CPU cores.
    "demo": Recipe(
        detection=Settings(
            image_size=128, filters=(16, 32, 16), epochs=12, batch_size=8, learning_rate=1e-3
        ),
        segmentation=Settings(
            image_size=128, filters=(8, 16, 32, 64), epochs=5, batch_size=4, learning_rate=2e-3
        ),
    ),
    # The work that this project reproduces; it names no learning rate for the detector: Adam's own.
    "original": Recipe(
        detection=Settings(
            image_size=256, filters=(16, 32, 16), epochs=45, batch_size=6, learning_rate=1e-3
        ),
        segmentation=Settings(
            image_size=512, filters=(64, 128, 256, 512), epochs=10, batch_size=2, learning_rate=1e-4
        ),
    ),
}


def find_recipe(name: str) -> Recipe:
    """Return the recipe of that name.

    Raises:
        CovidLungsError: there is none.
    """
    if name not in RECIPES:
        raise CovidLungsError(f"recipe {name!r} is unknown: choose one of {', '.join(RECIPES)}.")
    return RECIPES[name]

"""Recipes: every number of a training run, under one name."""

from dataclasses import asdict, dataclass, replace

import pandas as pd

from helpers.storage.errors import CovidLungsError

THRESHOLD = 0.5  # a probability above it counts as COVID, or as lung
# What each setting means, in as many words as a line has room for.
MEANINGS = {
    "image_size": "pixels on each side of the X-rays that the network sees",
    "filters": "filters of each block of convolutions, in order",
    "epochs": "how often the network sees every training X-ray",
    "batch_size": "X-rays that it sees before it changes its weights once",
    "learning_rate": "how far one step may change the weights",
    "standardised": "is each X-ray scaled to mean 0 and variance 1?",
    "augmentation": "random changes of training X-rays: none, light or strong",
    "schedule": "learning rate: constant, or up and down again (cosine)",
    "pooled": "is each filter's mean judged, without a weight for each place?",
    "patch": "how many times the first convolution shrinks the X-ray",
    "cross_entropy": "is binary cross-entropy added to the Dice loss?",
    "from_lungs": "does it begin with the weights of the package's lung network?",
    "look_twice": "is the mirror image predicted too, and the mean taken?",
    "mixed_precision": "are 16-bit numbers used where they are faster?",
    "compiled": "may XLA compile the steps, so that they take less time?",
}


@dataclass(frozen=True)
class Settings:
    """The numbers of one training; MEANINGS says what each of them is.

    The augmentation is a name in `augmentation.STRENGTHS`, or `none`. The learning rate of Adam is
    constant, or by the schedule `cosine` rises for a tenth of the steps and then falls to 0.
    """

    image_size: int
    filters: tuple[int, ...]
    epochs: int
    batch_size: int
    learning_rate: float
    standardised: bool = False
    augmentation: str = "none"
    schedule: str = "constant"

    def override(self, **changes: int | None) -> "Settings":
        """Return these settings with changes; None means: as the recipe says.

        Raises:
            CovidLungsError: a value is not a whole number above zero, or the network cannot take
                that image size.
        """
        given = {name: value for name, value in changes.items() if value is not None}
        for name, value in given.items():
            if type(value) is not int or value < 1:  # True is an int, too
                raise CovidLungsError(f"{name} = {value!r}: give a whole number above zero.")
        settings = replace(self, **given)
        # Patches and poolings make one value of so many pixels a side.
        step = getattr(self, "patch", 1) * 2 ** len(self.filters)
        # From 24 pixels the detector's three convolutions without padding leave one.
        smallest = max(24, 2 * step)
        if settings.image_size % step or settings.image_size < smallest:
            raise CovidLungsError(
                f"image_size = {settings.image_size}: this network shrinks its input "
                f"{step} times, so give a multiple of {step}, at least {smallest}."
            )
        return settings

    def table(self) -> pd.DataFrame:
        """Return the settings as a table to print: a row a number, with its value and meaning."""
        yes_or_no = {True: "yes", False: "no"}
        values = {
            name: yes_or_no[value] if isinstance(value, bool) else str(value)
            for name, value in asdict(self).items()
        }
        meanings = [MEANINGS[name] for name in values]
        width = max(map(len, meanings))  # pandas prints to the right; filled up, they begin alike
        return pd.DataFrame(
            {"value": list(values.values()), "meaning": [text.ljust(width) for text in meanings]},
            index=[name.replace("_", " ") for name in values],
        )


@dataclass(frozen=True)
class DetectionSettings(Settings):
    """The numbers of a detector's training."""

    pooled: bool = False


@dataclass(frozen=True)
class SegmentationSettings(Settings):
    """The numbers of the U-Net's training; a short one does not gain from being compiled."""

    patch: int = 1
    cross_entropy: bool = False
    from_lungs: bool = False
    look_twice: bool = False
    mixed_precision: bool = False
    compiled: bool = False


SHORTCUTS = DetectionSettings(
    image_size=96,
    filters=(8, 16, 32),
    epochs=12,
    batch_size=8,
    learning_rate=3e-3,
    schedule="cosine",
    pooled=True,  # sees a step of brightness that a weight for every place does not
)


@dataclass(frozen=True)
class Recipe:
    """Settings for the detector, the U-Nets of lungs and infection, and the detector on views."""

    detection: DetectionSettings
    segmentation: SegmentationSettings
    infection: SegmentationSettings
    shortcuts: DetectionSettings = SHORTCUTS


ORIGINAL_UNET = SegmentationSettings(
    image_size=512,
    filters=(64, 128, 256, 512),
    epochs=10,
    batch_size=2,
    learning_rate=1e-4,
    compiled=True,
)

# The U-Net of `best`: for lungs as it is, for infection with what differs there.
BEST_UNET = SegmentationSettings(
    image_size=256,
    filters=(24, 48, 96, 128),
    epochs=30,
    batch_size=8,
    learning_rate=3e-3,
    patch=4,
    standardised=True,
    augmentation="strong",
    cross_entropy=True,
    schedule="cosine",
    look_twice=True,
    mixed_precision=True,
    compiled=True,
)

RECIPES = {
    # Minutes on two CPU cores.
    "demo": Recipe(
        detection=DetectionSettings(
            image_size=128, filters=(16, 32, 16), epochs=12, batch_size=8, learning_rate=1e-3
        ),
        segmentation=SegmentationSettings(
            image_size=128, filters=(8, 16, 32, 64), epochs=5, batch_size=4, learning_rate=2e-3
        ),
        infection=SegmentationSettings(
            image_size=128,
            filters=(24, 48, 96, 128),
            epochs=8,
            batch_size=4,
            learning_rate=1e-3,
            patch=4,
            standardised=True,
            cross_entropy=True,
            from_lungs=True,
            schedule="cosine",
            mixed_precision=True,
            compiled=True,
        ),
        shortcuts=replace(SHORTCUTS, image_size=64, epochs=6),
    ),
    # The work that this project reproduces; it names no learning rate for the detector: Adam's own.
    "original": Recipe(
        detection=DetectionSettings(
            image_size=256, filters=(16, 32, 16), epochs=45, batch_size=6, learning_rate=1e-3
        ),
        segmentation=ORIGINAL_UNET,
        infection=ORIGINAL_UNET,  # it stops at the lungs
    ),
    # What we would train today; chosen on the validation splits of real X-rays.
    "best": Recipe(
        detection=DetectionSettings(
            image_size=128,
            filters=(16, 32, 64, 96),
            epochs=15,
            batch_size=16,
            learning_rate=3e-3,
            standardised=True,
            augmentation="light",
            schedule="cosine",
            pooled=True,
        ),
        segmentation=BEST_UNET,
        # A bright patch of the strong augmentation would be an infection that the mask denies.
        infection=replace(
            BEST_UNET, epochs=20, learning_rate=1e-3, augmentation="light", from_lungs=True
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

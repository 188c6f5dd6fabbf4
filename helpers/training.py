"""Training: reproducible, a line an epoch, the best epoch's weights kept."""

import math
from pathlib import Path

import pandas as pd

from helpers.backend import keras
from helpers.batches import Batches
from helpers.errors import CovidLungsError
from helpers.folders import shown
from helpers.metrics import (
    dice_and_cross_entropy,
    dice_loss,
    thresholded_dice,
    thresholded_iou,
)
from helpers.precision import compiles, look_at_machine
from helpers.recipes import DetectionSettings, SegmentationSettings, Settings

# Share of the steps over which a schedule raises the learning rate, until the normalisation has
# seen enough for its full height.
WARM_UP = 0.1


def make_reproducible(seed: int) -> None:
    """Seed Python, NumPy and Keras, and make TensorFlow's operations on a GPU deterministic.

    On a processor they are so anyway, and TensorFlow's switch would keep XLA from compiling the
    steps, which take twice the time without it.
    """
    keras.utils.set_random_seed(seed)
    if keras.backend.backend() == "tensorflow" and look_at_machine().capability is not None:
        import tensorflow  # here, since other backends do without it

        tensorflow.config.experimental.enable_op_determinism()


def compile_detector(model: keras.Model, settings: DetectionSettings, steps: int) -> None:
    """Compile for binary cross-entropy (log loss) with Adam, watching accuracy.

    Args:
        model: the CNN.
        settings: name the learning rate and its schedule.
        steps: of one epoch.
    """
    optimizer = keras.optimizers.Adam(_learning_rate(settings, steps * settings.epochs))
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])


def compile_segmenter(model: keras.Model, settings: SegmentationSettings, steps: int) -> None:
    """Compile for the recipe's loss with Adam, watching the thresholded Dice and IoU.

    Args:
        model: the U-Net.
        settings: name the loss, the learning rate and its schedule.
        steps: of one epoch.
    """
    optimizer = keras.optimizers.Adam(_learning_rate(settings, steps * settings.epochs))
    watched = [
        keras.metrics.MeanMetricWrapper(thresholded_dice, name="dice"),
        keras.metrics.MeanMetricWrapper(thresholded_iou, name="iou"),
    ]
    loss = dice_and_cross_entropy if settings.cross_entropy else dice_loss
    model.compile(optimizer, loss, metrics=watched, jit_compile=compiles(look_at_machine()))


def _learning_rate(settings: Settings, steps: int):
    """Return the learning rate, or its schedule over that many steps."""
    if settings.schedule == "constant":
        return settings.learning_rate
    rising = max(1, round(WARM_UP * steps))
    return keras.optimizers.schedules.CosineDecay(
        0.05 * settings.learning_rate,
        decay_steps=max(1, steps - rising),
        alpha=0.0,
        warmup_target=settings.learning_rate,
        warmup_steps=rising,
    )


class Recorder(keras.callbacks.Callback):
    """Gives each epoch its order, then its row in a file and its line for the reader."""

    def __init__(self, batches: Batches, epochs: int, path: Path, say: bool):
        """Record the training on these batches, of that many epochs, in a file."""
        super().__init__()
        self.batches, self.epochs, self.path, self.say = batches, epochs, path, say
        self.rows: list[dict] = []

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Draw the order of an epoch, counted from 0."""
        self.batches.start_epoch(epoch)

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        """Write what an epoch came to, and print it if it is to be said."""
        figures = {name: round(logs[name], 6) for name in sorted(logs)}
        self.rows.append({"epoch": epoch + 1, **figures})
        pd.DataFrame(self.rows).to_csv(self.path, index=False, lineterminator="\n")
        if self.say:
            print(describe_epoch(self.rows[-1], self.epochs), flush=True)


def train(
    model: keras.Model,
    training: Batches,
    validation: Batches,
    epochs: int,
    folder: Path,
    say: bool = True,
) -> pd.DataFrame:
    """Fit a compiled model and leave the weights of its best epoch in it.

    The best epoch is that of the lowest loss on the validation split. `model.keras` and
    `history.csv` appear in `folder` together, at the end; until then an earlier model stays, with
    its figures. Figures of an earlier model are removed with it. Each epoch is a printed line,
    unless `say` is False.

    Returns:
        a row an epoch: `epoch` from 1, then the loss and metrics on training and validation.

    Raises:
        CovidLungsError: the loss was never a number.
    """
    path, unfinished = folder / "model.keras", folder / "unfinished.keras"
    unfinished.unlink(missing_ok=True)  # that of an earlier training must not pass for this one's
    recorder = Recorder(training, epochs, folder / "unfinished.csv", say)
    best = _keep_best(unfinished)
    model.fit(
        training,
        validation_data=validation,
        epochs=epochs,
        callbacks=[best, recorder],
        shuffle=False,  # the batches are in the epoch's order; Keras would shuffle them again
        verbose=0,
    )
    if not unfinished.is_file():
        raise CovidLungsError(
            f"{shown(path)} was not made: the validation loss was not a number in any epoch. "
            "Try another `seed`, or a larger `batch_size`."
        )
    model.load_weights(unfinished)
    for name in ("predictions.csv", "scores.csv", "metrics.json"):
        (folder / name).unlink(missing_ok=True)
    unfinished.replace(path)
    recorder.path.replace(folder / "history.csv")
    return pd.DataFrame(recorder.rows)


def replace_model(model: keras.Model, folder: Path) -> None:
    """Write a network made of the trained one in its place, whole or not at all."""
    unfinished = folder / "unfinished.keras"
    model.save(unfinished)
    unfinished.replace(folder / "model.keras")


def _keep_best(path: Path) -> keras.callbacks.ModelCheckpoint:
    """Return the callback that writes the model after each epoch with a new lowest loss."""
    return keras.callbacks.ModelCheckpoint(
        path,
        monitor="val_loss",
        save_best_only=True,
        initial_value_threshold=math.inf,  # else a loss that is no number counts as the best
    )


def describe_epoch(row: dict, epochs: int) -> str:
    """Return the line that a reader sees after an epoch; without times, so that runs compare."""
    figures = "  ".join(
        f"{name.replace('val_', 'validation ')} {value:.3f}"
        for name, value in row.items()
        if name != "epoch"
    )
    return f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  {figures}"


def load_model(path: Path) -> keras.Model:
    """Return a trained model for prediction; its loss and optimizer are not restored."""
    return keras.models.load_model(path, compile=False)

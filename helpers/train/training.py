"""Training: reproducible, a line an epoch, the best epoch's weights kept."""

from pathlib import Path

import pandas as pd

from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import shown
from helpers.storage.locks import hold_training
from helpers.train.backend import keras
from helpers.train.batches import Batches
from helpers.train.checkpoint import STATE, Progress, resume
from helpers.train.fingerprints import describe_training
from helpers.train.metrics import (
    dice_and_cross_entropy,
    dice_loss,
    thresholded_dice,
    thresholded_iou,
)
from helpers.train.precision import compiles, look_at_machine
from helpers.train.recipes import DetectionSettings, SegmentationSettings, Settings
from helpers.train.trained import NETWORK, keep_trained, recall_trained

# Share of the steps over which a schedule raises the learning rate, until the normalisation has
# seen enough for its full height.
WARM_UP = 0.1


def make_reproducible(seed: int) -> None:
    """Seed Python, NumPy and Keras, and make TensorFlow's operations on a GPU deterministic.

    On a processor they are so anyway, and TensorFlow's switch would keep XLA from compiling the
    steps of long trainings.
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
    jit = compiles(settings, look_at_machine())
    model.compile(optimizer, loss, metrics=watched, jit_compile=jit)


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
    """Gives each epoch its order, then notes what it came to, in a file and for the reader."""

    def __init__(self, batches: Batches, epochs: int, progress: Progress, folder: Path, say: bool):
        """Record the training on these batches, of that many epochs, in a folder."""
        super().__init__()
        self.batches, self.epochs, self.progress = batches, epochs, progress
        self.folder, self.say = folder, say

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Begin where the training is: only now has Keras made all that changes."""
        self.progress.restore(self.model)
        if not self.progress.rows:  # stopped in its first epoch, it can begin again as here
            self.progress.write(self.folder, self.model)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Draw the order of an epoch, counted from 0."""
        self.batches.start_epoch(epoch)

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        """Write what an epoch came to, and print it if it is to be said."""
        figures = {name: round(float(logs[name]), 6) for name in sorted(logs)}
        self.progress.add(self.model, {"epoch": epoch + 1, **figures}, float(logs["val_loss"]))
        self.progress.write(self.folder, self.model)
        if self.say:
            print(describe_epoch(self.progress.rows[-1], self.epochs), flush=True)


def train(
    model: keras.Model,
    training: Batches,
    validation: Batches,
    epochs: int,
    folder: Path,
    say: bool = True,
) -> pd.DataFrame:
    """Fit a compiled model and leave the weights of its best epoch in it.

    The best epoch is that of the lowest loss on the validation split. `model.keras`, `history.csv`
    and `training.json`, which tells what was trained, appear in `folder` together, at the end;
    until then an earlier model stays, with its figures. Figures of an earlier model are removed
    with it. Each epoch is a printed line, unless `say` is False.

    A training that was stopped goes on after its last whole epoch, and comes to the same as if
    nothing had been. One that was finished is not repeated. Where anything of `describe_training`
    is new it begins anew; more epochs at a constant learning rate are added to unfinished ones.

    Returns:
        a row an epoch: `epoch` from 1, then the loss and metrics on training and validation.

    Raises:
        CovidLungsError: the loss was never a number, the folder cannot be read or written to, a
            finished training was changed, a model that has been trained is to begin anew, or
            another process goes on with the same training.
    """
    asked = describe_training(model, training, validation)
    history, found = recall_trained(model, asked, epochs, folder)
    if history is not None:
        _tell([found], history.to_dict("records"), epochs, say)
        return history
    with hold_training((folder / STATE).parent):
        progress, left = resume(folder, asked, epochs)
        _tell([found, left], progress.rows, epochs, say)
        _go_on(model, training, validation, epochs, progress, folder, say)
    return pd.DataFrame(progress.rows)


def _tell(notes: list[str], rows: list[dict], epochs: int, say: bool) -> None:
    """Print what is known of a training before its first new epoch, if it is to be said."""
    lines = [note for note in notes if note] + [describe_epoch(row, epochs) for row in rows]
    if say:
        print("".join(f"{line}\n" for line in lines), end="", flush=True)


def _go_on(
    model: keras.Model,
    training: Batches,
    validation: Batches,
    epochs: int,
    progress: Progress,
    folder: Path,
    say: bool,
) -> None:
    """Fit a model for the epochs that are left, then keep it as its best epoch left it."""
    begun = len(progress.rows)
    if begun < epochs:
        model.fit(
            training,
            validation_data=validation,
            initial_epoch=begun,
            epochs=epochs,
            callbacks=[Recorder(training, epochs, progress, folder, say)],
            shuffle=False,  # the batches are in the epoch's order; Keras would shuffle them again
            verbose=0,
        )
    if not progress.best_weights:
        raise CovidLungsError(
            f"{shown(folder / NETWORK)} was not made: the validation loss was not a number in any "
            "epoch. Try another `seed`, or a larger `batch_size`."
        )
    model.set_weights(progress.best_weights)
    keep_trained(model, progress, folder)


def describe_epoch(row: dict, epochs: int) -> str:
    """Return the line that a reader sees after an epoch; without times, so that runs compare."""
    figures = "  ".join(
        f"{name.replace('val_', 'validation ')} {value:.3f}"
        for name, value in row.items()
        if name != "epoch"
    )
    return f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}  {figures}"

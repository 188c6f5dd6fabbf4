"""Training: reproducible and resumable, with the best epoch's weights kept."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import shown
from helpers.storage.locks import hold_training
from helpers.train.backend import compiles, keras, look_at_machine, steps_at_once
from helpers.train.batches import Batches
from helpers.train.checkpoint import STATE, Progress, describe_training, resume
from helpers.train.clock import Clock
from helpers.train.metrics import (
    dice_and_cross_entropy,
    dice_loss,
    thresholded_dice,
    thresholded_iou,
)
from helpers.train.recipes import DetectionSettings, SegmentationSettings, Settings
from helpers.train.trained import NETWORK, keep_trained, recall_trained, refuse_strangers

WARM_UP = 0.1  # share of the steps in which a schedule raises the learning rate


def make_reproducible(seed: int, deterministic: bool = True) -> None:
    """Seed Python, NumPy and Keras, and make TensorFlow's operations on a GPU deterministic.

    TensorFlow's switch keeps XLA from compiling the steps, and no public function turns it off
    again in a process. On a processor the operations are deterministic anyway.
    """
    keras.utils.set_random_seed(seed)
    if not deterministic or keras.backend.backend() != "tensorflow":
        return
    if look_at_machine().has_gpu:
        import tensorflow  # here, since other backends do without it

        tensorflow.config.experimental.enable_op_determinism()


def compile_detector(model: keras.Model, settings: DetectionSettings, steps: int) -> None:
    """Compile a CNN for binary cross-entropy with Adam; `steps` are those of one epoch."""
    at_once = steps_at_once(look_at_machine())
    model.compile(
        keras.optimizers.Adam(learning_rate(settings, steps)),
        "binary_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=at_once,
    )


def compile_segmenter(model: keras.Model, settings: SegmentationSettings, steps: int) -> None:
    """Compile a U-Net for the recipe's loss with Adam; `steps` are those of one epoch."""
    watched = [
        keras.metrics.MeanMetricWrapper(thresholded_dice, name="dice"),
        keras.metrics.MeanMetricWrapper(thresholded_iou, name="iou"),
    ]
    loss = dice_and_cross_entropy if settings.cross_entropy else dice_loss
    machine = look_at_machine()
    model.compile(
        keras.optimizers.Adam(learning_rate(settings, steps)),
        loss,
        metrics=watched,
        jit_compile=compiles(settings, machine),
        steps_per_execution=steps_at_once(machine),
    )


def learning_rate(
    settings: Settings, steps: int
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Return the settings' learning rate, or its schedule over all epochs of so many `steps`."""
    if settings.schedule == "constant":
        return settings.learning_rate
    steps *= settings.epochs
    rising = max(1, round(WARM_UP * steps))
    return keras.optimizers.schedules.CosineDecay(
        0.05 * settings.learning_rate,
        decay_steps=max(1, steps - rising),
        warmup_target=settings.learning_rate,
        warmup_steps=rising,
    )


class Recorder(keras.callbacks.Callback):
    """Give each epoch its order, then write its results, and print them for the reader."""

    def __init__(
        self,
        batches: Batches,
        epochs: int,
        progress: Progress,
        folder: Path,
        say: bool,
        clock: Clock,
    ):
        """Take the batches to train on, where the training stands, and what `resumable` has."""
        super().__init__()
        self.batches, self.epochs, self.progress = batches, epochs, progress
        self.folder, self.say, self.clock = folder, say, clock

    @property
    def epochs_done(self) -> int:
        """How many epochs the training has had; `fit` takes it as `initial_epoch`."""
        return len(self.progress.rows)

    @property
    def history(self) -> pd.DataFrame:
        """A row an epoch: `epoch` from 1, then the loss and metrics on training and validation."""
        return pd.DataFrame(self.progress.rows)

    def on_train_begin(self, logs: dict | None = None) -> None:
        """Begin where the training stopped; only now has Keras made all variables."""
        self.clock.begin()
        self.progress.restore(self.model)
        if not self.progress.rows:  # stopped in its first epoch, it can begin from here again
            self.progress.write(self.folder, self.model)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        """Draw the order of an epoch, counted from 0.

        Raises:
            CovidLungsError: it is not the one that comes next.
        """
        if epoch != self.epochs_done or epoch >= self.epochs:
            raise CovidLungsError(
                f"Of {self.epochs} epochs {self.epochs_done} are done, and `fit` begins epoch "
                f"{epoch + 1}. Give it `initial_epoch=recorder.epochs_done`, and as `epochs` the "
                "number that `resumable` has."
            )
        self.batches.start_epoch(epoch)
        self.begun, self.loaded = time.perf_counter(), self.batches.seconds

    def on_test_begin(self, logs: dict | None = None) -> None:
        """Note when the epoch's training is done and the look at the validation split begins."""
        int(self.model.optimizer.iterations)  # waits: JAX returns before a step is done
        self.learnt, self.loading = time.perf_counter(), self.batches.seconds - self.loaded

    def on_epoch_end(self, epoch: int, logs: dict) -> None:
        """Write an epoch's loss and metrics, and print them."""
        learning, whole = self.learnt - self.begun, time.perf_counter() - self.begun
        self.clock.add(len(self.batches.order), learning, self.loading, whole)
        row = {"epoch": epoch + 1}
        row |= {name: round(float(logs[name]), 6) for name in sorted(logs)}
        self.progress.rows.append(row)
        loss = float(logs["val_loss"])
        if loss < self.progress.best_loss:  # never true of NaN
            self.progress.best_loss = loss
            self.progress.best_weights = self.model.get_weights()
        self.progress.write(self.folder, self.model)
        if self.say:
            print(describe_epoch(row, self.epochs), flush=True)


@contextmanager
def resumable(
    model: keras.Model,
    training: Batches,
    validation: Batches,
    epochs: int,
    folder: Path,
    say: bool = True,
    clock: Clock | None = None,
) -> Iterator[Recorder]:
    """Give the callback with which `fit` can be stopped and continued, and keep what it trained.

    Inside, call `fit` on these batches with `callbacks=[recorder]`, `epochs=epochs`,
    `initial_epoch=recorder.epochs_done`, and `shuffle=False`, since the batches have their order.
    Afterwards the compiled model has the weights of its best epoch, the one with the lowest loss on
    the validation split. `model.keras`, `history.csv` and `training.json` (what was trained)
    replace those of an earlier training, and the scores of its network are removed. Each epoch is a
    printed line, unless `say` is False, and is counted by the clock.

    A stopped training continues after its last whole epoch, with the same result as if it had not
    been stopped. A finished one has no epochs left. Another training, by `describe_training`,
    begins anew; an unfinished one at a constant learning rate may get more epochs.

    Raises:
        CovidLungsError: no epoch was trained, the loss was never a number, the folder cannot be
            read or written to, a finished network was replaced, a trained model would have to begin
            anew, or another process works on the same training.
    """
    refuse_strangers(model)
    asked = describe_training(model, training, validation)
    history, found = recall_trained(model, asked, epochs, folder)
    clock = clock or Clock()
    if history is not None:
        rows = history.to_dict("records")
        _report([found], rows, epochs, say)
        yield Recorder(training, epochs, Progress(asked, rows), folder, say, clock)
        return
    with hold_training((folder / STATE).parent):
        progress, left = resume(folder, asked, epochs)
        _report([found, left, validation.tell_left_out()], progress.rows, epochs, say)
        yield Recorder(training, epochs, progress, folder, say, clock)
        _check_trained(progress, folder)
        model.set_weights(progress.best_weights)
        keep_trained(model, progress, folder)


def _check_trained(progress: Progress, folder: Path) -> None:
    """Raise CovidLungsError if a training has nothing to keep."""
    if progress.best_weights:
        return
    reason = (
        "the validation loss was not a number in any epoch. Try another `seed`, or a larger "
        "`batch_size`."
    )
    if not progress.rows:
        reason = "no epoch was recorded. Give `fit` the callback of `resumable`."
    raise CovidLungsError(f"{shown(folder / NETWORK)} was not made: {reason}")


def train(
    model: keras.Model,
    training: Batches,
    validation: Batches,
    epochs: int,
    folder: Path,
    say: bool = True,
    clock: Clock | None = None,
) -> pd.DataFrame:
    """Fit a compiled model as `resumable` says and return its history, one row an epoch."""
    with resumable(model, training, validation, epochs, folder, say, clock) as recorder:
        model.fit(
            training,
            validation_data=validation,
            epochs=epochs,
            initial_epoch=recorder.epochs_done,
            callbacks=[recorder],
            shuffle=False,  # the batches have their order; Keras would shuffle them again
            verbose=0,
        )
    return recorder.history


def _report(notes: list[str], rows: list[dict], epochs: int, say: bool) -> None:
    """Print what is known of a training before its first new epoch, if `say`."""
    lines = [note for note in notes if note] + [describe_epoch(row, epochs) for row in rows]
    if say and lines:
        print("\n".join(lines), flush=True)


def describe_epoch(row: dict, epochs: int) -> str:
    """Return the line that a reader sees after an epoch; without times, so that runs compare."""
    epoch, *scores = row.items()
    line = f"epoch {epoch[1]:>{len(str(epochs))}}/{epochs}"
    for name, value in scores:
        line += f"  {name.replace('val_', 'validation ')} {value:.3f}"
    return line

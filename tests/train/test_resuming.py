import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest

from helpers.data.images import resize_image, resize_mask
from helpers.run.up_to_date import forget_trainings
from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import PARTIAL
from helpers.storage.layout import SCORES
from helpers.storage.locks import hold_training
from helpers.train import checkpoint as progress_module
from helpers.train import training
from helpers.train.batches import Batches
from helpers.train.checkpoint import STATE, read_progress, resume
from helpers.train.fingerprints import describe_training, find_differences
from helpers.train.models import build_unet, look_twice
from helpers.train.recipes import SegmentationSettings
from helpers.train.trained import (
    PARTS,
    load_model,
    read_history,
    recall_trained,
    replace_model,
)
from helpers.train.training import compile_segmenter, make_reproducible, train
from tests.support.builders import lung_mask, refused, xray

SIZE, EPOCHS, SEED = 32, 4, 5
LEARN, CHECK = np.arange(8), np.arange(8, 12)
XRAYS = np.stack([resize_image(xray(number), (SIZE, SIZE)) for number in range(12)])
MASKS = np.stack([resize_mask(lung_mask(number) // 255, (SIZE, SIZE)) for number in range(12)])
LABELS = np.arange(12) % 2
BRIGHT = (np.where(LABELS[:, None, None] == 1, 200, 30) + XRAYS // 16).astype(np.uint8)
# All that a recipe can ask for: a schedule, augmentation, normalisation.
SETTINGS = SegmentationSettings(
    SIZE,
    filters=(2,),
    epochs=EPOCHS,
    batch_size=4,
    learning_rate=1e-2,
    patch=2,
    standardised=True,
    augmentation="strong",
    cross_entropy=True,
    schedule="cosine",
)


def prepare_segmenter(settings=SETTINGS, seed=SEED):
    """Return a tiny U-Net, ready to be trained, and what it is trained and validated on."""
    make_reproducible(seed)
    model = build_unet(settings)
    batch_size, augmentation = settings.batch_size, settings.augmentation
    learn = Batches(XRAYS, MASKS, LEARN, batch_size, seed, augmentation)
    compile_segmenter(model, settings, len(learn))
    return model, learn, Batches(XRAYS, MASKS, CHECK, batch_size)


def prepare_classifier():
    """The same of a network with a random layer that gets worse: it is validated on wrong labels.

    After the second epoch, that is.
    """
    make_reproducible(SEED)
    model = keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 1)),
            keras.layers.AveragePooling2D(8),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    return model, Batches(BRIGHT, LABELS, LEARN, 2, SEED), Batches(BRIGHT, 1 - LABELS, CHECK, 4)


OF_THE_CLASSIFIER = {"AveragePooling2D", "Dropout"}
PREPARED = {"segmenter": prepare_segmenter, "classifier": prepare_classifier}


class Stopped(BaseException):
    """Stands for a process that is killed."""


def stop(*arguments, **options):
    raise Stopped


def stop_at(patch: pytest.MonkeyPatch, epoch: int, step: int) -> None:
    """Let the next training stop after a step of an epoch, both counted from 0."""

    def look(recorder, number, logs=None):
        if recorder.batches.epoch == epoch and number == step:
            raise Stopped

    patch.setattr(training.Recorder, "on_train_batch_end", look)


def outcome(folder: Path) -> tuple[list[bytes], bytes, dict]:
    """Return what a training comes to, byte for byte."""
    weights = [weight.tobytes() for weight in load_model(folder / "model.keras").get_weights()]
    record = json.loads((folder / "training.json").read_text())
    return weights, (folder / "history.csv").read_bytes(), record


@pytest.fixture(scope="module", autouse=True)
def let_in():
    """Let `load_model` read the classifier, whose random layer is in no recipe."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PARTS, "keras.layers", PARTS["keras.layers"] | OF_THE_CLASSIFIER)
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folders of trainings that nothing stopped."""
    folders = {}
    for part, prepare in PREPARED.items():
        folders[part] = tmp_path_factory.mktemp(part)
        train(*prepare(), EPOCHS, folders[part], say=False)
    return folders


@pytest.fixture
def finished(whole, tmp_path):
    """A copy of the classifier's folder."""
    return Path(shutil.copytree(whole["classifier"], tmp_path / "finished"))


@pytest.fixture(scope="module")
def all_but_finished(tmp_path_factory):
    """The folder of a classifier that was stopped between its last epoch and its end."""
    folder = tmp_path_factory.mktemp("stopped")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "keep_trained", stop)
        with pytest.raises(Stopped):
            train(*prepare_classifier(), EPOCHS, folder, say=False)
    return folder


@pytest.mark.parametrize(
    ("part", "stops"), [("segmenter", [(2, 0)]), ("classifier", [(0, 1), (3, 2)])]
)
def test_a_stopped_training_comes_to_the_same(part, stops, whole, tmp_path, capsys, monkeypatch):
    prepared = PREPARED[part]()
    for epoch, step in stops:
        stop_at(monkeypatch, epoch, step)
        with pytest.raises(Stopped):  # the second time with what the network has learnt by now
            train(*prepared, EPOCHS, tmp_path)
    assert not (tmp_path / "model.keras").exists()
    capsys.readouterr()
    stop_at(monkeypatch, -1, 0)
    model, learn, check = PREPARED[part]()  # as in a new process
    history = train(model, learn, check, EPOCHS, tmp_path)
    assert outcome(tmp_path) == outcome(whole[part])
    assert list(history["epoch"]) == [1, 2, 3, 4]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{tmp_path}/unfinished/state.npz: going on after epoch {stops[-1][0]}."
    rows = history.to_dict("records")
    assert said[1:] == [training.describe_epoch(row, EPOCHS) for row in rows]
    assert [weight.tobytes() for weight in model.get_weights()] == outcome(tmp_path)[0]
    assert not (tmp_path / "unfinished").exists()


def test_the_best_epoch_came_before_the_stop(whole):
    history = read_history(whole["classifier"])
    assert history["val_loss"].idxmin() < 2, "else that it is kept is not tested here"


ON_A_BACKEND = """
import sys
from pathlib import Path
from tests.train.test_resuming import *
PARTS["keras.layers"] |= OF_THE_CLASSIFIER
folder = Path(sys.argv[1])
{}
"""
KILLED = "train(*prepare_classifier(), 1000, folder)"
COMPARED = """
(folder / "whole").mkdir(parents=True)
(folder / "stopped").mkdir()
train(*prepare_classifier(), EPOCHS, folder / "whole")
with pytest.MonkeyPatch.context() as patch:
    stop_at(patch, 2, 1)
    try:
        train(*prepare_classifier(), EPOCHS, folder / "stopped")
    except Stopped:
        print("stopped")
train(*prepare_classifier(), EPOCHS, folder / "stopped")
print(outcome(folder / "whole") == outcome(folder / "stopped"))
"""


def start_on(backend: str, program: str, folder: Path) -> subprocess.Popen:
    """Start a program of these tests in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", ON_A_BACKEND.format(program), str(folder)],
        env=os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_stopped_training_comes_to_the_same_on_jax(tmp_path):
    said, _ = start_on("jax", COMPARED, tmp_path).communicate()
    assert "stopped" in said.splitlines()
    assert said.splitlines()[-1] == "True"


def test_a_killed_training_comes_to_the_same(tmp_path):
    process = start_on("tensorflow", KILLED, tmp_path)
    said = [process.stdout.readline() for _ in range(random.randint(1, 5))]
    time.sleep(random.uniform(0, 0.1))
    process.send_signal(signal.SIGKILL)
    said += process.communicate()[0].splitlines()
    assert process.returncode == -signal.SIGKILL, "it was not done yet"
    done = len(read_progress(tmp_path).rows)
    assert done in (len(said), len(said) + 1), "at most the epoch that was killed is repeated"
    (tmp_path / "whole").mkdir()
    for folder in (tmp_path, tmp_path / "whole"):
        train(*prepare_classifier(), done + 2, folder, say=False)
    assert outcome(tmp_path) == outcome(tmp_path / "whole")


def test_a_training_stopped_while_it_is_kept_is_kept_by_the_next(
    all_but_finished, whole, tmp_path, monkeypatch
):
    steps = [(Path, "unlink"), (Path, "replace"), (shutil, "rmtree")]
    moments = 0
    while True:
        folder = Path(shutil.copytree(all_but_finished, tmp_path / str(moments)))
        (folder / "metrics.json").write_text("of an earlier network")
        with monkeypatch.context() as patch:
            stop_after(patch, steps, moments)
            try:
                train(*prepare_classifier(), EPOCHS, folder, say=False)
            except Stopped:
                moments += 1
            else:
                break
        monkeypatch.setattr(keras.Model, "fit", None)  # no epoch is repeated
        train(*prepare_classifier(), EPOCHS, folder, say=False)
        assert outcome(folder) == outcome(whole["classifier"])
        names = sorted(path.name for path in folder.iterdir())
        assert names == ["history.csv", "model.keras", "training.json"]
    assert moments >= len([*SCORES, "old record", *("model", "history", "record"), "state"])


def stop_after(patch: pytest.MonkeyPatch, steps: list, count: int) -> None:
    """Let only so many calls of some functions be made."""
    left = iter(range(count))

    def counted(step):
        def do(*arguments, **options):
            return stop() if next(left, None) is None else step(*arguments, **options)

        return do

    for owner, name in steps:
        patch.setattr(owner, name, counted(getattr(owner, name)))


def test_a_finished_training_is_not_repeated(whole, tmp_path, monkeypatch, capsys):
    finished = Path(shutil.copytree(whole["segmenter"], tmp_path / "finished"))
    (finished / "metrics.json").write_text("of this network")
    model, learn, check = prepare_segmenter()
    replace_model(look_twice(load_model(finished / "model.keras")), finished)
    monkeypatch.setattr(keras.Model, "fit", None)
    history = train(model, learn, check, EPOCHS, finished)
    assert [weight.tobytes() for weight in model.get_weights()] == outcome(whole["segmenter"])[0]
    said = capsys.readouterr().out.splitlines()
    assert "was trained just so before" in said[0]
    rows = history.to_dict("records")
    assert said[1:] == [training.describe_epoch(row, EPOCHS) for row in rows]
    assert (finished / "metrics.json").is_file()


def test_what_is_forgotten_is_trained_anew_and_the_network_stays_until_then(finished, monkeypatch):
    (finished / "unfinished").mkdir()
    (finished / STATE).write_text("of a training")
    forget_trainings(finished.parent)
    assert (finished / "model.keras").is_file()
    model, learn, check = prepare_classifier()
    asked = describe_training(model, learn, check)
    assert recall_trained(model, asked, EPOCHS, finished) == (None, "")
    assert read_progress(finished) is None


def change_batches(**changes):
    """Return a segmenter's training whose batches are other ones."""
    given = {"images": XRAYS, "targets": MASKS, "rows": LEARN, "batch_size": 4}
    given |= {"shuffle_seed": SEED, "augmentation": "strong"} | changes
    model, _, check = prepare_segmenter()
    return model, Batches(**given), check


def other(array: np.ndarray) -> np.ndarray:
    """Return an array that differs in its last used value."""
    changed = array.copy()
    changed[LEARN[-1]].flat[-1] ^= 1
    return changed


CHANGES = {
    "network": lambda: prepare_segmenter(replace(SETTINGS, standardised=False)),
    "first weights": lambda: prepare_segmenter(seed=6),
    "loss and optimizer": lambda: prepare_segmenter(replace(SETTINGS, epochs=5)),
    "training X-rays": lambda: change_batches(images=other(XRAYS)),
    "training targets": lambda: change_batches(targets=other(MASKS)),
    "training rows": lambda: change_batches(
        # The same X-rays in other rows, which decide how they are augmented.
        images=np.roll(XRAYS, 1, axis=0),
        targets=np.roll(MASKS, 1, axis=0),
        rows=LEARN + 1,
    ),
    "training batch size": lambda: change_batches(batch_size=2),
    "training seed": lambda: change_batches(shuffle_seed=6),
    "training augmentation": lambda: change_batches(augmentation="light"),
}


@pytest.fixture(scope="module")
def described():
    """What the segmenter's training is, as its record keeps it."""
    return json.loads(json.dumps(describe_training(*prepare_segmenter())))


@pytest.mark.parametrize("part", PREPARED)
def test_an_equal_training_is_known_though_keras_numbers_its_layers_on(part):
    one, other = (describe_training(*PREPARED[part]()) for _ in range(2))
    assert find_differences(one, other) == []


@pytest.mark.parametrize("change", CHANGES)
def test_another_training_is_known_by(change, described):
    differences = find_differences(describe_training(*CHANGES[change]()), described)
    named = change.replace("targets", "X-rays").replace("rows", "X-rays")
    assert named in differences
    if change.startswith("training"):
        assert differences == [named]


def test_other_code_and_versions_are_another_training(monkeypatch):
    prepared = prepare_classifier()
    kept = describe_training(*prepared)
    monkeypatch.setattr(keras, "__version__", "4.0.0")
    monkeypatch.setattr("helpers.train.fingerprints.CODE", ("training",))
    prepared[0].jit_compile = not prepared[0].jit_compile
    differences = find_differences(describe_training(*prepared), kept)
    assert differences == ["code", "backend", "compiled by XLA"]


def test_other_precision_is_another_training():
    described = []
    try:
        for precision in ("mixed_bfloat16", "mixed_float16"):
            keras.config.set_dtype_policy(precision)
            described.append(describe_training(*prepare_classifier()))
    finally:
        keras.config.set_dtype_policy("float32")
    assert find_differences(*described) == ["precision"]


def test_a_training_of_another_machine_is_not_overwritten(all_but_finished):
    asked = describe_training(*prepare_classifier()) | {"precision": "mixed_float16"}
    before = (all_but_finished / STATE).read_bytes()
    with refused(
        f"{EPOCHS} epochs of this training were done on another machine",
        "precision float32, here mixed_float16",
        "or delete that file to begin anew here",
    ):
        resume(all_but_finished, asked, EPOCHS)
    assert (all_but_finished / STATE).read_bytes() == before


def test_a_finished_network_of_another_machine_is_used(finished):
    model, learn, check = prepare_classifier()
    asked = describe_training(model, learn, check) | {"backend": "another", "precision": "other"}
    history, note = recall_trained(model, asked, EPOCHS, finished)
    assert len(history) == EPOCHS
    assert "trained just so before, on another machine (precision, backend); nothing is" in note


@pytest.mark.skipif(sys.platform == "win32", reason="needs the locks of Linux and macOS")
def test_two_processes_do_not_go_on_with_one_training(tmp_path):
    prepared = prepare_classifier()
    with hold_training(tmp_path / "unfinished"):
        with refused("unfinished", f"in use by process {os.getpid()}", "Let it end or stop it"):
            train(*prepared, EPOCHS, tmp_path)
        assert not (tmp_path / STATE).exists()
    train(*prepared, 1, tmp_path)
    assert (tmp_path / "model.keras").is_file()


def test_another_training_begins_anew_and_says_so(all_but_finished, finished):
    model, learn, check = prepare_classifier()
    learn.shuffle_seed += 1
    asked = describe_training(model, learn, check)
    progress, note = resume(all_but_finished, asked, EPOCHS)
    assert progress.rows == progress.variables == []
    assert note.endswith("is of another training (training seed): this one begins anew.")
    history, note = recall_trained(model, asked, EPOCHS, finished)
    assert history is None
    assert "is of another training (training seed). It stays until this one is done." in note


def test_more_epochs_go_on_and_fewer_begin_anew(all_but_finished, finished):
    model, learn, check = prepare_classifier()
    asked = describe_training(model, learn, check)
    assert len(resume(all_but_finished, asked, EPOCHS + 3)[0].rows) == EPOCHS
    progress, note = resume(all_but_finished, asked, EPOCHS - 1)
    assert progress.rows == []
    assert "(fewer epochs)" in note
    assert recall_trained(model, asked, EPOCHS + 1, finished)[0] is None


def test_a_trained_network_cannot_begin_anew(tmp_path):
    model, learn, check = prepare_classifier()
    model.optimizer.iterations.assign(1)
    with refused(str(tmp_path), "has been trained already", "Run the notebook from its top"):
        train(model, learn, check, EPOCHS, tmp_path)


def test_a_damaged_state_is_never_taken_for_whole(all_but_finished, tmp_path):
    whole, draw = (all_but_finished / STATE).read_bytes(), random.Random(0)
    expected = read_progress(all_but_finished)
    (tmp_path / STATE).parent.mkdir()
    damaged = [whole[: draw.randrange(len(whole))] for _ in range(100)] + [b"", b"history"]
    for place in draw.sample(range(len(whole)), 300):
        damaged.append(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
    refusals = 0
    for content in damaged:
        (tmp_path / STATE).write_bytes(content)
        try:
            found = read_progress(tmp_path)
        except ValueError:
            refusals += 1
            continue
        assert len(found.best_weights) == len(expected.best_weights)
        for one, other in zip(found.variables, expected.variables, strict=True):
            np.testing.assert_array_equal(one, other)
        assert (found.rows, found.best_loss) == (expected.rows, expected.best_loss)
    assert refusals > 300, "but for what zip repeats or ignores"


def test_a_damaged_state_begins_anew_and_says_so(tmp_path):
    (tmp_path / STATE).parent.mkdir()
    (tmp_path / STATE).write_bytes(b"PK\3\4")
    progress, note = resume(tmp_path, {"first weights": "known"}, EPOCHS)
    assert progress.rows == []
    assert note.endswith("unfinished/state.npz is damaged: the training begins anew.")


def test_a_state_that_cannot_be_read_now_is_not_given_up(tmp_path):
    (tmp_path / STATE).mkdir(parents=True)
    with refused("unfinished/state.npz", "cannot be read (Is a directory)", "Reconnect the drive"):
        resume(tmp_path, {"first weights": "known"}, EPOCHS)


def test_a_full_disk_leaves_the_state_of_the_epoch_before(all_but_finished, tmp_path, monkeypatch):
    folder = Path(shutil.copytree(all_but_finished, tmp_path / "a"))
    before = (folder / STATE).read_bytes()
    model = prepare_classifier()[0]

    def fill(path, **arrays):
        path.write_bytes(b"half")
        try:
            raise OSError(28, "No space left on device")
        finally:
            raise ValueError("Can't close the ZIP file")  # as zipfile does

    monkeypatch.setattr(progress_module.np, "savez", fill)
    with refused("unfinished/state.npz", "No space left on device", "Make room"):
        read_progress(folder).write(folder, model)
    assert (folder / STATE).read_bytes() == before
    left = sorted(path.name for path in (folder / STATE).parent.iterdir())
    assert left == [".lock", "state.npz"]


def test_a_folder_that_vanishes_is_named(tmp_path):
    progress = resume(tmp_path, {"first weights": "known"}, EPOCHS)[0]
    shutil.rmtree(tmp_path)
    with refused("unfinished/state.npz", "No such file or directory", "reconnect the drive"):
        progress.write(tmp_path, prepare_classifier()[0])
    assert not tmp_path.exists()


def test_what_a_killed_training_left_half_written_goes(tmp_path):
    (tmp_path / STATE).parent.mkdir()
    left = (tmp_path / STATE).parent / f"{PARTIAL}99999"
    left.mkdir()
    (left / "state.npz").write_bytes(b"half")
    resume(tmp_path, {"first weights": "known"}, EPOCHS)
    assert list((tmp_path / STATE).parent.iterdir()) == []


def edit_history(folder: Path) -> None:
    path = folder / "history.csv"
    path.write_text(path.read_text().replace("0.", "0.9", 1))


CHANGED = {
    "history.csv, edited": edit_history,
    "history.csv, missing": lambda folder: (folder / "history.csv").unlink(),
    "model.keras, of another": lambda folder: replace_model(prepare_classifier()[0], folder),
    "training.json, cut off": lambda folder: (folder / "training.json").write_text('{"epochs": 4'),
    "training.json, another's": lambda folder: (folder / "training.json").write_text("[]"),
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_finished_training_that_was_changed_is_refused(change, finished):
    CHANGED[change](finished)
    before = {path.name: path.read_bytes() for path in finished.iterdir()}
    with refused(change.partition(",")[0], "training", "to train anew"):
        train(*prepare_classifier(), EPOCHS, finished)
    assert {path.name: path.read_bytes() for path in finished.iterdir()} == before


def test_an_unchanged_history_is_read_as_it_was_written(whole):
    written = (whole["segmenter"] / "history.csv").read_text()
    history = read_history(whole["segmenter"])
    assert history.to_csv(index=False, lineterminator="\n") == written


def test_a_network_that_was_cut_off_is_trained_again(finished):
    path = finished / "model.keras"
    path.write_bytes(path.read_bytes()[:1000])
    model, learn, check = prepare_classifier()
    history, note = recall_trained(model, describe_training(model, learn, check), EPOCHS, finished)
    assert history is None
    assert "model.keras: cannot be read as a network (it is cut off" in note
    with pytest.raises(CovidLungsError):
        load_model(path)

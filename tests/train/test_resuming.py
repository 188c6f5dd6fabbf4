import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import pandas as pd
import pytest

from helpers.run.up_to_date import forget_trainings
from helpers.storage.files import LEFT_BEHIND
from helpers.storage.layout import SCORES
from helpers.storage.locks import hold_training
from helpers.train import training
from helpers.train.checkpoint import (
    STATE,
    describe_training,
    find_differences,
    read_progress,
    resume,
)
from helpers.train.models import look_twice
from helpers.train.trained import load_model, recall_trained, replace_model
from helpers.train.training import describe_epoch, train
from tests.support.builders import refused
from tests.support.trainings import (
    EPOCHS,
    PREPARED,
    Stopped,
    outcome,
    prepare_classifier,
    prepare_segmenter,
    stop,
    stop_at,
)


def printed(history: pd.DataFrame) -> list[str]:
    return [describe_epoch(row, EPOCHS) for row in history.to_dict("records")]


@pytest.mark.parametrize(
    ("part", "stops"), [("segmenter", [(2, 0)]), ("classifier", [(0, 1), (3, 2)])]
)
def test_a_stopped_training_comes_to_the_same(part, stops, whole, tmp_path, capsys, monkeypatch):
    prepared = PREPARED[part]()
    for epoch, step in stops:
        stop_at(monkeypatch, epoch, step)
        with pytest.raises(Stopped):  # the second time with a network that is partly trained
            train(*prepared, EPOCHS, tmp_path)
    assert not (tmp_path / "model.keras").exists()
    capsys.readouterr()
    stop_at(monkeypatch, -1, 0)
    model, learn, check = PREPARED[part]()  # as in a new process
    history = train(model, learn, check, EPOCHS, tmp_path)
    assert outcome(tmp_path) == outcome(whole[part])
    assert list(history["epoch"]) == [1, 2, 3, 4]
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{tmp_path}/unfinished/state.npz: continuing after epoch {stops[-1][0]}."
    assert said[1:] == printed(history)
    assert [weight.tobytes() for weight in model.get_weights()] == outcome(tmp_path)[0]
    assert not (tmp_path / "unfinished").exists()


def test_the_best_epoch_came_before_the_stop(whole):
    history = pd.read_csv(whole["classifier"] / "history.csv")
    assert history["val_loss"].idxmin() < 2, "else that it is kept is not tested here"


ON_A_BACKEND = """
import sys
from pathlib import Path
import pytest
from helpers.train.training import train
from tests.support.trainings import *
folder = Path(sys.argv[1])
patch = pytest.MonkeyPatch()
let_in_the_classifier(patch)
"""
KILLED = "train(*prepare_classifier(), 1000, folder)"
COMPARED = """
for name in ("whole", "stopped"):
    (folder / name).mkdir(parents=True)
train(*prepare_classifier(), EPOCHS, folder / "whole")
with pytest.MonkeyPatch.context() as stopping:
    stop_at(stopping, 2, 1)
    try:
        train(*prepare_classifier(), EPOCHS, folder / "stopped")
    except Stopped:
        print("stopped")
train(*prepare_classifier(), EPOCHS, folder / "stopped")
print(outcome(folder / "whole") == outcome(folder / "stopped"))
"""


def start_on(backend: str, program: str, folder: Path) -> subprocess.Popen:
    """Start a training in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", ON_A_BACKEND + program, str(folder)],
        env=os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_a_stopped_training_comes_to_the_same_on_jax(tmp_path):
    said, _ = start_on("jax", COMPARED, tmp_path).communicate()
    assert "stopped" in said.splitlines()
    assert said.splitlines()[-1] == "True"


@pytest.mark.usefixtures("classifiers_allowed")
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
        for name in SCORES:
            (folder / name).write_text("of an earlier network")
        with monkeypatch.context() as patch:
            stop_after(patch, steps, moments)
            try:
                train(*prepare_classifier(), EPOCHS, folder, say=False)
            except Stopped:
                moments += 1
            else:
                break
        monkeypatch.setattr(training.Recorder, "on_epoch_begin", None)  # no epoch is repeated
        train(*prepare_classifier(), EPOCHS, folder, say=False)
        assert outcome(folder) == outcome(whole["classifier"])
        left = {path.name for path in folder.iterdir()}
        assert left == {"history.csv", "model.keras", "training.json"}
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


def test_a_finished_training_is_skipped(whole, tmp_path, monkeypatch, capsys):
    finished = Path(shutil.copytree(whole["segmenter"], tmp_path / "finished"))
    (finished / "metrics.json").write_text("of this network")
    model, learn, check = prepare_segmenter()
    replace_model(look_twice(load_model(finished / "model.keras")), finished)
    monkeypatch.setattr(training.Recorder, "on_epoch_begin", None)
    history = train(model, learn, check, EPOCHS, finished)
    assert [weight.tobytes() for weight in model.get_weights()] == outcome(whole["segmenter"])[0]
    said = capsys.readouterr().out.splitlines()
    assert "model.keras: already trained with these settings; skipped." in said[0]
    assert said[1:] == printed(history)
    written = (finished / "history.csv").read_text()
    assert history.to_csv(index=False, lineterminator="\n") == written
    assert (finished / "metrics.json").is_file()


def test_a_finished_training_leaves_what_is_unfinished_of_a_longer_one(finished):
    prepared = prepare_classifier()
    with pytest.MonkeyPatch.context() as patch:
        stop_at(patch, EPOCHS + 1, 0)
        with pytest.raises(Stopped):
            train(*prepared, EPOCHS + 2, finished, say=False)
    train(*prepare_classifier(), EPOCHS, finished, say=False)
    assert len(read_progress(finished).rows) == EPOCHS + 1


def test_what_killed_trainings_left_half_written_is_removed(tmp_path):
    left = [tmp_path / "unfinished" / name for name in (".partial-old", ".partial-new")]
    for folder in left:
        folder.mkdir(parents=True)
        (folder / "state.npz").write_bytes(b"PK")
    for path in (left[0], left[0] / "state.npz"):
        os.utime(path, (time.time() - 2 * LEFT_BEHIND,) * 2)
    with hold_training(tmp_path / "unfinished"):
        assert [folder.exists() for folder in left] == [False, True], "one may be alive"


def test_what_is_forgotten_is_trained_anew_and_the_network_stays_until_then(finished):
    (finished / "unfinished").mkdir()
    (finished / STATE).write_text("of a training")
    forget_trainings(finished.parent)
    assert (finished / "model.keras").is_file()
    model, learn, check = prepare_classifier()
    asked = describe_training(model, learn, check)
    assert recall_trained(model, asked, EPOCHS, finished) == (None, "")
    assert read_progress(finished) is None


def test_a_training_of_another_machine_is_not_overwritten(all_but_finished):
    asked = describe_training(*prepare_classifier()) | {"precision": "mixed_float16"}
    before = (all_but_finished / STATE).read_bytes()
    with refused(
        f"{EPOCHS} epochs of this training were done on another machine",
        "(precision float32)",
        "Continue on a similar machine with the same ones, or delete that file",
    ):
        resume(all_but_finished, asked, EPOCHS)
    assert (all_but_finished / STATE).read_bytes() == before


def test_a_finished_network_of_another_machine_is_used(finished):
    model, learn, check = prepare_classifier()
    asked = describe_training(model, learn, check) | {"backend": "another", "precision": "other"}
    history, note = recall_trained(model, asked, EPOCHS, finished)
    assert len(history) == EPOCHS
    assert "model.keras: already trained with these settings; skipped." in note


@pytest.mark.usefixtures("classifiers_allowed")
@pytest.mark.skipif(sys.platform == "win32", reason="needs the locks of Linux and macOS")
def test_two_processes_do_not_work_on_one_training(tmp_path):
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


def test_more_epochs_continue_and_fewer_begin_anew(all_but_finished, finished):
    model, learn, check = prepare_classifier()
    asked = describe_training(model, learn, check)
    assert len(resume(all_but_finished, asked, EPOCHS + 3)[0].rows) == EPOCHS
    progress, note = resume(all_but_finished, asked, EPOCHS - 1)
    assert progress.rows == []
    assert "(fewer epochs)" in note
    assert recall_trained(model, asked, EPOCHS + 1, finished)[0] is None


def test_a_loss_that_was_changed_under_its_name_is_another_training():
    asked = []
    for power in (1, 2):
        model, learn, check = prepare_classifier()

        def loss(true, probabilities, power=power):
            return keras.ops.mean(keras.ops.abs(true - probabilities) ** power, axis=-1)

        model.compile("adam", loss)
        asked.append(describe_training(model, learn, check))
    assert find_differences(*asked) == ["loss of an example"]


@pytest.mark.parametrize(("begin", "end"), [(0, EPOCHS), (EPOCHS, EPOCHS + 1)])
def test_a_fit_that_begins_with_a_wrong_epoch_is_refused(begin, end, finished):
    model, learn, check = prepare_classifier()
    with (
        refused(f"{EPOCHS} are done", f"begins epoch {begin + 1}", "initial_epoch"),
        training.resumable(model, learn, check, EPOCHS, finished, say=False) as recorder,
    ):
        model.fit(learn, callbacks=[recorder], initial_epoch=begin, epochs=end, verbose=0)


def test_a_weight_of_one_class_is_another_loss():
    asked = []
    for weight in (1.0, 5.0):
        model, learn, check = prepare_classifier()

        def loss(true, probabilities, weight=weight):
            return keras.ops.mean((1 - true) * weight + probabilities * true, axis=-1)

        model.compile("adam", loss)
        asked.append(describe_training(model, learn, check))
    assert find_differences(*asked) == ["loss of an example"]


def test_a_fit_without_the_callback_is_refused(tmp_path):
    model, learn, check = prepare_classifier()
    untold = training.resumable(model, learn, check, 1, tmp_path)
    with refused("model.keras", "no epoch was recorded", "Give `fit` the callback"), untold:
        model.fit(learn, verbose=0)
    assert not (tmp_path / "model.keras").exists()


def test_a_trained_network_cannot_begin_anew(tmp_path):
    model, learn, check = prepare_classifier()
    model.optimizer.iterations.assign(1)
    with refused(str(tmp_path), "has been trained already", "Run the notebook from its top"):
        training.train(model, learn, check, EPOCHS, tmp_path)


CHANGED = {
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


@pytest.mark.parametrize("change", [Path.unlink, lambda path: path.write_text("epoch\n")])
def test_a_history_that_was_changed_is_written_again(change, finished, whole):
    change(finished / "history.csv")
    train(*prepare_classifier(), EPOCHS, finished)
    assert outcome(finished) == outcome(whole["classifier"])


def test_a_network_that_was_cut_off_is_trained_again(finished):
    path = finished / "model.keras"
    path.write_bytes(path.read_bytes()[:1000])
    model, learn, check = prepare_classifier()
    history, note = recall_trained(model, describe_training(model, learn, check), EPOCHS, finished)
    assert history is None
    assert "model.keras: cannot be read as a network (it is damaged" in note

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from helpers.storage.files import write_arrays, write_whole
from helpers.train import filmstrip, trained
from helpers.train.checkpoint import describe_training, resume
from helpers.train.clock import Clock
from helpers.train.filmstrip import Filmstrip, choose_epochs, read_filmstrip
from helpers.train.inference import predict
from helpers.train.trained import keep_trained
from helpers.train.training import Recorder
from tests.support.builders import refused
from tests.support.trainings import (
    CHECK,
    EPOCHS,
    XRAYS,
    Stopped,
    outcome,
    prepare_segmenter,
    stop_at,
)

XRAY = XRAYS[CHECK[0]]


def train(folder: Path, epochs: int = EPOCHS, film_first: bool = False, film: bool = True):
    """Train a tiny U-Net as the notebook does, with a filmstrip; return the network."""
    model, learn, check = prepare_segmenter()
    (folder / "unfinished").mkdir(exist_ok=True)
    progress, _ = resume(folder, describe_training(model, learn, check), epochs)
    recorder = Recorder(learn, epochs, progress, folder, False, Clock())
    callbacks = [recorder, *([Filmstrip(XRAY, folder)] if film else [])]
    model.fit(
        learn,
        validation_data=check,
        initial_epoch=len(progress.rows),
        epochs=epochs,
        callbacks=callbacks[::-1] if film_first else callbacks,
        shuffle=False,
        verbose=0,
    )
    last = model.get_weights()
    model.set_weights(progress.best_weights)
    keep_trained(model, progress, folder)
    return model, last


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a training that nothing stopped, and the network after its last epoch."""
    folder = tmp_path_factory.mktemp("whole")
    model, last = train(folder)
    model.set_weights(last)
    return folder, model


def same(one, other) -> bool:
    """Return whether two filmstrips are equal."""
    return all(map(np.array_equal, one, other))


def test_a_frame_is_what_the_network_predicts_before_and_after_each_epoch(whole):
    folder, model = whole
    frames, epochs = read_filmstrip(folder)
    assert epochs.tolist() == [0, 1, 2, 3, 4]
    assert frames.shape == (5, *XRAY.shape)
    assert frames.dtype == np.float32
    untrained, *_ = prepare_segmenter()
    for network, frame in ((untrained, frames[0]), (model, frames[-1])):
        np.testing.assert_allclose(frame, predict(network, XRAY[np.newaxis])[0], atol=1e-3)
    assert all(np.abs(one - other).max() > 1e-2 for one, other in pairwise(frames))
    assert not (folder / "unfinished").exists()


@pytest.mark.parametrize("film_first", [True, False])
def test_a_training_learns_the_same_with_a_filmstrip(film_first, whole, tmp_path):
    train(tmp_path, film_first=film_first)
    (tmp_path / "without").mkdir()
    train(tmp_path / "without", film=False)
    assert outcome(tmp_path) == outcome(tmp_path / "without") == outcome(whole[0])
    assert same(read_filmstrip(tmp_path), read_filmstrip(whole[0]))


@pytest.mark.parametrize("stops", [[(0, 0)], [(1, 1), (3, 0)]])
def test_a_stopped_training_has_the_frames_of_all_epochs(stops, whole, tmp_path, monkeypatch):
    for epoch, step in stops:
        stop_at(monkeypatch, epoch, step)
        with pytest.raises(Stopped):
            train(tmp_path)
    stop_at(monkeypatch, -1, 0)
    monkeypatch.setattr(filmstrip, "predict", count_calls(predict))
    train(tmp_path)
    assert same(read_filmstrip(tmp_path), read_filmstrip(whole[0]))
    repeated = not stops[-1][0]  # stopped in its first epoch, it begins anew
    assert len(calls) == EPOCHS - stops[-1][0] + repeated, "earlier frames are read"


calls = []


def count_calls(function):
    """Return a function that counts in `calls` how often it is called."""
    calls.clear()

    def counted(*arguments):
        calls.append(arguments)
        return function(*arguments)

    return counted


@pytest.mark.parametrize("left", ["damaged", "of a later epoch", "without the last"])
def test_a_training_continues_whatever_became_of_its_frames(left, whole, tmp_path, monkeypatch):
    stop_at(monkeypatch, 2, 0)
    with pytest.raises(Stopped):
        train(tmp_path)
    stop_at(monkeypatch, -1, 0)
    path = tmp_path / "unfinished" / "filmstrip.npz"
    frames, epochs = filmstrip._read(path)
    assert epochs.tolist() == [0, 1, 2]
    if left == "damaged":
        path.write_bytes(path.read_bytes()[:-50])
    elif left == "of a later epoch":
        write_arrays(path, frames=np.stack([*frames, frames[0]]), epochs=[0, 1, 2, 3])
    else:
        write_arrays(path, frames=frames[:2], epochs=[0, 1])
    expected = [2, 3, 4] if left == "damaged" else [0, 1, 2, 3, 4]
    train(tmp_path)
    found, reference = read_filmstrip(tmp_path), read_filmstrip(whole[0])
    assert found.epochs.tolist() == expected
    np.testing.assert_array_equal(found.frames, reference.frames[expected])
    assert outcome(tmp_path) == outcome(whole[0])


def test_a_training_that_begins_anew_forgets_the_frames_of_another(whole, tmp_path):
    (tmp_path / "unfinished").mkdir()
    old = np.full((3, *XRAY.shape), 0.5)
    write_arrays(tmp_path / "unfinished" / "filmstrip.npz", frames=old, epochs=[0, 1, 7])
    train(tmp_path)
    assert same(read_filmstrip(tmp_path), read_filmstrip(whole[0]))


def test_a_filmstrip_goes_with_its_network(tmp_path):
    train(tmp_path, epochs=1)
    before = read_filmstrip(tmp_path)
    (tmp_path / "training.json").unlink()
    train(tmp_path, epochs=2)
    assert read_filmstrip(tmp_path).epochs.tolist() == [0, 1, 2] != before.epochs.tolist()
    (tmp_path / "training.json").unlink()
    train(tmp_path, epochs=1, film=False)
    with refused("filmstrip.npz", "missing or damaged", "training.json and train again"):
        read_filmstrip(tmp_path)


def test_a_training_stopped_while_it_is_kept_keeps_its_filmstrip(whole, tmp_path, monkeypatch):
    def write_and_stop(path, content):
        write_whole(path, content)
        if path.name == "filmstrip.npz":
            raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr(trained, "write_whole", write_and_stop)
        with pytest.raises(Stopped):
            train(tmp_path)
    assert not (tmp_path / "model.keras").exists()
    model, learn, check = prepare_segmenter()
    progress, _ = resume(tmp_path, describe_training(model, learn, check), EPOCHS)
    model.set_weights(progress.best_weights)
    keep_trained(model, progress, tmp_path)
    assert same(read_filmstrip(tmp_path), read_filmstrip(whole[0]))


@pytest.mark.parametrize("epochs", [1, 5, 11, 12, 30, 45, 1000])
def test_at_most_twelve_frames_are_chosen_the_first_and_the_last_among_them(epochs):
    chosen = sorted(choose_epochs(epochs))
    assert len(chosen) <= 12
    assert chosen[:2] == [0, 1]
    assert chosen[-1] == epochs
    gaps = np.diff(chosen)
    assert (np.diff(gaps) >= -1).all(), "closer at the beginning"
    if epochs < 12:
        assert len(chosen) == epochs + 1


def test_of_a_long_training_only_chosen_epochs_are_predicted(tmp_path, monkeypatch):
    monkeypatch.setattr(filmstrip, "MOST", 4)
    monkeypatch.setattr(filmstrip, "predict", count_calls(predict))
    train(tmp_path, epochs=6)
    assert read_filmstrip(tmp_path).epochs.tolist() == [0, 1, 2, 6]
    assert len(calls) == 4


ON_JAX = """
import sys
from itertools import pairwise
from pathlib import Path
from helpers.train.backend import keras
from tests.train.test_filmstrip import *
folder = Path(sys.argv[1])
with pytest.MonkeyPatch.context() as patch:
    stop_at(patch, 2, 0)
    try:
        train(folder)
    except Stopped:
        print("stopped")
train(folder)
print(keras.backend.backend(), read_filmstrip(folder).epochs.tolist())
"""


def test_it_is_whole_on_jax_after_a_stop(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ON_JAX, str(tmp_path)],
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["stopped", "jax [0, 1, 2, 3, 4]"]

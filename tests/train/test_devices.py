import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.report.provenance import describe_environment
from helpers.run.command import main
from helpers.train.backend import Machine, look_at_machine
from helpers.train.batches import Batches
from helpers.train.devices import ASKED, check_devices, count_devices
from tests.support.builders import refused
from tests.support.gpus import pretend_gpu

BEGIN = """
import json, sys
from pathlib import Path
import numpy as np
import pytest
from helpers.storage.errors import CovidLungsError
from helpers.train.backend import keras
from helpers.train.batches import Batches
from helpers.train.inference import predict
from helpers.train.training import make_reproducible, train
from tests.support.gpus import pretend_gpu
from tests.support.trainings import Stopped, let_in_the_classifier, outcome, stop_at

EPOCHS, COUNT = 3, 19
folder, patch, told = Path(sys.argv[1]), pytest.MonkeyPatch(), {}
let_in_the_classifier(patch)
# No part is alike in all: its weights' gradient would be 0, whose rounding errors Adam makes large.
squares = np.random.default_rng(0).integers(0, 256, (COUNT, 2, 2))
XRAYS = np.kron(squares, np.ones((8, 8))).astype(np.uint8)
XRAYS[:, 0, 0] = np.arange(COUNT)  # says which they are

def prepare(checked=4):
    make_reproducible(5)
    model = keras.Sequential([
        keras.Input((16, 16, 1)), keras.layers.AveragePooling2D(8), keras.layers.Flatten(),
        keras.layers.Dense(4, use_bias=False), keras.layers.BatchNormalization(momentum=0.9),
        keras.layers.Dropout(0.5), keras.layers.Dense(1, activation="sigmoid"),
    ])
    model.compile(keras.optimizers.Adam(0.05), "binary_crossentropy", metrics=["accuracy"])
    rows, labels = np.arange(COUNT), np.arange(COUNT) % 2
    learn = Batches(XRAYS, labels, rows[:12], 4, shuffle_seed=5)
    return model, learn, Batches(XRAYS, labels, rows[12 : 12 + checked], 4)

def train_into(name, *prepared, say=False):
    (folder / name).mkdir(exist_ok=True)
    return train(*prepared, EPOCHS, folder / name, say).to_dict("list")
"""
TWO = """
def watch(model):
    "Note which device has which X-rays of each batch that a training step takes."
    made, told["shares"] = model.make_train_function, []

    def note(batches):
        for batch in batches:
            parts = batch[0].addressable_shards
            told["shares"].append(
                {part.device.id: np.rint(255 * part.data[:, 0, 0, 0]).tolist() for part in parts}
            )
            yield batch

    def make(force=False):
        made(force)
        step = model.train_function
        model.train_function = lambda state, batches: step(state, note(batches))

    model.make_train_function = make

prepared = prepare()
watch(prepared[0])
told["history"] = train_into("whole", *prepared)
for name, checked in (("stopped", 4), ("odd", 7)):
    with pytest.MonkeyPatch.context() as stopping:
        stop_at(stopping, 1, 1)
        with pytest.raises(Stopped):
            train_into(name, *prepare(checked), say=name == "odd")
train_into("stopped", *prepare())
told["equal"] = outcome(folder / "stopped") == outcome(folder / "whole")
with pytest.MonkeyPatch.context() as pretending:
    pretend_gpu(pretending, devices=2)
    model, learn, check = prepare()
    told["on the GPU"] = not isinstance(learn[0][0], np.ndarray)
    told["history of a GPU"] = train_into("gpu", model, learn, check)
    told["predicted by a GPU"] = predict(model, XRAYS[:5]).tolist()
told["predicted"] = predict(prepared[0], XRAYS[:5]).tolist()
print(json.dumps(told))
"""
ONE = """
model, *batches = prepare()
told["history"] = train_into("one", model, *batches)
told["predicted"] = predict(model, XRAYS[:5]).tolist()
try:
    train_into("odd", *prepare(7))
except CovidLungsError as error:
    told["refused"] = str(error)
print(json.dumps(told))
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory) -> dict[int, dict]:
    """What two devices tell of a training, then one."""
    folder = tmp_path_factory.mktemp("devices")
    return {count: run_on(count, BEGIN + code, folder) for count, code in ((2, TWO), (1, ONE))}


def run_on(count: int, program: str, folder: Path) -> dict:
    """Return what a program tells on so many of two processors that JAX finds."""
    given = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", ASKED: str(count)}
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)],
        env=os.environ | given | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    *said, last = done.stdout.splitlines()
    return {"said": said, **json.loads(last)}


def test_each_device_has_its_share_and_sees_no_xray_twice(told):
    shares = told[2]["shares"]
    assert len(shares) == 9, "three steps in each of three epochs"
    assert all([len(rows) for rows in batch.values()] == [2, 2] for batch in shares)
    for epoch in (shares[:3], shares[3:6], shares[6:]):
        rows = [row for batch in epoch for part in batch.values() for row in part]
        assert sorted(rows) == list(range(12))


def test_a_stopped_training_on_two_devices_comes_to_the_same(told):
    assert told[2]["equal"]


def test_two_devices_learn_what_one_learns_but_for_rounding(told):
    for name, values in told[1]["history"].items():
        assert told[2]["history"][name] == pytest.approx(values, abs=1e-5), name
    assert told[2]["predicted"] == pytest.approx(told[1]["predicted"], abs=1e-5)
    assert told[1]["history"]["loss"][-1] < told[1]["history"]["loss"][0]


def test_batches_that_a_gpu_makes_are_shared_too(told):
    assert told[2]["on the GPU"]
    for name, values in told[2]["history"].items():
        assert told[2]["history of a GPU"][name] == pytest.approx(values, abs=1e-5), name
    assert told[2]["predicted by a GPU"] == pytest.approx(told[2]["predicted"], abs=1e-5)


def test_xrays_that_are_no_equal_share_are_left_out_of_the_validation_and_it_is_said(told):
    first, *epochs = told[2]["said"]
    assert first == "validation X-rays left out, so that 2 devices have equal shares: 1"
    assert [line.partition("/")[0] for line in epochs] == ["epoch 1"], "the others were stopped"


def test_a_training_does_not_go_on_with_another_number_of_devices(told):
    assert "unfinished/state.npz: 1 epochs of this training were done" in told[1]["refused"]
    assert "other `--devices` or `reproducible` (devices 2)" in told[1]["refused"]
    assert "delete that file to begin anew" in told[1]["refused"]


@settings(deadline=None)
@given(
    devices=st.integers(1, 5),
    share=st.integers(1, 3),
    count=st.integers(1, 40),
    seed=st.none() | st.integers(0, 9),
)
def test_every_batch_can_be_shared_and_no_more_is_left_out_than_must_be(
    devices, share, count, seed
):
    images = np.zeros((count, 2, 2), np.uint8)
    with pytest.MonkeyPatch.context() as patch:
        machine = Machine(None, frozenset(), devices=devices)
        patch.setattr("helpers.train.batches.look_at_machine", lambda: machine)
        if seed is None and count < devices:
            with refused(f"devices = {devices}", f"{count} X-rays are too few", "fewer devices"):
                Batches(images, np.arange(count), np.arange(count), devices * share, seed)
            return
        batches = Batches(images, np.arange(count), np.arange(count), devices * share, seed)
    labels = [batches[position][1][:, 0].tolist() for position in range(len(batches))]
    assert all(len(part) % devices == 0 for part in labels)
    seen = [label for part in labels for label in part]
    if seed is None:
        assert seen == list(range(count - count % devices))
        assert batches.tell_left_out().partition(": ")[2] == str(count % devices or "")
    else:
        assert set(seen) == set(range(count))
        assert batches.tell_left_out() == ""


def test_a_batch_that_cannot_be_shared_is_refused(monkeypatch):
    pretend_gpu(monkeypatch, devices=3)
    images = np.zeros((9, 2, 2), np.uint8)
    with refused("batch_size = 4", "3 devices have", "multiple of 3 (such as -p batch_size 6)"):
        Batches(images, np.arange(9), np.arange(9), 4)


BAD_INPUT = {
    "no number": ({}, "-1", "devices = -1: give a whole number from 1 to 9999."),
    "a batch": ({}, "3", "batch_size = 8: 3 devices have equal shares of a batch"),
    "TensorFlow": (
        {"KERAS_BACKEND": "tensorflow"},
        "2",
        "devices = 2: Keras on tensorflow trains on one device here, Keras on JAX on several. "
        "Start with KERAS_BACKEND=jax, as in: KERAS_BACKEND=jax uv run --with 'jax[cuda12]'",
    ),
    "too few": (
        {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
        "2",
        "devices = 2: JAX finds 1 here (cpu:0). Ask for no more than that.",
    ),
    "no such backend": ({"KERAS_BACKEND": "none"}, "2", "devices = 2: Keras does not start (Value"),
}


@pytest.mark.parametrize("name", BAD_INPUT)
def test_devices_that_cannot_train_are_refused_before_anything_runs(
    name, runs, monkeypatch, capsys
):
    environment, count, fault = BAD_INPUT[name]
    monkeypatch.setenv(ASKED, "1")  # the command sets it: this brings back what was there
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert main(["run", "--devices", count]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith(f"covid-lungs: {fault}")
    assert len(output.err.splitlines()) == 1
    assert not runs.exists(), "nothing was begun"


def test_one_device_is_what_there_is_without_the_option(monkeypatch):
    monkeypatch.delenv(ASKED, raising=False)
    assert count_devices() == 1
    monkeypatch.setattr(subprocess, "run", None)  # Keras need not be tried
    check_devices(1)
    assert keras.distribution.distribution() is None
    assert look_at_machine().devices == 1


def test_the_number_is_handed_on_to_the_notebooks_and_kept_with_the_run(monkeypatch, tmp_path):
    asked = []
    monkeypatch.setenv(ASKED, "4")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setattr("helpers.evaluate.metrics_file.describe_run", str)
    monkeypatch.setattr(
        "helpers.run.chain.run_chain", lambda request: asked.append(os.environ[ASKED])
    )
    for arguments in ([], ["--devices", "2"]):
        assert main(["run", *arguments]) == 0
    assert asked == ["4", "2"], "Jupyter may have set it"
    assert describe_environment()["keras_backend"] == "jax on 2 devices"


@pytest.mark.parametrize("text", ["", "0", "two", "1.5", "9" * 5000])
def test_an_environment_that_asks_for_no_number_is_refused(text, monkeypatch):
    monkeypatch.setenv(ASKED, text)
    with refused("devices =", text[:20], "give a whole number"):
        count_devices()


def test_the_devices_are_named_in_words():
    assert Machine(7.5, frozenset(), "Tesla T4", devices=2).device == "2 × GPU, Tesla T4"

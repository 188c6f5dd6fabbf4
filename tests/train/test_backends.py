import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from helpers.train import backend
from helpers.train.backend import Machine, compiles, look_at_machine, steps_at_once, use_fastest
from helpers.train.recipes import RECIPES

BEST, DEMO = RECIPES["best"].segmentation, RECIPES["demo"].segmentation
PLAIN = Machine(None, frozenset({"avx2", "fma", "f16c"}))
AMX = Machine(None, frozenset({"avx2", "amx_bf16"}))
AVX512 = Machine(None, frozenset({"avx512f", "avx512_bf16"}))
T4, A100 = Machine(7.5, frozenset()), Machine(8.0, frozenset())

STEPS = """
import json, sys
import numpy as np
from dataclasses import replace
from helpers.train.batches import Batches
from helpers.train.models import build_unet
from helpers.train.recipes import SegmentationSettings
from helpers.train.training import compile_segmenter, make_reproducible

settings = SegmentationSettings(
    32, (4, 8), epochs=1, batch_size=4, learning_rate=1e-3,
    patch=2, standardised=True, cross_entropy=True, schedule="cosine",
)
generator = np.random.default_rng(0)
masks = np.kron(generator.integers(0, 2, (12, 4, 4)), np.ones((8, 8))).astype("uint8")
xrays = (100 * masks + generator.integers(0, 100, masks.shape)).astype("uint8")
make_reproducible(0)
model = build_unet(settings)
# Both backends begin with the same weights, whatever their generators draw.
model.set_weights([
    generator.normal(0, 0.1, weight.shape) if weight.ndim > 1 else weight
    for weight in model.get_weights()
])
batches = Batches(xrays, masks, np.arange(12), 4, shuffle_seed=0)
compile_segmenter(model, settings, len(batches))
losses = [float(model.train_on_batch(*batches[step % 3])[0]) for step in range(6)]
print(json.dumps(losses))
"""

THREADS = """
import json
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from helpers.train.inference import predict
from helpers.train.models import build_detector
from helpers.train.recipes import DetectionSettings

model = build_detector(DetectionSettings(24, (2, 2, 2), epochs=1, batch_size=4, learning_rate=1e-3))
xrays = np.random.default_rng(0).integers(0, 256, (16, 24, 24), dtype="uint8")
alone = predict(model, xrays)
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(lambda _: predict(model, xrays), range(500)))
print(json.dumps([float(np.abs(one - alone).max()) for one in found]))
"""

CLOCK = """
import json, tempfile
from pathlib import Path
import numpy as np
from helpers.train.batches import Batches
from helpers.train.clock import Clock
from helpers.train.models import build_unet
from helpers.train.recipes import SegmentationSettings
from helpers.train.training import compile_segmenter, train

settings = SegmentationSettings(64, (8, 16), epochs=3, batch_size=8, learning_rate=1e-3)
xrays, rows = np.zeros((96, 64, 64), "uint8"), np.arange(96)
learn = Batches(xrays, xrays, rows[:88], 8, shuffle_seed=0)
check = Batches(xrays, xrays, rows[88:], 8)
model, clock = build_unet(settings), Clock()
compile_segmenter(model, settings, len(learn))
train(model, learn, check, settings.epochs, Path(tempfile.mkdtemp()), say=False, clock=clock)
print(json.dumps([learning / whole for _, learning, _, whole in clock.trainings[0]]))
"""

FIRST_IMPORT = """
import json, os, sys

class Stop:
    def find_spec(self, name, *rest):
        if name == backend:
            print(json.dumps([os.environ.get(variable)]))
            sys.exit()

sys.meta_path.insert(0, Stop())
import helpers.train.backend
"""
# What lets a backend's memory on a GPU grow as it is needed.
GROWING = {
    "tensorflow": ("TF_FORCE_GPU_ALLOW_GROWTH", "true"),
    "jax": ("XLA_PYTHON_CLIENT_PREALLOCATE", "false"),
}


def run_python(backend: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a backend, in a process of its own."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
    )


def run_on(backend: str, program: str) -> list:
    """Return the list that a program prints on a backend."""
    done = run_python(backend, "-c", program)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_training_loses_the_same_on_both_backends():
    with_tensorflow, with_jax = run_on("tensorflow", STEPS), run_on("jax", STEPS)
    assert with_tensorflow == pytest.approx(with_jax, abs=1e-4)
    assert with_tensorflow[-1] < with_tensorflow[0], "training does something"


@pytest.mark.parametrize("name", ["tensorflow", "jax"])
def test_the_clock_counts_steps_that_were_begun_but_not_done_as_learning(name):
    shares = run_on(name, CLOCK)
    assert min(shares[1:]) > 0.5, "eleven batches are learnt from, one is looked at"


@pytest.mark.parametrize("name", ["tensorflow", "jax"])
def test_several_threads_may_ask_one_network(name):
    differences = run_on(name, THREADS)
    assert len(differences) == 500
    assert max(differences) == 0


def test_what_a_gpu_does_passes_its_tests_with_jax_too():
    file = Path(__file__).with_name("test_gpu_batches.py")
    done = run_python("jax", "-m", "pytest", "-q", "-n0", "-p", "no:cacheprovider", str(file))
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.mark.parametrize("name", GROWING)
@pytest.mark.parametrize("own", [None, "as the user wants"])
def test_memory_on_a_gpu_is_let_grow_before_the_backend_is_imported(name, own, monkeypatch):
    variable, growing = GROWING[name]
    monkeypatch.delenv(variable, raising=False)  # helpers set it in this process, too
    if own:
        monkeypatch.setenv(variable, own)
    program = f"backend, variable = {name!r}, {variable!r}{FIRST_IMPORT}"
    assert run_on(name, program) == [own or growing]


@pytest.fixture
def policy():
    """Leave Keras as it was."""
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.usefixtures("policy")
@pytest.mark.parametrize(
    ("settings", "machine", "precision", "compiled"),
    [
        (BEST, PLAIN, "float32", True),
        (BEST, AMX, "mixed_bfloat16", False),
        (BEST, AVX512, "mixed_bfloat16", False),
        (BEST, T4, "mixed_float16", "auto"),
        (BEST, A100, "mixed_bfloat16", "auto"),
        (DEMO, PLAIN, "float32", False),
        (DEMO, AMX, "float32", False),
        (DEMO, A100, "float32", "auto"),
    ],
)
def test_a_machine_calculates_in_what_it_does_fastest(settings, machine, precision, compiled):
    assert use_fastest(settings, machine) == keras.config.dtype_policy().name == precision
    assert compiles(settings, machine) == compiled


def test_the_device_is_named_in_words():
    assert PLAIN.device == "processor, since Keras finds no GPU"
    assert T4._replace(gpu="Tesla T4").device == "GPU, Tesla T4"


def test_a_gpu_takes_several_steps_at_once():
    assert [steps_at_once(machine) for machine in (PLAIN, AMX)] == [1, 1]
    assert steps_at_once(T4) > 1


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("15360\\n", 15360), ("81559\\n15360\\n", 15360), ("[N/A]\\n", 0), ("", 0), (None, 0)],
)
def test_the_memory_of_the_smallest_gpu_is_asked_of_the_driver(
    answer, expected, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    if answer is not None:
        tool = tmp_path / "nvidia-smi"
        tool.write_text(f"#!/bin/sh\nprintf '{answer}'\n")
        tool.chmod(0o755)
    assert backend._find_memory() == expected * 2**20


def test_this_machine_has_what_it_says():
    machine = look_at_machine()
    assert machine.capability is None or machine.capability > 3
    assert bool(machine.gpu) == (machine.capability is not None)
    assert all(flag == flag.strip() and flag for flag in machine.flags)

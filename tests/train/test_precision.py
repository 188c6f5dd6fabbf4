import keras
import pytest

from helpers.train.precision import (
    Machine,
    choose_precision,
    compiles,
    look_at_machine,
    use_fastest,
)
from helpers.train.recipes import RECIPES

BEST, DEMO = RECIPES["best"].segmentation, RECIPES["demo"].segmentation
PLAIN = Machine(None, frozenset({"avx2", "fma", "f16c"}))
AMX = Machine(None, frozenset({"avx2", "amx_bf16"}))
AVX512 = Machine(None, frozenset({"avx512f", "avx512_bf16"}))
T4, A100 = Machine(7.5, frozenset()), Machine(8.0, frozenset())


@pytest.fixture(autouse=True)
def policy():
    """Leave Keras as it was."""
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


@pytest.mark.parametrize(
    ("machine", "precision", "compiled"),
    [
        (PLAIN, "float32", True),
        (AMX, "mixed_bfloat16", False),
        (AVX512, "mixed_bfloat16", False),
        (T4, "mixed_float16", "auto"),
        (A100, "mixed_bfloat16", "auto"),
    ],
)
def test_a_machine_calculates_in_what_it_does_fastest(machine, precision, compiled):
    assert choose_precision(BEST, machine) == precision
    assert use_fastest(BEST, machine) == keras.config.dtype_policy().name == precision
    assert compiles(BEST, machine) == compiled


def test_a_short_training_is_not_compiled():
    use_fastest(DEMO, PLAIN)
    assert compiles(DEMO, PLAIN) is False


@pytest.mark.parametrize("machine", [PLAIN, AMX, A100])
def test_a_recipe_may_insist_on_32_bits(machine):
    assert choose_precision(DEMO, machine) == "float32"


def test_the_device_is_told_in_words():
    assert PLAIN.device == "processor, since Keras finds no GPU"
    assert T4._replace(gpu="Tesla T4").device == "GPU, Tesla T4"


def test_this_machine_has_what_it_says():
    machine = look_at_machine()
    assert machine.capability is None or machine.capability > 3
    assert bool(machine.gpu) == (machine.capability is not None)
    assert all(flag == flag.strip() and flag for flag in machine.flags)

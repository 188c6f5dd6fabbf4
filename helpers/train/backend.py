"""Backend: Keras without its start-up notes, and how this machine trains fastest."""

import ctypes
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from helpers.train.devices import count_devices, refuse_devices
from helpers.train.recipes import SegmentationSettings

# Names and numbers of glibc's malloc.h, see mallopt(3).
M_TOP_PAD, M_MMAP_THRESHOLD = -2, -3
# Processors that calculate in bfloat16 have one of these flags in /proc/cpuinfo.
BFLOAT16_FLAGS = {"amx_bf16", "avx512_bf16"}
BFLOAT16_CAPABILITY = 8.0  # of NVIDIA's GPUs from Ampere on; older ones have float16 only


@contextmanager
def without_standard_error() -> Iterator[None]:
    """Drop what native code writes to standard error; Python's exceptions still come through."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


# Let glibc keep 256 MB of freed memory. Each training step frees its arrays and asks for as many
# again; if the system gets them in between, page faults take as much time as the step itself.
if platform.libc_ver()[0] == "glibc":
    library = ctypes.CDLL(None)
    library.mallopt(M_MMAP_THRESHOLD, 2**30)
    library.mallopt(M_TOP_PAD, 2**28)

# No environment variable silences these notes, which would redden a notebook's first cells.
with without_standard_error():
    import keras

    keras.ops.zeros(())  # looks for a GPU, and reports at length if there is none

if keras.backend.backend() == "tensorflow":
    import tensorflow

    # It would warn about each network that it traces anew, between a notebook's outputs.
    tensorflow.get_logger().setLevel("ERROR")


def _share_batches(count: int) -> int:
    """Let Keras give each of so many devices a share of every batch; return how many there are.

    Every network keeps its weights on all of them, as long as none was made before.
    """
    if count > 1:
        with_jax = keras.backend.backend() == "jax"
        found = keras.distribution.list_devices() if with_jax else []
        refuse_devices(count, keras.backend.backend(), found)
        shared = keras.distribution.DataParallel(devices=found[:count], auto_shard_dataset=False)
        keras.distribution.set_distribution(shared)
    return count


DEVICES = _share_batches(count_devices())


class Machine(NamedTuple):
    """What a machine calculates with.

    Attributes:
        capability: NVIDIA's compute capability of the first GPU, None without a GPU.
        flags: the processor's flags in /proc/cpuinfo.
        gpu: the name of the first GPU that Keras uses, None without a GPU.
        memory: bytes of the smallest NVIDIA GPU, 0 if not known.
        devices: how many of its GPUs, or other devices, train a network together.
    """

    capability: float | None
    flags: frozenset[str]
    gpu: str | None = None
    memory: int = 0
    devices: int = 1

    @property
    def has_gpu(self) -> bool:
        """Whether Keras uses a GPU."""
        return self.capability is not None

    @property
    def device(self) -> str:
        """What trains the networks, in words."""
        kind = f"GPU, {self.gpu}" if self.gpu else "processor, since Keras finds no GPU"
        return kind if self.devices == 1 else f"{self.devices} × {kind}"


@cache
def look_at_machine() -> Machine:
    """Return what this machine has."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(errors="replace").splitlines() if cpu.is_file() else []
    flags = next((line for line in lines if line.startswith("flags")), "")
    capability, gpu = _find_gpu()
    memory = _find_memory() if gpu else 0
    return Machine(capability, frozenset(flags.partition(":")[2].split()), gpu, memory, DEVICES)


def _find_gpu() -> tuple[float | None, str | None]:
    """Return the compute capability and the name of the first GPU that the backend sees."""
    if keras.backend.backend() == "jax":
        import jax

        for device in jax.devices():
            if capability := getattr(device, "compute_capability", None):
                return float(capability), device.device_kind
        return None, None
    import tensorflow

    gpus = tensorflow.config.list_physical_devices("GPU")
    if not gpus:
        return None, None
    details = tensorflow.config.experimental.get_device_details(gpus[0])
    major, minor = details.get("compute_capability", (0, 0))
    return float(f"{major}.{minor}"), details.get("device_name", "of unknown kind")


def _find_memory() -> int:
    """Return the bytes of the smallest GPU's memory, 0 where NVIDIA's tool does not say."""
    ask = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(ask, capture_output=True, check=True, text=True).stdout
        return min(int(mebibytes) for mebibytes in answer.split()) * 2**20
    except (OSError, subprocess.CalledProcessError, ValueError):
        return 0


def compiled(function: Callable) -> Callable:
    """Return a function of tensors, which the backend compiles as a whole for its device."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return tensorflow.function(function, jit_compile=True)


def use_fastest(settings: SegmentationSettings, machine: Machine) -> str:
    """Let Keras build networks in the precision that is fastest here, and return its name.

    A recipe without `mixed_precision` keeps `float32`, and so does a processor without arithmetic
    for 16 bits. `mixed_bfloat16` and `mixed_float16` keep weights, loss and probabilities in 32.
    """
    name = "float32"
    if settings.mixed_precision and machine.has_gpu:
        recent = machine.capability >= BFLOAT16_CAPABILITY
        name = "mixed_bfloat16" if recent else "mixed_float16"
    elif settings.mixed_precision and machine.flags & BFLOAT16_FLAGS:
        name = "mixed_bfloat16"
    keras.config.set_dtype_policy(name)
    return name


def compiles(settings: SegmentationSettings, machine: Machine) -> bool | str:
    """Return whether XLA compiles a training step, as `Model.compile` takes it.

    On a processor in 32 bits compiled steps take half the time or the same; in bfloat16 they are
    slower (tests/benchmarks/speed.py). On GPUs and other backends Keras decides.
    """
    if machine.has_gpu or keras.backend.backend() != "tensorflow":
        return "auto"
    return settings.compiled and keras.config.dtype_policy().name == "float32"


def steps_at_once(machine: Machine) -> int:
    """Return how many training steps Keras takes before it returns to Python, for `Model.compile`.

    A GPU would wait for Python after each. What is learnt stays the same.
    """
    return 8 if machine.has_gpu else 1

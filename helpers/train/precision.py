"""Precision: how a machine trains fastest, in 32 or in 16 bits, and compiled by XLA or not."""

from pathlib import Path
from typing import NamedTuple

from helpers.train.backend import keras
from helpers.train.recipes import SegmentationSettings

# What processors with arithmetic for bfloat16 call it in /proc/cpuinfo.
BFLOAT16_FLAGS = {"amx_bf16", "avx512_bf16"}
BFLOAT16_CAPABILITY = 8.0  # of NVIDIA's GPUs, from Ampere on; those before have float16 only


class Machine(NamedTuple):
    """What decides on the precision.

    Attributes:
        capability: NVIDIA's compute capability of the first GPU, None without a GPU.
        flags: what the processor can do, by the names of /proc/cpuinfo.
        gpu: the name of the first GPU that Keras uses, None without a GPU.
    """

    capability: float | None
    flags: frozenset[str]
    gpu: str | None = None

    @property
    def device(self) -> str:
        """What trains the networks, in words."""
        return f"GPU, {self.gpu}" if self.gpu else "processor, since Keras finds no GPU"


def look_at_machine() -> Machine:
    """Return what this machine has."""
    cpu = Path("/proc/cpuinfo")
    lines = cpu.read_text(errors="replace").splitlines() if cpu.is_file() else []
    flags = next((line for line in lines if line.startswith("flags")), "")
    capability, gpu = _find_gpu()
    return Machine(capability, frozenset(flags.partition(":")[2].split()), gpu)


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


def choose_precision(settings: SegmentationSettings, machine: Machine) -> str:
    """Return Keras' name of the precision in which a machine trains a recipe fastest.

    `mixed_bfloat16` or `mixed_float16` keep weights, loss and probabilities in 32 bits.
    A processor without arithmetic for 16 bits would be slower with it, so it stays at `float32`.
    """
    if not settings.mixed_precision:
        return "float32"
    if machine.capability is not None:
        recent = machine.capability >= BFLOAT16_CAPABILITY
        return "mixed_bfloat16" if recent else "mixed_float16"
    return "mixed_bfloat16" if machine.flags & BFLOAT16_FLAGS else "float32"


def use_fastest(settings: SegmentationSettings, machine: Machine) -> str:
    """Let Keras build networks in the precision of `choose_precision`, and return its name."""
    name = choose_precision(settings, machine)
    keras.config.set_dtype_policy(name)
    return name


def compiles(settings: SegmentationSettings, machine: Machine) -> bool | str:
    """Return whether XLA shall compile a training step, as `Model.compile` takes it.

    On processors in 32 bits steps then take half the time on one machine, and no less on another
    (tests/benchmarks/speed.py); in bfloat16 they were slower. Elsewhere Keras decides.
    """
    if machine.capability is not None or keras.backend.backend() != "tensorflow":
        return "auto"
    return settings.compiled and keras.config.dtype_policy().name == "float32"

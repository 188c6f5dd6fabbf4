"""Keras, imported without TensorFlow's start-up notes, and with memory that stays at hand."""

import ctypes
import os
import platform
import sys
from collections.abc import Iterator
from contextlib import contextmanager

# Names and numbers of glibc's malloc.h, see mallopt(3).
M_TOP_PAD, M_MMAP_THRESHOLD = -2, -3


def _keep_freed_memory() -> None:
    """Let glibc keep 256 MB of what was freed.

    Each training step frees its arrays and asks for as many again. Given back to the system in
    between, they cost as much time in page faults as the step itself takes.
    """
    if platform.libc_ver()[0] == "glibc":
        library = ctypes.CDLL(None)
        library.mallopt(M_MMAP_THRESHOLD, 2**30)
        library.mallopt(M_TOP_PAD, 2**28)


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


_keep_freed_memory()
# No environment variable silences these notes, which would redden the first cells of a notebook.
with without_standard_error():
    import keras

    keras.ops.zeros(())  # looks for a GPU, and says at length that there is none

if keras.backend.backend() == "tensorflow":
    import tensorflow

    # In a notebook it warns among the outputs that each network is traced anew, as each must be.
    tensorflow.get_logger().setLevel("ERROR")

__all__ = ["keras", "without_standard_error"]

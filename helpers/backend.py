"""Keras, imported without the notes that TensorFlow writes when it starts."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _without_standard_error() -> Iterator[None]:
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


# No environment variable silences these notes, which would redden the first cells of a notebook.
with _without_standard_error():
    import keras

    keras.ops.zeros(())  # looks for a GPU, and says at length that there is none

__all__ = ["keras"]

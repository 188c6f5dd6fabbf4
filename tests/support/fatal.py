"""A preload of Dask workers: reading an X-ray whose name begins with `fatal` ends the worker.

So does an X-ray whose decoder crashes, or that fills the memory.
"""

import os
import signal
from pathlib import Path

from helpers.data import images

_read_xray = images.read_xray


def read_or_die(path):
    if Path(path).name.startswith("fatal"):
        os.kill(os.getpid(), signal.SIGKILL)
    return _read_xray(path)


images.read_xray = read_or_die

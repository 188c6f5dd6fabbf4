"""Cluster: a Dask scheduler whose workers predict for `predict --cluster`."""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future, wait
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from uuid import uuid4

from helpers.data.threads import begin_ahead
from helpers.predict.batch import Answer, answer, give_up
from helpers.predict.files import CHOICE, XrayFile, list_parts
from helpers.predict.team import THREADS, Block, Team
from helpers.predict.unfinished import clear_partial
from helpers.predict.worker import Job, find_fault, find_versions, predict_batch, predict_block
from helpers.storage.errors import CovidLungsError
from helpers.storage.folders import PARTIAL, refusing, shown

try:
    import dask
    from distributed import Client, LocalCluster
    from distributed.scheduler import KilledWorker
except ImportError as error:
    raise CovidLungsError(
        "--cluster needs Dask. Install it with `uv sync --extra cluster`, or write "
        "`uv run --extra cluster covid-lungs predict …`."
    ) from error

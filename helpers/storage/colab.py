"""Google Colab: whether this is Colab, where Drive is, and whether Drive still answers."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.storage.errors import CovidLungsError

CONTENT = Path(os.environ.get("COVID_LUNGS_CONTENT", "/content"))  # a test has several at once
MOUNT_POINT = CONTENT / "drive"
DRIVE_FOLDER = MOUNT_POINT / "MyDrive" / "covid-lungs"
LOCAL_FOLDER = CONTENT / "covid-lungs"
UNATTENDED = "COVID_LUNGS_UNATTENDED"  # set where nobody can be asked: in the chain's notebooks
DECLINED = "credential propagation"  # in Colab's error when its user declines
WHAT_TO_CLICK = "press “Connect to Google Drive” and choose your account in the window that opens"


def in_colab() -> bool:
    """Return whether this Python runs in Colab, whose runtime alone has `google.colab`."""
    return "google.colab" in sys.modules


def on_drive(path: Path) -> bool:
    """Return whether an absolute path lies on Google Drive, mounted or not."""
    return path.is_relative_to(MOUNT_POINT)


def call_colab(place: str) -> None:
    """Mount Drive at a folder by Colab's own function, which asks for permission in a window."""
    from google.colab import drive  # only there in Colab

    # Forced: else Colab may take a mount that was left half-made for a sound one.
    drive.mount(place, force_remount=True)


def mount_drive(mount: Callable[[str], None] = call_colab) -> str:
    """Mount Google Drive in Colab, once; elsewhere do nothing. Return a line that says which.

    `mount` mounts it at the folder that it is given. It is called up to three times, as Drive is
    late now and then, and only where somebody can be asked and Drive is not there yet.
    """
    if not in_colab():
        return "Not in Colab: Drive is not needed, files stay in this project."
    if UNATTENDED in os.environ:
        return "Drive is not asked for here: the run is where the chain was told to keep it."
    try:
        if not is_mounted():
            _try_to(mount)
    except Exception as error:  # Colab raises several kinds, none of them documented
        reason = f"{type(error).__name__}: {error}".splitlines()[0]  # some are pages long
        if DECLINED in reason:
            reason = "Colab was not allowed to use it"
        return (
            f"Drive was not mounted ({reason}). The run stays on this machine and is lost "
            f"with it: run this cell again and {WHAT_TO_CLICK}."
        )
    return "Google Drive is mounted: the run is kept in MyDrive/covid-lungs."


def is_mounted() -> bool:
    """Return whether Drive answers: a mount that lost its connection is there, but does not."""
    try:
        (MOUNT_POINT / "MyDrive").stat()
    except OSError:
        return False
    return True


def _try_to(mount: Callable[[str], None]) -> None:
    """Mount Drive; when it fails, as happens now and then, try again."""
    for attempt in (1, 2, 3):
        try:
            mount(str(MOUNT_POINT))
            (MOUNT_POINT / "MyDrive").stat()
            return
        except Exception as error:
            if attempt == 3 or DECLINED in str(error):
                raise
        print(f"Drive did not answer. Trying again: {WHAT_TO_CLICK}.")


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the errors of a block that reads a path on Drive into a CovidLungsError."""
    try:
        yield
    except OSError as error:
        if not on_drive(path):
            raise
        raise CovidLungsError(
            f"Google Drive went away while {path} was read ({error.strerror}). Run the cell that "
            f"mounts Drive again and {WHAT_TO_CLICK}; then run this cell again."
        ) from error

"""Google Colab: is this it, where is Drive, and is Drive still there."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from helpers.storage.errors import CovidLungsError

CONTENT = Path(os.environ.get("COVID_LUNGS_CONTENT", "/content"))  # a test has several at once
MOUNT_POINT = CONTENT / "drive"
DRIVE_FOLDER = MOUNT_POINT / "MyDrive" / "covid-lungs"
LOCAL_FOLDER = CONTENT / "covid-lungs"
UNATTENDED = "COVID_LUNGS_UNATTENDED"  # set where nobody can be asked: in the chain's notebooks
MOUNT_ATTEMPTS = 3
WHAT_TO_CLICK = "press “Connect to Google Drive” and choose your account in the window that opens"


def in_colab() -> bool:
    """Return whether this Python runs in Colab, whose runtime alone has `google.colab`."""
    return "google.colab" in sys.modules


def on_drive(path: Path) -> bool:
    """Return whether an absolute path lies on Google Drive, mounted or not."""
    return path.is_relative_to(MOUNT_POINT)


def mount_drive() -> str:
    """Mount Google Drive in Colab, once; elsewhere do nothing. Return a line that says which."""
    if not in_colab():
        return "Not in Colab: Drive is not needed, files stay in this project."
    if UNATTENDED in os.environ:
        return "Drive is not asked for here: the run is where the chain was told to keep it."
    try:
        if not is_mounted():
            _mount()
    except Exception as error:  # Colab raises several kinds, none of them documented
        return (
            f"Drive was not mounted ({_reason(error)}). The run stays on this machine and is lost "
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


def _mount() -> None:
    """Mount Drive; when it does not answer in time, as happens now and then, try again."""
    from google.colab import drive  # only there in Colab

    for attempt in range(1, MOUNT_ATTEMPTS + 1):
        try:
            # Forced: else Colab may take a mount that was left half-made for a sound one.
            drive.mount(str(MOUNT_POINT), force_remount=True)
            (MOUNT_POINT / "MyDrive").stat()
            return
        except Exception as error:
            if attempt == MOUNT_ATTEMPTS or not _is_timeout(error):
                raise
        print(f"Drive did not answer in time. Trying again: {WHAT_TO_CLICK}.")


def _is_timeout(error: Exception) -> bool:
    """Return whether Drive was late: a ValueError says so in words, pexpect's TIMEOUT by name."""
    words = f"{type(error).__name__} {error}".lower()
    return "timeout" in words or "timed out" in words


def _reason(error: Exception) -> str:
    """Return why a mount failed, in a line; a time-out's own text is pages long."""
    if "credential propagation" in str(error):  # what Colab says when its question is declined
        return "Colab was not allowed to use it"
    if _is_timeout(error):
        return (
            f"it did not answer in time, {MOUNT_ATTEMPTS} times over, which thousands of files "
            "outside any folder of MyDrive can cause"
        )
    return (str(error).strip() or type(error).__name__).splitlines()[0]


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Read a file or folder in this context, and a Drive that goes away has its own message.

    Raises:
        CovidLungsError: the path lies on Drive, which does not answer.
    """
    try:
        yield
    except OSError as error:
        if not on_drive(path):
            raise
        raise CovidLungsError(
            f"Google Drive went away while {path} was read ({error.strerror}). Run the cell that "
            f"mounts Drive again and {WHAT_TO_CLICK}: what was copied is kept, and the next call "
            "goes on from there."
        ) from error

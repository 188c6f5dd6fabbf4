"""Google Colab: is this it, and where is Drive."""

import sys
from pathlib import Path

MOUNT_POINT = Path("/content/drive")
DRIVE_FOLDER = MOUNT_POINT / "MyDrive" / "covid-lungs"
LOCAL_FOLDER = Path("/content/covid-lungs")


def in_colab() -> bool:
    """Return whether this Python runs in Colab, whose runtime alone has `google.colab`."""
    return "google.colab" in sys.modules


def mount_drive() -> str:
    """Mount Google Drive in Colab, once; elsewhere do nothing. Return a line that says which."""
    if not in_colab():
        return "Not in Colab: Drive is not needed, files stay in this project."
    try:
        if not (MOUNT_POINT / "MyDrive").is_dir():
            from google.colab import drive  # only there in Colab

            drive.mount(str(MOUNT_POINT))
        DRIVE_FOLDER.mkdir(exist_ok=True)
    except Exception as error:  # Colab raises several kinds, none of them documented
        return (
            f"Drive was not mounted ({error}). The run stays on this machine and is lost "
            "with it: run this cell again and press “Connect to Google Drive”."
        )
    return "Google Drive is mounted: the run is kept in MyDrive/covid-lungs."

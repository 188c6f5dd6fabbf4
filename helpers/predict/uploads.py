"""Uploads: the one X-ray that a notebook reads, from wherever its reader has it."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from helpers.data.decoding import BadImageError
from helpers.data.images import read_file
from helpers.data.synthetic import draw_xray, image_seed
from helpers.storage.colab import in_colab
from helpers.storage.errors import CovidLungsError

if TYPE_CHECKING:  # an optional extra, which only a notebook in a browser needs
    from ipywidgets import FileUpload

YOURS, DRAWN = "your X-ray", "a synthetic X-ray, drawn here, of no patient"


def offer_upload(xray: str) -> "FileUpload | None":
    """Show a button that takes a file, where there is none yet and a browser to press it in.

    In Colab the file is asked for by `take_xray` itself.

    Args:
        xray: a path that was given beforehand, or nothing.

    Returns:
        the button, or None without one.
    """
    if xray or in_colab():
        return None
    try:
        from ipywidgets import FileUpload
    except ImportError:
        print("For a button to upload files: `uv sync --extra jupyter`. A path as `xray` will do.")
        return None
    from IPython.display import display  # a notebook has it

    upload = FileUpload(multiple=False, description="Choose an X-ray")
    display(upload)
    return upload


def take_xray(xray: str, upload: "FileUpload | None", seed: int) -> tuple[bytes, str]:
    """Return the bytes of an X-ray's file, and the words that every figure made from it carries.

    The given path comes first, then the file that was uploaded. Where there is neither, as in a
    run that nobody watches, an X-ray with the signs of COVID is drawn.

    Args:
        xray: a path, or nothing.
        upload: what `offer_upload` returned.
        seed: of the drawn X-ray.

    Raises:
        CovidLungsError: the path cannot be read.
    """
    if xray:
        return _read(Path(xray).expanduser()), YOURS
    content = _ask_colab() if in_colab() else _uploaded(upload)
    if content is not None:
        return content, YOURS
    # Of another data set than the demo's, so that no network has learnt from it.
    image, _ = draw_xray("COVID", image_seed("COVID", 1, seed))
    return cv2.imencode(".png", image)[1].tobytes(), DRAWN


def _read(path: Path) -> bytes:
    """Return a file's bytes."""
    try:
        return read_file(path)
    except BadImageError as error:
        raise CovidLungsError(
            f"xray {str(path)!r}: {error.reason}. Give the path of an X-ray, or nothing to upload "
            "one."
        ) from error


def _uploaded(upload: "FileUpload | None") -> bytes | None:
    """Return what was uploaded in Jupyter, if anything was."""
    return bytes(upload.value[0]["content"]) if upload is not None and upload.value else None


def _ask_colab() -> bytes | None:
    """Return what is uploaded in Colab, which waits for it; None if it is called off."""
    try:
        from google.colab import files  # only there in Colab

        ask: Callable[[], dict[str, bytes]] = files.upload
        given = ask()
    except Exception:  # no window to ask in, or called off: several kinds, none of them documented
        return None
    return next(iter(given.values()), None)

"""Archives: unpack a .zip to the local disk, whole or not at all."""

import shutil
import zipfile
import zlib
from pathlib import Path

from tqdm import tqdm

from helpers.errors import CovidLungsError
from helpers.folders import make_partial


def unpack(archive: Path, target: Path) -> Path:
    """Unpack a .zip into the folder `target` and return it; one unpacked before is kept.

    The work is done under a temporary name and renamed at the end, so that an interrupted call
    leaves no half-filled `target`.

    Raises:
        CovidLungsError: the file is no .zip, is damaged or encrypted, or the disk is full.
    """
    if target.is_dir():
        return target
    partial = make_partial(target)
    try:
        _extract(archive, partial)
        partial.rename(target)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise CovidLungsError(
            f"{archive}: not a .zip archive, or a damaged one ({error}). Download it again."
        ) from error
    except RuntimeError as error:  # zipfile's word for encryption and unknown compression
        raise CovidLungsError(
            f"{archive}: cannot be unpacked ({error}). "
            "Unpack it with another program and give the folder."
        ) from error
    except OSError as error:
        raise CovidLungsError(
            f"{archive}: cannot be unpacked into {target.parent} ({error.strerror}). "
            "Make room, or choose another folder with COVID_LUNGS_CACHE."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def _extract(archive: Path, folder: Path) -> None:
    """Extract every member below `folder`; zipfile itself drops `..` and absolute paths."""
    with zipfile.ZipFile(archive) as opened:
        members = opened.infolist()
        for member in tqdm(members, desc=f"unpacking {archive.name}", unit="file", disable=None):
            opened.extract(member, folder)

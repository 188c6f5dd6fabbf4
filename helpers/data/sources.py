"""Data sets: find the chest X-rays in a folder, a .zip, on Kaggle, or draw the demo's."""

import hashlib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from helpers.data import archives, synthetic
from helpers.data.images import join_halves, read_mask, read_xray
from helpers.data.listing import HALVES, Listing, list_files
from helpers.storage import colab
from helpers.storage.errors import CovidLungsError
from helpers.storage.files import caching
from helpers.storage.folders import cache_root, project_root
from helpers.storage.versions import code_version

KAGGLE_DATA_SET = "tawsifurrahman/covid19-radiography-database"
# Counts of the published database, from its Kaggle page.
PUBLISHED_COUNTS = {"COVID": 3616, "Normal": 10192, "Lung_Opacity": 6012, "Viral Pneumonia": 1345}


@dataclass(frozen=True)
class DataSet:
    """A folder of X-rays, of one of the layouts in `layouts.LAYOUTS`.

    Attributes:
        name: `demo`, or the name of the folder or archive without its ending.
        folder: that was given, unpacked, fetched or drawn.
        synthetic: whether a program drew the X-rays, so that every figure must say so.
        inside: POSIX path of the data set in it: archives often wrap their content. "" for the
            folder itself.
    """

    name: str
    folder: Path
    synthetic: bool
    inside: str = ""

    @property
    def root(self) -> Path:
        """Return the folder that paths in the index count from."""
        return self.folder / self.inside

    @property
    def label(self) -> str:
        """Return the words that every figure made from this data set carries."""
        return "synthetic X-rays" if self.synthetic else f"X-rays: {self.name}"

    @property
    def classes(self) -> list[str]:
        """Return the names of the classes, sorted."""
        return list(self.list_files().spellings)

    def list_files(self) -> Listing:
        """Return what is in the folder now, as `listing.list_files` does."""
        return list_files(self.folder, self.name)

    def read_xray(self, file: str) -> np.ndarray:
        """Return an X-ray of the index's column `file`, as `images.read_xray` does."""
        return read_xray(self.root / file)

    def read_mask(self, mask: str) -> np.ndarray:
        """Return a mask of the index's column `mask`; of one in several files the union.

        Raises:
            BadImageError: as `images.read_mask`, or the files differ in size.
        """
        halves = [read_mask(self.root / file) for file in mask.split(HALVES)]
        return join_halves(halves, mask)


def find_data(source: str) -> DataSet:
    """Return the data set of a source, fetched, unpacked or drawn if need be.

    A source is `demo`, `kaggle`, a folder or a .zip. Relative paths count from the current folder,
    else from the project's root.

    Raises:
        CovidLungsError: nothing is there or can be fetched or read, the archive must not be
            unpacked, or it does not have the database's layout.
    """
    if source == "demo":
        return _open("demo", _draw_demo())
    if source == "kaggle":
        return _open("kaggle", _download())
    path = find_path(source)
    try:
        with colab.reading(path):
            if path.is_dir():
                return _open(path.name, path)
            if not path.is_file():  # such as a pipe, which never ends
                raise CovidLungsError(
                    f"{path}: neither a folder nor a file. Give a folder or a .zip."
                )
            status = path.stat()
    except OSError as error:
        raise CovidLungsError(
            f"{error.filename}: cannot be read ({error.strerror}). Mend its permissions, or give a "
            "folder without it."
        ) from error
    identity = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:12]
    folder = cache_root() / "data" / f"{path.stem}-{identity}"
    return _open(path.stem, archives.unpack(path, folder))


def find_path(
    source: str, name: str = "data", remedy: str = "Give demo, kaggle, a folder or a .zip."
) -> Path:
    """Return the absolute path of a folder or file; relative ones count as in `find_data`.

    Raises:
        CovidLungsError: there is none. It names the parameter that was given, and the remedy.
    """
    with suppress(OSError, RuntimeError, ValueError):  # no path at all, such as ~nobody
        given = Path(source).expanduser()
        for path in (given, project_root() / given):
            if path.exists():
                return path.resolve()
    if colab.on_drive(Path(source)) and not colab.is_mounted():
        raise CovidLungsError(
            f"{name} {source!r}: Google Drive is not there. Run the cell that mounts it and "
            f"{colab.WHAT_TO_CLICK}."
        )
    raise CovidLungsError(f"{name} {source!r}: no such folder or file. {remedy}")


def _draw_demo() -> Path:
    """Return the folder of the demo X-rays, drawn once for each version of the drawing code."""
    folder = cache_root() / "data" / f"demo-{code_version(synthetic.__name__)[:12]}"
    if not folder.is_dir():
        with caching(folder) as partial:
            synthetic.write_data_set(partial)
    return folder


def _download() -> Path:
    """Return the folder of the database as Kaggle's own client fetched and keeps it."""
    import kagglehub  # here, since only this source needs it and its import asks the network

    try:
        return Path(kagglehub.dataset_download(KAGGLE_DATA_SET))
    except Exception as error:  # its errors come from several packages
        reason = (str(error).strip() or type(error).__name__).splitlines()[-1]
        raise CovidLungsError(
            f"kaggle: {KAGGLE_DATA_SET} could not be fetched ({reason}). Check the network. If "
            "Kaggle asks for credentials, create a token on kaggle.com/settings, and put "
            "kaggle.json into ~/.kaggle, or set KAGGLE_USERNAME and KAGGLE_KEY (in Colab: in the "
            "Secrets panel, the key symbol on the left). Or download the .zip in a browser and "
            "give its path."
        ) from error


def _open(name: str, folder: Path) -> DataSet:
    """Return the data set in a folder."""
    inside = list_files(folder, name).root
    return DataSet(name, folder, (folder / inside / synthetic.SYNTHETIC_MARKER).is_file(), inside)

"""Data sets: find the chest X-rays in a folder, a .zip, on Kaggle, or draw the demo's."""

import hashlib
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from helpers import archives, synthetic
from helpers.errors import CovidLungsError
from helpers.folders import cache_root, make_partial, project_root

KAGGLE_DATA_SET = "tawsifurrahman/covid19-radiography-database"
POSITIVE_CLASS = "COVID"
# Counts of the published database, from its Kaggle page.
PUBLISHED_COUNTS = {"COVID": 3616, "Normal": 10192, "Lung_Opacity": 6012, "Viral Pneumonia": 1345}
LAYOUT = "<class>/images/*.png with <class>/masks/*.png of the same names"


@dataclass(frozen=True)
class DataSet:
    """A folder of class folders, each with `images` and `masks`.

    Attributes:
        name: `demo`, or the name of the folder or archive without its ending.
        root: the folder that holds the class folders.
        synthetic: whether a program drew the X-rays, so that every figure must say so.
    """

    name: str
    root: Path
    synthetic: bool

    @property
    def label(self) -> str:
        """The words that every figure made from this data set carries."""
        return "synthetic X-rays" if self.synthetic else f"X-rays: {self.name}"

    @property
    def classes(self) -> list[str]:
        """The names of the class folders, sorted."""
        return [folder.name for folder in _class_folders(self.root)]


def find_data(source: str) -> DataSet:
    """Return the data set of a source, fetched, unpacked or drawn if need be.

    Args:
        source: `demo`, `kaggle`, a folder or a .zip. Relative paths count from the current
            folder, else from the project's root.

    Raises:
        CovidLungsError: nothing is there, or it does not have the database's layout.
    """
    if source == "demo":
        return _open("demo", _draw_demo())
    if source == "kaggle":
        return _open("kaggle", _download())
    path = find_path(source)
    if path.is_dir():
        return _open(path.name, path)
    status = path.stat()
    identity = hashlib.sha256(f"{status.st_size} {status.st_mtime_ns}".encode()).hexdigest()[:12]
    folder = cache_root() / "data" / f"{path.stem}-{identity}"
    return _open(path.stem, archives.unpack(path, folder))


def find_path(source: str) -> Path:
    """Return the absolute path of a folder or archive.

    Raises:
        CovidLungsError: there is none.
    """
    with suppress(OSError, RuntimeError, ValueError):  # no path at all, such as ~nobody
        given = Path(source).expanduser()
        for path in (given, project_root() / given):
            if path.exists():
                return path.resolve()
    raise CovidLungsError(
        f"data {source!r}: no such folder or file. Give demo, kaggle, a folder or a .zip."
    )


def _draw_demo() -> Path:
    """Return the folder of the demo X-rays, drawn once for each version of what draws them."""
    digest = hashlib.sha256()
    for part in sorted(Path(synthetic.__file__).parent.glob("*.py")):
        digest.update(part.read_bytes())
    folder = cache_root() / "data" / f"demo-{digest.hexdigest()[:12]}"
    if not folder.is_dir():
        partial = make_partial(folder)
        try:
            synthetic.write_data_set(partial)
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _download() -> Path:
    """Return the folder of the database as Kaggle's own client fetched and keeps it."""
    import kagglehub  # here, since only this source needs it and its import asks the network

    try:
        return Path(kagglehub.dataset_download(KAGGLE_DATA_SET))
    except Exception as error:  # its errors come from several packages
        reason = str(error).strip().splitlines()[-1:] or [type(error).__name__]
        raise CovidLungsError(
            f"kaggle: {KAGGLE_DATA_SET} could not be fetched ({reason[0]}). Check the network and "
            "your Kaggle credentials, or download the .zip in a browser and give its path."
        ) from error


def _open(name: str, folder: Path) -> DataSet:
    """Return the data set in a folder, or in a folder of it: archives often wrap their content."""
    candidates = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    for root in candidates:
        if _class_folders(root):
            marked = (root / synthetic.SYNTHETIC_MARKER).is_file()
            return DataSet(name=name, root=root, synthetic=marked)
    found = ", ".join(sorted(path.name for path in folder.iterdir())[:8]) or "nothing"
    raise CovidLungsError(
        f"{name}: expected {LAYOUT}, found {found}. Give the folder that holds the class folders."
    )


def _class_folders(root: Path) -> list[Path]:
    """Return the folders with `images` or `masks` in them, sorted by name."""
    return sorted(
        folder
        for folder in root.iterdir()
        if folder.is_dir() and any((folder / part).is_dir() for part in ("images", "masks"))
    )

"""Outputs: the files of a prediction, each written whole or not at all."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import get_ident

from helpers.storage.files import partial_folder, refusing

MASKS, OVERLAYS, TABLE = "masks", "overlays", "predictions.csv"
CHOICE = "--out"  # where another folder is chosen


class Outputs:
    """A folder of predictions; several threads may write into it.

    Attributes:
        folder: the folder.
        partial: a folder in it for what is not whole yet.
    """

    def __init__(self, folder: Path, partial: Path):
        self.folder, self.partial = folder, partial

    def write(self, name: str, content: bytes) -> None:
        """Write a file, given by its path below the folder, in place of an older one.

        Raises:
            CovidLungsError: it cannot be written.
        """
        path = self.partial / str(get_ident())
        with refusing(self.folder / name, CHOICE):
            path.write_bytes(content)
            path.replace(self.folder / name)

    def remove(self, name: str) -> None:
        """Remove a file that an earlier prediction may have left.

        Raises:
            CovidLungsError: it cannot be removed.
        """
        with refusing(self.folder / name, CHOICE):
            (self.folder / name).unlink(missing_ok=True)


@contextmanager
def open_outputs(folder: Path) -> Iterator[Outputs]:
    """Make a folder of predictions, and remove what is not whole at the end.

    Raises:
        CovidLungsError: it cannot be made or written to.
    """
    with ExitStack() as stack:
        with refusing(folder, CHOICE):
            for name in (MASKS, OVERLAYS):
                (folder / name).mkdir(parents=True, exist_ok=True)
            partial = stack.enter_context(partial_folder(folder))
        yield Outputs(folder, partial)

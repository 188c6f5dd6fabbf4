"""Workers: many files read at once, in threads, since OpenCV works outside Python's lock."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
Result = TypeVar("Result")


def read_all(
    read: Callable[[Item], Result], items: Sequence[Item], description: str
) -> Iterator[Result]:
    """Yield `read(item)` of every item, in order, with a progress bar.

    What `read` raises comes through. Then, or at an interrupt, the files still waiting are dropped.
    """
    with ThreadPoolExecutor() as pool:
        yield from tqdm(pool.map(read, items), description, len(items), unit="file", disable=None)

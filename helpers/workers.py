"""Workers: many files read at once, in threads, since OpenCV works outside Python's lock."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from tqdm import tqdm

THREADS = os.cpu_count() or 1  # more would only wait for one another
BATCH = 16  # items that a thread takes at once, at most: handing each out alone is slower

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_blocks(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Return items, or the rows of an array, in blocks of a size; the last may be shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def share(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return `work(item)` of every item, in order, each item worked on by the next free thread.

    What `work` raises comes through.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, items))


def read_all(
    read: Callable[[Item], Result], items: Sequence[Item], description: str
) -> Iterator[Result]:
    """Yield `read(item)` of every item, in order, with a progress bar.

    What `read` raises comes through. Then, or at an interrupt, the files still waiting are dropped.
    """
    size = max(1, min(BATCH, len(items) // (4 * THREADS)))
    batches = in_blocks(items, size)
    bar = tqdm(desc=description, total=len(items), unit="file", disable=None)
    with bar, ThreadPoolExecutor(THREADS) as pool:
        for results in pool.map(lambda batch: [read(item) for item in batch], batches):
            bar.update(len(results))
            yield from results


def work_ahead(
    pool: ThreadPoolExecutor,
    work: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int,
) -> Iterator[Result]:
    """Yield `work(item)` of every item, in order, while the pool works on the next `ahead` ones.

    Items are taken as they are needed and no result waits longer than that, so that memory stays
    bounded however many there are. What `work` raises comes through.
    """
    begun: deque[Future[Result]] = deque()
    for item in items:
        begun.append(pool.submit(work, item))
        if len(begun) > ahead:
            yield begun.popleft().result()
    while begun:
        yield begun.popleft().result()

"""Threads: read many files at once, since OpenCV works outside Python's lock."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import TypeVar

from tqdm import tqdm

THREADS = os.cpu_count() or 1  # more would only wait for one another
BATCH = 16  # items that a thread takes at once, at most: one at a time is slower

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_blocks(items: Sequence[Item], size: int) -> list[Sequence[Item]]:
    """Return items, or the rows of an array, in blocks of a size; the last may be shorter."""
    return [items[start : start + size] for start in range(0, len(items), size)]


def in_lists(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield items, taken as they are needed, in lists of a size; the last may be shorter."""
    iterator = iter(items)
    while taken := list(islice(iterator, size)):
        yield taken


def share(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Return `work(item)` of every item, in order, each item worked on by the next free thread.

    What `work` raises comes through.
    """
    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(work, items))


def read_all(
    read: Callable[[Item], Result],
    items: Iterable[Item],
    description: str,
    count: int | None = None,
) -> Iterator[Result]:
    """Yield `read(item)` of every item, in order, with a progress bar.

    It reads at most a few batches ahead of the caller, whose thread takes the items as they are
    needed. What `read` raises comes through. Then, or at an interrupt, waiting items are dropped.
    `count` is how many items there are, if they have no length.
    """
    count = len(items) if count is None else count
    batches = in_lists(items, max(1, min(BATCH, count // (4 * THREADS))))
    bar = tqdm(desc=description, total=count, unit="file", disable=None)
    with bar, ThreadPoolExecutor(THREADS) as pool:
        done = work_ahead(pool, lambda batch: [read(item) for item in batch], batches, THREADS)
        with closing(done):
            for results in done:
                bar.update(len(results))
                yield from results


def work_ahead(
    pool: Executor,
    work: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int,
) -> Iterator[Result]:
    """Yield `work(item)` of every item, in order, while the pool works on the next `ahead` ones.

    Items are taken as they are needed, so that memory stays bounded however many there are. What
    `work` raises comes through; then, or when this is closed, waiting items are dropped.
    """
    with closing(begin_ahead(pool, work, items, ahead)) as begun:
        for _, future in begun:
            yield future.result()


def begin_ahead(
    pool: Executor,
    work: Callable[[Item], Result],
    items: Iterable[Item],
    ahead: int,
) -> Iterator[tuple[Item, Future[Result]]]:
    """Yield every item, in order, with the future of `work(item)`, as `work_ahead` begins them."""
    begun: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            begun.append((item, pool.submit(work, item)))
            if len(begun) > ahead:
                yield begun.popleft()
        while begun:
            yield begun.popleft()
    finally:
        for _, future in begun:
            future.cancel()

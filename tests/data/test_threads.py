import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.data import threads
from helpers.data.threads import read_all, share, work_ahead

# Items that are begun before anybody takes a result, at most: the batches ahead, and the next one.
MOST_AHEAD = (threads.THREADS + 1) * threads.BATCH


def test_results_come_in_the_order_of_the_items():
    def read(item):
        time.sleep(0.001 * (5 - item))
        return item * 10

    assert list(read_all(read, range(5), "reading")) == [0, 10, 20, 30, 40]


def test_files_are_read_at_the_same_time():
    both = threading.Barrier(2, timeout=10)
    assert len(list(read_all(lambda item: both.wait(), range(2), "reading"))) == 2


def test_work_is_shared_at_the_same_time_and_its_results_keep_the_order():
    both = threading.Barrier(2, timeout=10)

    def work(item):
        both.wait()
        time.sleep(0.01 * (4 - item))
        return item * 10

    assert share(work, range(4)) == [0, 10, 20, 30]


def test_an_error_comes_through_and_the_files_still_waiting_are_dropped():
    seen = []

    def read(item):
        seen.append(item)
        if item == 3:
            raise ValueError("item 3")
        time.sleep(0.002)

    with pytest.raises(ValueError, match="item 3"):
        list(read_all(read, range(2000), "reading"))
    assert len(seen) < 1000


def test_reading_waits_for_a_slow_consumer():
    begun = []
    results = read_all(lambda item: begun.append(item) or item, range(20 * MOST_AHEAD), "reading")
    for taken, result in enumerate(results):
        if taken % (3 * MOST_AHEAD) == 0:
            time.sleep(0.2)  # all that may be read has long been read
            assert len(begun) <= taken + MOST_AHEAD + threads.BATCH
        assert result == taken
    assert begun[-1] == result


@settings(max_examples=40, deadline=None)
@given(count=st.integers(0, 200), workers=st.integers(1, 4))
def test_items_without_a_length_are_taken_as_they_are_needed(count, workers):
    taken = []
    items = (taken.append(item) or item for item in range(count))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "THREADS", workers)
        patch.setattr(threads, "BATCH", 3)
        done = []
        for result in read_all(lambda item: item * 10, items, "reading", count):
            done.append(result)
            assert len(taken) <= len(done) + 3 * (workers + 1)
    assert done == [item * 10 for item in range(count)]


@pytest.mark.parametrize("end", [KeyboardInterrupt, GeneratorExit])
def test_at_an_interrupt_the_files_still_waiting_are_dropped(end):
    seen, go_on = [], threading.Event()

    def read(item):
        seen.append(item)
        go_on.wait(0.05)
        return item

    results = read_all(read, range(20 * MOST_AHEAD), "reading")
    next(results)
    begun = len(seen)
    with pytest.raises(end):
        results.throw(end)
    assert len(seen) <= begun + threads.THREADS * threads.BATCH


@settings(max_examples=40, deadline=None)
@given(count=st.integers(0, 30), ahead=st.integers(0, 8))
def test_work_ahead_keeps_order_and_begins_no_more_than_it_may(count, ahead):
    taken = []
    items = (taken.append(item) or item for item in range(count))
    with ThreadPoolExecutor(2) as pool:
        done = []
        for result in work_ahead(pool, lambda item: item * 10, items, ahead):
            done.append(result)
            assert len(taken) == min(count, len(done) + ahead)
    assert done == [item * 10 for item in range(count)]

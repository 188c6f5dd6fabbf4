import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.workers import read_all, share, work_ahead


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


def test_an_error_in_shared_work_comes_through():
    with pytest.raises(ZeroDivisionError):
        share(lambda item: 1 // item, range(3))


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

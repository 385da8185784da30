"""The queue between two threads, and the thread that empties it."""

import threading

from moss_perception.ros.predictor.backlog import Backlog
from moss_perception.ros.predictor.worker import Worker
import pytest

pytestmark = pytest.mark.timeout(20)


def test_items_come_out_in_order():
    backlog = Backlog(2)
    assert backlog.put(1) is None and backlog.put(2) is None
    assert [backlog.take(), backlog.take()] == [1, 2]


def test_the_oldest_goes_when_it_is_full():
    backlog = Backlog(2)
    assert [backlog.put(i) for i in range(4)] == [None, None, 0, 1]
    assert len(backlog) == 2
    assert backlog.take() == 2


def test_close_wakes_the_one_who_waits_and_returns_the_rest():
    backlog = Backlog(2)
    taken = []
    thread = threading.Thread(target=lambda: taken.append(backlog.take()))
    thread.start()
    assert backlog.close() == []
    thread.join(5)
    assert taken == [None]


def test_a_closed_backlog_takes_nothing_more():
    backlog = Backlog(2)
    backlog.put('waiting')
    assert backlog.close() == ['waiting']
    assert backlog.put('late') == 'late'
    assert backlog.take() is None


def test_the_worker_goes_on_after_an_exception():
    done, failed, finished = [], [], threading.Event()

    def handle(item):
        if item == 1:
            raise ValueError('one')
        done.append(item)
        finished.set()

    worker = Worker(handle, lambda item, error: failed.append((item, str(error))))
    worker.put(1)
    worker.put(2)
    assert finished.wait(5)
    assert worker.stop() == ([], True)
    assert done == [2] and failed == [(1, 'one')]


def test_stop_waits_for_the_item_in_work_and_returns_those_behind_it():
    begun, go_on, done = threading.Event(), threading.Event(), []

    def handle(item):
        begun.set()
        assert go_on.wait(5)
        done.append(item)

    worker = Worker(handle, lambda *_: None)
    worker.put('in work')
    assert begun.wait(5)
    worker.put('behind')
    assert worker.stop(timeout_s=0.01) == (['behind'], False)
    go_on.set()
    assert worker.stop() == ([], True)
    assert done == ['in work']

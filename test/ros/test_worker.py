"""The worker's thread, and the short queue in front of it."""

import threading

from moss_perception.ros.predictor.worker import Worker
import pytest

pytestmark = pytest.mark.timeout(20)


class Busy:
    """A worker whose thread handles the first item until the test lets it go on."""

    def __init__(self):
        self.begun, self.go_on, self.done = threading.Event(), threading.Event(), []
        self.failed, self.finished = [], threading.Event()
        self.worker = Worker(self._handle, lambda item, error: self.failed.append(
            (item, str(error))))
        self.worker.put('first')
        assert self.begun.wait(5)

    def _handle(self, item):
        self.begun.set()
        assert self.go_on.wait(5)
        if item == 'bad':
            raise ValueError('one')
        self.done.append(item)
        if item == 'last':
            self.finished.set()


@pytest.fixture
def busy():
    made = Busy()
    yield made
    made.go_on.set()
    assert made.worker.stop()[1]


def test_items_are_handled_in_order(busy):
    assert busy.worker.put(1) is None and busy.worker.put('last') is None
    busy.go_on.set()
    assert busy.finished.wait(5)
    assert busy.done == ['first', 1, 'last']


def test_the_oldest_goes_when_the_queue_is_full(busy):
    assert [busy.worker.put(i) for i in range(4)] == [None, None, 0, 1]
    assert busy.worker.put('last') == 2
    busy.go_on.set()
    assert busy.finished.wait(5)
    assert busy.done == ['first', 3, 'last']


def test_stop_wakes_a_thread_that_waits():
    assert Worker(print, print).stop() == ([], True)


def test_a_stopped_worker_takes_nothing_more():
    done = []
    worker = Worker(done.append, print)
    assert worker.stop() == ([], True)
    assert worker.put('late') == 'late' and not done


def test_the_worker_goes_on_after_an_exception(busy):
    busy.worker.put('bad')
    busy.worker.put('last')
    busy.go_on.set()
    assert busy.finished.wait(5)
    assert busy.worker.stop() == ([], True)
    assert busy.done == ['first', 'last'] and busy.failed == [('bad', 'one')]


def test_stop_waits_for_the_item_in_work_and_returns_those_behind_it(busy):
    busy.worker.put('behind')
    assert busy.worker.stop(timeout_s=0.01) == (['behind'], False)
    busy.go_on.set()
    assert busy.worker.stop() == ([], True)
    assert busy.done == ['first']

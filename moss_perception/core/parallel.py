"""Work that several processes share: results in order, and done again where a process dies."""

from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
import logging
from multiprocessing import get_context, parent_process
import os
import signal
import threading
from typing import Any

from moss_perception.core.errors import ConfigError, WorkerError

PROCESSES, RAY = 'processes', 'ray'
EXECUTORS = PROCESSES, RAY
"""What runs the workers: processes of this machine, or a Ray cluster."""
# A worker that dies over the same item so often does not die by chance.
MAX_DEATHS = 3
_LOG = logging.getLogger(__name__)


def is_shared(workers: int, executor: str) -> bool:
    """Tell whether other processes do the work, and not this one."""
    return workers > 1 or executor != PROCESSES


def _follow_parent() -> None:
    """End with the parent, however that ends; Ctrl-C is its to handle: it stops the workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait() -> None:
        parent = parent_process()
        assert parent is not None  # a worker has one
        parent.join()
        os._exit(1)
    threading.Thread(target=wait, daemon=True).start()


def in_order(work: Callable[[Any], Any], items: Iterable[Any], workers: int,
             name: Callable[[Any], str] = str,
             executor: str = PROCESSES) -> Generator[Any, None, None]:
    """
    Yield ``work(item)`` of each item, in the order of the items.

    Where a worker dies, what has not been yielded yet is done again by new ones.

    :param work: a function that can be pickled, as can its results; what it raises is raised here.
    :param items: can be pickled too.
    :param workers: processes, at least 1.
    :param name: what to call an item in messages.
    :param executor: one of :data:`EXECUTORS`.
    :raises WorkerError: if workers die over and over, and nothing comes of it.
    :raises ConfigError: if there is no such executor, or its package is not installed.
    """
    if executor == RAY:
        from moss_perception.core.ray_pool import in_order_on_ray
        yield from in_order_on_ray(work, items, workers, name)
        return
    if executor != PROCESSES:
        raise ConfigError(f'executor={executor!r} is not allowed: expected one of '
                          f'{", ".join(EXECUTORS)}')
    left, deaths = list(items), 0
    while left:
        count = len(left)
        pool = ProcessPoolExecutor(min(workers, count), get_context('spawn'), _follow_parent)
        try:
            for result in pool.map(work, list(left)):
                del left[0]
                yield result
        except BrokenProcessPool as error:
            deaths = deaths + 1 if len(left) == count else 1
            if deaths == MAX_DEATHS:
                raise WorkerError(f'workers died {deaths} times over {name(left[0])}: expected '
                                  'a result; is there enough memory?') from error
            _LOG.warning('a worker died; going on from %s', name(left[0]))
        finally:
            pool.shutdown(cancel_futures=True)

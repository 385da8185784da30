"""Work that a Ray cluster shares: results in order, and done again where a worker or node dies."""

from collections.abc import Callable, Generator, Iterable
import logging
from typing import Any

from moss_perception.core.errors import ConfigError, WorkerError
from moss_perception.core.parallel import MAX_DEATHS

_LOG = logging.getLogger(__name__)


def in_order_on_ray(work: Callable[[Any], Any], items: Iterable[Any], workers: int,
                    name: Callable[[Any], str] = str) -> Generator[Any, None, None]:
    """
    Yield ``work(item)`` of each item, in the order of the items.

    The cluster is the one of ``RAY_ADDRESS``, or the one that runs on this machine, or else one
    that is started here. What a worker or a node was at when it died is done again.

    :param work: a function of a module that each node can import.
    :param workers: items at a time, at least 1; the cluster runs at most one on each core.
    :param name: what to call an item in messages.
    :raises WorkerError: if workers die :data:`moss_perception.core.parallel.MAX_DEATHS` times
        over the same item.
    :raises ConfigError: if Ray is not installed, or the cluster can't be reached.
    """
    ray = _import()
    waiting = list(items)
    if not waiting:
        return
    started = not ray.is_initialized()
    if started:
        _connect(ray)
    pool = _Pool(ray, work, waiting, name)
    try:
        yield from pool.results(workers)
    finally:
        pool.cancel()
        if started:
            ray.shutdown()


def _import() -> Any:
    try:
        import ray
    except ImportError as error:
        raise ConfigError('--executor ray needs Ray, which is not installed: pip install '
                          "'moss_perception[fleet]', or use --executor processes") from error
    return ray


def _connect(ray: Any) -> None:
    try:
        ray.init(logging_level=logging.WARNING, include_dashboard=False)
    except Exception as error:
        line = ' '.join(str(error).split())
        raise ConfigError(f"the Ray cluster can't be reached: {line}: expected one at "
                          'RAY_ADDRESS, or none to start one here') from error
    nodes = [one for one in ray.nodes() if one['Alive']]
    _LOG.info('Ray: %d nodes, %g cores', len(nodes), ray.cluster_resources().get('CPU', 0))


def _call(work: Callable[[Any], Any], item: Any) -> Any:
    return work(item)


class _Pool:
    """The items, those that run, and the results that wait for their turn."""

    def __init__(self, ray: Any, work: Callable[[Any], Any], items: list[Any],
                 name: Callable[[Any], str]):
        self._ray, self._items, self._name = ray, items, name
        # This module repeats what died, so that it can count; an error of the work is no death.
        self._call, self._work = ray.remote(max_retries=0, num_cpus=1)(_call), ray.put(work)
        self._running: dict[Any, int] = {}
        self._deaths = [0] * len(items)

    def results(self, workers: int) -> Generator[Any, None, None]:
        """Yield the results in order."""
        todo, done = list(reversed(range(len(self._items)))), dict[int, Any]()
        for turn in range(len(self._items)):
            while turn not in done:
                while todo and len(self._running) < workers:
                    number = todo.pop()
                    self._running[self._call.remote(self._work, self._items[number])] = number
                found = self._ray.wait(list(self._running), num_returns=1)[0][0]
                number = self._running.pop(found)
                try:
                    # At once, so that a node that dies later takes no result along.
                    done[number] = self._ray.get(found), None
                except self._ray.exceptions.RayTaskError as error:
                    done[number] = None, error.cause or error
                except self._ray.exceptions.RayError as error:
                    self._died(number, error)
                    todo.append(number)
            result, error = done.pop(turn)
            if error is not None:
                raise error
            yield result

    def _died(self, number: int, error: Exception) -> None:
        self._deaths[number] += 1
        name = self._name(self._items[number])
        if self._deaths[number] == MAX_DEATHS:
            raise WorkerError(f'workers died {MAX_DEATHS} times over {name}: expected a result; '
                              'is there enough memory?') from error
        _LOG.warning('a worker died; doing %s again', name)

    def cancel(self) -> None:
        """End what still runs."""
        for one in self._running:
            self._ray.cancel(one, force=True)

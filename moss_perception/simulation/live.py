"""A live work cell: scenes pass under the camera, and it executes a grasp selected in time."""

from collections.abc import Callable
from itertools import count
import logging
import threading
import time

from moss_perception.core.errors import SimulationError
from moss_perception.simulation.live_attempt import Attempt, Live
from moss_perception.simulation.live_config import Feed, LiveConfig, Pace, Progress
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.selection import Selections

# If this many scenes fail in a row, the seeds are not the cause.
MAX_FAILURES = 3
_LOG = logging.getLogger(__name__)


class LiveCell:
    """
    Plays scenes in one thread until all are played or :meth:`stop` is called.

    :param feed: receives the messages of the cell.
    :param config: settings.
    :param selections: source of selected grasps; any thread may offer them.
    :param now_ns: returns the time of the clock of the stamps, nanoseconds.
    :ivar progress: progress so far; any thread may read it.
    :ivar pace: synchronisation with the wall clock; any thread may read it.
    """

    def __init__(self, feed: Feed, config: LiveConfig, selections: Selections,
                 now_ns: Callable[[], int] = time.time_ns):
        self.config = config
        self.progress = Progress()
        self._stopped = threading.Event()
        self.pace = Pace(config.real_time, self._stopped)
        self._feed, self._selections, self._now_ns = feed, selections, now_ns

    @property
    def stopped(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopped.is_set()

    def stop(self):
        """Stop the cell soon; any thread may call this."""
        self._stopped.set()

    def run(self, renderer: Renderer):
        """
        Play the scenes.

        :param renderer: a renderer that was created in this thread.
        :raises SimulationError: if several scenes fail in a row.
        """
        config, progress, failures = self.config, self.progress, 0
        live = Live(self._feed, config, self._selections, renderer, self.pace, progress,
                    self._stopped, self._now_ns)
        start_ns = self._now_ns()
        self.pace.begin(start_ns)
        for number in range(1, config.attempts + 1) if config.attempts else count(1):
            progress.attempt = number
            attempt = Attempt(live, start_ns)
            try:
                attempt.play(config.scene(number), number)
                failures = 0
            except SimulationError as error:
                failures += 1
                self._skip(number, error, failures)
            finally:
                self._selections.close()
            if self.stopped or number == config.attempts:
                break
            start_ns = attempt.now_ns + self._pause(attempt.now_ns)
        progress.phase = 'ended'

    def _skip(self, number: int, error: SimulationError, failures: int):
        """Count a scene that failed."""
        self.progress.skipped[getattr(error, 'reason', 'failed')] += 1
        _LOG.error('attempt %d is skipped: %s', number, error)
        if failures == MAX_FAILURES:
            raise SimulationError(f'{failures} scenes failed in a row: {error}') from error

    def _pause(self, end_ns: int) -> int:
        """Wait after an attempt; return the length of the pause, nanoseconds."""
        self.progress.phase = 'pausing'
        pause_ns, step_ns = round(self.config.pause_s * 1e9), round(1e9 / self.config.rate)
        for passed_ns in range(step_ns, pause_ns, step_ns):
            if self.stopped:
                break
            self.pace.keep(end_ns + passed_ns)
            self._feed.clock(end_ns + passed_ns)
        return pause_ns

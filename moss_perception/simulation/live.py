"""The work cell live: scenes pass under the camera, and a grasp selected in time is executed."""

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

# Scenes that fail one after another are no accident of a seed.
MAX_FAILURES = 3
_LOG = logging.getLogger(__name__)


class LiveCell:
    """
    Plays scenes, in one thread, until they are over or :meth:`stop` is called.

    :param feed: takes what the cell says.
    :param config: what to play.
    :param selections: where grasps come from; any thread may offer them.
    :param now_ns: the time by the clock of the stamps, nanoseconds.
    :ivar progress: what it has done; others may read it at any time.
    :ivar pace: how it keeps to the wall clock; likewise.
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
        """Whether it was told to stop."""
        return self._stopped.is_set()

    def stop(self):
        """End it soon, from any thread."""
        self._stopped.set()

    def run(self, renderer: Renderer):
        """
        Play.

        :param renderer: made in this thread.
        :raises SimulationError: if scenes fail one after another.
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
        """Count a scene that could not be played to its end."""
        self.progress.skipped[getattr(error, 'reason', 'failed')] += 1
        _LOG.error('attempt %d is skipped: %s', number, error)
        if failures == MAX_FAILURES:
            raise SimulationError(f'{failures} scenes failed in a row: {error}') from error

    def _pause(self, end_ns: int) -> int:
        """Let time pass after an attempt; return how much, nanoseconds."""
        self.progress.phase = 'pausing'
        pause_ns, step_ns = round(self.config.pause_s * 1e9), round(1e9 / self.config.rate)
        for passed_ns in range(step_ns, pause_ns, step_ns):
            if self.stopped:
                break
            self.pace.keep(end_ns + passed_ns)
            self._feed.clock(end_ns + passed_ns)
        return pause_ns

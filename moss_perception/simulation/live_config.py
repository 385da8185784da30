"""What a live work cell is asked to do, what it has done, and where its messages go."""

from collections import Counter
from dataclasses import dataclass, field
import threading
import time
from typing import Protocol

from moss_perception.core.errors import ConfigError
from moss_perception.simulation.cell import TICK_S
from moss_perception.simulation.cells import BELT, Cell
from moss_perception.simulation.domains import Domain
from moss_perception.simulation.scene import sample_scene, SceneSpec
import numpy as np


class Feed(Protocol):
    """Where a live cell's messages go; called in the thread that runs it, in stamp order."""

    def clock(self, stamp_ns: int):
        """Take the simulated time."""

    def camera_info(self, stamp_ns: int, width: int, height: int, matrix: np.ndarray):
        """Take the camera's calibration."""

    def candidates(self, stamp_ns: int, grasps: np.ndarray):
        """Take the candidates of a frame, shape ``(K, 4)``, in the optical frame."""

    def image(self, stamp_ns: int, image: np.ndarray, jpeg_quality: int):
        """Take a frame, uint8, RGB, shape ``(H, W, 3)``."""

    def outcome(self, message: str, **fields):
        """Take how an attempt ended; ``fields`` are those of a recorded outcome."""


@dataclass(frozen=True)
class LiveConfig:
    """
    What a live cell shows, and for how long.

    :ivar domain: how scenes look.
    :ivar cell: what they are drawn from.
    :ivar motion: one of ``motions.MOTIONS``; empty for a mixture.
    :ivar seed: of the first scene; the next ones follow.
    :ivar attempts: how many scenes; 0 for no end.
    :ivar rate: frames a second, at most one a tick.
    :ivar real_time: whether to keep to the wall clock, or to go as fast as it can.
    :ivar timeout_s: how long a scene waits for a selected grasp, in its own time, seconds.
    :ivar pause_s: from the end of an attempt to the next scene, seconds.
    """

    domain: Domain
    cell: Cell = BELT
    motion: str = ''
    seed: int = 0
    attempts: int = 0
    rate: float = 30.0
    real_time: bool = True
    timeout_s: float = 4.0
    pause_s: float = 1.2

    def __post_init__(self):
        """
        Refuse what can't be run.

        :raises ConfigError: naming the setting, its value and what was expected.
        """
        for name, low, high in (('seed', 0, 2 ** 31 - 1), ('attempts', 0, 2 ** 31 - 1),
                                ('rate', 1, 1 / TICK_S), ('timeout_s', TICK_S, 60),
                                ('pause_s', 0, 60)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f'{name}={value!r} is not allowed: expected {low} to {high:g}')

    def scene(self, number: int) -> SceneSpec:
        """Draw the scene of an attempt, counted from 1."""
        return sample_scene(self.seed + number - 1, self.domain, self.motion, cell=self.cell)


@dataclass
class Progress:
    """
    What a live cell has done so far; written by the thread that runs it.

    :ivar attempt: the present one's number, from 1; 0 before.
    :ivar phase: what it is at: ``starting``, ``waiting``, a phase of the execution, ``pausing``,
        ``ended``.
    :ivar frames: published so far.
    :ivar results: attempts by ``succeeded``, ``failed`` and ``none_selected``.
    :ivar skipped: scenes that could not be played to their end, by reason.
    """

    attempt: int = 0
    phase: str = 'starting'
    frames: int = 0
    results: Counter = field(default_factory=Counter)
    skipped: Counter = field(default_factory=Counter)

    def summary(self) -> str:
        """Return all of it as one line."""
        done, skipped = sum(self.results.values()), sum(self.skipped.values())
        line = (f'{done} attempt{"s" * (done != 1)}: {self.results["succeeded"]} succeeded, '
                f'{self.results["failed"]} failed, {self.results["none_selected"]} without a '
                'selected grasp')
        reasons = ', '.join(f'{n} {reason}' for reason, n in sorted(self.skipped.items()))
        return f'{line}; {skipped} skipped ({reasons})' if skipped else line


class Pace:
    """
    Lets simulated time pass no faster than the wall clock, or as fast as it can.

    :param real_time: whether to wait for the wall clock.
    :param stopped: ends any waiting.
    :ivar behind_s: by how much simulated time is behind the wall clock now, seconds.
    :ivar worst_s: by how much it was at most.
    """

    def __init__(self, real_time: bool, stopped: threading.Event):
        self.real_time = real_time
        self.behind_s = 0.0
        self.worst_s = 0.0
        self._stopped = stopped
        self._stamp_ns = self._wall_ns = 0

    def begin(self, stamp_ns: int):
        """Let this stamp be now; what was lost before is given up."""
        self._stamp_ns, self._wall_ns = stamp_ns, time.monotonic_ns()
        self.behind_s = 0.0

    def keep(self, stamp_ns: int):
        """Wait until a stamp is due, or note how late it is."""
        if not self.real_time:
            return
        left_s = (stamp_ns - self._stamp_ns - time.monotonic_ns() + self._wall_ns) / 1e9
        if left_s > 0:
            self._stopped.wait(left_s)
        self.behind_s = max(0.0, -left_s)
        self.worst_s = max(self.worst_s, self.behind_s)

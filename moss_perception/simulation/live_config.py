"""Settings, progress, message interface and pace of a live work cell."""

from collections import Counter
from dataclasses import dataclass, field
import threading
import time
from typing import Protocol

from moss_perception.core.errors import ConfigError
from moss_perception.simulation.cells import BELT, Cell, Domain, TICK_S
from moss_perception.simulation.scene import sample_scene, SceneSpec
import numpy as np

LONGEST_LATENCY_S = 2.0


class Feed(Protocol):
    """Receives the messages of a live cell, in its thread and in the order of the stamps."""

    def clock(self, stamp_ns: int):
        """Receive the simulated time."""

    def camera_info(self, stamp_ns: int, width: int, height: int, matrix: np.ndarray):
        """Receive the calibration of the camera."""

    def candidates(self, stamp_ns: int, grasps: np.ndarray):
        """Receive the candidates of a frame, shape ``(K, 4)``, in the optical frame."""

    def lead_times(self, stamp_ns: int, values: np.ndarray):
        """Receive the lead times of the candidates of a frame, shape ``(K,)``, seconds."""

    def image(self, stamp_ns: int, image: np.ndarray, jpeg_quality: int):
        """Receive a frame, uint8, RGB, shape ``(H, W, 3)``."""

    def outcome(self, message: str, **fields):
        """Receive the outcome of an attempt; ``fields`` are those of a recorded outcome."""


@dataclass(frozen=True)
class LiveConfig:
    """
    Settings of a live cell.

    :ivar domain: domain of the scenes.
    :ivar cell: cell of the scenes.
    :ivar motion: one of ``motions.MOTIONS``; empty for a mixture.
    :ivar seed: seed of the first scene; each next scene has the next seed.
    :ivar attempts: number of scenes; 0 for no limit.
    :ivar rate: frames per second, at most one a tick.
    :ivar real_time: whether to follow the wall clock; otherwise it runs as fast as possible.
    :ivar timeout_s: simulated time for which a scene waits for a selected grasp, seconds.
    :ivar pause_s: time from the end of an attempt to the next scene, seconds.
    :ivar latency_s: time from the stamp of the frame that a grasp was selected from until the
        gripper starts, seconds; -1 for that of each scene.
    :ivar lead_times: whether the feed receives lead times, so that a planner knows the latency.
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
    latency_s: float = -1.0
    lead_times: bool = False

    def __post_init__(self):
        """
        Check the settings.

        :raises ConfigError: if a value is out of range.
        """
        for name, low, high in (('seed', 0, 2 ** 31 - 1), ('attempts', 0, 2 ** 31 - 1),
                                ('rate', 1, 1 / TICK_S), ('timeout_s', TICK_S, 60),
                                ('pause_s', 0, 60)):
            value = getattr(self, name)
            if not low <= value <= high:
                raise ConfigError(f'{name}={value!r} is not allowed: expected {low} to {high:g}')
        if self.latency_s != -1 and not 0 <= self.latency_s <= LONGEST_LATENCY_S:
            raise ConfigError(f'latency_s={self.latency_s!r} is not allowed: expected 0 to '
                              f'{LONGEST_LATENCY_S:g}, or -1 for that of each scene')

    def scene(self, number: int) -> SceneSpec:
        """Draw the scene of an attempt; the first has number 1."""
        return sample_scene(self.seed + number - 1, self.domain, self.motion, cell=self.cell)

    def latency_of(self, scene: SceneSpec) -> float:
        """Return the latency with which grasps are executed in a scene, seconds."""
        return scene.physics.latency_s if self.latency_s < 0 else self.latency_s


@dataclass
class Progress:
    """
    Progress of a live cell; its thread writes it.

    :ivar attempt: number of the current attempt, from 1; 0 before the first.
    :ivar phase: current phase: ``starting``, ``waiting``, a phase of the execution, ``pausing``,
        ``ended``.
    :ivar frames: number of published frames.
    :ivar results: attempts by ``succeeded``, ``failed`` and ``none_selected``.
    :ivar skipped: number of failed scenes, by reason.
    """

    attempt: int = 0
    phase: str = 'starting'
    frames: int = 0
    results: Counter = field(default_factory=Counter)
    skipped: Counter = field(default_factory=Counter)

    def summary(self) -> str:
        """Return the results as one line."""
        done, skipped = sum(self.results.values()), sum(self.skipped.values())
        line = (f'{done} attempt{"s" * (done != 1)}: {self.results["succeeded"]} succeeded, '
                f'{self.results["failed"]} failed, {self.results["none_selected"]} without a '
                'selected grasp')
        reasons = ', '.join(f'{n} {reason}' for reason, n in sorted(self.skipped.items()))
        return f'{line}; {skipped} skipped ({reasons})' if skipped else line


class Pace:
    """
    Paces simulated time by the wall clock, or not at all.

    :param real_time: whether to wait for the wall clock.
    :param stopped: event that ends any waiting.
    :ivar behind_s: current delay of simulated time behind the wall clock, seconds.
    :ivar worst_s: largest delay so far, seconds.
    """

    def __init__(self, real_time: bool, stopped: threading.Event):
        self.real_time = real_time
        self.behind_s = 0.0
        self.worst_s = 0.0
        self._stopped = stopped
        self._stamp_ns = self._wall_ns = 0

    def begin(self, stamp_ns: int):
        """Let this stamp be now; earlier delays are not made up for."""
        self._stamp_ns, self._wall_ns = stamp_ns, time.monotonic_ns()
        self.behind_s = 0.0

    def keep(self, stamp_ns: int):
        """Wait until a stamp is due, or record its delay."""
        if not self.real_time:
            return
        left_s = (stamp_ns - self._stamp_ns - time.monotonic_ns() + self._wall_ns) / 1e9
        if left_s > 0:
            self._stopped.wait(left_s)
        self.behind_s = max(0.0, -left_s)
        self.worst_s = max(self.worst_s, self.behind_s)

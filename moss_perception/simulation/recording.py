"""Attempts played one after another on one clock, as a robot's recorder would see them."""

from typing import Protocol

from moss_perception.errors import ConfigError
from moss_perception.simulation.attempt import candidates, encode, sample_offsets
from moss_perception.simulation.camera import camera_matrix, HEIGHT, WIDTH
from moss_perception.simulation.cell import TICK_S, WorkCell
from moss_perception.simulation.domains import Domain
from moss_perception.simulation.execution import Execution
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.scene import DECISION_S, FRAME_RATE_HZ, sample_scene, SceneSpec
import numpy as np
from tqdm import tqdm

CLOCK_START_NS = 1_700_000_000 * 10**9
# Longer than a second, so that a predictor's window starts anew with each attempt.
PAUSE_NS = 1_200_000_000
_TICK_NS = round(TICK_S * 1e9)
_TICKS_PER_FRAME = round(1 / FRAME_RATE_HZ / TICK_S)


class Sink(Protocol):
    """Where a recording goes; stamps in nanoseconds, grasps in the optical frame."""

    def camera_info(self, stamp_ns: int, width: int, height: int, matrix: np.ndarray):
        """Take the camera's calibration."""

    def candidates(self, stamp_ns: int, grasps: np.ndarray):
        """Take the candidates of a frame, shape ``(K, 4)``."""

    def image(self, stamp_ns: int, jpeg: bytes):
        """Take a frame."""

    def selected(self, stamp_ns: int, grasp: np.ndarray):
        """Take the grasp that is executed, shape ``(4,)``."""

    def outcome(self, message: str, **fields):
        """Take how the attempt ended."""


def record(sink: Sink, renderer: Renderer, attempts: int, seed: int, domain: Domain,
           motion: str = '', progress: bool = True) -> int:
    """
    Play attempts ``seed`` to ``seed + attempts - 1`` into a recording.

    :param sink: takes the messages in the order of their stamps.
    :param attempts: how many, at least 1.
    :param seed: of the first scene, at least 0.
    :param motion: one of ``motions.MOTIONS``; empty for a mixture.
    :returns: how many succeeded.
    :raises ConfigError: if an argument is out of range.
    """
    if attempts < 1:
        raise ConfigError(f'attempts must be at least 1, got {attempts}')
    wishes = np.random.default_rng([seed, 4]).permutation(np.arange(attempts) % 2 == 0)
    start_ns, successes = CLOCK_START_NS, 0
    for index in tqdm(range(attempts), unit='attempt', disable=not progress):
        attempt = _Attempt(sink, renderer, sample_scene(seed + index, domain, motion), start_ns)
        successes += attempt.play(index + 1, bool(wishes[index]))
        start_ns = attempt.now_ns + PAUSE_NS
    return successes


class _Attempt:
    def __init__(self, sink: Sink, renderer: Renderer, spec: SceneSpec, start_ns: int):
        self._sink = sink
        self._renderer = renderer
        self._spec = spec
        self._start_ns = start_ns
        self._cell = WorkCell(spec)

    @property
    def now_ns(self) -> int:
        return self._start_ns + self._cell.ticks * _TICK_NS

    def play(self, number: int, wish: bool) -> bool:
        """Play the attempt with a grasp that comes out as wished for, if there is one."""
        offsets = sample_offsets(self._spec.seed)
        for index in range(round(DECISION_S * FRAME_RATE_HZ) + 1):
            self._cell.wait(index / FRAME_RATE_HZ)
            grasps = candidates(self._cell, offsets)
            listed = self._spec.mount.grasps_to_optical(grasps)
            self._frame(listed)
        decision_ns = self.now_ns
        chosen = self._choose(grasps, wish)
        self._sink.selected(decision_ns, listed[chosen])
        outcome = self._execute(grasps[chosen])
        self._sink.outcome(
            outcome.reason, attempt=number, start_ns=self._start_ns, decision_ns=decision_ns,
            end_ns=self.now_ns, success=outcome.success, domain=self._spec.domain.name,
            motion=self._spec.motion.name, object=self._spec.object.shape)
        return outcome.success

    def _choose(self, grasps: np.ndarray, wish: bool) -> int:
        saved = self._cell.save()
        order = np.random.default_rng([self._spec.seed, 5]).permutation(len(grasps))
        for index in order:
            self._cell.restore(saved)
            if Execution(self._cell, grasps[index]).run().success == wish:
                break
        self._cell.restore(saved)
        return int(index)

    def _execute(self, grasp: np.ndarray):
        execution = Execution(self._cell, grasp)
        listed = np.empty((0, 4))
        while execution.outcome is None:
            execution.tick()
            if self._cell.ticks % _TICKS_PER_FRAME == 0:
                self._frame(listed)
                listed = None
        return execution.outcome

    def _frame(self, listed):
        stamp_ns = self.now_ns
        image = self._renderer.render(self._cell)
        self._sink.camera_info(stamp_ns, WIDTH, HEIGHT, camera_matrix())
        if listed is not None:
            self._sink.candidates(stamp_ns, listed)
        self._sink.image(stamp_ns, encode(image, self._spec.domain.jpeg_quality))

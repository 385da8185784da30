"""The node `bag_evaluator`: holds the scores of a running replay against what came of it."""

from collections.abc import Callable, Mapping, Sequence
import logging
import sys
import time

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from moss_perception.core.errors import MossError
from moss_perception.data.outcomes import NONE_SELECTED, Outcome, outcome_of
from moss_perception.evaluation.film import Film
from moss_perception.evaluation.job import EvaluationJob, Told
from moss_perception.evaluation.live import Heard
from moss_perception.evaluation.matching import Attempt
from moss_perception.ros.common.camera_subscription import CameraEar
from moss_perception.ros.common.interrupts import interruptible
from moss_perception.ros.common.parameters import read_settings
from moss_perception.ros.common.spinning import run_node, serving
from moss_perception.ros.evaluator.observer import Hearing
from moss_perception.ros.evaluator.settings import EvaluatorSettings
import numpy as np
from rclpy.node import Node
from rclpy.time import Time

NOT_MET = 3
_POLL_S = 0.05
# A reader is known here a little before its node knows of our own; DDS has no way to ask.
_SETTLE_S = 0.25
_QUIET_S = 1.0
# Diagnostics come once a second, and later from a machine that is busy.
_LAST_WORD_S = 10.0
# What it said just before may not have counted the last frames.
_IN_FLIGHT_S = 0.1
_DEPTH = 1000


class BagEvaluator(Node):
    """
    Listens to predictor and camera until the camera has gone.

    :raises ConfigError: if a parameter given at start is not allowed.
    """

    def __init__(self):
        super().__init__('bag_evaluator')
        self.settings = read_settings(self, EvaluatorSettings)
        self._hearing = Hearing('grasp_predictor', 'grasp_gate')
        self._hearing.listen(self)
        self._outcomes: list[tuple[Outcome, str]] = []
        self._selected: list[tuple[int, np.ndarray]] = []
        image = self.resolve_topic_name('image')
        self._images = (image, f'{image}/compressed')
        self._film, self._filmed = None, 0
        if self.settings.strips and not self.settings.bag:
            self._film = Film()
            self._camera = CameraEar(self, self._images, self.resolve_topic_name(
                'grasp_predictor'), lambda frame: self._film.see(frame.stamp_ns, frame.image))

    @property
    def heard(self) -> Heard:
        """Return what the predictor has said."""
        of = self._hearing
        return Heard(of.scores, of.default_scores, of.fates, of.diagnostics, of.beats)

    @property
    def told(self) -> Told:
        """Return the attempts that were told on topics."""
        return self._told(self._outcomes)

    @property
    def pictures(self) -> Mapping[int, bytes]:
        """Return the pictures that were kept of the frames, JPEG files by header stamp."""
        return self._film.pictures if self._film is not None else {}

    def connect(self, spin: Callable[[float], None]) -> None:
        """
        Wait for the predictor, and only then let outcomes be known to be listened to.

        :param spin: serves callbacks for so many seconds at most.
        :raises MossError: if there is no predictor in time, or with strips none that is active.
        """
        self._wait(spin, lambda: self._hearing.connected, 'nobody publishes '
                   f'{self.resolve_topic_name("grasp_predictor/grasp_scores")}',
                   'a predictor that is configured')
        if self._film is not None:
            # Else the first attempt would begin without a picture.
            self._wait(spin, lambda: self._camera.listening, 'grasp_predictor listens to none of '
                       + ' and '.join(self._images), 'one that is active')
        _spin_for(spin, _SETTLE_S)
        self.create_subscription(DiagnosticArray, 'grasp_outcome', self._on_outcome, _DEPTH)
        self.create_subscription(PoseStamped, 'selected_grasp', self._on_selected, _DEPTH)
        self.get_logger().info(f'listening; a camera is expected on {self._images[0]}')

    def keep_pictures(self, over: bool = False) -> None:
        """
        Keep pictures of the frames that film strips may show, where they are asked for.

        :param over: whether the last frame has been heard.
        """
        if self._film is None:
            return
        self._camera.check()
        told = self._told(self._outcomes[self._filmed:])
        self._filmed += len(told.attempts)
        self._film.follow(self.heard, told.attempts, told.unexecuted, over)

    def watch(self, spin: Callable[[float], None]) -> None:
        """
        Listen until the camera has gone, or all outcomes are there, and what came is dealt with.

        :raises MossError: if no camera appears, or it stands still.
        """
        self._wait(spin, lambda: self._has_camera() or bool(self._hearing.fates),
                   f'nobody publishes {" or ".join(self._images)}',
                   'a camera, sim_cell or bag_player')
        hearing, wanted = self._hearing, self.settings.attempts
        hearing.progressed_at = time.monotonic()
        while not self._is_over(wanted):
            spin(_POLL_S)
            if time.monotonic() - hearing.progressed_at > self.settings.stall:
                raise MossError(f'no frame was processed for {self.settings.stall:g} s, after '
                                f'{len(hearing.fates)}: expected one, or the end of the camera')
        self._hear_last_words(spin)

    def _is_over(self, wanted: int) -> bool:
        if wanted and len(self._outcomes) >= wanted:
            return True
        # One that has just come may be known to the predictor alone.
        quiet_s = time.monotonic() - self._hearing.progressed_at
        return quiet_s > _QUIET_S and not self._has_camera()

    def _hear_last_words(self, spin: Callable[[float], None]) -> None:
        """Wait for the beat after the last frame, which tells how many there were."""
        hearing, gone = self._hearing, time.monotonic()
        while True:
            # A robot's camera goes on when all outcomes are there.
            ended = gone if self._has_camera() else max(gone, hearing.progressed_at)
            said = hearing.diagnosed_at > ended + _IN_FLIGHT_S
            if said and int(hearing.diagnostics.get('frames', 0)) <= len(hearing.fates):
                return
            if time.monotonic() > ended + _LAST_WORD_S:
                break
            spin(_POLL_S)
        if not said:
            raise MossError(f'the predictor said nothing of itself for {_LAST_WORD_S:g} s after '
                            'the last frame: expected its diagnostics')

    def _wait(self, spin: Callable[[float], None], there: Callable[[], bool], what: str,
              expected: str) -> None:
        deadline = time.monotonic() + self.settings.start_delay
        while not there():
            spin(_POLL_S)
            if time.monotonic() >= deadline:
                raise MossError(
                    f'{what} after {self.settings.start_delay:g} s: expected {expected}')

    def _has_camera(self) -> bool:
        return any(self.count_publishers(topic) for topic in self._images)

    def _on_outcome(self, message: DiagnosticArray) -> None:
        for status in message.status:
            try:
                self._outcomes.append((outcome_of(status), status.message))
            except ValueError as error:
                self.get_logger().warning(f'an outcome is left out, {status.name!r}: {error}')

    def _on_selected(self, message: PoseStamped) -> None:
        at = message.pose.position
        self._selected.append((
            Time.from_msg(message.header.stamp).nanoseconds, np.array([at.x, at.y, at.z])))

    def _told(self, outcomes: Sequence[tuple[Outcome, str]]) -> Told:
        return Told([Attempt(outcome, self._position(outcome)) for outcome, _ in outcomes],
                    {outcome.attempt for outcome, message in outcomes
                     if message == NONE_SELECTED})

    def _position(self, outcome: Outcome) -> np.ndarray | None:
        of_it = [x for x in self._selected if outcome.start_ns <= x[0] <= outcome.end_ns]
        return min(of_it, key=lambda x: abs(x[0] - outcome.decision_ns))[1] if of_it else None


def _spin_for(spin: Callable[[float], None], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        spin(left)


def _work(node: BagEvaluator) -> bool:
    """Evaluate; tell whether what was required holds."""
    # What can't be used is to be known before anything is played.
    with interruptible():
        job = EvaluationJob(node.settings, node.get_logger().info)
    with serving(node) as spin_once:
        def spin(seconds: float) -> None:
            spin_once(seconds)
            node.keep_pictures()

        node.connect(spin)
        began = time.monotonic()
        node.watch(spin)
        node.keep_pictures(over=True)
    elapsed_s = time.monotonic() - began
    with interruptible():
        return job.finish(node.heard, node.told, elapsed_s, node.pictures)


def main(args: list[str] | None = None) -> int:
    """
    Run the node until the camera has gone.

    :param args: command line, for ROS; ``None`` for the process's own.
    :returns: exit status: 0; 1 on a known error; 3 if what was required does not hold; 130 if
        interrupted.
    """
    logging.basicConfig(format='[%(levelname)s] %(message)s')
    holds: list[bool] = []
    status = run_node('bag_evaluator', BagEvaluator, lambda node: holds.append(_work(node)), args,
                      interrupted=130)
    return NOT_MET if status == 0 and not all(holds) else status


if __name__ == '__main__':
    sys.exit(main())

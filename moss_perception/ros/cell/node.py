"""The node `sim_cell`: a simulated work cell that closes the loop from camera to grasp."""

from collections import Counter
from dataclasses import dataclass
import logging
import math
import sys
import threading
import time
from typing import Any, TYPE_CHECKING

from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseArray, PoseStamped
from moss_perception.core.codes import coded
from moss_perception.core.errors import CandidateError, ConfigError, MossError, SimulationError
from moss_perception.ros.cell.lock_step import LockStep
from moss_perception.ros.cell.topics import CellTopics
from moss_perception.ros.common.conversions import (
    diagnostics,
    OK,
    stamp_to_ns,
    to_candidates,
    WARN,
)
from moss_perception.ros.common.dds_profile import quick_acknowledgement
from moss_perception.ros.common.guard import guarded
from moss_perception.ros.common.parameters import read_settings, setting, SUBSCRIBERS
from moss_perception.ros.common.spinning import (
    create_steady_timer,
    run_node,
    serving,
    spin_until,
)
from moss_perception.ros.common.subscriptions import unconnected
import numpy as np
from rclpy.node import Node

if TYPE_CHECKING:
    from moss_perception.simulation.live_config import LiveConfig

_BEAT_S = 1.0
_POLL_S = 0.05
# We discover a node's endpoints shortly before it discovers ours; DDS cannot tell us when.
_SETTLE_S = 0.25
_THROTTLE_S = 5.0
# A shorter delay is the normal jitter of a machine with other load.
_BEHIND_S = 0.1
# A little more than the 3 s after which Fast DDS requests acknowledgements by default.
_LAST_ACK_S = 4.0
_END_S = 10.0


@dataclass(frozen=True)
class CellSettings:
    """All parameters of sim_cell; durations in seconds."""

    cell: str = setting('full', 'Cell that scenes are drawn from: belt, full, or the path '
                       'of a cell file (.yaml).')
    domain: str = setting(
        'sim', 'Look of the scenes: sim, shifted, randomised, or one factor of the shift.')
    motion: str = setting('', 'The only kind of motion, such as constant; empty: all kinds.')
    seed: int = setting(
        0, 'Seed of the first scene; each further scene adds one.', low=0, high=2**31 - 1)
    attempts: int = setting(
        0, 'Number of grasp attempts before the node ends; 0: no limit.', low=0, high=2**31 - 1)
    rate: float = setting(30.0, 'Images per second of simulated time.', low=1.0, high=100.0)
    real_time: bool = setting(True, 'Follow the wall clock; false: run as fast as possible.')
    timeout: float = setting(
        4.0, 'How long a scene waits for a selected grasp, in simulated seconds.',
        low=0.1, high=60.0)
    pause: float = setting(
        1.2, 'Pause between an attempt and the next scene, in simulated seconds.',
        low=0.0, high=60.0)
    latency: float = setting(
        -1.0, 'Time from the stamp of the image that a grasp was selected from until the gripper '
        'starts, in simulated seconds; -1: that of each scene.', low=-1.0, high=2.0)
    lead_times: bool = setting(
        False, 'Publish on grasp_lead_times how long after each image the fingers close, so that '
        'scores take the latency into account.')
    lock_step: bool = setting(
        False, 'After each image, wait until predictor and gate have dealt with it: with '
        'real_time:=false nothing is lost at any speed.')
    lock_step_timeout: float = setting(
        120.0, 'Longest wait for the reports of an image in lock step, in seconds.',
        low=0.1, high=3600.0)
    processed_topic: str = setting(
        '/grasp_predictor/processed', 'Topic on which the predictor reports each image.')
    decided_topic: str = setting(
        '/grasp_gate/processed', 'Topic on which the gate reports each message of scores; empty: '
        'do not wait for a gate.')
    compressed: bool = setting(
        True, 'Publish JPEG images on image/compressed; false: raw images on image.')
    frame_id: str = setting('camera_optical_frame', "Name of the camera's optical frame.")
    publish_clock: bool = setting(False, 'Publish the simulated time on /clock.')
    start_delay: float = setting(
        10.0, 'Longest wait for subscribers at the start, in seconds.', low=0.0, high=3600.0)
    wait_for_nodes: tuple[str, ...] = setting(
        (), 'Nodes that must have subscribed before the start, as NODE=TOPIC, absolute names; of '
        'a node that subscribes to several topics, the last one. Empty: wait for any subscriber '
        'of the images, and start without one after start_delay.', allowed=SUBSCRIBERS)


class SimCell(Node):
    """
    Publishes the images of a simulated cell and passes the selected grasps to it.

    The cell runs in its own thread, because an OpenGL context belongs to one thread.

    :raises ConfigError: if a parameter given at the start is not allowed.
    :raises SimulationError: if MuJoCo is not installed.
    """

    def __init__(self):
        super().__init__('sim_cell')
        settings = read_settings(self, CellSettings)
        # Imported here, because a robot does not need MuJoCo.
        from moss_perception.simulation.live import LiveCell
        from moss_perception.simulation.selection import Selections
        self._settings = settings
        # Its subscriptions come before the one that other nodes wait for.
        self._lock_step = LockStep(
            self, settings.processed_topic, settings.decided_topic, settings.lock_step_timeout,
            lambda: self.live.stopped) if settings.lock_step else None
        self.topics = CellTopics(
            self, settings.frame_id, settings.compressed, settings.publish_clock,
            settings.lead_times, self._lock_step)
        self._selections = Selections(settings.frame_id)
        self.live = LiveCell(self.topics, _config(settings), self._selections)
        self.refused: Counter = Counter()
        self.done = threading.Event()
        self._error: BaseException | None = None
        self.create_subscription(
            PoseStamped, 'selected_grasp', guarded(self, self._on_selected), 10)
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        create_steady_timer(self, _BEAT_S, self._on_beat)
        for row in self.topics.rows():
            self.get_logger().info(f'out {row}')
        self._thread = threading.Thread(target=self._run, name='cell', daemon=True)

    def start(self) -> None:
        """Start the cell; it runs as soon as its subscribers are there."""
        self._thread.start()

    def finish(self) -> None:
        """Stop the cell and log a summary."""
        self.live.stop()
        self._thread.join(_END_S)
        pace = self.live.pace
        line = self.live.progress.summary()
        if refused := sum(self.refused.values()):
            reasons = ', '.join(f'{n} {name}' for name, n in sorted(self.refused.items()))
            line += f'; {refused} selected grasps refused ({reasons})'
        if pace.real_time:
            line += f'; at most {pace.worst_s:.3f} s behind real time'
        self.get_logger().info(line)

    def check(self) -> None:
        """
        Check that the cell has played all its scenes.

        :raises MossError: if the cell failed, or skipped scenes.
        """
        if self._error is not None:
            raise self._error
        if skipped := sum(self.live.progress.skipped.values()):
            raise SimulationError(f'{skipped} scenes could not be played to the end')

    def _run(self) -> None:
        try:
            # In this thread, because the OpenGL context belongs to it.
            from moss_perception.simulation.renderer import Renderer
            renderer = Renderer()
            try:
                self._wait_for_subscribers()
                self.live.run(renderer)
            finally:
                renderer.close()
        except BaseException as error:  # noqa: BLE001, handed to the main thread
            self._error = error
        finally:
            self.done.set()

    def _wait_for_subscribers(self) -> None:
        expected, waited_s = self._settings.wait_for_nodes, self._settings.start_delay
        deadline = time.monotonic() + waited_s
        while not self.live.stopped:
            missing = unconnected(self, expected)
            if self._lock_step is not None:
                missing += self._lock_step.missing()
            if not expected and not self.topics.is_seen:
                missing = [f'nobody subscribes to {self.topics.image_topic}']
            if not missing:
                break
            if time.monotonic() >= deadline:
                problem = f'{" and ".join(missing)} after {waited_s:g} s'
                if expected or self._lock_step is not None:
                    raise MossError(f'{problem}: expected every node of wait_for_nodes, and in '
                                    'lock step an active predictor and a gate')
                self.get_logger().warning(coded('starts_anyway', f'{problem}: starting anyway'))
                return
            time.sleep(_POLL_S)
        time.sleep(_SETTLE_S)

    def _on_selected(self, message: PoseStamped) -> None:
        self._offer(message)
        if self._lock_step is not None:
            self._lock_step.took(stamp_to_ns(message.header.stamp))

    def _offer(self, message: PoseStamped) -> None:
        try:
            grasp = to_candidates(PoseArray(header=message.header, poses=[message.pose]))
            if problem := grasp.problem():
                raise CandidateError(problem)
        except CandidateError as error:
            self._refuse('not_usable', f'selected grasp refused: {error}')
            return
        refusal = self._selections.offer(
            grasp.stamp_ns, grasp.frame_id, np.append(grasp.positions[0], grasp.yaws[0]))
        if refusal is not None:
            self._refuse(refusal.reason, refusal.message)

    def _refuse(self, reason: str, message: str) -> None:
        self.refused[reason] += 1
        self.get_logger().warning(coded(reason, message), throttle_duration_sec=_THROTTLE_S)

    def _on_beat(self) -> None:
        progress, pace = self.live.progress, self.live.pace
        of = f' of {self._settings.attempts}' if self._settings.attempts else ''
        level, message = OK, f'attempt {progress.attempt}{of}: {progress.phase}'
        if pace.behind_s > _BEHIND_S:
            level = WARN
            message = f'{pace.behind_s:.1f} s behind real time'
            self.get_logger().warning(coded(
                'behind_real_time', f'{message}: set a lower rate, or real_time:=false'),
                throttle_duration_sec=_THROTTLE_S)
            message = coded('behind_real_time', message)
        values: dict[str, Any] = {
            'attempt': progress.attempt, 'phase': progress.phase, 'frames': progress.frames,
            **{name: progress.results[name] for name in ('succeeded', 'failed', 'none_selected')},
            **{f'skipped/{name}': n for name, n in sorted(progress.skipped.items())},
            **{f'refused/{name}': n for name, n in sorted(self.refused.items())},
            'repeated': self._selections.repeated, 'behind_s': pace.behind_s,
            'worst_behind_s': pace.worst_s}
        self._diagnostics.publish(diagnostics(self, level, message, values, 'sim_cell'))


def _config(settings: CellSettings) -> 'LiveConfig':
    from moss_perception.simulation.cells import cell_named
    from moss_perception.simulation.live_config import LiveConfig
    cell = cell_named(settings.cell)
    if settings.motion not in ('', *cell.motion_names):
        raise ConfigError(f'parameter motion is {settings.motion!r}: expected one of '
                          f'{", ".join(cell.motion_names)}, or nothing')
    domain = cell.domain(settings.domain)
    return LiveConfig(
        domain, cell, settings.motion, settings.seed, settings.attempts, settings.rate,
        settings.real_time, settings.timeout, settings.pause, settings.latency,
        settings.lead_times)


def _work(node: SimCell) -> None:
    """Serve the node until the cell has ended."""
    node.start()
    try:
        with serving(node) as spin:
            spin_until(spin, node.done.is_set, math.inf, _POLL_S)
            node.topics.flush(_LAST_ACK_S)
    except KeyboardInterrupt:
        node.finish()
        try:
            node.check()
        except MossError as error:
            # Only logged: the exit status is that of an interrupt.
            node.get_logger().error(str(error))
        raise
    node.finish()
    node.check()


def main(args: list[str] | None = None) -> int:
    """
    Run the node until its attempts are over or it is interrupted.

    :param args: command line with ROS arguments; ``None`` takes the process's own.
    :returns: exit status: 0 at the end, 1 on a known error or if scenes were skipped, 130 if
        interrupted.
    """
    logging.basicConfig(format='[%(levelname)s] %(message)s')
    with quick_acknowledgement():
        return run_node('sim_cell', SimCell, _work, args, interrupted=130)


if __name__ == '__main__':
    sys.exit(main())

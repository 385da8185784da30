"""The node `grasp_gate`: a reference planner client that selects one grasp from the scores."""

from dataclasses import replace
import sys
import time
from typing import NamedTuple

from geometry_msgs.msg import PoseArray, PoseStamped
from moss_perception.core.errors import CandidateError, ConfigError
from moss_perception.ros.common.point_cloud import positions_of, read_scores
from moss_perception.ros.common.spinning import run_node
from moss_perception.runtime.gate import Decision, Gate, GateConfig, SELECTED, STALE, WAITING
from moss_perception.runtime.pairing import Pair, Pairing
import numpy as np
from rcl_interfaces.msg import FloatingPointRange, ParameterDescriptor, SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header, String

# parameter: (field of GateConfig, lowest, highest, description)
_PARAMETERS = {
    'min_score': ('min_score', 0.0, 1.0, 'lowest score that is selected'),
    'max_uncertainty': ('max_uncertainty', 0.0, 0.5,
                        'highest uncertainty (standard deviation) that is selected or kept'),
    'hold_time': ('hold_time_s', 0.0, 60.0,
                  'how long the same candidate must stay the best before it is selected, s'),
    'max_age': ('max_age_s', 0.01, 60.0, 'scores older than this are stale, s'),
    'release_score': ('release_score', 0.0, 1.0,
                      'a selected candidate is kept down to this score; at most min_score'),
}
_WATCH_PERIOD_S = 0.1
_THROTTLE_S = 5.0


class Scores(NamedTuple):
    """The scores of one frame, and the header they came with."""

    header: Header
    rows: np.ndarray


class GraspGate(Node):
    """
    Reads scores and candidates, publishes the selected grasp and the gate's state.

    :raises ConfigError: if a parameter given at start is not allowed.
    """

    def __init__(self):
        super().__init__('grasp_gate')
        self._gate = Gate(self._declare_parameters())
        self.add_on_set_parameters_callback(self._on_parameters)
        self._pairing = Pairing()
        self._state = ''
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._selected = self.create_publisher(PoseStamped, 'selected_grasp', 10)
        self._states = self.create_publisher(String, '~/state', latched)
        # A best-effort subscription hears every publisher.
        heard = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
        self.create_subscription(PoseArray, 'grasp_candidates', self._on_candidates, heard)
        self.create_subscription(PointCloud2, 'grasp_scores', self._on_scores, heard)
        # Steady: with use_sim_time and no /clock, a timer on the node's clock never fires.
        self.create_timer(_WATCH_PERIOD_S, self._on_watch,
                          clock=Clock(clock_type=ClockType.STEADY_TIME))
        self._publish_state(WAITING)

    def _declare_parameters(self) -> GateConfig:
        values, config = {}, GateConfig()
        for name, (field, low, high, description) in _PARAMETERS.items():
            descriptor = ParameterDescriptor(
                description=description,
                floating_point_range=[FloatingPointRange(from_value=low, to_value=high)])
            try:
                parameter = self.declare_parameter(name, getattr(config, field), descriptor)
            except InvalidParameterTypeException as error:
                raise ConfigError(f'parameter {name}: expected a number with a point, such as '
                                  f'{getattr(config, field)}: {error}') from error
            except InvalidParameterValueException as error:
                raise ConfigError(
                    f'parameter {name}: expected {low} to {high}: {error}') from error
            values[field] = parameter.value
        return GateConfig(**values)

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        changes = {_PARAMETERS[p.name][0]: p.value for p in parameters if p.name in _PARAMETERS}
        try:
            config = replace(self._gate.config, **changes)
        except ConfigError as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._gate.config = config
        return SetParametersResult(successful=True)

    def _on_candidates(self, message: PoseArray) -> None:
        positions = np.array([[p.position.x, p.position.y, p.position.z] for p in message.poses],
                             np.float32).reshape(-1, 3)
        for pair in self._pairing.candidates(positions, list(message.poses)):
            self._decide(pair)

    def _on_scores(self, message: PointCloud2) -> None:
        try:
            rows = read_scores(message)
        except CandidateError as error:
            self.get_logger().warning(str(error), throttle_duration_sec=_THROTTLE_S)
            return
        scores = Scores(message.header, rows)
        for pair in self._pairing.scores(positions_of(rows), scores, time.monotonic()):
            self._decide(pair)

    def _decide(self, pair: Pair) -> None:
        header, rows = pair.scores.header, pair.scores.rows
        if pair.candidates is None:
            rows = rows[:0]
        now_ns = self.get_clock().now().nanoseconds
        stamp_ns = Time.from_msg(header.stamp).nanoseconds
        decision = self._gate.update(
            stamp_ns, now_ns, positions_of(rows), rows['score'], rows['uncertainty'])
        self._explain(decision, stamp_ns, now_ns)
        self._publish_state(decision.state)
        if decision.state == SELECTED:
            self._selected.publish(
                PoseStamped(header=header, pose=pair.candidates[decision.index]))

    def _explain(self, decision: Decision, stamp_ns: int, now_ns: int) -> None:
        if decision.state == WAITING:
            self.get_logger().info(
                'nothing to select from: no grasp_candidates have the positions of these scores '
                '(the default grasp point is not a candidate)', throttle_duration_sec=_THROTTLE_S)
        elif decision.state == STALE:
            self.get_logger().warning(
                f'scores are {(now_ns - stamp_ns) / 1e9:.3f} s old, expected at most max_age='
                f"{self._gate.config.max_age_s} s by this node's clock (a recording needs "
                'use_sim_time and /clock)', throttle_duration_sec=_THROTTLE_S)

    def _on_watch(self) -> None:
        for pair in self._pairing.expired(time.monotonic()):
            self._decide(pair)
        decision = self._gate.watch(self.get_clock().now().nanoseconds)
        if decision is not None:
            self._publish_state(decision.state)

    def _publish_state(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._states.publish(String(data=state))


def main(args: list[str] | None = None) -> int:
    """
    Run the node until it is told to stop.

    :param args: command line, for ROS; ``None`` for the process's own.
    :returns: exit status: 0, or 1 where a parameter is not allowed.
    """
    return run_node('grasp_gate', GraspGate, args=args)


if __name__ == '__main__':
    sys.exit(main())

"""The node `grasp_gate`: a reference planner client that selects one grasp from the scores."""

from dataclasses import dataclass
import sys
from typing import Any

from geometry_msgs.msg import PoseStamped
from moss_perception.core.codes import coded
from moss_perception.core.errors import ScoresError
from moss_perception.core.scores import GraspScores, read_scores, reasons_in_words
from moss_perception.ros.common.conversions import row_to_pose, stamp_to_ns
from moss_perception.ros.common.parameters import Change, NodeParameters, setting
from moss_perception.ros.common.spinning import create_steady_timer, run_node
from moss_perception.ros.common.subscriptions import MatchedSubscription, SILENCE_S
from moss_perception.runtime.gate import (
    BELOW_THRESHOLD,
    Decision,
    Gate,
    GateConfig,
    RANGES,
    SELECTED,
    STALE,
    WAITING,
)
import numpy as np
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header, String

_WATCH_PERIOD_S = 0.1
_GRAPH_PERIOD_S = 0.5
_THROTTLE_S = 5.0


def _setting(field: str, description: str) -> Any:
    """Declare a field of :class:`GateConfig` as a parameter, with its default and range."""
    low, high = RANGES[field]
    return setting(getattr(GateConfig(), field), description, low=low, high=high,
                   change=Change.ANY_TIME)


@dataclass(frozen=True)
class GateSettings:
    """
    All parameters of grasp_gate; durations in seconds.

    :raises ConfigError: if ``release_score`` is above ``min_score``.
    """

    min_score: float = _setting('min_score', 'Lowest acceptable score.')
    max_uncertainty: float = _setting(
        'max_uncertainty', 'Highest acceptable uncertainty (standard deviation).')
    hold_time: float = _setting(
        'hold_time_s',
        'Time that a candidate must be acceptable before it is selected, in seconds.')
    max_age: float = _setting('max_age_s', 'Age above which scores are stale, in seconds.')
    release_score: float = _setting(
        'release_score', 'Lowest score of a selected candidate; at most min_score.')
    switch_margin: float = _setting(
        'switch_margin',
        'A selected candidate is replaced by one that scores higher by more than this.')
    silence: float = setting(
        SILENCE_S, 'Time in seconds for which published scores may be silent; then the node '
        'subscribes to them anew; 0: never.', low=0.0, high=3600.0, change=Change.NEVER)
    explore: float = _setting(
        'explore', 'Probability that an attempt tries a candidate drawn from all with a score, '
                   'whatever the scores: for recordings to train on. An attempt begins with the '
                   'first scores after a list without candidates.')

    def __post_init__(self):
        """Reject combinations that the gate does not allow."""
        self.config()

    def config(self) -> GateConfig:
        """Return the configuration of the gate."""
        return GateConfig(self.min_score, self.max_uncertainty, self.hold_time, self.max_age,
                          self.release_score, self.switch_margin, self.explore)


class GraspGate(Node):
    """
    Reads scores, publishes the selected grasp, the gate's state, and a report of each decision.

    :raises ConfigError: if a parameter given at start is not allowed.
    """

    def __init__(self, **kwargs: Any):
        super().__init__('grasp_gate', **kwargs)
        declared = NodeParameters(self, GateSettings, apply=self._on_change)
        self._gate = Gate(declared.values.config())
        self._state, self._heard = '', False
        latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
        self._selected = self.create_publisher(PoseStamped, 'selected_grasp', 10)
        self._states = self.create_publisher(String, '~/state', latched)
        self._processed = self.create_publisher(Header, '~/processed', 100)
        # A best-effort subscription receives from every publisher.
        self._scores = MatchedSubscription(
            self, PointCloud2, self.resolve_topic_name('grasp_scores'), self._on_scores,
            'best_effort', depth=10, silence_s=declared.values.silence,
            expected=self._had_scores)
        create_steady_timer(self, _WATCH_PERIOD_S, self._on_watch)
        create_steady_timer(self, _GRAPH_PERIOD_S, self._on_graph_timer)
        self._publish_state(WAITING)

    def _on_graph_timer(self) -> None:
        self._scores.check()

    def _had_scores(self) -> bool:
        """Tell once that scores have stopped; without images there are none for long."""
        heard, self._heard = self._heard, False
        return heard

    def _on_change(self, _: GateSettings, after: GateSettings) -> None:
        self._gate.config = after.config()

    def _on_scores(self, message: PointCloud2) -> None:
        self._heard = True
        try:
            scores = GraspScores.of(read_scores(message))
        except ScoresError as error:
            self.get_logger().warning(coded('scores_unreadable', error),
                                      throttle_duration_sec=_THROTTLE_S)
            return
        rows = scores.candidates
        now_ns = self.get_clock().now().nanoseconds
        stamp_ns = stamp_to_ns(message.header.stamp)
        decision = self._gate.update(
            stamp_ns, now_ns, scores.positions, rows['score'], rows['uncertainty'])
        self._explain(decision, rows, (now_ns - stamp_ns) / 1e9)
        self._publish_state(decision.state)
        if decision.state == SELECTED:
            assert decision.index is not None  # of the selected candidate
            self._selected.publish(
                PoseStamped(header=message.header, pose=row_to_pose(rows[decision.index])))
        # After everything else about these scores.
        self._processed.publish(Header(stamp=message.header.stamp, frame_id=decision.state))

    def _explain(self, decision: Decision, rows: np.ndarray, age_s: float) -> None:
        """Log why nothing can be selected."""
        if decision.state == WAITING:
            self.get_logger().info(
                'nothing to select from: the scores have no candidates (the default grasp point '
                'is not a candidate)', throttle_duration_sec=_THROTTLE_S)
        elif decision.state == STALE:
            self.get_logger().warning(coded(
                'scores_old', f'scores are {age_s:.3f} s old, expected at most max_age='
                f"{self._gate.config.max_age_s} s by this node's clock (a recording needs "
                'use_sim_time and /clock)'), throttle_duration_sec=_THROTTLE_S)
        elif decision.state == BELOW_THRESHOLD and rows['reason'].all():
            self.get_logger().warning(coded(
                'none_scored', f'no candidate has a score: {reasons_in_words(rows["reason"])}'),
                throttle_duration_sec=_THROTTLE_S)

    def _on_watch(self) -> None:
        decision = self._gate.watch(self.get_clock().now().nanoseconds)
        if decision is not None:
            self._publish_state(decision.state)

    def _publish_state(self, state: str) -> None:
        if state != self._state:
            self._state = state
            self._states.publish(String(data=state))


def main(args: list[str] | None = None) -> int:
    """
    Run the node until it is interrupted.

    :param args: command line with ROS arguments; ``None`` takes the process's own.
    :returns: exit status: 0, or 1 if a parameter given at the start is not allowed.
    """
    return run_node('grasp_gate', GraspGate, args=args)


if __name__ == '__main__':
    sys.exit(main())

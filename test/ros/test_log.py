"""How often the predictor logs what happens to its stream."""

from moss_perception.ros.common.guard import Tally
from moss_perception.ros.predictor.log import StreamLog
from moss_perception.ros.predictor.monitor import Monitor
import rclpy


def test_a_burst_of_one_lets_each_kind_through_once_a_period():
    now = [0.0]
    throttle = Tally(1, 5.0, lambda: now[0])
    assert throttle.line('a') and throttle.line('b')
    now[0] = 4.9
    assert not throttle.line('a')
    now[0] = 5.0
    assert throttle.line('a') and not throttle.line('a')


def test_an_endless_throttle_speaks_once():
    now = [0.0]
    throttle = Tally(1, float('inf'), lambda: now[0])
    assert throttle.line('a')
    now[0] = 1e9
    assert not throttle.line('a')


def test_each_event_is_said_and_a_flood_is_summed_up():
    now = [0.0]
    tally = Tally(2, 5.0, lambda: now[0])
    said = [tally.line('gap'), tally.line('gap'), tally.line('gap'), tally.line('gap', 2),
            tally.line('frame_id')]
    assert said == ['gap', 'gap', '', '', 'frame_id']
    now[0] = 5.0
    assert tally.line('gap') == 'gap (4 times since the last line)'
    assert tally.line('gap') == 'gap'


def test_a_stream_that_becomes_unfamiliar_is_said_once_until_it_ends(capfd):
    context = rclpy.Context()
    rclpy.init(context=context)
    node = rclpy.create_node('log_test', context=context)
    try:
        log = StreamLog(node, Monitor())
        for score in (None, 1.5, 1.6, 1.7, None, None):
            log.shift(score)
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)
    said = capfd.readouterr().err
    assert said.count('out of distribution: OOD score 1.50, expected at most 1') == 1
    assert '1.60' not in said and said.count('in distribution again') == 1

"""The heartbeat of grasp_predictor: its state, and a deadline that a planner can watch."""

import signal
import time

from moss_perception.ros.predictor.heartbeat import deadline_qos, health, STUCK
from moss_perception.ros.predictor.worker import Worker
import pytest
from rclpy.event_handler import SubscriptionEventCallbacks
from std_msgs.msg import Header

pytestmark = pytest.mark.timeout(120)


def test_a_planner_notices_within_a_second_that_the_node_has_stopped(stream):
    node, missed, beats = stream.peer.node, [], []
    subscription = node.create_subscription(
        Header, f'{stream.name}/heartbeat', beats.append, deadline_qos(),
        event_callbacks=SubscriptionEventCallbacks(deadline=missed.append))
    stream.wait_for(lambda: len(beats) > 3, 10, 'beats')
    assert {beat.frame_id for beat in beats} == {'active'}
    stream.process.process.send_signal(signal.SIGSTOP)
    try:
        began_s, before = time.monotonic(), len(missed)
        stream.wait_for(lambda: len(missed) > before, 10, 'a missed deadline')
        # The middleware checks once a deadline; beyond that is the load of the machine.
        assert time.monotonic() - began_s < 4
    finally:
        stream.process.process.send_signal(signal.SIGCONT)
    heard = len(beats)
    stream.wait_for(lambda: len(beats) > heard + 3, 20, 'beats again')
    assert stream.peer.transition(stream.name, 'deactivate')
    stream.wait_for(lambda: beats[-1].frame_id == 'inactive', 10, 'inactive')
    node.destroy_subscription(subscription)


def test_a_step_that_does_not_end_is_stuck(monkeypatch):
    assert health('active', None) == ('active', '')
    worker = Worker(lambda _: time.sleep(0.3), print)
    assert health('active', worker) == ('active', '')
    monkeypatch.setattr('moss_perception.ros.predictor.heartbeat.STUCK_S', 0.05)
    worker.put('a sample')
    deadline_s = time.monotonic() + 10
    while health('active', worker)[0] != STUCK:
        assert time.monotonic() < deadline_s
    assert 'busy with one sample for' in health('active', worker)[1]
    worker.stop()
    assert health('inactive', worker) == ('inactive', '')

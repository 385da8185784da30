"""A subscription that hears nothing, although somebody publishes, is made anew."""

import signal
import subprocess
import sys
import threading
import time

from frames import frame
from geometry_msgs.msg import Pose, PoseArray
from moss_perception.core.clouds import cloud_fields
from moss_perception.core.scores import SCORE_DTYPE
from moss_perception.ros.common.subscriptions import MatchedSubscription
from moss_perception.ros.gate import GraspGate
from node_bench import Bench
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import Image, PointCloud2, PointField
from std_msgs.msg import Header

LATCHED = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)

READER = """
import rclpy
from sensor_msgs.msg import Image
from moss_perception.ros.common.subscriptions import MatchedSubscription
rclpy.init()
node = rclpy.create_node('reader')
made = MatchedSubscription(node, Image, '/image', lambda message: print(
    message.header.stamp.sec, flush=True), 'reliable', silence_s=0.5)
node.create_timer(0.1, made.check)
rclpy.spin(node)
"""


def until(node, done, publish, timeout_s=60.0):
    end_s = time.monotonic() + timeout_s
    while not done():
        assert time.monotonic() < end_s, 'it took too long'
        publish()
        node.spin()


def test_a_reader_that_was_stopped_hears_again(node, programs):
    publisher, number = node.create_publisher(Image, '/image', 5), [0]

    def publish():
        number[0] += 1
        image = Image(header=Header(frame_id='camera'), height=480, width=640, encoding='rgb8',
                      step=1920)
        image.header.stamp.sec = number[0]
        image.data.frombytes(bytes(640 * 480 * 3))
        publisher.publish(image)
    heard = []
    with subprocess.Popen([sys.executable, '-c', READER], stdout=subprocess.PIPE, text=True,
                          env=programs.environment()) as reader:
        try:
            threading.Thread(target=lambda: heard.extend(map(int, reader.stdout)),
                             daemon=True).start()
            until(node, lambda: heard, publish)
            reader.send_signal(signal.SIGSTOP)
            end_s = time.monotonic() + 1.5
            until(node, lambda: time.monotonic() > end_s, publish)
            reader.send_signal(signal.SIGCONT)
            stopped = number[0] + 20
            until(node, lambda: heard[-1] > stopped, publish)
        finally:
            reader.kill()


def test_silence_makes_it_anew_less_and_less_often_until_something_is_heard(node):
    publisher = node.create_publisher(Image, '/image', 5)
    heard = []
    made = MatchedSubscription(node, Image, '/image', heard.append, silence_s=0.2)
    until(node, lambda: made.check() is not None and made.silences == 3, lambda: None)
    until(node, lambda: heard, lambda: (made.check(), publisher.publish(Image())))
    assert made.silences <= 4
    before = made.silences
    begun_s = time.monotonic()
    until(node, lambda: made.silences > before, made.check)
    assert time.monotonic() - begun_s > 0.15
    made.destroy()


@pytest.mark.parametrize('silence_s, published', [(0.0, True), (0.1, False)])
def test_it_is_not_made_anew_without_publishers_or_if_a_parameter_says_so(
        node, silence_s, published):
    if published:
        node.create_publisher(Image, '/image', 5)
    made = MatchedSubscription(node, Image, '/image', print, silence_s=silence_s)
    end_s = time.monotonic() + 0.5
    until(node, lambda: time.monotonic() > end_s, made.check)
    # QoS may change it, silence does not.
    assert made.silences == 0
    made.destroy()


@pytest.mark.parametrize('expected, level', [(True, 'INFO'), (False, '')])
def test_silence_is_logged_where_messages_are_due(node, expected, level, capfd):
    node.create_publisher(Image, '/image', 5)
    made = MatchedSubscription(node, Image, '/image', print, silence_s=0.1,
                               expected=lambda: expected)
    until(node, lambda: made.silences, made.check)
    made.destroy()
    logged = capfd.readouterr().err
    assert ('subscribed anew' in logged) == expected and level in logged



def deafen(made):
    """Let the subscription that is in use now lose all that comes, as a deaf reader does."""
    ear, receive = made._subscriptions[-1], made._receive
    made._receive = lambda message, info, one: one is ear or receive(message, info, one)


def poses(second):
    message = PoseArray(poses=[Pose()])
    message.header.frame_id, message.header.stamp.sec = 'camera', second
    return message


def test_a_deaf_reader_of_latched_messages_is_made_anew_and_hears_each_once(node):
    publisher = node.create_publisher(PoseArray, '/grasp_candidates', LATCHED)
    heard = []
    made = MatchedSubscription(
        node, PoseArray, '/grasp_candidates', lambda message: heard.append(
            message.header.stamp.sec), depth=10, latched=True, silence_s=0.2,
        expected=lambda: True)
    publisher.publish(poses(1))
    until(node, lambda: heard, made.check)
    deafen(made)
    publisher.publish(poses(2))
    until(node, lambda: heard == [1, 2], made.check)
    # All that is retained comes again each time, and ends no silence, which lasts ever longer.
    begun_s, before = time.monotonic(), made.silences
    until(node, lambda: made.silences == before + 3, made.check)
    assert heard == [1, 2] and time.monotonic() - begun_s > 1.0
    publisher.publish(poses(3))
    until(node, lambda: heard == [1, 2, 3], made.check)
    made.destroy()


def test_where_no_messages_are_expected_latched_ones_are_not_asked_for_again(node):
    publisher = node.create_publisher(PoseArray, '/grasp_candidates', LATCHED)
    heard = []
    made = MatchedSubscription(node, PoseArray, '/grasp_candidates', heard.append, latched=True,
                               silence_s=0.1)
    publisher.publish(poses(1))
    until(node, lambda: heard, made.check)
    before, end_s = made.silences, time.monotonic() + 0.5
    until(node, lambda: time.monotonic() > end_s, made.check)
    assert (len(heard), made.silences) == (1, before)
    made.destroy()


def test_the_predictor_hears_candidates_again_while_images_come(tiny_checkpoint):
    bench = Bench(tiny_checkpoint, silence=0.3)
    try:
        assert bench.configure() == 'SUCCESS'
        bench.peer.destroy_publisher(bench.poses)
        bench.poses = bench.peer.create_publisher(PoseArray, 'grasp_candidates', LATCHED)
        assert bench.node.trigger_activate().name == 'SUCCESS'
        made, number = bench.node._inputs.candidates, [0]
        bench.spin_until(lambda: made.qos.durability == DurabilityPolicy.TRANSIENT_LOCAL)
        bench.spin_until(lambda: bench.images.get_subscription_count() == 1)
        deafen(made)

        def seen():
            bench.propose(0) if not number[0] else None
            number[0] += 1
            bench.send(number[0])
            return bench.node.predictor.candidates_at(frame(number[0]).stamp_ns, 'camera')
        bench.spin_until(seen)
        assert made.silences
    finally:
        bench.close()


def test_the_gate_hears_scores_again(ros_domain):
    context = rclpy.Context()
    rclpy.init(context=context)
    gate = GraspGate(context=context, parameter_overrides=[Parameter('silence', value=0.3)])
    planner = rclpy.create_node('planner', context=context)
    executor, states = SingleThreadedExecutor(context=context), []
    try:
        for one in (gate, planner):
            executor.add_node(one)
        publisher = planner.create_publisher(PointCloud2, '/grasp_scores', 10)
        rows = np.zeros(1, SCORE_DTYPE)
        rows['candidate'] = -1
        shape = {'height': 1, 'width': 1, 'point_step': rows.itemsize, 'row_step': rows.itemsize,
                 'data': rows.tobytes(), 'fields': [
                     PointField(name=name, offset=offset, datatype=datatype, count=1)
                     for name, offset, datatype in cloud_fields(SCORE_DTYPE)]}
        planner.create_subscription(Header, '/grasp_gate/processed', states.append, 10)
        end_s = time.monotonic() + 30

        def publish_until(done):
            while not done():
                assert time.monotonic() < end_s, 'the gate does not hear'
                publisher.publish(PointCloud2(**shape))
                executor.spin_once(0.05)
        publish_until(lambda: states)
        deafen(gate._scores)
        # What was on its way is heard by then.
        publish_until(lambda: gate._scores.silences)
        before = len(states)
        publish_until(lambda: len(states) > before)
    finally:
        executor.shutdown()
        gate.destroy_node()
        planner.destroy_node()
        rclpy.shutdown(context=context)

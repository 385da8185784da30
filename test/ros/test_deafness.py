"""A subscription that hears nothing, although somebody publishes, is made anew."""

import signal
import subprocess
import sys
import threading
import time

from moss_perception.ros.common.subscriptions import MatchedSubscription
import pytest
from sensor_msgs.msg import Image
from std_msgs.msg import Header

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


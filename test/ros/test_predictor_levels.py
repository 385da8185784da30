"""What the real node says of a stream that it receives and that gives few scores, or none."""

import time

from frames import frame
from moss_perception.ros.common import conversions
from moss_perception.ros.common.spinning import acknowledged
from node_bench import Bench
import numpy as np
import pytest
import rclpy
from sensor_msgs.msg import Image

WARN = b'\x01'
SECOND_NS = 10**9


@pytest.fixture
def bench(tiny_checkpoint):
    made = Bench(tiny_checkpoint, max_gap=1.0)
    assert made.configure() == 'SUCCESS' and made.node.trigger_activate().name == 'SUCCESS'
    publishers = (made.images, made.infos, made.poses, made.lead_times)
    made.spin_until(lambda: all(x.get_subscription_count() for x in publishers))
    yield made
    made.close()


def statuses(bench):
    return [(status.level, status.message) for array in bench.diagnostics
            for status in array.status if status.name.startswith('grasp_predictor')]


def say(bench, words):
    """Wait until the diagnostics say something, and return their level and message."""
    bench.spin_until(lambda: any(words in message for _, message in statuses(bench)))
    return next(x for x in statuses(bench) if words in x[1])


def show(bench, stamp_ns, picture=None):
    """Publish an image with this stamp, and wait until the node has dealt with it."""
    assert acknowledged(bench.poses, 10.0)
    done = len(bench.processed)
    bench.images.publish(conversions.rgb_to_image(
        frame(1).image if picture is None else picture, stamp_ns, 'camera'))
    bench.spin_until(lambda: len(bench.processed) > done)


def test_candidates_without_a_calibration_are_a_warning_in_words(bench):
    bench.propose(0)
    window = bench.node.predictor.config.window_frames
    for k in range(1, 4 * window):
        bench.send(k)
    level, message = say(bench, 'none scored')
    assert (level, message) == (WARN, '2 candidates, none scored: 2 no calibration [MOSS082]')


def test_resets_that_leave_few_scores_are_a_warning(bench):
    # Every now and then a frame is stamped three seconds ahead, as some drivers do.
    config = bench.node.predictor.config
    period_ns, start_ns = round(1e9 / config.frame_rate_hz), 10 * SECOND_NS
    k, end_s = 0, time.monotonic() + 30.0
    while not any('and only' in message for _, message in statuses(bench)):
        assert time.monotonic() < end_s, statuses(bench)
        ahead = k % (config.window_frames + 4) == config.window_frames + 2
        show(bench, start_ns + k * period_ns + 3 * SECOND_NS * ahead)
        k += 1
    level, message = say(bench, 'and only')
    assert level == WARN and 'stamp_backwards' in message and '[MOSS004]' in message


def test_candidates_that_are_stamped_ahead_of_their_images_are_a_warning(bench, capfd):
    # As by a planner that stamps with its own clock: every image is scored with older ones.
    for k in range(1, 40):
        bench.propose(k + 4)
        bench.send(k)
    level, message = say(bench, 'ahead of the images')
    assert level == WARN and message.startswith('the candidates are stamped 0.')
    assert '[MOSS007]' in message
    assert capfd.readouterr().err.count('ahead of the images') == 1


@pytest.mark.parametrize('lag_s, words', [
    (0.2, ''), (-5.0, 's ahead of this node'), (5.0, 's behind this node')])
def test_images_of_another_clock_than_the_nodes_are_warned_of_once(bench, capfd, lag_s, words):
    for _ in range(30):
        show(bench, time.time_ns() - round(lag_s * SECOND_NS))
    lag = float(bench.values()['clock_lag_s'])
    assert abs(lag - lag_s) < 1.0
    bench.values()
    said = capfd.readouterr().err
    assert said.count("this node's clock: expected at most 1 s") == bool(words) and words in said


def test_pictures_of_two_cameras_in_turn_are_a_warning(bench):
    period_ns = round(1e9 / bench.node.predictor.config.frame_rate_hz)
    views = np.random.default_rng(3).integers(0, 256, (2, 24, 32, 3), np.uint8)
    k, end_s = 0, time.monotonic() + 30.0
    while not any('[MOSS063]' in message for _, message in statuses(bench)):
        assert time.monotonic() < end_s, statuses(bench)
        show(bench, SECOND_NS + k * period_ns, views[k % 2])
        k += 1
    level, message = say(bench, '[MOSS063]')
    assert level == WARN and 'pictures are like the picture before the last one' in message
    assert int(bench.values()['doubtful/alternating']) > 3


def test_two_cameras_on_a_topic_and_two_nodes_of_a_name_are_warnings(bench, capfd):
    bench.send(1)
    other = rclpy.create_node('other_camera', context=bench.context)
    twin = rclpy.create_node('grasp_predictor', context=bench.context)
    try:
        assert say(bench, 'several nodes have the name /grasp_predictor')[0] == WARN
        twin.destroy_node()
        publisher = other.create_publisher(Image, 'image', 10)

        def crowded():
            bench.diagnostics.clear()
            bench.send(1)
            bench.values()
            return any('/image has 2 publishers' in message for _, message in statuses(bench))
        bench.spin_until(crowded)
        level, message = say(bench, '/image has 2 publishers')
        assert level == WARN and '(/other_camera, /planner)' in message and 'MOSS005' in message
        other.destroy_publisher(publisher)
    finally:
        twin.destroy_node()
        other.destroy_node()
    said = capfd.readouterr().err
    assert '[MOSS005]' in said and '[MOSS006]' in said

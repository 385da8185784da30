"""What the real node says of a stream that it receives and that gives few scores, or none."""

from frames import frame
from moss_perception.ros.common import conversions
from moss_perception.ros.common.spinning import acknowledged
from node_bench import Bench
import pytest

WARN, OK = b'\x01', b'\x00'
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


def show(bench, stamp_ns):
    """Publish an image with this stamp, and wait until the node has dealt with it."""
    assert acknowledged(bench.poses, 10.0)
    done = len(bench.processed)
    bench.images.publish(conversions.rgb_to_image(frame(1).image, stamp_ns, 'camera'))
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
    k = 0
    while not any('and only' in message for _, message in statuses(bench)):
        assert k < 50 * config.window_frames, statuses(bench)
        ahead = k % (config.window_frames + 4) == config.window_frames + 2
        show(bench, start_ns + k * period_ns + 3 * SECOND_NS * ahead)
        k += 1
    level, message = say(bench, 'and only')
    assert level == WARN and 'stamp_backwards' in message and '[MOSS004]' in message

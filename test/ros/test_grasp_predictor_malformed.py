"""Messages that can't be used are counted by reason, and the node lives on."""

import array
import itertools

from geometry_msgs.msg import Pose, PoseArray
from moss_perception.ros.common import conversions
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image

pytestmark = pytest.mark.timeout(120)
GROUND = np.zeros((24, 32, 3), np.uint8)


def image(index: int, **changes) -> Image:
    message = conversions.rgb_to_image(GROUND, 10**9 + index * 10**8, 'camera')
    for name, value in changes.items():
        setattr(message, name, value)
    return message


MALFORMED = {
    'zero_stamp': [conversions.rgb_to_image(GROUND, 0, 'camera')],
    'encoding': [image(1, encoding='16UC1', step=64), image(1, encoding='32FC1', step=128),
                 image(1, encoding='nonsense'), image(1, encoding=''),
                 image(1, encoding='jpeg')],
    'step': [image(1, step=5), image(1, step=0)],
    'size': [image(1, data=array.array('B', b'short')), image(1, data=array.array('B')),
             image(1, width=0), image(1, height=1_000_000)],
}


@pytest.mark.parametrize('reason', MALFORMED)
def test_each_is_refused_and_counted_by_its_reason(stream, reason):
    stream.connect(image(0))
    before = stream.process.output().count('refused a frame')
    for message in MALFORMED[reason]:
        assert stream.send(message) == 'refused'
    status, values = stream.status(
        lambda _, v: v.get(f'refused/{reason}') == str(len(MALFORMED[reason])))
    assert values['refused'] == str(len(MALFORMED[reason]))
    assert status.level == b'\x01' and f'last {reason}: ' in status.message
    # One warning for all of them: they are throttled by reason.
    assert stream.process.output().count('refused a frame') == before + 1
    assert stream.send(image(2)) == 'stored'


def test_a_picture_that_may_show_nothing_is_scored_counted_and_told_once(stream):
    warning = 'a picture is almost black: expected'
    # The tests of this file share the process, not the configured node.
    before = stream.process.output().count(warning)
    stream.connect(image(0))
    assert [stream.send(image(index)) for index in (1, 2)] == ['stored', 'stored']
    # The first image may be one of several that were sent until the node received one.
    stream.status(lambda _, v: int(v.get('doubtful/dark', 0)) >= 3)
    assert stream.process.output().count(warning) == before + 1


def test_refused_images_leave_the_window_as_it_was(stream):
    stream.connect(image(0))
    for index in range(1, 15):
        assert stream.send(image(index)) == 'stored'
        assert stream.send(image(index, encoding='16UC1', step=64)) == 'refused'
    assert stream.send(image(15)) == 'scored'


def test_candidates_and_calibrations_that_are_none_are_refused(stream):
    stream.connect(image(0))
    poses = stream.publisher(PoseArray, '/grasp_candidates')
    infos = stream.publisher(CameraInfo, '/camera_info')
    nameless = PoseArray(header=conversions.header(5, 'camera'), poses=[Pose()])
    nameless.poses[0].orientation.w = 0.0

    unstamped = PoseArray(header=conversions.header(0, 'camera'))

    def refused(_, values) -> bool:
        poses.publish(nameless)
        poses.publish(unstamped)
        infos.publish(CameraInfo(width=32, height=24))
        return (int(values.get('candidates_refused', 0)) > 1
                and 'camera_info is not calibrated' in stream.process.output())
    stream.status(refused)
    output = stream.process.output()
    assert 'unit quaternion' in output or 'stamp above 0' in output
    assert output.count('camera_info is not calibrated') == 1
    assert stream.send(image(1)) == 'stored'


def test_too_many_candidates_are_refused_with_the_reason_and_the_scores_go_on(stream):
    stream.connect(image(0))
    poses = stream.publisher(PoseArray, '/grasp_candidates')
    many = PoseArray(header=image(1).header, poses=[Pose()] * 1001)

    index = itertools.count(1)

    def refused(status, _) -> bool:
        poses.publish(many)
        stream.send(image(next(index)))
        return ('1001 candidates came at once: expected at most 1000, the parameter '
                'max_candidates' in status.message)
    stream.status(refused)
    assert [stream.send(image(next(index))) for _ in range(18)][-1] == 'scored'
    stream.wait_for(lambda: stream.scores, 10, 'scores')
    assert stream.scores[-1].width == 1

    def few_are_scored() -> bool:
        poses.publish(PoseArray(header=image(number := next(index)).header, poses=[Pose()]))
        stream.send(image(number))
        return stream.scores[-1].width == 2
    stream.wait_for(few_are_scored, 20, 'scores of candidates')
    stream.status(lambda status, _: '1001 candidates' not in status.message)


def test_a_calibration_of_another_size_is_said_and_not_used(stream):
    stream.connect(image(0))
    infos = stream.publisher(CameraInfo, '/camera_info')
    index = itertools.count(1)

    def warned() -> bool:
        infos.publish(CameraInfo(width=640, height=480, k=[500.0, 0.0, 320.0, 0.0, 500.0, 240.0,
                                                           0.0, 0.0, 1.0]))
        stream.send(image(next(index)))
        return 'camera_info is of 640 x 480 pixels: expected' in stream.process.output()
    stream.wait_for(warned, 10, 'warning')
    assert not any(cloud.is_dense for cloud in stream.scores)

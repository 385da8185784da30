"""Cameras and candidates of any frame in the node: by parameter, by tf, and what it says."""

import sys
import threading
from types import ModuleType

from frames import WINDOW
from geometry_msgs.msg import TransformStamped
from moss_perception.core.errors import ConfigError, FrameUnknownError
from moss_perception.core.scores import ScoreReason
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.ros.predictor.transforms import LiveTransforms, WAIT_S
from node_bench import Bench, PLACES
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo
from tiny import tiny_network

pytestmark = pytest.mark.timeout(120)
# A quarter turn about z: x of the base is y of the camera.
POSE = [0.1, 0.0, 0.4, 0.0, 0.0, np.sqrt(0.5), np.sqrt(0.5)]
IN_BASE = [[0.0, 0.1, 0.1], [0.0, 0.08, 0.1]]


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp('tiny') / 'tiny.safetensors'
    save_checkpoint(path, tiny_network())
    return path


@pytest.fixture
def start(ros_domain, checkpoint):
    """Return a function that starts a bench."""
    started = []

    def begin(**parameters):
        started.append(Bench(checkpoint, **parameters))
        return started[-1]
    yield begin
    for bench in started:
        bench.close()


def filled(bench):
    """Activate, and send all images of a window but the last."""
    bench.activate()
    for k in range(WINDOW - 1):
        bench.send(k)


def scored(bench, k, places, frame_id):
    bench.propose(k, places, frame_id=frame_id)
    return bench.send(k)


def test_candidates_in_base_link_have_the_scores_and_poses_of_the_cameras_frame(start):
    bench = start(candidates_frame='base_link', candidates_transform=POSE)
    filled(bench)
    found = scored(bench, WINDOW - 1, IN_BASE, 'base_link')
    np.testing.assert_allclose(found.positions, PLACES, atol=1e-6)
    np.testing.assert_allclose(found.orientations, [POSE[3:]] * 2, atol=1e-6)
    assert np.isfinite(found.candidates['score']).all()
    values = bench.values()
    assert values['candidates_frame'] == 'base_link' and values['rectified'] == 'auto'
    assert [float(x) for x in values['candidates_transform'].split()] == pytest.approx(POSE)
    # Those of the camera's frame are left as they are, and those of others are not known.
    found = scored(bench, WINDOW, PLACES, 'camera')
    np.testing.assert_allclose(found.positions, PLACES, atol=1e-6)
    found = scored(bench, WINDOW + 1, IN_BASE, 'tool0')
    assert found.candidates['reason'].tolist() == [ScoreReason.FRAME_UNKNOWN] * 2


def test_without_tf2_ros_the_warning_names_the_parameter(start, capfd):
    bench = start()
    filled(bench)
    found = scored(bench, WINDOW - 1, IN_BASE, 'base_link')
    assert found.candidates['reason'].tolist() == [ScoreReason.FRAME_UNKNOWN] * 2
    assert ("candidates in frame 'base_link' get no score: expected the images' frame 'camera', "
            'or a transform to it; tf2_ros is not installed: expected candidates_transform'
            ) in capfd.readouterr().err


@pytest.mark.parametrize(('parameters', 'words'), [
    ({'candidates_transform': POSE[:6]}, r'candidates_transform=\[.*\] is not allowed: expected '
     'seven finite numbers'),
    ({'candidates_transform': [*POSE[:6], 1.5]}, 'its quaternion has the length'),
    ({'candidates_transform': [float('nan'), *POSE[1:]]}, 'expected seven finite numbers'),
    ({'candidates_transform': 'north'}, "candidates_transform='north' is not allowed"),
    ({'candidates_frame': 'base_link'}, 'not allowed without candidates_transform'),
    ({'rectified': 'maybe'}, "rectified='maybe' is not allowed: expected one of auto, true, "),
    ({'rectified': 1}, 'rectified=1 is not allowed')])
def test_what_is_no_setup_is_refused_at_the_start_in_one_line(start, parameters, words):
    with pytest.raises(ConfigError, match=words) as raised:
        start(**parameters)
    assert '\n' not in str(raised.value)


def test_rectified_as_yaml_reads_it_uses_the_projection(start):
    bench = start(rectified=True, candidates_transform='0 0 0 0 0 0 1')
    filled(bench)
    # A projection half as strong, and the matrix of another lens.
    bench.infos.publish(CameraInfo(
        width=32, height=32, d=[0.5] * 5, k=[9.0, 0.0, 15.5, 0.0, 9.0, 15.5, 0.0, 0.0, 1.0],
        p=[20.0, 0.0, 15.5, 0.0, 0.0, 20.0, 15.5, 0.0, 0.0, 0.0, 1.0, 0.0],
        distortion_model='plumb_bob'))
    scored(bench, WINDOW - 1, PLACES, 'camera')
    camera = bench.node.predictor.camera
    assert camera.matrix[0, 0] == 20 and not len(camera.distortion)
    assert bench.values()['rectified'] == 'true'


class UnknownError(Exception):
    """What the base class of tf2_ros's errors is here."""


class Tf(ModuleType):
    """What the node uses of tf2_ros, which is not on PyPI: it knows what a test tells it."""

    def __init__(self):
        super().__init__('tf2_ros')
        self.known, self.newest_s, self.asked, self.listeners = None, None, [], []
        tf = self

        class Buffer:
            def lookup_transform(self, target, source, time):
                found = TransformStamped()
                if time.nanoseconds == 0 and tf.newest_s is not None:
                    found.header.stamp.sec = tf.newest_s
                    return found
                tf.asked += [(target, source, time.nanoseconds)] if time.nanoseconds else []
                if tf.known is None:
                    raise UnknownError(f'{source} does not exist')
                place, turn = found.transform.translation, found.transform.rotation
                place.x, place.y, place.z, turn.x, turn.y, turn.z, turn.w = tf.known
                return found

        class TransformListener:
            def __init__(self, buffer, node):
                tf.listeners.append(self)

            def unregister(self):
                tf.listeners.remove(self)
        self.Buffer, self.TransformListener = Buffer, TransformListener
        self.TransformException = UnknownError


@pytest.fixture
def tf(monkeypatch):
    module = Tf()
    monkeypatch.setitem(sys.modules, 'tf2_ros', module)
    return module


def test_live_tf_is_followed_once_it_is_needed_and_looked_up_at_the_candidates_stamp(start, tf):
    bench = start()
    tf.known = POSE
    filled(bench)
    scored(bench, WINDOW - 1, PLACES, 'camera')
    assert not tf.listeners and not tf.asked
    found = scored(bench, WINDOW, IN_BASE, 'base_link')
    np.testing.assert_allclose(found.positions, PLACES, atol=1e-6)
    assert len(tf.listeners) == 1
    assert tf.asked == [('camera', 'base_link', found.candidates_stamp_ns)]
    # The next frame with the same candidates does not ask again.
    bench.send(WINDOW + 1)
    assert len(tf.asked) == 1
    bench.node.trigger_deactivate()
    assert not tf.listeners


def test_live_tf_is_followed_for_candidates_that_came_before_the_first_image(start, tf):
    bench = start()
    tf.known = POSE
    bench.activate()
    bench.propose(0, IN_BASE, frame_id='base_link')
    found = [bench.send(k) for k in range(WINDOW)][-1]
    np.testing.assert_allclose(found.positions, PLACES, atol=1e-6)
    assert len(tf.listeners) == 1


def test_a_transform_that_does_not_come_is_waited_for_once_and_the_reason_is_said(
        start, tf, capfd):
    bench = start()
    filled(bench)
    found = scored(bench, WINDOW - 1, IN_BASE, 'base_link')
    assert found.candidates['reason'].tolist() == [ScoreReason.FRAME_UNKNOWN] * 2
    assert 'tf: base_link does not exist' in capfd.readouterr().err
    asked = len(tf.asked)
    assert asked > 1
    bench.send(WINDOW)
    # Nor is it waited for with the next candidates, which would delay every score.
    scored(bench, WINDOW + 1, IN_BASE, 'base_link')
    assert len(tf.asked) == asked + 2
    # It comes late: the candidates are scored from the next frame on.
    tf.known = POSE
    assert np.isfinite(bench.send(WINDOW + 2).candidates['score']).all()


def test_a_transform_that_comes_within_the_bound_is_used(tf):
    transforms = LiveTransforms(None)
    with pytest.raises(FrameUnknownError, match='not received yet'):
        transforms.lookup('camera', 'base_link', 5)
    transforms.follow()
    later = threading.Timer(WAIT_S / 4, lambda: setattr(tf, 'known', POSE))
    later.start()
    found = transforms.lookup('camera', 'base_link', 5)
    later.join()
    np.testing.assert_allclose([*found.position, *found.orientation], POSE)


@pytest.mark.parametrize(('newest_s', 'waits'), [(None, False), (8, False), (10, True)])
def test_after_a_wait_in_vain_it_waits_while_tf_follows_the_stamps(tf, newest_s, waits):
    transforms, stamp_ns = LiveTransforms(None), 10 * 10**9 + 5
    transforms.follow()
    with pytest.raises(FrameUnknownError, match='base_link does not exist'):
        transforms.lookup('camera', 'base_link', stamp_ns)
    tf.newest_s = newest_s
    tf.asked.clear()
    with pytest.raises(FrameUnknownError):
        transforms.lookup('camera', 'base_link', stamp_ns)
    assert (len(tf.asked) > 1) == waits

"""Messages to the predictor's data and back, by hand-computed values."""

import array
import math

from geometry_msgs.msg import Point, Pose, PoseArray, Quaternion
from moss_perception.core.errors import CandidateError, ConfigError
from moss_perception.core.scores import (
    GraspScores,
    Prediction,
    read_scores,
    SCORE_DTYPE,
    ScoreReason,
)
from moss_perception.ros.common import conversions
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image, RegionOfInterest

NAN = float('nan')


def poses(*given, stamp_ns=7, frame_id='camera') -> PoseArray:
    return PoseArray(header=conversions.header(stamp_ns, frame_id), poses=[
        Pose(position=Point(x=p[0], y=p[1], z=p[2]),
             orientation=Quaternion(x=q[0], y=q[1], z=q[2], w=q[3])) for p, q in given])


def info(**changes) -> CameraInfo:
    values = {'width': 64, 'height': 48, 'distortion_model': 'plumb_bob', 'd': [0.0] * 5,
              'k': [50.0, 0.0, 31.5, 0.0, 51.0, 23.5, 0.0, 0.0, 1.0]}
    return CameraInfo(**{**values, **changes})


def prediction(count: int = 0, **changes) -> Prediction:
    values = {
        'stamp_ns': 1_500_000_001, 'frame_id': 'camera', 'score': 0.75, 'uncertainty': 0.125,
        'default_point': np.array([0.0, 0.5, 1.0]),
        'default_orientation': np.array([0.0, 0.0, 0.6, 0.8]),
        'candidates_stamp_ns': 2_000_000_003,
        'points': np.arange(3.0 * count).reshape(-1, 3),
        'orientations': np.tile([0.0, 0.0, 0.0, 1.0], (count, 1)),
        'reasons': np.zeros(count, np.uint8),
        'pixels': np.zeros((count, 2)), 'scores': np.full(count, 0.5),
        'uncertainties': np.full(count, 0.25), 'motion_features': np.zeros((2, 3, 4), np.float32),
        'size': (4, 6), 'source': np.zeros((4, 6, 3), np.uint8)}
    return Prediction(**{**values, **changes})


def test_stamps_keep_every_nanosecond():
    stamp_ns = 1_700_000_000_123_456_789
    stamp = conversions.ns_to_stamp(stamp_ns)
    assert (stamp.sec, stamp.nanosec) == (1_700_000_000, 123_456_789)
    assert conversions.stamp_to_ns(stamp) == stamp_ns


def test_a_frame_keeps_the_message():
    message = Image(header=conversions.header(3_000_000_004, 'camera'))
    frame = conversions.to_frame(message)
    assert (frame.stamp_ns, frame.frame_id) == (3_000_000_004, 'camera')
    assert frame.image is message


def test_a_camera_is_read():
    camera = conversions.to_camera(info(d=[0.1, 0.0, 0.0, 0.0, 0.0]))
    assert (camera.width, camera.height, camera.model) == (64, 48, 'plumb_bob')
    assert camera.matrix.tolist() == [[50, 0, 31.5], [0, 51, 23.5], [0, 0, 1]]
    assert camera.distortion[0] == 0.1
    assert (camera.image_size, camera.binning) == ((64, 48), (1, 1))


def test_the_binning_and_the_region_of_interest_of_a_camera_are_read():
    message = info(binning_x=2, binning_y=3)
    message.roi = RegionOfInterest(x_offset=4, y_offset=6, width=40, height=30)
    camera = conversions.to_camera(message)
    assert (camera.region, camera.binning) == ((4, 6, 40, 30), (2, 3))
    assert camera.image_size == (20, 10)


@pytest.mark.parametrize(('changes', 'words'), [
    ({'k': [0.0] * 9}, 'not calibrated'),
    ({'k': [NAN] * 9}, 'not calibrated'),
    ({'k': [-50.0, 0.0, 31.5, 0.0, 51.0, 23.5, 0.0, 0.0, 1.0]}, r'K\[0\] is -50'),
    ({'k': [50.0, 0.0, 31.5, 0.0, 0.0, 23.5, 0.0, 0.0, 1.0]}, r'K\[4\] is 0'),
    ({'k': [50.0, 0.0, 31.5, 0.0, 51.0, 23.5, 0.0, 0.0, 0.0]}, 'last row of 0, 0, 1'),
    ({'k': [50.0, 0.0, 31.5, 0.0, 51.0, 23.5, 0.0, 0.1, 1.0]}, 'last row of 0, 0, 1'),
    ({'k': [50.0, 0.0, NAN, 0.0, 51.0, 23.5, 0.0, 0.0, 1.0]}, 'finite numbers'),
    ({'k': [50.0, 50.0, 31.5, 51.0, 51.0, 23.5, 0.0, 0.0, 1.0]}, 'an inverse'),
    ({'distortion_model': 'bent'}, "'bent'"),
    ({'d': [0.1, 0.2]}, r'\[0.1, 0.2\]'),
    ({'d': [NAN] * 5}, 'finite'),
    ({'distortion_model': 'equidistant'}, 'equidistant'),
])
def test_a_camera_that_cannot_be_used_is_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        conversions.to_camera(info(**changes))


HALF = math.sqrt(0.5)


@pytest.mark.parametrize(('rotation', 'yaw'), [
    ((0.0, 0.0, 0.0, 1.0), 0.0),
    ((0.0, 0.0, HALF, HALF), math.pi / 2),
    ((0.0, 0.0, math.sin(-0.2), math.cos(-0.2)), -0.4),
    # Half a turn about x leaves the closing direction as it is.
    ((1.0, 0.0, 0.0, 0.0), 0.0),
    # A quarter turn about z, then a tilt of 60 degrees about the image's x axis: still along y.
    ((0.5 * HALF, -0.5 * HALF, math.sqrt(0.75) * HALF, math.sqrt(0.75) * HALF), math.pi / 2),
])
def test_yaw_is_the_closing_direction_in_the_image_plane(rotation, yaw):
    candidates = conversions.to_candidates(poses(((0.0, 0.0, 1.0), rotation)))
    # The same grasp for yaw and yaw + pi.
    assert math.sin(candidates.yaws[0] - yaw) == pytest.approx(0, abs=1e-7)


def test_candidates_keep_their_order():
    upright = (0.0, 0.0, 0.0, 1.0)
    candidates = conversions.to_candidates(
        poses(((1.0, 2.0, 3.0), upright), ((4.0, 5.0, 6.0), upright)))
    assert candidates.positions.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert (candidates.stamp_ns, candidates.frame_id) == (7, 'camera')


def test_no_candidates_are_candidates():
    candidates = conversions.to_candidates(poses())
    assert candidates.positions.shape == (0, 3) and candidates.yaws.shape == (0,)


def test_candidates_keep_their_orientations():
    candidates = conversions.to_candidates(poses(((0.0, 0.0, 1.0), (0.5, -0.5, 0.5, 0.5))))
    assert candidates.orientations.tolist() == [[0.5, -0.5, 0.5, 0.5]]
    assert candidates.problem() == ''


@pytest.mark.parametrize(('position', 'rotation'), [
    ((NAN, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0)),
    ((0.0, math.inf, 1.0), (0.0, 0.0, 0.0, 1.0)),
    ((0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 0.0)),
    ((0.0, 0.0, 1.0), (0.0, NAN, 0.0, 1.0)),
    ((0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 2.0)),
])
def test_one_bad_pose_does_not_spoil_the_others(position, rotation):
    good = ((0.0, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0))
    candidates = conversions.to_candidates(poses(good, (position, rotation), good))
    assert candidates.valid.tolist() == [True, False, True]
    assert candidates.problem().startswith("1 of 3 candidates can't be scored: candidate 1 has")
    assert 'unit quaternion' in candidates.problem()


def test_candidates_without_a_stamp_are_refused():
    with pytest.raises(CandidateError, match='stamp above 0'):
        conversions.to_candidates(poses(stamp_ns=0))


def test_the_cloud_has_a_point_for_each_candidate_and_the_default_grasp():
    cloud = conversions.scores_to_cloud(prediction(
        2, scores=np.array([0.5, NAN]), uncertainties=np.array([0.25, NAN]),
        orientations=np.array([[0, 0, 0, 1.0], [0.6, 0, 0, 0.8]]),
        reasons=np.array([0, ScoreReason.BEHIND_CAMERA], np.uint8)))
    assert (cloud.height, cloud.width, cloud.row_step) == (1, 3, 3 * cloud.point_step)
    assert [(f.name, f.datatype, f.count) for f in cloud.fields] == [
        *((name, 7, 1) for name in SCORE_DTYPE.names[:9]),
        ('candidate', 5, 1), ('reason', 2, 1), ('candidates_sec', 5, 1),
        ('candidates_nanosec', 6, 1), ('lead_time', 7, 1)]
    assert cloud.is_dense is False
    np.testing.assert_equal(read_scores(cloud).tolist(), np.array([
        (0, 1, 2, 0, 0, 0, 1, 0.5, 0.25, 0, 0, 2, 3, NAN),
        (3, 4, 5, 0.6, 0, 0, 0.8, NAN, NAN, 1, ScoreReason.BEHIND_CAMERA, 2, 3,
         NAN),
        (0, 0.5, 1, 0, 0, 0.6, 0.8, 0.75, 0.125, -1, 0, 0, 0, NAN)], SCORE_DTYPE).tolist())
    assert conversions.stamp_to_ns(cloud.header.stamp) == 1_500_000_001


def test_each_point_has_the_lead_time_at_which_it_was_scored():
    cloud = conversions.scores_to_cloud(prediction(
        2, lead_times=np.array([0.5, 0.25]), lead_time=0.75))
    assert read_scores(cloud)['lead_time'].tolist() == [0.5, 0.25, 0.75]


def test_lead_times_are_read_as_they_were_written():
    cloud = conversions.lead_times_to_cloud(1_500_000_001, 'camera', np.array([0.5, 0.0]))
    found = conversions.to_lead_times(cloud)
    assert (found.stamp_ns, found.frame_id) == (1_500_000_001, 'camera')
    assert found.values.tolist() == [0.5, 0.0]


@pytest.mark.parametrize(('values', 'words'), [
    ([0.5, -0.1], r'lead time -0.1 s of candidate 1 is not allowed: expected .* 0 or more'),
    ([NAN], 'lead time nan s of candidate 0'), ([math.inf], 'lead time inf s of candidate 0')])
def test_impossible_lead_times_are_refused(values, words):
    with pytest.raises(CandidateError, match=words):
        conversions.to_lead_times(conversions.lead_times_to_cloud(1, 'camera', np.array(values)))


def test_lead_times_without_a_stamp_or_their_field_are_refused():
    with pytest.raises(CandidateError, match='lead times need a stamp above 0, got 0'):
        conversions.to_lead_times(conversions.lead_times_to_cloud(0, 'camera', np.zeros(1)))
    cloud = conversions.lead_times_to_cloud(1, 'camera', np.zeros(1))
    cloud.fields[0].name = 'time'
    with pytest.raises(CandidateError, match='lacks the fields lead_time; it has time'):
        conversions.to_lead_times(cloud)


def test_the_cloud_has_the_default_grasp_without_candidates():
    cloud = conversions.scores_to_cloud(prediction(candidates_stamp_ns=0))
    scores = GraspScores.of(read_scores(cloud))
    assert len(scores.candidates) == 0
    assert (scores.default['y'], scores.default['score']) == (0.5, 0.75)
    assert cloud.is_dense is True
    unknown = conversions.scores_to_cloud(prediction(default_point=np.full(3, NAN)))
    assert unknown.is_dense is False and read_scores(unknown)['score'][0] == 0.75


def test_a_position_beyond_float32_can_be_published():
    cloud = conversions.scores_to_cloud(prediction(
        1, points=np.array([[1e300, 0, 1]]), scores=np.array([NAN]),
        uncertainties=np.array([NAN]), reasons=np.array([ScoreReason.OUTSIDE_IMAGE], np.uint8)))
    assert read_scores(cloud)['x'][0] == math.inf


def test_features_are_rows_of_pixels_of_floats():
    features = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    image = conversions.features_to_image(prediction(motion_features=features))
    assert (image.encoding, image.height, image.width, image.step) == ('32FC4', 2, 3, 48)
    assert isinstance(image.data, array.array)
    np.testing.assert_array_equal(np.frombuffer(image.data, '<f4').reshape(2, 3, 4), features)


def test_an_rgb_image_may_be_a_view():
    pixels = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)[:, ::-1]
    image = conversions.rgb_to_image(pixels, 5, 'camera')
    assert (image.encoding, image.step) == ('rgb8', 18)
    assert bytes(image.data) == pixels.tobytes()


def test_values_are_words():
    message = conversions.status('node', conversions.WARN, 'text', {'a': 1, 'b': 0.5, 'c': 'x'})
    assert [(v.key, v.value) for v in message.values] == [('a', '1'), ('b', '0.500'), ('c', 'x')]
    assert message.level == conversions.WARN

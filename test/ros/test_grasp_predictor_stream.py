"""What grasp_predictor makes of a stream, over the real middleware."""

import math

from geometry_msgs.msg import Pose, PoseArray, PoseStamped
from moss_perception.core.scores import GraspScores, read_scores, SCORE_DTYPE, ScoreReason
from moss_perception.ros.common import conversions
from moss_perception.ros.predictor.overlay import SELECTED
from moss_perception.ros.predictor.topics import PROCESSED_QOS
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger
from visualization_msgs.msg import MarkerArray

pytestmark = pytest.mark.timeout(120)
START, PERIOD, WINDOW = 10**9, 10**8, 16
GROUND = np.random.default_rng(5).integers(0, 255, (24, 32, 3), np.uint8)


def image(index: float, frame_id: str = 'camera') -> Image:
    """Return the image of sample number ``index``."""
    stamp_ns = START + round(index * PERIOD)
    return conversions.rgb_to_image(np.roll(GROUND, int(index), axis=1), stamp_ns, frame_id)


def camera_info(width: int = 32, height: int = 24) -> CameraInfo:
    return CameraInfo(
        header=conversions.header(START, 'camera'), width=width, height=height,
        k=[30.0, 0.0, 15.5, 0.0, 30.0, 11.5, 0.0, 0.0, 1.0], d=[0.0] * 5,
        distortion_model='plumb_bob')


def candidates(*positions, frame_id: str = 'camera', yaws=None) -> PoseArray:
    message = PoseArray(header=conversions.header(START, frame_id))
    for position, yaw in zip(positions, yaws or [0.0] * len(positions), strict=True):
        pose = Pose()
        # rclpy takes an int for a float64 field, and sends 0.
        pose.position.x, pose.position.y, pose.position.z = map(float, position)
        pose.orientation.z, pose.orientation.w = math.sin(yaw / 2), math.cos(yaw / 2)
        message.poses.append(pose)
    return message


def fill(stream, count: int = WINDOW) -> list[str]:
    """Send samples 0 to ``count`` - 1 and return what became of them."""
    stream.connect(image(0))
    return [stream.send(image(index)) for index in range(1, count)]


def scored_as(stream, message, topic: str, predicate, first: int = WINDOW):
    """Publish a message before each further frame until the scores fit; return them."""
    publisher = stream.publisher(type(message), topic)
    for index in range(first, first + 30):
        publisher.publish(message)
        seen = len(stream.scores)
        assert stream.send(image(index)) == 'scored'
        scores = wait_scores(stream, seen)
        if predicate(scores):
            return scores
    raise AssertionError(f'no fitting scores, last {scores}')


def wait_scores(stream, seen: int):
    stream.wait_for(lambda: len(stream.scores) > seen, 5, 'scores')
    return stream.scores[-1]


def test_nothing_is_published_before_the_window_is_full(stream):
    assert fill(stream, WINDOW - 1) == ['stored'] * (WINDOW - 2)
    assert stream.scores == []
    assert stream.send(image(WINDOW - 1)) == 'scored'
    cloud = wait_scores(stream, 0)
    assert cloud.header == image(WINDOW - 1).header
    stream.wait_for(lambda: stream.score, 5, 'score')
    assert len(stream.scores) == len(stream.score) == 1


def test_each_image_is_processed_and_those_between_samples_are_skipped(stream):
    stream.connect(image(0))
    fates = [stream.send(image(index / 2)) for index in range(1, 9)]
    assert fates == ['skipped', 'stored'] * 4


def test_without_camera_info_only_the_default_point_is_scored(stream):
    fill(stream)
    cloud = wait_scores(stream, 0)
    scores = read_scores(cloud)
    assert (cloud.height, cloud.width, cloud.is_dense) == (1, 1, False)
    assert (scores['candidate'][0], scores['reason'][0]) == (-1, ScoreReason.SCORED)
    assert np.isnan([scores['x'][0], scores['y'][0], scores['z'][0]]).all()
    assert 0 < scores['score'][0] < 1 and 0 <= scores['uncertainty'][0] <= 0.5
    stream.wait_for(lambda: stream.score, 5, 'score')
    assert stream.score[-1].data == pytest.approx(scores['score'][0])


def test_with_camera_info_the_default_point_has_a_place(stream):
    fill(stream)
    cloud = scored_as(stream, camera_info(), '/camera_info', lambda cloud: cloud.is_dense)
    scores = read_scores(cloud)
    # The default point is the image's centre, 0.6 m away: on the optical axis of this camera.
    np.testing.assert_allclose([scores['x'][0], scores['y'][0], scores['z'][0]], [0, 0, 0.6],
                               atol=1e-6)


def test_candidates_are_scored_in_order_and_nan_where_not_seen(stream):
    fill(stream)
    scored_as(stream, camera_info(), '/camera_info', lambda cloud: cloud.is_dense)
    message = candidates((0.05, 0, 0.6), (9, 0, 0.6), (-0.05, 0.02, 0.5), (0.05, 0, -0.6),
                         yaws=[0, 0, 1.5, 0])
    cloud = scored_as(stream, message, '/grasp_candidates', lambda c: c.width == 5, first=50)
    split = GraspScores.of(read_scores(cloud))
    scores = split.candidates
    assert tuple(f.name for f in cloud.fields) == SCORE_DTYPE.names
    assert split.candidates_stamp_ns == START
    assert 0 < split.default['score'] < 1
    assert cloud.is_dense is False
    np.testing.assert_allclose(scores['x'], [0.05, 9, -0.05, 0.05], rtol=1e-6)
    assert np.isnan(scores['score']).tolist() == [False, True, False, True]
    assert np.isnan(scores['uncertainty']).tolist() == [False, True, False, True]
    assert scores['reason'].tolist() == [
        ScoreReason.SCORED, ScoreReason.OUTSIDE_IMAGE, ScoreReason.SCORED,
        ScoreReason.BEHIND_CAMERA]
    np.testing.assert_allclose(
        split.orientations[2], [0, 0, math.sin(0.75), math.cos(0.75)], rtol=1e-6)


def test_scores_are_those_of_the_predictor_that_evaluation_drives(stream, tiny_checkpoint):
    fill(stream, WINDOW + 4)
    stream.wait_for(lambda: len(stream.scores) == 5, 5, 'scores')
    predictor = Predictor.load(str(tiny_checkpoint))
    pushed = [predictor.push(conversions.to_frame(image(index))) for index in range(WINDOW + 4)]
    expected = [prediction.score for prediction in pushed if prediction]
    published = [read_scores(cloud)['score'][0] for cloud in stream.scores]
    # The same arithmetic, but for the number of threads, and float32 in the message.
    np.testing.assert_allclose(published, expected, rtol=1e-5)
    assert len(set(published)) == 5


def test_two_grasps_at_one_point_differ_by_depth_and_yaw(stream):
    fill(stream)
    scored_as(stream, camera_info(), '/camera_info', lambda cloud: cloud.is_dense)
    message = candidates((0.02, 0.02, 0.4), (0.02, 0.02, 0.4), (0.03, 0.03, 0.6),
                         yaws=[0, math.pi / 2, 0])
    cloud = scored_as(stream, message, '/grasp_candidates', lambda c: c.width == 4, first=50)
    assert len(set(read_scores(cloud)['score'][:3].tolist())) == 3


def test_candidates_of_another_frame_get_no_score_and_a_warning(stream):
    fill(stream)
    scored_as(stream, camera_info(), '/camera_info', lambda cloud: cloud.is_dense)
    foreign = candidates((0, 0, 0.6), (0.05, 0, 0.6), frame_id='base_link')
    cloud = scored_as(stream, foreign, '/grasp_candidates', lambda c: c.width == 3, first=50)
    scores = GraspScores.of(read_scores(cloud))
    assert scores.candidates['reason'].tolist() == [ScoreReason.FRAME_UNKNOWN] * 2
    assert np.isnan(scores.candidates['score']).all() and np.isnan(scores.positions).all()
    assert "candidates in frame 'base_link' get no score" in stream.process.output()
    stream.status(lambda _, values: int(values.get('unscored/frame_unknown', 0)) >= 2)


def test_a_refused_set_retires_the_one_before(stream):
    fill(stream)
    scored_as(stream, camera_info(), '/camera_info', lambda cloud: cloud.is_dense)
    scored_as(stream, candidates((0, 0, 0.6)), '/grasp_candidates', lambda c: c.width == 2,
              first=50)
    unstamped = candidates((0.05, 0, 0.6))
    unstamped.header.stamp.sec = 0
    scored_as(stream, unstamped, '/grasp_candidates', lambda c: c.width == 1, first=80)
    assert 'stamp above 0' in stream.process.output()


def test_motion_features_are_an_image_of_floats(stream):
    fill(stream, WINDOW + 1)
    stream.wait_for(lambda: stream.features, 5, 'features')
    features = stream.features[-1]
    depth = 12
    assert (features.encoding, features.height, features.width) == (f'32FC{depth}', 4, 4)
    assert features.step == 4 * 4 * depth
    values = np.frombuffer(features.data, np.float32)
    assert values.size == 4 * 4 * depth and np.isfinite(values).all() and values.any()
    assert features.header.frame_id == 'camera'


def test_debug_image_is_drawn_while_someone_subscribes(stream):
    fill(stream)
    heard = stream.peer.listen(Image, f'{stream.name}/debug_image')
    index = iter(range(WINDOW, WINDOW + 30))

    def drawn():
        stream.send(image(next(index)))
        return heard
    stream.wait_for(drawn, 10, 'debug image')
    assert heard[0].encoding == 'rgb8' and len(heard[0].data) == heard[0].step * heard[0].height


def test_the_debug_image_marks_what_a_planner_has_selected(stream):
    fill(stream)
    heard = stream.peer.listen(Image, f'{stream.name}/debug_image')
    info = stream.publisher(CameraInfo, '/camera_info')
    proposed = stream.publisher(PoseArray, '/grasp_candidates')
    # The node subscribes to selections once it knows that somebody watches.
    selected = stream.publisher(PoseStamped, '/selected_grasp')
    poses, index = candidates((0.0, 0.0, 0.5), (0.1, 0.0, 0.5)), iter(range(WINDOW, WINDOW + 200))

    def marked():
        info.publish(camera_info())
        proposed.publish(poses)
        at = next(index)
        selected.publish(PoseStamped(header=image(at - 1).header, pose=poses.poses[1]))
        stream.send(image(at))
        return any(shows_selected(one) for one in heard)
    stream.wait_for(marked, 20, 'a selected candidate')


def shows_selected(message) -> bool:
    shown = np.frombuffer(message.data, np.uint8).reshape(message.height, message.width, 3)
    return (shown == SELECTED).all(axis=2).sum() > 20


def test_markers_come_while_someone_subscribes_with_the_stamp_of_the_scores(stream):
    fill(stream)
    heard = stream.peer.listen(MarkerArray, f'{stream.name}/grasp_markers')
    info = stream.publisher(CameraInfo, '/camera_info')
    proposed = stream.publisher(PoseArray, '/grasp_candidates')
    index = iter(range(WINDOW, WINDOW + 200))

    def drawn():
        info.publish(camera_info())
        proposed.publish(candidates((0.0, 0.0, 0.5), (5.0, 0.0, 0.5)))
        stream.send(image(next(index)))
        return [one for one in heard if len(one.markers) == 5 and 'best' in one.markers[2].text]
    array = stream.wait_for(drawn, 20, 'markers of two candidates')[0]
    assert [marker.text for marker in array.markers[2::2]][1] == '1: outside image'
    assert {str(marker.header) for marker in array.markers} & {
        str(one.header) for one in stream.scores}


def test_stamps_going_backwards_reset_the_window(stream):
    fill(stream, WINDOW + 2)
    again = [stream.send(image(index)) for index in range(WINDOW)]
    assert again == ['stored'] * (WINDOW - 1) + ['scored']
    _, values = stream.status()
    assert values['resets/stamp_backwards'] == '1'


@pytest.mark.parametrize('reason', ['frame_id', 'resolution', 'gap'])
def test_another_camera_or_a_gap_resets_the_window(stream, reason):
    fill(stream)
    other = image(WINDOW)
    if reason == 'frame_id':
        other.header.frame_id = 'other'
    elif reason == 'resolution':
        other = conversions.rgb_to_image(GROUND[:20], START + WINDOW * PERIOD, 'camera')
    else:
        other = image(WINDOW + 51)
    assert stream.send(other) == 'stored'
    _, values = stream.status()
    assert values[f'resets/{reason}'] == '1'
    assert f'window reset: {reason}' in stream.process.output()


def test_every_reset_is_logged(stream):
    before = stream.process.output().count('window reset: requested')
    for _ in range(3):
        stream.peer.call(Trigger, f'{stream.name}/reset', Trigger.Request())
    stream.wait_for(
        lambda: stream.process.output().count('window reset: requested') == before + 3, 10.0)


def test_reset_service_forgets_the_window(stream):
    fill(stream)
    response = stream.peer.call(Trigger, f'{stream.name}/reset', Trigger.Request())
    assert response.success
    assert stream.send(image(WINDOW)) == 'stored'
    _, values = stream.status()
    assert values['resets/requested'] == '1' and values['window_fill'] == '1/16'


def test_enable_false_skips_images_and_true_begins_anew(stream):
    fill(stream)
    call = stream.peer.call
    before = int(stream.status()[1]['skipped'])
    assert call(SetBool, f'{stream.name}/enable', SetBool.Request(data=False)).success
    try:
        assert stream.send(image(WINDOW)) == 'skipped'
        stream.status(lambda status, values: status.message == 'paused by ~/enable'
                      and int(values['skipped']) == before + 1)
    finally:
        assert call(SetBool, f'{stream.name}/enable', SetBool.Request(data=True)).success
    assert stream.send(image(WINDOW + 1)) == 'stored'


def test_stride_publishes_every_nth_sample(stream):
    assert stream.peer.set(stream.name, stride=3)[0].successful
    try:
        fates = fill(stream, WINDOW + 6)[WINDOW - 2:]
    finally:
        stream.peer.set(stream.name, stride=1)
    assert fates == ['scored', 'stored', 'stored'] * 2 + ['scored']


def test_orders_can_be_lowered_while_running(stream):
    fill(stream)
    refused, = stream.peer.set(stream.name, budget=[1, 2, 3, 4])
    assert not refused.successful and "expected 'auto', '1', '1,2', '1,2,3'" in refused.reason
    assert stream.peer.set(stream.name, budget=[1])[0].successful
    try:
        assert stream.send(image(WINDOW)) == 'scored'
        assert stream.send(image(WINDOW + 1)) == 'scored'
        _, values = stream.status(lambda _, v: v['budget_level'] == '1')
    finally:
        assert stream.peer.set(stream.name, budget='auto')[0].successful


def test_a_burst_drops_the_oldest_and_scores_the_newest(stream):
    fill(stream)
    before = int(stream.status()[1]['frames'])
    publisher = stream.publisher(Image, '/image')
    burst = [image(WINDOW + i) for i in range(40)]
    stream.processed.clear()
    for message in burst:
        publisher.publish(message)
    stream.wait_for(lambda: len(stream.processed) >= len(burst), 10, 'fates')
    fates = {conversions.stamp_to_ns(h.stamp): h.frame_id for h in stream.processed}
    assert sorted(fates) == [conversions.stamp_to_ns(m.header.stamp) for m in burst]
    _, values = stream.status(lambda _, v: int(v['frames']) == before + 40)
    dropped = int(values['dropped'])
    assert dropped > 0
    assert list(fates.values()).count('skipped') == dropped
    assert fates[max(fates)] == 'scored'
    assert int(values['missing']) == dropped


def test_who_comes_late_still_hears_what_became_of_every_image(stream):
    fates = fill(stream)
    name = f'{stream.name}/processed'
    heard = []
    late = stream.peer.node.create_subscription(Header, name, heard.append, PROCESSED_QOS)
    try:
        stream.wait_for(lambda: [h.frame_id for h in heard[-len(fates):]] == fates, 10, 'fates')
    finally:
        stream.peer.node.destroy_subscription(late)

"""Recordings of other people's cameras and frames score as they should, or say why not."""

from bag_factory import kind as new
from calibrations import write_calibration
import cv2
from moss_perception.core.cameras import CameraSetup
from moss_perception.core.scores import ScoreReason
from moss_perception.core.transforms import Transform
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.evaluation.replay import replay
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest
from rewritten import rewrite

START_NS = 1_700_000_000_000_000_000
MATRIX = np.array([[40.0, 0, 20], [0, 40.0, 20], [0, 0, 1]])
GRASPS = np.array([[0.01, 0.0, 0.5, 0.3], [-0.05, 0.01, 0.6, 1.2], [0.0, 0.05, 0.5, 0.0]])
BASE_IN_CAMERA = Transform(np.array([0.1, -0.2, 0.6]), np.array([0.8, 0.36, -0.48, 0.0]))
TF = 'tf2_msgs/msg/TFMessage'


@pytest.fixture(scope='module')
def predictor(tiny_checkpoint):
    return Predictor.load(str(tiny_checkpoint), threads=1)


def scores(path, predictor, **options):
    """Return the record of a replay, and the candidates' scores and reasons, frame by frame."""
    found, reasons = [], set()

    def take(prediction):
        found.extend(prediction.scores)
        reasons.update(ScoreReason(x) for x in prediction.reasons)
    record = replay(path, predictor, on_prediction=take, **options)
    return record, np.array(found), reasons


@pytest.fixture(scope='module')
def source(tmp_path_factory):
    """Return a recording of one attempt."""
    path, rng = tmp_path_factory.mktemp('source') / 'bag', np.random.default_rng(5)
    with RecordingWriter(path) as writer:
        for index in range(24):
            stamp_ns = START_NS + index * 100_000_000
            writer.camera_info(stamp_ns, 40, 40, MATRIX)
            writer.candidates(stamp_ns, GRASPS)
            image = rng.integers(0, 256, (40, 40, 3), np.uint8)
            writer.image(stamp_ns, cv2.imencode('.png', image)[1].tobytes())
            if index == 20:
                writer.selected(stamp_ns, GRASPS[1])
        writer.outcome('held', attempt=1, start_ns=START_NS, decision_ns=START_NS + 2 * 10**9,
                       end_ns=stamp_ns, success=True, domain='real', motion='', object='box')
    return path


@pytest.fixture(scope='module')
def reference(source, predictor):
    record, found, reasons = scores(source, predictor)
    assert np.isfinite(record.attempts[0].scores).all() and len(found) == 9 * len(GRASPS)
    assert reasons == {ScoreReason.SCORED} and len(np.unique(found)) > 9
    return record, found


def assert_same(record, found, reference, atol=0.0):
    np.testing.assert_allclose(found, reference[1], atol=atol, rtol=0)
    for ours, theirs in zip(record.attempts, reference[0].attempts, strict=True):
        assert ours.source == theirs.source == 'executed'
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=atol, rtol=0)


def test_the_calibration_of_the_whole_sensor_scores_binned_images_as_their_own_does(
        tmp_path, source, predictor, reference):
    def change(topic, kind, ns, message):
        if kind.endswith('CameraInfo'):
            message.width, message.height = 80, 80
            message.binning_x = message.binning_y = 2
            message.k = message.k.copy()
            message.k[[0, 4]] *= 2
            message.k[[2, 5]] = 2 * message.k[[2, 5]] + 0.5
        yield topic, kind, ns, message
    record, found, _ = scores(rewrite(source, tmp_path / 'bag', change), predictor)
    # The larger matrix rounds differently.
    assert_same(record, found, reference, atol=1e-6)


def test_a_calibration_in_a_file_scores_as_that_of_a_topic_and_takes_its_place(
        tmp_path, source, predictor, reference):
    path = write_calibration(tmp_path / 'cal.yaml', (40, 40), 40.0, ())
    setup = CameraSetup.of(calibration=path)

    def without(topic, kind, ns, message):
        if not kind.endswith('CameraInfo'):
            yield topic, kind, ns, message

    def wrong(topic, kind, ns, message):
        if kind.endswith('CameraInfo'):
            message.k = message.k * [2, 1, 1, 1, 2, 1, 1, 1, 1]
        yield topic, kind, ns, message
    bags = [rewrite(source, tmp_path / one.__name__, one) for one in (without, wrong)]
    for bag in bags:
        record, found, _ = scores(bag, predictor, setup=setup)
        assert_same(record, found, reference)
        assert not [x for x in (*record.notes, *record.warnings) if 'calibration' in x]
    record, _, reasons = scores(bags[0], predictor)
    assert reasons == {ScoreReason.NO_CALIBRATION}
    assert any('there is no camera calibration' in x for x in record.notes)


def test_a_grasp_86_degrees_off_a_fisheyes_axis_has_no_score_and_the_reason(
        tmp_path, source, predictor):
    angle = np.radians(86)

    def change(topic, kind, ns, message):
        if kind.endswith('CameraInfo'):
            message.distortion_model = 'equidistant'
            message.d = np.array([-0.06940178268945467, -0.05259276838826166,
                                  0.060392401913685174, -0.03652503468416535])
            message.k = np.array([25.0, 0, 20, 0, 25, 20, 0, 0, 1])
        if topic in ('/grasp_candidates', '/selected_grasp'):
            for pose in message.poses if topic == '/grasp_candidates' else [message.pose]:
                pose.position.x, pose.position.y = 0.6 * np.sin(angle), 0.0
                pose.position.z = 0.6 * np.cos(angle)
        yield topic, kind, ns, message
    record, found, reasons = scores(rewrite(source, tmp_path / 'bag', change), predictor)
    assert len(found) and np.isnan(found).all()
    assert reasons == {ScoreReason.BEYOND_LENS_MODEL}
    assert all(np.isnan(x.score) for x in record.attempts)


def test_a_finger_reaches_by_fx_along_x_and_by_fy_along_y(
        tmp_path, source, predictor, monkeypatch):
    """The image is half as wide, so a finger reaches half as many pixels along x alone."""
    rows, step = [], predictor.engine.step

    def watched(observation, grasps, *more):
        rows.append(grasps)
        return step(observation, grasps, *more)

    def change(topic, kind, ns, message):
        if kind.endswith('CameraInfo'):
            message.width, message.k = 20, message.k.copy()
            message.k[0] /= 2
            message.k[2] = (message.k[2] + 0.5) / 2 - 0.5
        if kind.endswith('CompressedImage'):
            small = cv2.resize(cv2.imdecode(message.data, 1), (20, 40))
            message.data = cv2.imencode('.png', small)[1].ravel()
        yield topic, kind, ns, message
    path = rewrite(source, tmp_path / 'bag', change)
    monkeypatch.setattr(predictor.engine, 'step', watched)
    replay(path, predictor)
    x, y, z, yaw = GRASPS.T
    reach = predictor.config.gripper_half_width_m / z
    # 40 rows are 2 units, and the 20 columns lie in the middle of the square.
    expected = np.column_stack([
        (20 * x / z + 9.75 + 0.5 + 10) / 20 - 1, (40 * y / z + 20.5) / 20 - 1, z,
        reach * 20 * np.cos(yaw) / 20, reach * 40 * np.sin(yaw) / 20])
    np.testing.assert_allclose(rows[-1][1:], expected, atol=1e-6)


def base_at(ns, moves):
    """Return the pose of base_link in the camera's frame; the robot drives along x."""
    driven = 0.05 * (ns - START_NS) / 1e9 if moves else 0.0
    return Transform(BASE_IN_CAMERA.position + [driven, 0, 0], BASE_IN_CAMERA.orientation)


def in_base(pose, base):
    """Write a pose of the camera's frame in base_link."""
    place, turn, back = pose.position, pose.orientation, base.inverse()
    place.x, place.y, place.z = back.points(np.array([[place.x, place.y, place.z]]))[0]
    turn.x, turn.y, turn.z, turn.w = back.orientations(
        np.array([[turn.x, turn.y, turn.z, turn.w]]))[0]


def edge(ns, parent, child, transform):
    """Write a message of tf with one transform."""
    header = new('std_msgs/msg/Header')(
        new('builtin_interfaces/msg/Time')(ns // 10**9, ns % 10**9), parent)
    return new(TF)([new('geometry_msgs/msg/TransformStamped')(
        header, child, new('geometry_msgs/msg/Transform')(
            new('geometry_msgs/msg/Vector3')(*transform.position.tolist()),
            new('geometry_msgs/msg/Quaternion')(*transform.orientation.tolist())))])


def robot(with_tf):
    """Return a change to candidates in base_link, with tf of its way if asked."""
    mount = Transform(np.array([0.05, 0, 0]), np.array([0.0, 0, 0, 1]))

    def change(topic, kind, ns, message):
        if topic in ('/grasp_candidates', '/selected_grasp'):
            message.header.frame_id = 'base_link'
            for pose in message.poses if topic == '/grasp_candidates' else [message.pose]:
                in_base(pose, base_at(ns, with_tf))
        if with_tf and kind.endswith('CameraInfo'):
            if ns == START_NS:
                yield '/tf_static', TF, ns, edge(ns, 'camera_optical_frame', 'mount', mount)
            # Never at the stamp of an image.
            for at_ns in (ns - 30_000_000, ns + 45_000_000):
                yield '/tf', TF, ns, edge(at_ns, 'mount', 'base_link',
                                          mount.inverse() @ base_at(at_ns, True))
        yield topic, kind, ns, message
    return change


def test_candidates_in_base_link_score_by_the_recorded_tf_as_those_of_the_camera(
        tmp_path, source, predictor, reference):
    record, found, _ = scores(rewrite(source, tmp_path / 'bag', robot(True)), predictor)
    assert_same(record, found, reference, atol=1e-4)
    assert not any('frame' in note for note in record.notes)


@pytest.mark.parametrize('frame', ['', 'base_link', '/base_link'])
def test_candidates_in_base_link_score_by_the_transform_that_the_user_gives(
        tmp_path, source, predictor, reference, frame):
    setup = CameraSetup.of('auto', frame, BASE_IN_CAMERA.numbers)
    path = rewrite(source, tmp_path / 'bag', robot(False))
    record, found, _ = scores(path, predictor, setup=setup)
    assert_same(record, found, reference, atol=1e-4)
    assert not any('frame' in note for note in record.notes)


@pytest.mark.parametrize(('setup', 'why'), [
    (None, "the recording has no transform from 'base_link' to 'camera_optical_frame': expected "
     '/tf or /tf_static'),
    (CameraSetup.of('auto', 'tool0', BASE_IN_CAMERA.numbers), 'the recording has no transform')])
def test_candidates_of_which_nobody_knows_where_they_are_have_no_score_and_the_reason(
        tmp_path, source, predictor, setup, why):
    path = rewrite(source, tmp_path / 'bag', robot(False))
    record, found, reasons = scores(path, predictor, setup=setup)
    assert len(found) and np.isnan(found).all() and reasons == {ScoreReason.FRAME_UNKNOWN}
    assert any("images are in frame 'camera_optical_frame' and their candidates in 'base_link'"
               in note and why in note for note in record.notes)


def test_a_recorded_transform_that_is_none_is_said(tmp_path, source, predictor):
    def change(topic, kind, ns, message):
        if kind.endswith('CameraInfo'):
            yield '/tf_static', TF, ns, edge(ns, 'camera_optical_frame', 'base_link', Transform(
                np.array([np.nan, 0, 0]), BASE_IN_CAMERA.orientation))
        yield from robot(False)(topic, kind, ns, message)
    notes = replay(rewrite(source, tmp_path / 'bag', change), predictor).notes
    assert any(note.startswith('24 transforms are not used: the transform from '
                               "'camera_optical_frame' to 'base_link'=[nan, 0, 0,")
               for note in notes)
    assert any("tf does not connect 'base_link' with 'camera_optical_frame'" in note
               for note in notes)


def test_rectified_images_are_scored_by_p(tmp_path, source, predictor, reference):
    def change(topic, kind, ns, message):
        topic = topic.replace('/image/compressed', '/image_rect/compressed')
        if kind.endswith('CameraInfo'):
            message.p = np.insert(message.k.reshape(3, 3), 3, 0.0, axis=1).ravel()
            message.k, message.d = message.k * [1.2, 1, 1, 1, 1.2, 1, 1, 1, 1], np.full(5, 0.1)
        yield topic, kind, ns, message
    path = rewrite(source, tmp_path / 'bag', change)
    assert_same(*scores(path, predictor)[:2], reference)
    other = scores(path, predictor, setup=CameraSetup.of('false'))[1]
    assert np.nanmax(np.abs(other - reference[1])) > 1e-4

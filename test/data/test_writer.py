"""Recordings as written, read back field by field."""

import math

from moss_perception.core.errors import BagError
from moss_perception.data.bags.reader import Recording
from moss_perception.data.bags.writer import RecordingWriter, TOPICS
import numpy as np
import pytest

START_NS = 1_700_000_000 * 10**9
STAMP_NS = START_NS + 123_456_789
MATRIX = np.array([[200.0, 0, 63.5], [0, 201.0, 62.5], [0, 0, 1]])
GRASPS = np.array([[0.01, -0.02, 0.57, 0.6], [0.03, 0.04, 0.58, -1.2]])


@pytest.fixture(params=['mcap', 'sqlite3'])
def recording(request, tmp_path):
    path = tmp_path / 'bag'
    with RecordingWriter(path, storage=request.param) as writer:
        writer.camera_info(STAMP_NS, 128, 96, MATRIX)
        writer.candidates(STAMP_NS, GRASPS)
        writer.image(STAMP_NS, b'\xff\xd8data\xff\xd9')
        writer.selected(STAMP_NS, GRASPS[1])
        writer.candidates(STAMP_NS + 10**8, np.empty((0, 4)))
        writer.outcome('held', attempt=3, start_ns=START_NS, decision_ns=STAMP_NS,
                       end_ns=STAMP_NS + 2 * 10**9, success=True, domain='sim',
                       motion='constant', object='box')
    with Recording(path) as opened:
        yield opened


def messages(recording, topic):
    return [recording.deserialize(raw, kind)
            for name, kind, _, raw in recording.messages() if name == topic]


def test_topics_types_and_order_are_the_contracts(recording):
    seen = list(recording.messages())
    assert {name: kind for name, kind, _, _ in seen} == TOPICS
    assert [name for name, _, _, _ in seen] == [
        '/camera_info', '/grasp_candidates', '/image/compressed', '/selected_grasp',
        '/grasp_candidates', '/grasp_outcome']
    assert [stamp for _, _, stamp, _ in seen] == [STAMP_NS] * 4 + [
        STAMP_NS + 10**8, STAMP_NS + 2 * 10**9]


def test_headers_carry_stamp_and_frame(recording):
    for topic in TOPICS:
        header = messages(recording, topic)[0].header
        assert header.frame_id == 'camera_optical_frame'
    header = messages(recording, '/image/compressed')[0].header
    assert (header.stamp.sec, header.stamp.nanosec) == (1_700_000_000, 123_456_789)


def test_image_keeps_its_bytes(recording):
    (image,) = messages(recording, '/image/compressed')
    assert image.format == 'jpeg'
    assert bytes(image.data) == b'\xff\xd8data\xff\xd9'


def test_camera_info_describes_a_camera_without_distortion(recording):
    (info,) = messages(recording, '/camera_info')
    assert (info.width, info.height, info.distortion_model) == (128, 96, 'plumb_bob')
    np.testing.assert_array_equal(np.reshape(info.k, (3, 3)), MATRIX)
    np.testing.assert_array_equal(np.reshape(info.p, (3, 4))[:, :3], MATRIX)
    np.testing.assert_array_equal(np.reshape(info.r, (3, 3)), np.eye(3))
    np.testing.assert_array_equal(info.d, np.zeros(5))


def test_candidates_turn_about_the_optical_axis(recording):
    listed, none = messages(recording, '/grasp_candidates')
    for pose, grasp in zip(listed.poses, GRASPS, strict=True):
        assert (pose.position.x, pose.position.y, pose.position.z) == tuple(grasp[:3])
        turn = pose.orientation
        assert (turn.x, turn.y) == (0, 0)
        assert 2 * math.atan2(turn.z, turn.w) == pytest.approx(grasp[3])
    assert none.poses == []


def test_selected_grasp_equals_the_candidate_listed(recording):
    (selected,) = messages(recording, '/selected_grasp')
    listed = messages(recording, '/grasp_candidates')[0].poses[1]
    # As text: each message read back has classes of its own.
    assert repr(selected.pose) == repr(listed)


def test_outcome_keeps_every_field(recording):
    (array,) = messages(recording, '/grasp_outcome')
    (status,) = array.status
    assert (status.name, status.message) == ('attempt/3', 'held')
    assert {item.key: item.value for item in status.values} == {
        'attempt': '3', 'start': '1700000000.000000000', 'decision': '1700000000.123456789',
        'end': '1700000002.123456789', 'success': 'true', 'executed': 'true', 'domain': 'sim',
        'motion': 'constant', 'object': 'box'}
    (outcome,) = recording.outcomes()
    assert outcome.decision_ns == STAMP_NS
    assert outcome.success is True


def test_recording_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError, match='robot on fire'):
        with RecordingWriter(tmp_path / 'bag') as writer:
            writer.candidates(STAMP_NS, GRASPS)
            raise RuntimeError('robot on fire')
    assert list(tmp_path.iterdir()) == []


def test_recording_is_not_there_before_its_end(tmp_path):
    with RecordingWriter(tmp_path / 'bag') as writer:
        writer.candidates(STAMP_NS, GRASPS)
        assert not (tmp_path / 'bag').exists()
    assert [path.name for path in tmp_path.iterdir()] == ['bag']
    assert {path.name for path in (tmp_path / 'bag').iterdir()} == {'bag.mcap', 'metadata.yaml'}


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / 'bag').mkdir()
    with pytest.raises(BagError, match='exists already'):
        RecordingWriter(tmp_path / 'bag')


def test_unknown_storage_is_refused_by_name(tmp_path):
    with pytest.raises(BagError, match="'tape', expected mcap or sqlite3"):
        RecordingWriter(tmp_path / 'bag', storage='tape')


def test_place_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(BagError, match='could not write'):
        with RecordingWriter(tmp_path / 'file' / 'bag'):
            pass

"""Rigid transforms, against SciPy and by hand; and the tree of frames over time."""

from types import SimpleNamespace

from moss_perception.core.errors import ConfigError, FrameUnknownError
from moss_perception.core.transform_buffer import TransformBuffer
from moss_perception.core.transforms import IDENTITY, interpolate, parse_transform, Transform
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

HALF = np.sqrt(0.5)


def drawn(seed):
    rng = np.random.default_rng(seed)
    return Transform(rng.normal(size=3), Rotation.random(random_state=seed).as_quat())


def test_points_and_orientations_are_those_of_scipy():
    one, points = drawn(1), np.random.default_rng(3).normal(size=(5, 3))
    turns = Rotation.random(5, random_state=4)
    rotation = Rotation.from_quat(one.orientation)
    np.testing.assert_allclose(one.points(points), rotation.apply(points) + one.position)
    np.testing.assert_allclose(
        Rotation.from_quat(one.orientations(turns.as_quat())).as_matrix(),
        (rotation * turns).as_matrix(), atol=1e-12)


def test_transforms_chain_and_invert():
    one, two, points = drawn(1), drawn(2), np.random.default_rng(3).normal(size=(5, 3))
    np.testing.assert_allclose((one @ two).points(points), one.points(two.points(points)))
    np.testing.assert_allclose((one.inverse() @ one).points(points), points)


def test_a_pose_that_is_none_stays_none():
    bad = np.array([[np.nan, 0, 0, 1], [0, 0, 0, 2.0]])
    found = drawn(1).orientations(bad)
    assert np.isnan(found[0]).all() and np.linalg.norm(found[1]) == pytest.approx(2)


def test_half_way_between_two_transforms_is_half_the_shorter_turn():
    after = Transform(np.array([2.0, 0, 0]), -np.array([0, 0, HALF, HALF]))
    found = interpolate(IDENTITY, after, 0.5)
    assert found.position.tolist() == [1, 0, 0]
    np.testing.assert_allclose(Rotation.from_quat(found.orientation).as_rotvec(),
                               [0, 0, np.pi / 4])
    assert interpolate(IDENTITY, IDENTITY, 0.3).orientation.tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize('value', [
    [1, 0, 0.5, 0, 0, 0, 1], (1.0, 0, 0.5, 0, 0, 0, 1), '1 0 0.5 0 0 0 1', '1,0,0.5,0,0,0,1',
    np.array([1, 0, 0.5, 0, 0, 0, 1])])
def test_seven_numbers_are_a_transform(value):
    found = parse_transform(value)
    assert found.position.tolist() == [1, 0, 0.5] and found.orientation.tolist() == [0, 0, 0, 1]
    assert found.numbers == '1.0 0.0 0.5 0.0 0.0 0.0 1.0'


def test_a_rounded_quaternion_is_brought_to_unit_length():
    found = parse_transform([0, 0, 0, 0.71, 0, 0, 0.71])
    np.testing.assert_allclose(found.orientation, [HALF, 0, 0, HALF])


@pytest.mark.parametrize('value', ['', [], None, ()])
def test_nothing_is_no_transform(value):
    assert parse_transform(value) is None


@pytest.mark.parametrize(('value', 'words'), [
    ([0, 0, 0, 0, 0, 1], r'=\[0, 0, 0, 0, 0, 1\] is not allowed: expected seven finite numbers'),
    ([0] * 8, 'expected seven'), ([0, 0, np.nan, 0, 0, 0, 1], 'nan.*expected seven finite'),
    ([0, np.inf, 0, 0, 0, 0, 1], 'inf'), ([0, 0, 0, 0, 0, 0, 0], 'quaternion has the length 0,'),
    ([0, 0, 0, 0, 0, 1, 1], 'quaternion has the length 1.41, expected seven'),
    ([0, 0, 0, 0, 0, 0, np.nan], 'nan'), ('0 0 0 north', 'expected seven'), (0.5, '=0.5 is not'),
    (True, 'True'), ([True] * 7, 'expected seven'), ({'x': 1}, 'expected seven')])
def test_what_is_no_transform_is_refused_in_one_line(value, words):
    with pytest.raises(ConfigError, match=f'candidates_transform.*{words}') as raised:
        parse_transform(value)
    assert '\n' not in str(raised.value)


def tf(*edges):
    """Write a message of tf: parent, child, seconds, position and yaw of each."""
    return SimpleNamespace(transforms=[SimpleNamespace(
        header=SimpleNamespace(frame_id=parent, stamp=SimpleNamespace(
            sec=int(second), nanosec=round(second % 1 * 1e9))),
        child_frame_id=child, transform=SimpleNamespace(
            translation=SimpleNamespace(x=x, y=0.0, z=0.0),
            rotation=SimpleNamespace(x=0.0, y=0.0, z=np.sin(yaw / 2), w=np.cos(yaw / 2))))
        for parent, child, second, x, yaw in edges])


@pytest.fixture
def buffer():
    """Return base -> arm (moves) -> camera, base -> table, and an island."""
    buffer = TransformBuffer()
    assert not buffer.add(tf(('base', 'table', 0, 2.0, 0.0), ('/arm', '/camera', 0, 0.1, 0.0),
                             ('island', 'tree', 0, 0.0, 0.0)), True)
    for second, x, yaw in ((11, 1.0, np.pi / 2), (10, 0.0, 0.0), (12, 1.0, np.pi / 2)):
        assert not buffer.add(tf(('base', 'arm', second, x, yaw)), False)
    return buffer


def at(buffer, target, source, second):
    return buffer.lookup(target, source, round(second * 1e9))


def test_frames_are_found_up_and_down_the_tree_and_between_two_stamps(buffer):
    assert at(buffer, 'base', 'table', 99).position.tolist() == [2, 0, 0]
    assert at(buffer, 'camera', 'table', 10).position.tolist() == [1.9, 0, 0]
    found = at(buffer, 'base', 'camera', 10.5)
    np.testing.assert_allclose(found.position, [0.5 + 0.1 * HALF, 0.1 * HALF, 0])
    found = at(buffer, 'camera', 'table', 11)
    np.testing.assert_allclose(found.position, [-0.1, -1, 0], atol=1e-12)
    assert at(buffer, '/camera', 'camera', 5).position.tolist() == [0, 0, 0]


@pytest.mark.parametrize(('target', 'source', 'second', 'words'), [
    ('camera', 'table', 9.9, r"does not connect 'table' with 'camera' at 9.900 s: tf has 'arm' "
     r'from 10.000 s to 12.000 s, not at 9.900 s'),
    ('table', 'camera', 12.1, 'not at 12.100 s'),
    ('camera', 'tree', 11, "does not connect 'tree' with 'camera' at 11.000 s$"),
    ('camera', 'nowhere', 11, "'nowhere'")])
def test_what_tf_does_not_have_is_unknown_with_the_reason(buffer, target, source, second, words):
    with pytest.raises(FrameUnknownError, match=words):
        at(buffer, target, source, second)


def test_a_frame_that_moves_to_another_parent_stays_until_then(buffer):
    buffer.add(tf(('table', 'arm', 13, 7.0, 0.0)), False)
    np.testing.assert_allclose(at(buffer, 'base', 'arm', 12.9).position, [1, 0, 0])
    np.testing.assert_allclose(at(buffer, 'base', 'arm', 13).position, [9, 0, 0])


def test_frames_in_a_circle_end():
    buffer = TransformBuffer()
    buffer.add(tf(('a', 'b', 0, 1.0, 0.0), ('b', 'a', 0, 1.0, 0.0)), True)
    with pytest.raises(FrameUnknownError, match="'c'"):
        at(buffer, 'c', 'a', 1)


def test_a_recorded_transform_that_is_none_is_left_out_and_said(buffer):
    message = tf(('base', 'bad', 0, float('nan'), 0.0), ('base', 'base', 0, 0.0, 0.0),
                 ('base', 'good', 0, 3.0, 0.0))
    message.transforms.append(tf(('base', 'long', 0, 0.0, 0.0)).transforms[0])
    message.transforms[-1].transform.rotation.w = 3.0
    problems = buffer.add(message, True)
    assert [('bad' in problems[0], 'base' in problems[1], 'length 3' in problems[2])] == [
        (True, True, True)]
    assert at(buffer, 'base', 'good', 1).position.tolist() == [3, 0, 0]
    with pytest.raises(FrameUnknownError):
        at(buffer, 'base', 'bad', 1)

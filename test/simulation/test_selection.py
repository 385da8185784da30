"""Which selected grasps a live cell takes."""

import math

from moss_perception.simulation.camera import Mount
from moss_perception.simulation.equipment import MOUNT_HEIGHT_M
from moss_perception.simulation.selection import Selections
import numpy as np
import pytest

MOUNT = Mount((0.03, 0.0, MOUNT_HEIGHT_M), 0.2)
GRASP = np.array([0.05, -0.01, 0.02, 0.3])


@pytest.fixture
def selections():
    made = Selections('optical')
    made.open(1000, MOUNT)
    return made


def seen(grasp):
    return MOUNT.grasps_to_optical(np.asarray(grasp)[None])[0]


def test_the_first_grasp_is_taken_once_in_the_world_frame(selections):
    assert selections.offer(1000, 'optical', seen(GRASP)) is None
    assert selections.offer(1001, 'optical', seen(GRASP + 0.01)) is None
    taken = selections.take()
    assert taken.stamp_ns == 1000
    np.testing.assert_allclose(taken.grasp, GRASP, atol=1e-12)
    assert selections.take() is None
    assert selections.offer(1002, 'optical', seen(GRASP)) is None
    assert selections.repeated == 2
    assert selections.take() is None


def test_another_scene_takes_another_grasp(selections):
    selections.offer(1000, 'optical', seen(GRASP))
    selections.take()
    selections.close()
    selections.open(5000, MOUNT)
    assert selections.take() is None
    assert selections.offer(4999, 'optical', seen(GRASP)).reason == 'old'
    assert selections.offer(5000, 'optical', seen(GRASP)) is None
    assert selections.take().stamp_ns == 5000


def test_a_grasp_in_another_frame_is_refused_by_name(selections):
    refusal = selections.offer(1000, 'base_link', seen(GRASP))
    assert refusal.reason == 'frame'
    assert "'base_link': expected 'optical'" in refusal.message
    assert selections.take() is None


def test_a_grasp_between_two_scenes_is_refused(selections):
    selections.close()
    assert selections.offer(1000, 'optical', seen(GRASP)).reason == 'between_scenes'


def test_a_stamp_before_the_scene_is_refused_with_both_times(selections):
    selections.open(2_000_000_005, MOUNT)
    refusal = selections.offer(1_999_999_999, 'optical', seen(GRASP))
    assert refusal.reason == 'old'
    assert '1.999999999: expected 2.000000005 or later' in refusal.message


@pytest.mark.parametrize('axis, value', [
    (0, 0.36), (0, -0.26), (1, 0.12), (1, -0.12), (2, 0.11), (2, -0.03)])
def test_a_grasp_out_of_reach_is_refused_with_its_place(selections, axis, value):
    grasp = GRASP.copy()
    grasp[axis] = value
    refusal = selections.offer(1000, 'optical', seen(grasp))
    assert refusal.reason == 'reach'
    assert f'{value:.3f}' in refusal.message
    assert selections.take() is None


def test_a_grasp_that_was_refused_does_not_keep_the_next_away(selections):
    selections.offer(1000, 'optical', seen([9.0, 0.0, 0.0, 0.0]))
    assert selections.offer(1000, 'optical', seen([0.0, 0.0, 0.02, math.pi / 4])) is None
    assert selections.take().grasp[3] == pytest.approx(math.pi / 4)

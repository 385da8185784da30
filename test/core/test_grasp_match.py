"""The nearest grasp counts only within the tolerances, in position and in orientation."""

from moss_perception.core.grasp_match import nearest_grasp
import numpy as np
import pytest

PLACES = np.array([[0.1, 0, 0.5], [0.1, 0, 0.5], [0.2, 0, 0.5], [np.nan, 0, 0]])
YAWS = np.array([0.3, 1.2, 0.3, 0.3])


@pytest.mark.parametrize('position, yaw, expected', [
    ([0.1, 0, 0.5], 1.2, 1), ([0.1, 0, 0.5], 0.3, 0), ([0.1, 0, 0.5], 0.3 + np.pi, 0),
    ([0.1, 0, 0.5], 0.3 - 3 * np.pi, 0), ([0.2005, 0, 0.5], 0.31, 2), ([0.202, 0, 0.5], 0.3, None),
    ([0.1, 0, 0.5], 0.8, None)])
def test_position_and_orientation_decide(position, yaw, expected):
    assert nearest_grasp(PLACES, YAWS, np.array(position), yaw) == expected


def test_among_no_grasps_there_is_none():
    assert nearest_grasp(np.zeros((0, 3)), np.zeros(0), np.zeros(3), 0.0) is None

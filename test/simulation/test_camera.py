"""The camera's geometry, against hand-computed values and against what is rendered."""

import math

from moss_perception.core.frames import Camera
from moss_perception.core.geometry import project
from moss_perception.simulation.camera import half_turn, Lens, Mount
from moss_perception.simulation.equipment import FOCAL_PX, HEIGHT, MOUNT_HEIGHT_M, WIDTH
import numpy as np
import pytest


def pixels_of(points, lens):
    return project(np.asarray(points), Camera(WIDTH, HEIGHT, lens.matrix))[0]


def test_point_below_the_camera_is_at_the_image_centre():
    optical = Mount((0.1, 0.2, 0.6)).to_optical([[0.1, 0.2, 0.05]])
    np.testing.assert_allclose(optical, [[0, 0, 0.55]], atol=1e-12)
    np.testing.assert_allclose(pixels_of(optical, Lens()), [[63.5, 63.5]])


def test_belt_runs_to_the_right_and_its_left_side_is_up():
    optical = Mount((0.0, 0.0, 0.6)).to_optical([[0.06, 0.03, 0.0]])
    np.testing.assert_allclose(optical, [[0.06, -0.03, 0.6]], atol=1e-12)
    np.testing.assert_allclose(
        pixels_of(optical, Lens()), [[63.5 + FOCAL_PX * 0.1, 63.5 - FOCAL_PX * 0.05]])


@pytest.mark.parametrize('tilt', [(0.0, 0.0), (0.3, 0.0), (-0.2, 0.25)])
def test_closing_direction_turns_with_its_projection(tilt):
    mount = Mount((0.02, -0.01, 0.6), turn=0.3, tilt=tilt)
    yaw = 0.8
    grasp = np.array([[0.01, 0.02, 0.03, yaw]])
    tip = grasp[:, :3] + 0.01 * np.array([[math.cos(yaw), math.sin(yaw), 0]])
    along = (mount.to_optical(tip) - mount.to_optical(grasp[:, :3]))[0]
    assert mount.grasps_to_optical(grasp)[0, 3] == pytest.approx(math.atan2(along[1], along[0]))


def test_tilt_about_the_images_x_axis_turns_the_view_up_and_about_y_to_the_right():
    up = Mount((0.0, 0.0, 0.6), tilt=(0.1, 0.0)).rotation
    np.testing.assert_allclose(up[:, 2], [0, math.sin(0.1), -math.cos(0.1)], atol=1e-12)
    right = Mount((0.0, 0.0, 0.6), tilt=(0.0, 0.1)).rotation
    np.testing.assert_allclose(right[:, 2], [math.sin(0.1), 0, -math.cos(0.1)], atol=1e-12)
    both = Mount((0.0, 0.0, 0.6), 0.3, (0.1, -0.2)).rotation
    np.testing.assert_allclose(both.T @ both, np.eye(3), atol=1e-12)
    assert np.linalg.det(both) == pytest.approx(1)


@pytest.mark.parametrize('tilt', [(0.0, 0.0), (0.1, -0.15)])
def test_grasps_come_back_from_the_optical_frame(tilt):
    grasps = np.random.default_rng(0).uniform(-0.1, 0.1, (5, 4))
    mount = Mount((0.02, -0.01, 0.6), turn=-0.1, tilt=tilt)
    np.testing.assert_allclose(
        mount.grasps_to_world(mount.grasps_to_optical(grasps)), grasps, atol=1e-12)


def test_yaw_is_the_same_every_half_turn():
    np.testing.assert_allclose(
        half_turn([0.1, 0.1 + math.pi, 0.1 - math.pi, math.pi / 2, -math.pi / 2]),
        [0.1, 0.1, 0.1, math.pi / 2, math.pi / 2], atol=1e-12)


OFF = Lens(FOCAL_PX * 1.1, (5.0, -8.0))


@pytest.mark.parametrize(('point', 'turn', 'tilt', 'lens'), [
    ((0.03, 0.0, 0.01), 0.0, (0.0, 0.0), Lens()),
    ((-0.08, 0.05, 0.01), 0.0, (0.0, 0.0), Lens()),
    ((0.12, -0.06, 0.08), 0.1, (0.0, 0.0), Lens()),
    ((0.0, -0.06, 0.08), 0.1, (0.1, 0.0), Lens()),
    ((0.08, 0.06, 0.01), 0.1, (-0.05, -0.12), Lens()),
    ((0.08, 0.06, 0.01), 0.1, (0.0, 0.0), OFF),
    ((-0.02, 0.0, 0.08), -0.2, (0.08, 0.1), OFF)])
def test_known_world_point_is_rendered_where_it_projects(renderer, point, turn, tilt, lens):
    from moss_perception.simulation.cell import WorkCell
    from moss_perception.simulation.cells import BELT
    from moss_perception.simulation.motions import Constant
    from moss_perception.simulation.scene import ObjectSpec, SceneSpec
    mount = Mount((0.03, 0.0, MOUNT_HEIGHT_M), turn, tilt)
    thing = ObjectSpec('box', (0.01, 0.01, 0.01), 0.1, 0.8, -1.0, 0.0, 0.0)
    cell = WorkCell(SceneSpec(0, BELT.domain('sim'), Constant(0.0, 'still'), thing, mount=mount,
                              lens=lens), marker=point)
    image = renderer.render(cell).astype(float)
    magenta = np.clip(np.minimum(image[..., 0], image[..., 2]) - image[..., 1] - 60, 0, None)
    rows, columns = np.indices(magenta.shape)
    seen = np.array([(columns * magenta).sum(), (rows * magenta).sum()]) / magenta.sum()
    expected = pixels_of(mount.to_optical([point]), lens)[0]
    # A pixel of 3 mm and the shading of a 12 mm sphere leave a quarter of a pixel.
    np.testing.assert_allclose(seen, expected, atol=0.5)

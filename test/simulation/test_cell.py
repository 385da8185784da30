"""Grasps are decided by physics."""

import math

from moss_perception.core.errors import ConfigError, SceneError
from moss_perception.simulation import arena
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.cells import BELT
from moss_perception.simulation.execution import Execution
from moss_perception.simulation.motions import Constant
from moss_perception.simulation.objects import ObjectSpec
from moss_perception.simulation.scene import sample_scene, SceneSpec
import numpy as np
import pytest

SIZES = {'box': (0.03, 0.015, 0.02), 'cylinder': (0.02, 0.02, 0.02),
         'capsule': (0.04, 0.016, 0.016), 'ellipsoid': (0.035, 0.018, 0.016)}


def cell_with(shape='box', motion=None, yaw=0.0, settled_s=0.3) -> WorkCell:
    thing = ObjectSpec(shape, SIZES[shape], 0.15, 0.8, 0.0, 0.0, yaw)
    cell = WorkCell(SceneSpec(0, BELT.domain('sim'), motion or Constant(0.0, 'still'), thing))
    cell.wait(settled_s)
    return cell


def grasp_at(cell, lead=0.0, lateral=0.0, yaw=0.0):
    across = cell.object_yaw + math.pi / 2 + yaw
    return np.append(cell.object_position + (lead, lateral, 0.0), across)


@pytest.mark.parametrize('shape', BELT.families)
@pytest.mark.parametrize('yaw', [0.0, 0.7])
def test_grasp_squarely_on_a_still_object_holds_it_with_both_fingers(shape, yaw):
    cell = cell_with(shape, yaw=yaw)
    outcome = Execution(cell, grasp_at(cell)).run()
    assert outcome.success, outcome.reason
    assert cell.touching() == (True, True)
    assert np.linalg.norm(cell.object_position - cell.wrist[:3]) < 0.02


@pytest.mark.parametrize(('lead', 'lateral'), [(0.08, 0.0), (-0.08, 0.0), (0.0, 0.08)])
def test_grasp_beside_the_object_fails(lead, lateral):
    cell = cell_with()
    outcome = Execution(cell, grasp_at(cell, lead, lateral)).run()
    assert not outcome.success
    assert 'closed on nothing' in outcome.reason


def test_finger_that_comes_down_on_the_object_stops():
    cell = cell_with()
    # The pad's middle, 50 mm from the grasp's, comes down on the box's.
    outcome = Execution(cell, grasp_at(cell, lateral=0.05)).run()
    assert not outcome.success
    assert 'came down on the object' in outcome.reason


def test_on_a_running_belt_the_grasp_must_lead():
    speed = 0.12
    late = cell_with(motion=Constant(speed), settled_s=1.9)
    assert not Execution(late, grasp_at(late)).run().success
    timely = cell_with(motion=Constant(speed), settled_s=1.9)
    assert Execution(timely, grasp_at(timely, lead=0.68 * speed)).run().success


def test_object_rides_with_the_belt():
    cell = cell_with(motion=Constant(0.1), settled_s=1.0)
    before = cell.object_position
    cell.wait(1.5)
    # A millimetre for what it slips while it settles.
    np.testing.assert_allclose(cell.object_position - before, [0.05, 0, 0], atol=1e-3)


def test_restored_cell_repeats_itself_exactly():
    cell = cell_with('capsule', Constant(0.05))
    saved = cell.save()
    grasp = grasp_at(cell, lead=0.03)
    first = Execution(cell, grasp).run(), cell.object_position
    cell.restore(saved)
    Execution(cell, grasp_at(cell, lead=-0.02)).run()
    cell.restore(saved)
    second = Execution(cell, grasp).run(), cell.object_position
    assert first[0] == second[0]
    np.testing.assert_array_equal(first[1], second[1])


def test_object_is_where_the_scene_wants_it_at_the_decision():
    spec = sample_scene(11, BELT.domain('sim'), 'accelerating')
    cell = WorkCell(spec)
    cell.wait(1.9)
    # It may slip while it settles and gathers speed, by less than the grasp's tolerance.
    assert abs(cell.object_position[0] - spec.object.x) < 0.005


def test_burst_physics_is_refused_with_seed_and_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cell = cell_with()
    cell.data.qvel[cell.model.joint('object').dofadr[0]] = math.nan
    with pytest.raises(SceneError, match='seed 0 is unstable at 0.31 s: mjWARN_BADQVEL') as caught:
        cell.wait(0.5)
    assert caught.value.reason == 'unstable'
    # MuJoCo would leave a log there.
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(('y', 'high', 'words'), [
    (0.12, 0.06, 'touches the (wrist|left|right) at the start'),
    (0.0, 0.14, None)])
def test_object_that_touches_the_gripper_at_the_start_is_refused(y, high, words):
    thing = ObjectSpec('box', (0.06, 0.045, high), 0.15, 0.8, 0.03, y, 0.0)
    spec = SceneSpec(7, BELT.domain('sim'), Constant(0.0, 'still'), thing)
    if words is None:
        WorkCell(spec)
        return
    with pytest.raises(SceneError, match=f'seed 7 {words}') as caught:
        WorkCell(spec)
    assert caught.value.reason == 'contact'


def test_object_that_is_sunk_into_the_belt_is_refused(monkeypatch):
    monkeypatch.setattr(arena, 'rest_height', lambda thing: thing.half_sizes[2] - 0.004)
    with pytest.raises(SceneError, match='seed 0 penetrates the belt by 0.0035 m'):
        cell_with()


def test_scene_is_the_same_for_a_seed_and_another_for_another():
    domain = BELT.domain('sim')
    assert sample_scene(3, domain) == sample_scene(3, domain)
    assert sample_scene(3, domain) != sample_scene(4, domain)


@pytest.mark.parametrize(('arguments', 'words'), [
    ({'seed': -1}, 'at least 0, got -1'),
    ({'seed': 0, 'motion': 'sideways'}, 'sideways'),
    ({'seed': 0, 'shape': 'torus'}, 'torus.*ellipsoid')])
def test_scene_refuses_what_it_does_not_know(arguments, words):
    with pytest.raises(ConfigError, match=words):
        sample_scene(domain=BELT.domain('sim'), **arguments)


def test_unknown_domain_is_refused_by_name():
    with pytest.raises(ConfigError, match="'moon'.*sim"):
        BELT.domain('moon')

"""Objects of the full cell rest, move and can be grasped."""

from dataclasses import replace
import math

from moss_perception.core.errors import ConfigError
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.cells import FULL
from moss_perception.simulation.equipment import Gripper
from moss_perception.simulation.execution import Execution
from moss_perception.simulation.objects import FAMILIES, Part, ROLLING, sample_object
from moss_perception.simulation.scene import DECISION_S, sample_scene
import numpy as np
import pytest


def cell_with(family, motion='still', seed=3) -> WorkCell:
    return WorkCell(sample_scene(seed, FULL.domain('sim'), motion, family, FULL))


def grasped(family, mass, friction):
    """Grasp a still object of a given weight in its middle."""
    spec = sample_scene(3, FULL.domain('sim'), 'still', family, FULL)
    cell = WorkCell(replace(spec, object=replace(spec.object, mass=mass, friction=friction)))
    cell.wait(0.2)
    return Execution(cell, np.append(cell.object_position, cell.object_yaw + math.pi / 2)).run()


@pytest.mark.parametrize('family', FAMILIES)
def test_object_stays_where_it_lies_on_a_still_belt(family):
    cell = cell_with(family)
    before = cell.object_position
    cell.wait(0.5)
    # It settles from half a millimetre above; soft contacts take a little more.
    np.testing.assert_allclose(cell.object_position, before, atol=1e-3)


@pytest.mark.parametrize('family', FAMILIES)
def test_grasp_across_the_long_axis_of_a_still_object_holds_it(family):
    outcome = grasped(family, mass=0.1, friction=0.7)
    assert outcome.success, outcome.reason


@pytest.mark.parametrize('family', ['box', 'cylinder'])
def test_what_is_heavy_and_smooth_is_gripped_and_then_slips(family):
    assert grasped(family, mass=0.35, friction=0.3).reason in (
        'slipped while lifting', 'lost while shaking')


@pytest.mark.parametrize('family', FAMILIES)
def test_every_object_fits_between_the_open_fingers(family):
    for seed in range(50):
        thing = sample_object(family, np.random.default_rng(seed))
        # A centimetre on either side is for lateral errors.
        assert thing.half_sizes[1] < Gripper().half_opening_m - 0.01
        assert thing.half_sizes[2] < 0.04


def test_objects_differ_in_size_mass_friction_and_balance():
    things = [sample_object('box', np.random.default_rng(seed)) for seed in range(20)]
    for values in ([thing.half_sizes[0] for thing in things], [thing.mass for thing in things],
                   [thing.friction for thing in things], [thing.ballast[0] for thing in things]):
        assert len(set(values)) == 20


@pytest.mark.parametrize('family', FAMILIES)
def test_solids_and_ballast_weigh_what_the_object_weighs(family):
    cell = cell_with(family)
    thing = cell.spec.object
    body = cell.model.body('object')
    assert body.mass[0] == pytest.approx(thing.mass, rel=1e-6)
    off = body.ipos[0] - sum(part.position[0] * part.volume for part in thing.parts) / sum(
        part.volume for part in thing.parts) * (1 - thing.ballast[3])
    assert off == pytest.approx(thing.ballast[0] * thing.ballast[3], abs=1e-6)


@pytest.mark.parametrize(('part', 'volume'), [
    (Part('box', (0.01, 0.02, 0.03)), 8 * 6e-6),
    (Part('cylinder', (0.01, 0.02)), math.pi * 4e-6),
    (Part('capsule', (0.01, 0.02)), math.pi * (4e-6 + 4e-6 / 3)),
    (Part('ellipsoid', (0.01, 0.02, 0.03)), 4 / 3 * math.pi * 6e-6)])
def test_volumes_are_those_of_the_school_formulas(part, volume):
    assert part.volume == pytest.approx(volume)


@pytest.mark.parametrize('family', ROLLING)
def test_rolling_object_leaves_the_belt_behind_and_arrives_in_time(family):
    cell = cell_with(family, 'rolling')
    spec, before = cell.spec, cell.object_position
    cell.wait(DECISION_S)
    rolled = cell.object_position[0] - before[0] - spec.motion.travel(DECISION_S)
    # Rolling friction takes some.
    assert 0.2 < rolled / (spec.rolling * DECISION_S) <= 1.01
    np.testing.assert_allclose(cell.object_position[:2], [spec.object.x, spec.object.y],
                               atol=1e-3)


@pytest.mark.parametrize('family', ROLLING)
def test_rolling_object_does_not_gain_speed_by_itself(family):
    # MuJoCo's contacts of a cylinder with a box did that to the cylinder of this seed.
    cell = cell_with(family, 'rolling', seed=551)
    belt = cell.spec.motion.velocity(0.0)
    cell.wait(0.1)
    before = abs(cell.object_velocity[0] - belt)
    cell.wait(DECISION_S)
    assert abs(cell.object_velocity[0] - belt) <= before + 1e-3


@pytest.mark.parametrize('motion', ['braking', 'stop_and_go', 'oscillating'])
def test_round_object_that_is_not_to_roll_rides_with_the_belt(motion):
    cell = cell_with('capsule', motion)
    before = cell.object_position
    cell.wait(DECISION_S)
    travel = cell.spec.motion.travel(DECISION_S)
    np.testing.assert_allclose(cell.object_position[0] - before[0], travel, atol=2e-3)


def test_object_is_foreseen_where_it_will_be_and_nothing_changes():
    cell = cell_with('bottle', 'rolling')
    cell.wait(0.5)
    ticks, state = cell.save()
    foreseen = cell.foresee(0.4)
    np.testing.assert_array_equal(cell.save()[1], state)
    assert cell.ticks == ticks
    cell.wait(0.9)
    np.testing.assert_array_equal(cell.object_position, foreseen)


def test_what_can_not_be_drawn_is_refused_by_name():
    with pytest.raises(ConfigError, match="'torus'.*mug"):
        sample_object('torus', np.random.default_rng(0))
    with pytest.raises(ConfigError, match='a box does not roll.*bottle'):
        sample_object('box', np.random.default_rng(0), rolls=True)

"""Grasps watched while they are executed, without a camera; and how candidates are spread."""

import math

from moss_perception.core.errors import SimulationError
from moss_perception.data.schema import DURATION_S
from moss_perception.simulation.attempt import candidates, sample_offsets
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.cells import BELT, FULL
from moss_perception.simulation.execution import choose_monitored, Execution, monitor_grasp
from moss_perception.simulation.motions import Constant
from moss_perception.simulation.objects import ObjectSpec
from moss_perception.simulation.scene import Physics, SceneSpec
from moss_perception.simulation.sensor import Sensor
import numpy as np
import pytest

# A grasp that holds, one beside the object, one whose finger comes down on it.
OFFSETS = np.array([[0.0, 0, 0, 0], [0.08, 0, 0, 0], [0.0, 0.05, 0, 0]])


def watch(candidate: int, friction: float = 0.8, mass: float = 0.15, **spec):
    thing = ObjectSpec('box', (0.03, 0.015, 0.02), mass, friction, 0.0, 0.0, 0.0)
    cell = WorkCell(SceneSpec(0, BELT.domain('sim'), Constant(0.0, 'still'), thing, **spec))
    cell.wait(0.3)
    grasps, saved = candidates(cell, OFFSETS), cell.save()
    outcome = Execution(cell, grasps[candidate], cell.spec.physics.latency_s).run()
    cell.restore(saved)
    seen = []
    watched = monitor_grasp(cell, lambda: seen.append(cell.ticks) or b'jpeg', grasps, candidate)
    return watched, outcome, cell, seen


def test_grasp_that_holds_is_watched_through_all_phases():
    watched, outcome, cell, seen = watch(0)
    assert outcome.success and watched.success and watched.candidate == 0
    assert watched.phases == ('approach',) * 2 + ('descend',) * 3 + ('close',) * 2 + (
        'lift',) * 4 + ('shake',) * 6
    assert np.isnan(watched.to_loss_s).all()
    np.testing.assert_array_equal(watched.stamps_ns, np.arange(4, 21) * 100_000_000)
    assert seen == list(range(40, 210, 10))
    assert watched.jpegs == (b'jpeg',) * 17
    # The camera is above: what is lifted comes nearer.
    assert watched.positions[-1, 2] < watched.positions[0, 2] - 0.1


def test_grasp_that_closes_on_nothing_is_watched_to_the_same_end():
    watched, outcome, _, _ = watch(1)
    assert 'closed on nothing' in outcome.reason
    assert not watched.success
    assert watched.phases == watch(0)[0].phases
    # Known 0.8 s after the decision, when the fingers have closed.
    np.testing.assert_allclose(watched.to_loss_s, np.arange(7, -10, -1) / 10, atol=1e-6)


def test_finger_on_the_object_is_held_where_it_was_stopped():
    watched, outcome, cell, _ = watch(2)
    assert 'came down on the object' in outcome.reason
    assert 0.2 < watched.to_loss_s[0] < 0.45
    assert len(watched.jpegs) == 17
    assert np.isfinite(watched.positions).all()
    # The object, 40 mm high, is still beneath.
    assert cell.wrist[2] > 0.04


def test_loss_of_what_slips_is_the_last_touch_of_both_fingers():
    watched, outcome, _, _ = watch(0, friction=0.05, mass=0.35)
    assert outcome.reason == 'slipped while lifting'
    lost_s = watched.to_loss_s[0] + 0.1
    # Gripped at 0.7 s or so, and noticed at 1.2 s, when the lift has ended.
    assert 0.7 < lost_s < 1.2
    assert np.ptp(watched.to_loss_s + np.arange(17) / 10) < 1e-5


def test_gripper_starts_after_the_latency():
    late, _, _, seen = watch(0, physics=Physics(latency_s=0.2))
    assert late.success
    assert late.phases[:4] == ('approach',) * 4 and late.phases[4] == 'descend'
    assert len(late.jpegs) == 19


def test_jittering_camera_that_loses_frames_keeps_its_stamps():
    watched, _, _, seen = watch(0, sensor=Sensor(jitter_s=0.02, drop=0.3))
    assert 8 < len(watched.jpegs) < 17
    np.testing.assert_array_equal(watched.stamps_ns, np.array(seen) * 10_000_000)
    assert len(set(np.diff(watched.stamps_ns))) > 2


def test_execution_that_is_over_is_not_ticked_on():
    thing = ObjectSpec('box', (0.03, 0.015, 0.02), 0.15, 0.8, 0.0, 0.0, 0.0)
    cell = WorkCell(SceneSpec(0, BELT.domain('sim'), Constant(0.0, 'still'), thing))
    execution, ticks = Execution(cell, candidates(cell, OFFSETS)[1]), 0
    assert execution.phase == 'approach'
    while not execution.finished:
        execution.tick()
        ticks += 1
    assert (ticks, execution.phase) == (round(DURATION_S * 100), 'shake')
    with pytest.raises(SimulationError, match='expected no more ticks'):
        execution.tick()


def test_watched_grasps_are_good_ones_half_of_the_time_where_there_is_choice():
    outcomes = np.array([False] * 8 + [True])
    chosen = np.array([choose_monitored(seed, outcomes) for seed in range(400)])
    assert 0.4 < outcomes[chosen].mean() < 0.6
    assert len(set(chosen)) == 9
    assert {choose_monitored(seed, np.zeros(3, bool)) for seed in range(40)} == {0, 1, 2}


def test_leads_of_the_full_cell_cover_what_any_motion_wants():
    for seed in range(30):
        offsets = sample_offsets(seed, cell=FULL)
        assert offsets.shape == (FULL.candidates, 4)
        leads = np.sort(offsets[:, 0])
        # Between standing still and the fastest motions no gap is wider than the fingers' reach.
        assert leads[0] < 0.01 and leads[-1] > 0.085
        assert np.diff(leads[1:-1]).max() < 0.05
    assert not (sample_offsets(1, cell=FULL) == sample_offsets(2, cell=FULL)).any()
    assert math.isclose(sample_offsets(3)[0, 0], sample_offsets(3, 6)[0, 0])

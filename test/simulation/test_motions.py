"""How the belt moves."""

import math

from moss_perception.core.errors import ConfigError
from moss_perception.simulation.motions import (
    Accelerating,
    Constant,
    FULL_MOTIONS,
    MOTIONS,
    Oscillating,
    Ramp,
    sample_motion,
    StopAndGo,
)
import numpy as np
import pytest


def test_constant_motion_travels_speed_times_time():
    assert Constant(0.1).travel(2.0) == pytest.approx(0.2)
    assert Constant(0.0, 'still').travel(2.0) == 0.0


def test_accelerating_motion_follows_the_school_formula():
    motion = Accelerating(0.02, 0.04)
    assert motion.velocity(2.0) == pytest.approx(0.1)
    assert motion.travel(2.0) == pytest.approx(0.02 * 2 + 0.5 * 0.04 * 4)


def test_braking_belt_stops_and_does_not_run_back():
    motion = Accelerating(0.1, -0.05)
    assert motion.velocity(3.0) == 0.0
    assert motion.travel(3.0) == pytest.approx(0.1)


def test_oscillating_motion_comes_back_to_its_mean_after_a_period():
    motion = Oscillating(0.05, 0.02, 2.0, phase=0.3)
    assert motion.travel(2.0) == pytest.approx(0.1)
    assert motion.velocity(0.5) == pytest.approx(0.05 + 0.02 * math.cos(0.3))


@pytest.mark.parametrize('name', MOTIONS)
def test_travel_is_the_integral_of_velocity(name):
    motion = sample_motion(name, np.random.default_rng(1), 1.9)
    times = np.linspace(0, 3, 3001)
    velocities = np.array([motion.velocity(time) for time in times])
    summed = (velocities[1:] + velocities[:-1]).sum() / 2 * 1e-3
    # The trapezium rule's error at 1 ms steps is far below a micrometre.
    assert motion.travel(3.0) == pytest.approx(summed, abs=1e-6)
    assert motion.name == name


def test_ramp_gains_between_start_and_end_only():
    motion = Ramp(0.02, 0.1, 1.0, 1.5, 'accelerating')
    assert [motion.velocity(time) for time in (0.5, 1.25, 3.0)] == pytest.approx(
        [0.02, 0.045, 0.07])
    assert [motion.acceleration(time) for time in (0.5, 1.25, 3.0)] == [0, 0.1, 0]


def test_braking_ramp_stops_and_does_not_run_back():
    motion = Ramp(0.1, -0.2, 1.0, 9.0, 'braking')
    assert motion.velocity(1.25) == pytest.approx(0.05)
    assert motion.velocity(2.0) == pytest.approx(0, abs=1e-12)
    assert motion.travel(4.0) == pytest.approx(0.1 + 0.5 * 0.1 * 0.5)


def test_stop_and_go_goes_and_stops_with_its_period():
    motion = StopAndGo(0.1, period=1.0, go=0.5, ramp=0.1)
    assert [motion.velocity(time) for time in (0.05, 0.3, 0.55, 0.8, 1.3)] == pytest.approx(
        [0.05, 0.1, 0.05, 0, 0.1])
    assert [motion.acceleration(time) for time in (0.05, 0.3, 0.55, 0.8)] == pytest.approx(
        [1, 0, -1, 0])
    assert motion.travel(3.0) == pytest.approx(3 * 0.1 * 0.5)
    later = StopAndGo(0.1, period=1.0, go=0.5, ramp=0.1, phase=0.5)
    assert later.velocity(0.8) == pytest.approx(0.1)


@pytest.mark.parametrize('name', FULL_MOTIONS)
def test_full_motions_agree_on_travel_velocity_and_acceleration(name):
    times = np.linspace(0, 3, 3001)
    for seed in range(5):
        motion = sample_motion(name, np.random.default_rng(seed), 1.9, FULL_MOTIONS)
        velocities = np.array([motion.velocity(time) for time in times])
        summed = (velocities[1:] + velocities[:-1]).sum() / 2 * 1e-3
        # The rule's error is largest at the kinks: h^2/8 times a jump of 2.5 m/s^2, each.
        assert motion.travel(3.0) == pytest.approx(summed, abs=1e-5)
        gained = sum(motion.acceleration(time) for time in times[:-1] + 5e-4) * 1e-3
        # One step of 1 ms at each kink, of which there are at most 16.
        assert gained == pytest.approx(velocities[-1] - velocities[0], abs=0.01)
        assert np.abs(velocities).max() < 0.35
        assert motion.name == name


@pytest.mark.parametrize(('name', 'least'), [
    ('constant', 0.0), ('accelerating', 0.01), ('braking', 0.01), ('stop_and_go', 0.02),
    ('oscillating', 0.01)])
def test_velocity_alone_does_not_tell_where_to_grasp(name, least):
    misses = []
    for seed in range(40):
        motion = sample_motion(name, np.random.default_rng(seed), 1.9, FULL_MOTIONS)
        travel = motion.travel(1.9 + 0.675) - motion.travel(1.9)
        misses.append(abs(travel - 0.675 * motion.velocity(1.9)))
    assert np.mean(misses) >= least
    if not least:
        assert max(misses) < 1e-9


def test_unknown_motion_is_refused_by_name():
    with pytest.raises(ConfigError, match="'sideways'.*oscillating"):
        sample_motion('sideways', np.random.default_rng(0), 1.9)
    with pytest.raises(ConfigError, match="'sideways'.*stop_and_go"):
        sample_motion('sideways', np.random.default_rng(0), 1.9, FULL_MOTIONS)

"""How the belt moves."""

import math

from moss_perception.errors import ConfigError
from moss_perception.simulation.motions import (
    Accelerating,
    Constant,
    MOTIONS,
    Oscillating,
    sample_motion,
    Still,
)
import numpy as np
import pytest


def test_constant_motion_travels_speed_times_time():
    assert Constant(0.1).travel(2.0) == pytest.approx(0.2)
    assert Still().travel(2.0) == 0.0


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


def test_unknown_motion_is_refused_by_name():
    with pytest.raises(ConfigError, match="'sideways'.*oscillating"):
        sample_motion('sideways', np.random.default_rng(0), 1.9)

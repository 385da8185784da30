"""How the belt moves: velocity and travelled distance as functions of time."""

from dataclasses import dataclass
import math
from typing import Protocol

from moss_perception.errors import ConfigError
import numpy as np


class Motion(Protocol):
    """
    A motion of the belt along +x.

    :ivar name: what recordings and data sets call it.
    """

    name: str

    def velocity(self, time_s: float) -> float:
        """Return the belt's velocity, m/s."""

    def travel(self, time_s: float) -> float:
        """Return the distance travelled since time 0, metres."""


@dataclass(frozen=True)
class Still:
    """The belt stands."""

    name: str = 'still'

    def velocity(self, time_s: float) -> float:
        return 0.0

    def travel(self, time_s: float) -> float:
        return 0.0


@dataclass(frozen=True)
class Constant:
    """The belt runs at ``speed``, m/s."""

    speed: float
    name: str = 'constant'

    def velocity(self, time_s: float) -> float:
        return self.speed

    def travel(self, time_s: float) -> float:
        return self.speed * time_s


@dataclass(frozen=True)
class Accelerating:
    """The belt starts at ``speed``, m/s, and gains ``acceleration``, m/s^2; it never runs back."""

    speed: float
    acceleration: float
    name: str = 'accelerating'

    def velocity(self, time_s: float) -> float:
        return max(0.0, self.speed + self.acceleration * time_s)

    def travel(self, time_s: float) -> float:
        if self.acceleration < 0:
            time_s = min(time_s, -self.speed / self.acceleration)
        return self.speed * time_s + 0.5 * self.acceleration * time_s ** 2


@dataclass(frozen=True)
class Oscillating:
    """The belt's velocity swings about ``speed`` by ``amplitude``, m/s, every ``period``, s."""

    speed: float
    amplitude: float
    period: float
    phase: float = 0.0
    name: str = 'oscillating'

    def velocity(self, time_s: float) -> float:
        return self.speed + self.amplitude * math.sin(self._angle(time_s))

    def travel(self, time_s: float) -> float:
        swing = self.amplitude * self.period / (2 * math.pi)
        return self.speed * time_s + swing * (math.cos(self.phase) - math.cos(self._angle(time_s)))

    def _angle(self, time_s: float) -> float:
        return 2 * math.pi * time_s / self.period + self.phase


MOTIONS = ('still', 'constant', 'accelerating', 'oscillating')


def sample_motion(name: str, rng: np.random.Generator, decision_s: float) -> Motion:
    """
    Draw a motion of one kind, with velocities between 0 and about 0.13 m/s.

    :param name: one of ``MOTIONS``.
    :param decision_s: when a grasp will be decided, seconds; accelerations are chosen for the
        velocity to be in range then.
    :raises ConfigError: if ``name`` is none of them.
    """
    if name == 'still':
        return Still()
    if name == 'constant':
        return Constant(rng.uniform(0.02, 0.13))
    if name == 'accelerating':
        before, at_decision = rng.uniform(0.02, 0.13, 2)
        return Accelerating(before, (at_decision - before) / decision_s)
    if name == 'oscillating':
        speed = rng.uniform(0.04, 0.10)
        return Oscillating(speed, rng.uniform(0.2, 0.5) * speed, rng.uniform(1.5, 3.0),
                           rng.uniform(0.0, 2 * math.pi))
    raise ConfigError(f'unknown motion {name!r}, expected one of {", ".join(MOTIONS)}')

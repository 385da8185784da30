"""Motions of the belt: velocity and travelled distance as functions of time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
import math
from typing import Protocol

from moss_perception.core.errors import ConfigError
import numpy as np

PUSHED, ROLLING_MOTION = 'pushed', 'rolling'
_ONCE_S = 60.0


class Motion(Protocol):
    """
    A motion of the belt along +x.

    At a time in seconds it has a velocity, m/s, an acceleration, m/s^2, and the distance travelled
    since time 0, metres.

    :ivar name: name in recordings and data sets.
    """

    @property
    def name(self) -> str: ...

    def velocity(self, time_s: float) -> float: ...

    def travel(self, time_s: float) -> float: ...

    def acceleration(self, time_s: float) -> float: ...


@dataclass(frozen=True)
class Constant:
    """The belt runs at ``speed``, m/s; at 0 it stands."""

    speed: float
    name: str = 'constant'

    def velocity(self, time_s: float) -> float:
        return self.speed

    def travel(self, time_s: float) -> float:
        return self.speed * time_s

    def acceleration(self, time_s: float) -> float:
        return 0.0


@dataclass(frozen=True)
class Accelerating:
    """The belt starts at ``speed``, m/s, and accelerates by ``gain``, m/s^2; never backwards."""

    speed: float
    gain: float
    name: str = 'accelerating'

    def velocity(self, time_s: float) -> float:
        return max(0.0, self.speed + self.gain * time_s)

    def travel(self, time_s: float) -> float:
        if self.gain < 0:
            time_s = min(time_s, -self.speed / self.gain)
        return self.speed * time_s + 0.5 * self.gain * time_s ** 2

    def acceleration(self, time_s: float) -> float:
        return self.gain if self.velocity(time_s) > 0 else 0.0


@dataclass(frozen=True)
class Oscillating:
    """The velocity oscillates around ``speed`` by ``amplitude``, m/s, with a ``period``, s."""

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

    def acceleration(self, time_s: float) -> float:
        rate = 2 * math.pi / self.period
        return self.amplitude * rate * math.cos(self._angle(time_s))

    def _angle(self, time_s: float) -> float:
        return 2 * math.pi * time_s / self.period + self.phase


@dataclass(frozen=True)
class Ramp:
    """
    The belt runs at ``speed``, m/s, accelerates by ``gain``, m/s^2, from ``start`` to ``end``, s,
    and then keeps its velocity; it never runs backwards.
    """

    speed: float
    gain: float
    start: float
    end: float
    name: str

    def __post_init__(self):
        if self.gain < 0:
            stopped = self.start - self.speed / self.gain
            object.__setattr__(self, 'end', min(self.end, stopped))

    def velocity(self, time_s: float) -> float:
        return max(0.0, self.speed + self.gain * self._gaining(time_s))

    def travel(self, time_s: float) -> float:
        gaining = self._gaining(time_s)
        after = max(0.0, time_s - self.end)
        return self.speed * time_s + self.gain * gaining * (0.5 * gaining + after)

    def acceleration(self, time_s: float) -> float:
        return self.gain if self.start <= time_s < self.end else 0.0

    def _gaining(self, time_s: float) -> float:
        return min(max(time_s - self.start, 0.0), self.end - self.start)


@dataclass(frozen=True)
class StopAndGo:
    """
    The belt starts and stops periodically.

    :ivar speed: velocity while it runs, m/s.
    :ivar period: time from start to start, seconds.
    :ivar go: time from a start to the next stop, seconds.
    :ivar ramp: duration of a start or a stop, seconds; ``ramp <= go <= period - ramp``.
    :ivar phase: time from the last start to time 0, seconds, below ``period``.
    """

    speed: float
    period: float
    go: float
    ramp: float = 0.1
    phase: float = 0.0
    name: str = 'stop_and_go'

    def velocity(self, time_s: float) -> float:
        into = (time_s + self.phase) % self.period
        return self.speed * (self._part(into) - self._part(into - self.go))

    def travel(self, time_s: float) -> float:
        return self._since_a_start(time_s + self.phase) - self._since_a_start(self.phase)

    def acceleration(self, time_s: float) -> float:
        into = (time_s + self.phase) % self.period
        starting, stopping = into < self.ramp, 0 <= into - self.go < self.ramp
        return self.speed / self.ramp * (int(starting) - int(stopping))

    def _since_a_start(self, time_s: float) -> float:
        periods, into = divmod(time_s, self.period)
        return self.speed * (periods * self.go + self._summed(into) - self._summed(into - self.go))

    def _part(self, time_s: float) -> float:
        return min(max(time_s / self.ramp, 0.0), 1.0)

    def _summed(self, time_s: float) -> float:
        rising = min(max(time_s, 0.0), self.ramp)
        return 0.5 * rising ** 2 / self.ramp + max(0.0, time_s - self.ramp)


def _sample_accelerating(rng: np.random.Generator, decision_s: float) -> Accelerating:
    """Draw the velocities at the start and at the decision."""
    before, at_decision = rng.uniform(0.02, 0.13, 2)
    return Accelerating(before, (at_decision - before) / decision_s)


def _sample_oscillating(rng: np.random.Generator, decision_s: float) -> Oscillating:
    speed = rng.uniform(0.04, 0.10)
    return Oscillating(speed, rng.uniform(0.2, 0.5) * speed, rng.uniform(1.5, 3.0),
                       rng.uniform(0.0, 2 * math.pi))


def _sample_ramp(rng: np.random.Generator, decision_s: float, name: str) -> Ramp:
    """Draw velocity and acceleration at the decision, and when the acceleration started."""
    gain, since_s = rng.uniform(0.08, 0.2), rng.uniform(0.5, 1.4)
    if name == 'accelerating':
        velocity = rng.uniform(0.04, 0.13)
        since_s = min(since_s, velocity / gain)
    else:
        velocity = rng.uniform(0.05, 0.13)
        # Above 0.2 m/s the object would come into view too late.
        since_s = min(since_s, (0.2 - velocity) / gain)
        gain = -gain
    return Ramp(max(0.0, velocity - gain * since_s), gain, decision_s - since_s,
                decision_s + 1.0, name)


def _sample_stop_and_go(rng: np.random.Generator, decision_s: float) -> StopAndGo:
    period = rng.uniform(0.8, 1.6)
    return StopAndGo(rng.uniform(0.09, 0.2), period, rng.uniform(0.35, 0.6) * period,
                     rng.uniform(0.08, 0.16), rng.uniform(0.0, 1.0) * period)


def _sample_swing(rng: np.random.Generator, decision_s: float) -> Oscillating:
    period = math.exp(rng.uniform(math.log(0.8), math.log(2.5)))
    reach = rng.uniform(0.014, 0.03)
    amplitude = min(2 * math.pi * reach / period, 0.16)
    return Oscillating(rng.uniform(0.0, 0.07), amplitude, period, rng.uniform(0.0, 2 * math.pi))


# By kind of motion. In the cell ``belt``, velocities are between 0 and about 0.13 m/s.
MOTIONS = {
    'still': lambda rng, decision_s: Constant(0.0, 'still'),
    'constant': lambda rng, decision_s: Constant(rng.uniform(0.02, 0.13)),
    'accelerating': _sample_accelerating,
    'oscillating': _sample_oscillating,
}
# In the cell ``full``, a grasp meets the object about 0.7 s after the decision. Until then, the
# acceleration alone moves it by 1 to 5 cm, and the phase of a periodic motion by 2 to 10 cm. The
# two seconds before the decision show about one period or more.
FULL_MOTIONS = {
    'still': MOTIONS['still'],
    'constant': lambda rng, decision_s: Constant(rng.uniform(0.02, 0.14)),
    'accelerating': partial(_sample_ramp, name='accelerating'),
    'braking': partial(_sample_ramp, name='braking'),
    'stop_and_go': _sample_stop_and_go,
    'oscillating': _sample_swing,
    # The motion of the belt below the object.
    'rolling': lambda rng, decision_s: Constant(rng.uniform(0.0, 0.06), ROLLING_MOTION),
}




def _sample_push(rng: np.random.Generator, decision_s: float) -> StopAndGo:
    """Draw a push that begins early, and ends before the decision or after the grasp."""
    start_s, speed = rng.uniform(0.0, 0.5), rng.uniform(0.03, 0.14)
    end_s = rng.uniform(0.6, 1.0) * decision_s if rng.uniform() < 0.3 else decision_s + 3.0
    # The next period begins long after the scene.
    return StopAndGo(speed, _ONCE_S, end_s - start_s, rng.uniform(0.08, 0.2),
                     _ONCE_S - start_s, PUSHED)


# On a table, a bar pushes the object.
TABLE_MOTIONS = {'still': MOTIONS['still'], PUSHED: _sample_push}
ALL_MOTIONS = {**FULL_MOTIONS, **TABLE_MOTIONS}


def scaled(motion: Motion, factor: float) -> Motion:
    """Return the same motion with all its velocities multiplied by a factor above 0."""
    return type(motion)(**{
        name: value * factor if name in ('speed', 'gain', 'amplitude') else value
        for name, value in vars(motion).items()})


def sample_motion(name: str, rng: np.random.Generator, decision_s: float,
                  samplers: Mapping[str, Callable[..., Motion]] = MOTIONS) -> Motion:
    """
    Draw a motion of one kind.

    :param name: one of ``samplers``.
    :param decision_s: time of the decision, seconds; accelerations are drawn so that the velocity
        is in range then.
    :param samplers: ``MOTIONS`` or ``FULL_MOTIONS``.
    :raises ConfigError: if ``name`` is unknown.
    """
    if name not in samplers:
        raise ConfigError(f'unknown motion {name!r}, expected one of {", ".join(samplers)}')
    return samplers[name](rng, decision_s)

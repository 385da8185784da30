"""Scenes, drawn from seeds: object, motion of the belt, look, camera, sensor and physics."""

from dataclasses import asdict, dataclass, replace

from moss_perception.core.errors import ConfigError
from moss_perception.simulation.camera import (
    Lens,
    Mount,
    sample_lens,
    sample_level_mount,
    sample_mount,
)
from moss_perception.simulation.cells import BELT, Cell, cell_named, Domain, FACTORS, FULL
from moss_perception.simulation.equipment import MOUNT_M
from moss_perception.simulation.look import Look, sample_look, sample_plain_look
from moss_perception.simulation.motions import (
    ALL_MOTIONS,
    Motion,
    ROLLING_MOTION,
    sample_motion,
    scaled,
)
from moss_perception.simulation.objects import (
    fitted,
    ObjectSpec,
    ROLLING,
    sample_object,
    sample_solid,
)
from moss_perception.simulation.randomised import sample_physics, sample_randomised
from moss_perception.simulation.sensor import sample_sensor, Sensor
import numpy as np

FRAME_RATE_HZ = 10
FRAMES = 20
DECISION_S = (FRAMES - 1) / FRAME_RATE_HZ
SPLITS = ('', 'held_out')


@dataclass(frozen=True)
class Physics:
    """
    Factors by which a scene's physics differs from the draws of its object.

    :ivar mass: factor of the object's mass, and ``friction`` of its friction; ``ObjectSpec``
        holds them already.
    :ivar latency_s: time from a frame's stamp until the gripper starts to move, seconds.
    :ivar speed: factor of the belt's velocities; ``SceneSpec.motion`` holds it already.
    """

    mass: float = 1.0
    friction: float = 1.0
    latency_s: float = 0.0
    speed: float = 1.0


@dataclass(frozen=True)
class SceneSpec:
    """
    Complete specification of a scene.

    :ivar seed: seed that it was drawn from.
    :ivar domain: domain of its look, camera and sensor.
    :ivar motion: motion of the belt, or of the bar that pushes the object on a table.
    :ivar object: object to grasp.
    :ivar cell: cell of its motion and object.
    :ivar rolling: initial velocity at which the object rolls along +x on the belt, m/s.
    """

    seed: int
    domain: Domain
    motion: Motion
    object: ObjectSpec
    look: Look = Look()
    mount: Mount = Mount(MOUNT_M)
    lens: Lens = Lens()
    sensor: Sensor = Sensor()
    physics: Physics = Physics()
    cell: Cell = BELT
    rolling: float = 0.0


def sample_scene(seed: int, domain: Domain, motion: str = '', shape: str = '',
                 cell: Cell = BELT, split: str = '') -> SceneSpec:
    """
    Draw a scene; the same arguments give the same scene.

    :param seed: at least 0.
    :param domain: ranges of its look.
    :param motion: one of the cell's motions; empty for any.
    :param shape: one of the cell's families, held out or not; empty for any.
    :param cell: cell to draw motion and object from.
    :param split: ``held_out`` for the held-out families only, empty for the others.
    :raises ConfigError: if the seed, motion, shape or split is out of range, or the shape cannot
        have the motion.
    """
    if seed < 0:
        raise ConfigError(f'scene seed must be at least 0, got {seed}')
    families = _families(cell, shape, split)
    for name, value, known in (('motion', motion, cell.motion_names),
                               ('shape', shape, families)):
        if value and value not in known:
            raise ConfigError(f'unknown {name} {value!r}, expected one of {", ".join(known)}')
    return _SAMPLERS[cell.draws](seed, domain, motion, shape, cell, families)


def _sample_full(seed: int, domain: Domain, motion: str, shape: str, cell: Cell,
                 families: tuple) -> SceneSpec:
    """
    Draw a scene of the cell ``full``, or of a cell file.

    Each factor of the shift has its own random generator and a fixed order of draws, so that
    shifting one factor does not change the draws of the others.
    """
    rng = np.random.default_rng([seed, 10])
    motion, shape = _sample_kinds(rng, cell, motion, shape, families)
    rolls = motion == ROLLING_MOTION
    rolling = rng.uniform(0.02, 0.07) * rng.choice((-1.0, 1.0), p=(0.3, 0.7)) if rolls else 0.0
    moves = sample_motion(motion, rng, DECISION_S, ALL_MOTIONS)
    thing = fitted(sample_object(shape, rng, rolls), cell.goods, seed)
    if cell.speed != 1:
        moves, rolling = scaled(moves, cell.speed), cell.speed * rolling
    if domain.sampler == 'randomised':
        physics = Physics(**sample_physics(seed))
        moves = scaled(moves, physics.speed)
        look, color, mount, lens, sensor = sample_randomised(seed, thing, rolling, cell)
    else:
        draw = {factor: np.random.default_rng([seed, 20, index])
                for index, factor in enumerate(FACTORS)}
        physics = Physics(draw['physics'].uniform(*domain.mass),
                          draw['physics'].uniform(*domain.friction),
                          draw['latency'].uniform(*domain.latency_s))
        look, color = sample_look(domain, draw, rolling, cell.surface)
        mount = sample_mount(domain, draw['camera'], cell.view)
        lens = sample_lens(domain, draw['intrinsics'], cell.view)
        sensor = sample_sensor(domain, draw)
    thing = replace(thing, color=color, mass=thing.mass * physics.mass,
                    friction=thing.friction * physics.friction)
    return SceneSpec(seed, domain, moves, thing, look, mount, lens, sensor, physics, cell, rolling)


def _families(cell: Cell, shape: str, split: str) -> tuple:
    """Return the families to draw from, or those that a requested shape may belong to."""
    if split not in SPLITS:
        raise ConfigError(f'unknown split {split!r}, expected one of {", ".join(SPLITS[1:])}, '
                          'or none')
    if split and not cell.held_out:
        raise ConfigError(f'the cell {cell.name!r} has no held-out families')
    if split:
        return cell.held_out
    return cell.families + cell.held_out if shape else cell.families


def _sample_kinds(rng: np.random.Generator, cell: Cell, motion: str, shape: str,
                  families: tuple) -> tuple:
    """Draw motion and family; only families that can roll get the motion ``rolling``."""
    able = tuple(family for family in ((shape,) if shape else families) if family in ROLLING)
    if motion == ROLLING_MOTION and not able:
        raise ConfigError(f'the motion {motion!r} needs one of {", ".join(ROLLING)}, '
                          f'got {shape or ", ".join(families)}')
    names, shares = zip(*((name, share) for name, share in cell.motions
                          if able or name != ROLLING_MOTION), strict=True)
    drawn = str(rng.choice(names, p=np.array(shares) / sum(shares)))
    motion = motion or drawn
    drawn = str(rng.choice(able if motion == ROLLING_MOTION else families))
    return motion, shape or drawn


def _sample_belt(seed: int, domain: Domain, motion: str, shape: str, cell: Cell,
                 families: tuple) -> SceneSpec:
    """Draw a scene of the cell ``belt``; its data sets fix the order of the draws."""
    rng = np.random.default_rng([seed, 1])
    names, shares = zip(*cell.motions, strict=True)
    motion = motion or str(rng.choice(names, p=shares))
    shape = shape or str(rng.choice(families))
    mount = sample_level_mount(domain, rng)
    return SceneSpec(seed, domain, sample_motion(motion, rng, DECISION_S),
                     sample_solid(shape, rng, domain), sample_plain_look(domain, rng), mount,
                     sensor=Sensor(jpeg_quality=domain.jpeg_quality))


_SAMPLERS = {BELT.draws: _sample_belt, FULL.draws: _sample_full}


@dataclass(frozen=True)
class Source:
    """
    What the scenes of a data set or a recording are drawn from, by name.

    :ivar cell: one of ``cells.CELLS``, or the path of a cell file.
    :ivar domain: one of the cell's domains.
    :ivar split: ``held_out`` for the families that training never shows, else empty.
    :ivar motion: one of the cell's motions; empty for a mixture.
    """

    cell: str = 'belt'
    domain: str = 'sim'
    split: str = ''
    motion: str = ''

    def described(self) -> dict:
        """Return the fields for a data set's description; a cell file is named and quoted."""
        cell = cell_named(self.cell)
        return {**asdict(self), 'cell': cell.name} | (
            {'cell_file': cell.described} if cell.described else {})

    def sample(self, seed: int) -> SceneSpec:
        """
        Draw a scene.

        :raises ConfigError: if cell, domain, split or motion is unknown.
        """
        cell = cell_named(self.cell)
        return sample_scene(seed, cell.domain(self.domain), self.motion, cell=cell,
                            split=self.split)


BELT_SIM = Source()

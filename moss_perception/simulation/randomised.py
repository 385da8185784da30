"""
The domain ``randomised``: cameras, looks, sensors and physics far beyond ``sim``, for training.

It shares no distribution and no generator of textures or light with ``shifted``, which is a test.
"""

import colorsys
from dataclasses import replace
from functools import cache
import math

from moss_perception.simulation.camera import Lens, looking_at, Mount
from moss_perception.simulation.cells import Cell, FULL
from moss_perception.simulation.equipment import MOUNT_HEIGHT_M, MOUNT_M, Surface, View
from moss_perception.simulation.look import (
    CLEAR_M,
    Cover,
    Distractor,
    draw_distractor,
    Lamp,
    Look,
    ROLLED_S,
    unit,
    visible_color,
)
from moss_perception.simulation.objects import ObjectSpec
from moss_perception.simulation.sensor import Sensor
from moss_perception.simulation.spreads import Draws, SPREADS
from moss_perception.simulation.textures import KINDS
import numpy as np

# Probability of a rail on each side of the belt, a shadow, a near lamp and, of these, a spot.
_RAILS, _SHADOW, _NEAR, _SPOT = 0.4, 0.5, 0.6, 0.6
# Mean brightness to which the camera exposes.
_EXPOSED = 0.5
# Candidates lie within this distance of the object: upstream, downstream and sideways, metres.
_REACH_M = (0.06, 0.15, 0.055)
_EDGE_PX, _TRIES = 3, 50


def sample_randomised(seed: int, thing: ObjectSpec, rolling: float,
                      cell: Cell = FULL) -> tuple[Look, tuple, Mount, Lens, Sensor]:
    """
    Draw the surroundings of a scene.

    :param seed: of the scene.
    :param thing: the object to grasp; the camera sees it and all its candidates.
    :param rolling: initial velocity at which the object rolls on the belt, m/s.
    :param cell: its camera is the middle of what is drawn.
    :returns: look, colour of the object, mount, lens and sensor.
    """
    draws = Draws(seed)
    mount, lens = _camera(draws, thing, cell.view)
    look, color = _look(draws, rolling, cell)
    names = ('gamma', 'saturation', 'shot', 'exposure_s', 'readout_s', 'jitter_s', 'drop',
             'vignette', 'flicker')
    sensor = Sensor(draws['gain'] * _exposure(look), **{name: draws[name] for name in names},
                    jpeg_quality=round(draws['jpeg_quality']))
    return look, color, mount, lens, sensor


def sample_physics(seed: int) -> dict[str, float]:
    """Draw the fields of :class:`moss_perception.simulation.scene.Physics`."""
    draws = Draws(seed)
    return {name: draws[name] for name in ('mass', 'friction', 'latency_s', 'speed')}


def _camera(draws: Draws, thing: ObjectSpec, view: View) -> tuple[Mount, Lens]:
    """Draw a camera until it sees the object and the places of its candidates."""
    rng = draws.stream['camera']
    drawn = {name: draws[name] for name in ('height', 'magnification', 'turn', 'tilt')}
    camera = _place_camera(rng, view, **drawn)
    for _ in range(_TRIES):
        if _sees(*camera, thing):
            break
        camera = _place_camera(rng, view, **{name: SPREADS[name].draw(rng) for name in drawn})
    return camera


def _place_camera(rng: np.random.Generator, view: View, height: float, magnification: float,
                  turn: float, tilt: float) -> tuple[Mount, Lens]:
    way = rng.uniform(-np.pi, np.pi)
    aim = SPREADS['aim'].draw(rng), SPREADS['aim'].draw(rng)
    x, y, usual_m = view.position
    mount = looking_at((x + aim[0], y + aim[1], height * (usual_m / MOUNT_HEIGHT_M)),
                       view.turn + turn,
                       (view.tilt + tilt * math.cos(way), tilt * math.sin(way)))
    return mount, Lens(view.focal_px * magnification * height / MOUNT_HEIGHT_M,
                       (SPREADS['centre'].draw(rng), SPREADS['centre'].draw(rng)), view.size)


def _sees(mount: Mount, lens: Lens, thing: ObjectSpec) -> bool:
    """Tell whether the places of the object and its candidates lie well inside the image."""
    back, ahead, side = _REACH_M
    corners = np.array([(thing.x + x, thing.y + y, z) for x in (-back, ahead)
                        for y in (-side, side) for z in (0.0, 0.04)])
    pixels = mount.to_optical(corners) @ lens.matrix.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    return bool((pixels > _EDGE_PX).all()
                and (pixels < np.array(lens.size) - _EDGE_PX).all())


def _look(draws: Draws, rolling: float, cell: Cell) -> tuple[Look, tuple]:
    colours, surfaces = draws.stream['colours'], draws.stream['surfaces']

    def color(part: str) -> tuple:
        saturation, value = (SPREADS[f'{part}_{what}'] for what in ('saturation', 'brightness'))
        return colorsys.hsv_to_rgb(colours.uniform(), saturation.draw(colours),
                                   value.draw(colours))

    belt = np.array(color('belt'))
    level = float(belt.mean())
    lamps, ambient, gains = _lamps(draws)
    return Look(
        belt=level, belt_tint=tuple(belt / max(level, 1e-3)), texture='covers',
        belt_contrast=draws['belt_contrast'], floor_contrast=draws['floor_contrast'],
        object_contrast=draws['object_contrast'], texture_seed=int(surfaces.integers(2 ** 31)),
        covers=tuple(_cover(surfaces) for _ in range(3)),
        gloss=tuple((SPREADS['specular'].draw(surfaces), SPREADS['shininess'].draw(surfaces))
                    for _ in range(3)),
        floor=color('floor'), fingers=color('gripper'), palm=color('gripper'),
        lamps=lamps, ambient=ambient, gains=gains, noise=draws['noise'], blur=draws['blur'],
        distractors=_clutter(draws, CLEAR_M + ROLLED_S * abs(rolling), belt, cell.surface),
    ), visible_color(belt, lambda: color('object'))


def _cover(rng: np.random.Generator) -> Cover:
    kind = str(rng.choice(tuple(KINDS)))
    tint = 1 + rng.normal(0, 0.35, 3) if rng.uniform() < 0.5 else np.ones(3)
    return Cover(kind, math.exp(rng.uniform(math.log(0.05), math.log(0.4))),
                 rng.uniform(-np.pi, np.pi), tuple(np.maximum(tint, 0.2)), rng.exponential(0.2))


def _lamps(draws: Draws) -> tuple[tuple, float, tuple]:
    """Draw the lamps, the ambient light, and the gains of a camera that balances their tint."""
    rng = draws.stream['lamps']
    count = round(draws['lamps'])
    shares = rng.dirichlet(np.full(count, 2.0))
    strengths = draws['light'] * shares
    made = [_lamp(rng, strength, index == 0) for index, strength in enumerate(strengths)]
    tint = sum(share * np.array(warmth) for share, (_, warmth) in zip(shares, made, strict=True))
    cast = np.array([SPREADS['cast'].draw(rng) for _ in range(3)])
    gains = (1 + cast) * tint ** -draws['white_balance']
    return tuple(lamp for lamp, _ in made), draws['ambient'], tuple(gains.tolist())


def _lamp(rng: np.random.Generator, strength: float, first: bool) -> tuple[Lamp, tuple]:
    """Draw a distant lamp, a bulb or a spot over the belt, and its tint."""
    elevation, heading = SPREADS['elevation'].draw(rng), rng.uniform(-np.pi, np.pi)
    upward = np.array([math.cos(elevation) * math.cos(heading),
                       math.cos(elevation) * math.sin(heading), math.sin(elevation)])
    near, spot, shadow = (chance < share for chance, share in zip(
        rng.uniform(size=3), (_NEAR, _SPOT, _SHADOW), strict=True))
    target = np.append(np.array(MOUNT_M[:2]) + rng.normal(0, 0.06, 2), 0.0)
    away_m, cutoff, focus = rng.uniform((0.6, 0.35, 0.0), (1.8, 0.75, 8.0))
    tint = black_body(SPREADS['temperature'].draw(rng))
    # A slanted lamp spreads its light over a larger area; most of that is made up for.
    diffuse = strength * np.array(tint) / max(upward[2], 0.4) ** 0.8
    lamp = Lamp(unit(-upward), tuple(diffuse.tolist()), bool(shadow and first))
    if not near:
        return lamp, tint
    place = tuple((target + away_m * upward).tolist())
    if spot:
        return replace(lamp, position=place, cutoff=cutoff, focus=focus), tint
    return replace(lamp, position=place, shadow=False), tint


@cache
def _black_body_table() -> tuple[np.ndarray, np.ndarray]:
    # Red, green, blue of a black body, by Planck's law at 610, 540 and 460 nm, mean 1.
    kelvin = np.linspace(2000, 12000, 101)
    metres = np.array([610e-9, 540e-9, 460e-9])
    light = metres ** -5 / np.expm1(0.014388 / (metres * kelvin[:, None]))
    return kelvin, light / light.mean(axis=1, keepdims=True)


def black_body(kelvin: float) -> tuple:
    """Return red, green and blue of a lamp's light, relative to their mean."""
    temperatures, light = _black_body_table()
    # Neutral at 5500 K, as cameras are.
    tint = np.array([np.interp(kelvin, temperatures, channel) / np.interp(
        5500.0, temperatures, channel) for channel in light.T])
    return tuple((tint / tint.mean()).tolist())


def _exposure(look: Look) -> float:
    """Return the gain of an automatic exposure, which makes up for most of the brightness."""
    light = look.ambient - sum(lamp.direction[2] * np.mean(lamp.diffuse) for lamp in look.lamps)
    brightness = light * (0.6 * look.belt + 0.4 * np.mean(look.floor))
    return float(np.clip((_EXPOSED / brightness) ** 0.85, 0.5, 5.0))


def _clutter(draws: Draws, clear_m: float, belt: np.ndarray, surface: Surface) -> tuple:
    rng = draws.stream['clutter']
    beside, marks = round(draws['clutter']), round(draws['marks'])
    things = [draw_distractor(rng, rides, clear_m, surface)
              for rides in [False] * beside + [True] * (beside // 2)]
    things += [_mark(rng, belt) for _ in range(marks)]
    things += [_rail(rng, side * (surface.half_width_m + 0.001)) for side in (-1.0, 1.0)
               if rng.uniform() < _RAILS]
    return tuple(things)


def _any_color(rng: np.random.Generator) -> tuple:
    return colorsys.hsv_to_rgb(rng.uniform(), rng.beta(1, 2), rng.beta(1.5, 1.5))


def _mark(rng: np.random.Generator, belt: np.ndarray) -> Distractor:
    """Draw tape, a label or a stain that lies flat on a belt of a colour."""
    color = belt + rng.uniform(0.15, 1.0) * (np.array(_any_color(rng)) - belt)
    half = (*np.exp(rng.uniform(np.log(0.004), np.log(0.045), 2)), 0.0003)
    shape = str(rng.choice(('box', 'ellipsoid')))
    return Distractor(shape, half, (rng.uniform(-0.25, 0.5), rng.uniform(-0.1, 0.1), 0.0003),
                      rng.uniform(-np.pi, np.pi), tuple(color.tolist()), True)


def _rail(rng: np.random.Generator, edge_m: float) -> Distractor:
    """Draw a rail beside an edge of the belt."""
    half = (1.5, rng.uniform(0.004, 0.012), rng.uniform(0.004, 0.02))
    middle = (0.0, edge_m + math.copysign(half[1], edge_m), half[2] - 0.01)
    return Distractor('box', half, middle, 0.0, _any_color(rng))

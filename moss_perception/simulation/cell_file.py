"""Cell files: a work cell of one's own, as YAML."""

from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from functools import cache, partial
import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.simulation.camera import Lens, looking_at
from moss_perception.simulation.cell_keys import CellKeyError, check, KEYS
from moss_perception.simulation.cells import Cell, CELLS, Domain, FULL, SHIFT, stratified_leads
from moss_perception.simulation.equipment import BELT, Goods, Gripper, Surface, View
from moss_perception.simulation.motions import FULL_MOTIONS, ROLLING_MOTION, TABLE_MOTIONS
from moss_perception.simulation.objects import FAMILIES, ROLLING
import numpy as np
import yaml

# Half of the widest object that its family draws, at the place to grasp: the mug, metres.
_WIDEST_M = 0.03
# Speed of the fastest constant motion, m/s, for which the velocities of all motions are drawn.
_SPEED = 0.14
# Area around the place that the camera looks at in which objects and candidates lie, metres.
_AREA_M = ((-0.07, 0.1), (-0.05, 0.05))
_LOOKS = {'sim': FULL.domains['sim'].latency_s, 'shifted.latency': SHIFT['latency']['latency_s']}


@cache
def read_cell(path: str) -> Cell:
    """
    Read a cell file.

    Keys that are not given have the value of the cell ``full``.

    :raises ConfigError: in one line with file, key, value and what was expected.
    """
    try:
        given = yaml.safe_load(Path(path).expanduser().read_text(encoding='utf-8')) or {}
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise ConfigError(f"cell file {path} can't be read: {reason}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f'cell file {path} is no YAML: {" ".join(str(error).split())}') \
            from error
    try:
        values = _complete(given, Path(path).stem)
        cell = _cell(values)
        _require_fit(values, cell)
    except CellKeyError as problem:
        raise ConfigError(f'cell file {path}: {problem}') from problem
    return cell


def _complete(given: Any, stem: str) -> dict[str, Any]:
    """Check the given keys, and add the defaults of the others; names have a dot a level."""
    flat = dict(_flatten(given))
    for name in flat:
        if name not in KEYS:
            near = get_close_matches(name, KEYS, n=1, cutoff=0.5)
            raise CellKeyError(f'unknown key {name}: expected '
                          + (near[0] if near else f'one of {", ".join(KEYS)}'))
    return {name: check(name, flat[name]) if name in flat else
            stem if name == 'name' else key.default for name, key in KEYS.items()}


def _flatten(given: Any, above: str = ''):
    if not isinstance(given, Mapping):
        raise CellKeyError(f'{above or "its content"} is {given!r}: expected keys with values')
    for key, value in given.items():
        name = f'{above}.{key}' if above else str(key)
        inside = any(one.startswith(f'{name}.') for one in KEYS)
        yield from _flatten(value, name) if inside else [(name, value)]


def _cell(values: Mapping[str, Any]) -> Cell:
    """Make the cell of complete values."""
    section: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        part, _, key = name.rpartition('.')
        section.setdefault(part, {})[key] = value
    camera, gripper, goods = section['camera'], section['gripper'], section['objects']
    width, height = camera['resolution']
    view = View((*camera['look_at'], camera['height']), math.radians(camera['turn']),
                math.radians(camera['tilt']), camera['focal_length'],
                (width, height))
    pads, candidates = section['gripper.pads'], section['candidates']
    far = view.tilt or view.position[2] > FULL.view.position[2]
    return replace(
        FULL, name=section['']['name'], families=tuple(goods['families']),
        held_out=tuple(goods['held_out']), motions=tuple(section['']['motions'].items()),
        domains=_domains(tuple(section['']['latency'])), candidates=candidates['number'],
        leads=partial(stratified_leads, leads=NormalDist(
            candidates['lead'], candidates['lead_spread'])),
        # What the camera sees beside the belt.
        floor_size=(3.0, 3.0, 0.6) if far else FULL.floor_size,
        gripper=Gripper(
            gripper['force'], (pads['softness'], 1.0), FULL.gripper.solimp,
            (pads['friction'], *FULL.gripper.friction[1:]), gripper['opening'] / 2,
            (pads['thickness'] / 2, pads['width'] / 2, pads['height'] / 2),
            tuple(section['gripper.times'].values())),
        view=view,
        surface=Surface(section['surface']['kind'], section['surface']['width'] / 2),
        goods=Goods(tuple(goods['size']), tuple(goods['mass']), tuple(goods['friction']),
                    goods['across']),
        speed=section['']['speed'] / _SPEED, described=dict(values))


def _domains(latency_s: tuple) -> dict[str, Domain]:
    """Return the domains with this latency; the shift adds to it what it adds in ``full``."""
    usual = _LOOKS['sim']
    if latency_s == usual:
        return FULL.domains
    added = tuple(late + own - first for late, own, first in zip(
        _LOOKS['shifted.latency'], latency_s, usual, strict=True))
    return {name: domain if name == 'randomised' else replace(
        domain, latency_s=added if name in ('shifted', 'shifted.latency') else latency_s)
        for name, domain in FULL.domains.items()}


def _require_fit(values: Mapping[str, Any], cell: Cell):
    """Refuse values that do not fit each other."""
    if cell.name in CELLS:
        raise CellKeyError(f"name is {cell.name!r}: expected another one than the built-in cells' "
                           f'{", ".join(CELLS)}')
    _require_kinds(cell)
    widest = 2 * _WIDEST_M * cell.goods.size[1]
    if widest > values['gripper.opening']:
        raise CellKeyError(f'objects.size is {list(cell.goods.size)}: the widest object is '
                           f'{widest:.3f} m, expected at most gripper.opening, '
                           f'{values["gripper.opening"]:g} m')
    most_m = cell.surface.half_width_m - _WIDEST_M
    if cell.goods.across_m > most_m:
        raise CellKeyError(f'objects.across is {cell.goods.across_m:g}: expected at most '
                           f'{most_m:g} m, so that objects lie on the {cell.surface.kind} of '
                           f'surface.width {values["surface.width"]:g} m')
    _require_view(cell)


def _require_kinds(cell: Cell):
    """Refuse unknown motions and families, and motions that no family can have."""
    known = FULL_MOTIONS if cell.surface.kind == BELT else TABLE_MOTIONS
    for name in cell.motion_names:
        if name not in known:
            raise CellKeyError(f'motions has {name!r}: expected some of {", ".join(known)} on a '
                               f'{cell.surface.kind}')
    for key, families in (('families', cell.families), ('held_out', cell.held_out)):
        for family in families:
            if family not in FAMILIES:
                raise CellKeyError(f'objects.{key} has {family!r}: expected some of '
                                   f'{", ".join(FAMILIES)}')
    if not cell.families:
        raise CellKeyError('objects.families is []: expected one at least')
    if ROLLING_MOTION in cell.motion_names and not set(cell.families) & set(ROLLING):
        raise CellKeyError(f'motions has {ROLLING_MOTION!r}: expected one of {", ".join(ROLLING)} '
                           'in objects.families, or another motion')
    if both := set(cell.families) & set(cell.held_out):
        raise CellKeyError(f'objects.held_out has {min(both)!r}: expected a family that is not '
                           'in objects.families')


def _require_view(cell: Cell):
    """Refuse a camera that does not see the objects."""
    view = cell.view
    mount, lens = looking_at(view.position, view.turn, (view.tilt, 0.0)), Lens(
        view.focal_px, size=view.size)
    (back, ahead), (right, left) = _AREA_M
    wide = cell.goods.across_m - Goods().across_m
    corners = [(x, y, 0.0) for x in (back, ahead) for y in (right - wide, left + wide)]
    seen = mount.to_optical(np.array(corners)) @ lens.matrix.T
    pixels = seen[:, :2] / seen[:, 2:]
    if not ((seen[:, 2] > 0).all() and (pixels >= 0).all() and (
            pixels <= np.array(view.size) - 1).all()):
        raise CellKeyError(
            f'camera.focal_length is {view.focal_px:g}: objects from ({back:g}, '
            f'{right - wide:g}) to ({ahead:g}, {left + wide:g}) m would be outside the image, '
            'expected a smaller one, a larger height or resolution, or another look_at')

"""Visual parts of the MJCF model: textures, lamps, camera and distractors."""

import math

from moss_perception.simulation import textures
from moss_perception.simulation.camera import field_of_view_y, HEIGHT, Lens, WIDTH
from moss_perception.simulation.look import Look
from moss_perception.simulation.scene import DECISION_S, SceneSpec

# Half width of the shadow map as a share of the model's extent, which is 4 m.
SHADOW_CLIP = 0.12
_SHADOW_MAP = 512
_SENSOR_M = 0.01
_FLOOR, _OBJECT = 1, 2


def numbers(values) -> str:
    """Format numbers for an MJCF attribute."""
    return ' '.join(f'{value:.9g}' for value in values)


def shadow_map(look: Look) -> int:
    """Return the width of the shadow map, pixels; 0 if no lamp casts shadows."""
    return _SHADOW_MAP if any(lamp.shadow for lamp in look.lamps) else 0


def quality(spec: SceneSpec) -> str:
    """Write the rendering quality."""
    shadows = shadow_map(spec.look)
    return f'<quality shadowsize="{shadows}" offsamples="4" {spec.cell.mesh_quality}/>'


def materials(look: Look) -> tuple:
    """
    Write the textures and materials of ``belt``, ``floor`` and ``object``.

    :returns: the elements, and the assets that they name.
    """
    text = """<texture name="belt" type="2d" file="belt.png"/>
    <material name="belt" texture="belt" texrepeat="10 0.55" specular="0.1"/>"""
    assets = {'belt.png': textures.belt(look)}
    for name, kind, contrast, part, more in (
            ('floor', '2d', look.floor_contrast, _FLOOR, 'texrepeat="3 3"'),
            ('object', 'cube', look.object_contrast, _OBJECT, '')):
        if contrast:
            assets[f'{name}.png'] = textures.cover(look, contrast, part)
            text += f"""
    <texture name="{name}" type="{kind}" file="{name}.png"/>
    <material name="{name}" texture="{name}" {more}/>"""
        else:
            text += f"""
    <material name="{name}"/>"""
    return text, assets


def lamps(look: Look) -> str:
    """Write the lamps."""
    if not look.lamps:
        return _lamp(look.lamp, [look.light] * 3, look.ambient, False)
    return '\n    '.join(
        _lamp(lamp.direction, lamp.diffuse, look.ambient / len(look.lamps), lamp.shadow)
        for lamp in look.lamps)


def _lamp(direction, diffuse, ambient: float, shadow: bool) -> str:
    # A shadow map covers what is in front of its lamp, so the lamp must hang behind the scene.
    place = [-2 * part for part in direction] if shadow else (0, 0, 2)
    return (f'<light directional="true" pos="{numbers(place)}" dir="{numbers(direction)}" '
            f'castshadow="{str(shadow).lower()}" diffuse="{numbers(diffuse)}" '
            f'ambient="{numbers([ambient] * 3)}" specular="0.2 0.2 0.2"/>')


def camera(spec: SceneSpec) -> str:
    """Write the camera."""
    rotation, lens = spec.mount.rotation, spec.lens
    view = f'fovy="{math.degrees(field_of_view_y()):.9g}"'
    if lens != Lens():
        # MuJoCo measures the principal point from the middle, left and up.
        view = (f'sensorsize="{_SENSOR_M} {_SENSOR_M * HEIGHT / WIDTH}" '
                f'resolution="{WIDTH} {HEIGHT}" focalpixel="{numbers([lens.focal_px] * 2)}" '
                f'principalpixel="{numbers([-lens.centre[0], -lens.centre[1]])}"')
    return (f'<camera name="camera" pos="{numbers(spec.mount.position)}" '
            f'xyaxes="{numbers(rotation[:, 0])} {numbers(-rotation[:, 1])}" {view}/>')


def distractors(spec: SceneSpec, rides: bool) -> str:
    """
    Write the distractors, which have no contacts.

    :param rides: whether to write those on the belt, or those beside it.
    """
    start = spec.object.x - spec.motion.travel(DECISION_S) if rides else 0.0
    return '\n    '.join(
        f"""<body pos="{numbers((start + thing.position[0], *thing.position[1:]))}"
          quat="{math.cos(thing.yaw / 2):.9g} 0 0 {math.sin(thing.yaw / 2):.9g}">
      <geom name="distractor_{index}" type="{thing.shape}" size="{numbers(thing.size)}"
            mass="0" contype="0" conaffinity="0" rgba="{numbers(thing.color)} 1"/>
    </body>""" for index, thing in enumerate(spec.look.distractors) if thing.rides == rides)

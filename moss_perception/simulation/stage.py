"""What is seen but not felt, as MJCF: textures, lamps, the camera and distractors."""

import math

from moss_perception.simulation import textures
from moss_perception.simulation.camera import field_of_view_y, HEIGHT, Lens, WIDTH
from moss_perception.simulation.cells import BELT
from moss_perception.simulation.look import Look
from moss_perception.simulation.scene import DECISION_S, SceneSpec

# Half the width of the shadow map, as part of the model's extent of 4 m.
SHADOW_CLIP = 0.12
_SHADOW_MAP = 512
_SENSOR_M = 0.01
_FLOOR, _OBJECT = 1, 2


def numbers(values) -> str:
    """Write numbers as MJCF attributes have them."""
    return ' '.join(f'{value:.9g}' for value in values)


def shadow_map(look: Look) -> int:
    """Return the width of the shadow map, pixels; 0 where no lamp casts shadows."""
    return _SHADOW_MAP if any(lamp.shadow for lamp in look.lamps) else 0


def quality(spec: SceneSpec) -> str:
    """Write how finely things are drawn; shadows and several instants a frame ask for coarser."""
    coarse = '' if spec.cell == BELT else 'numquads="1" numslices="16" numstacks="8"'
    return f'<quality shadowsize="{shadow_map(spec.look)}" offsamples="4" {coarse}/>'


def floor_size(spec: SceneSpec) -> str:
    """Return half the drawn part of the floor, metres; what is felt has no end."""
    return '3 3 0.1' if spec.cell == BELT else '0.6 0.6 0.6'


def materials(look: Look) -> tuple:
    """
    Write textures and materials: ``belt``, and ``floor`` and ``object``, plain if need be.

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
    # A shadow map covers what is in front of its lamp, so the lamp hangs where its light is from.
    place = [-2 * part for part in direction] if shadow else (0, 0, 2)
    return (f'<light directional="true" pos="{numbers(place)}" dir="{numbers(direction)}" '
            f'castshadow="{str(shadow).lower()}" diffuse="{numbers(diffuse)}" '
            f'ambient="{numbers([ambient] * 3)}" specular="0.2 0.2 0.2"/>')


def camera(spec: SceneSpec) -> str:
    """Write the camera."""
    rotation, lens = spec.mount.rotation, spec.lens
    view = f'fovy="{math.degrees(field_of_view_y()):.9g}"'
    if lens != Lens():
        # MuJoCo's principal point counts from the middle, left and up.
        view = (f'sensorsize="{_SENSOR_M} {_SENSOR_M * HEIGHT / WIDTH}" '
                f'resolution="{WIDTH} {HEIGHT}" focalpixel="{numbers([lens.focal_px] * 2)}" '
                f'principalpixel="{numbers([-lens.centre[0], -lens.centre[1]])}"')
    return (f'<camera name="camera" pos="{numbers(spec.mount.position)}" '
            f'xyaxes="{numbers(rotation[:, 0])} {numbers(-rotation[:, 1])}" {view}/>')


def distractors(spec: SceneSpec, rides: bool) -> str:
    """
    Write things that nothing touches.

    :param rides: whether to write those in the belt's frame, or those in the world's.
    """
    start = spec.object.x - spec.motion.travel(DECISION_S) if rides else 0.0
    return '\n    '.join(
        f"""<body pos="{numbers((start + thing.position[0], *thing.position[1:]))}"
          quat="{math.cos(thing.yaw / 2):.9g} 0 0 {math.sin(thing.yaw / 2):.9g}">
      <geom name="distractor_{index}" type="{thing.shape}" size="{numbers(thing.size)}"
            mass="0" contype="0" conaffinity="0" rgba="{numbers(thing.color)} 1"/>
    </body>""" for index, thing in enumerate(spec.look.distractors) if thing.rides == rides)

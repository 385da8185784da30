"""The work cell with its gripper, lamps and camera as MJCF, MuJoCo's model format."""

import math

from moss_perception.simulation.camera import Lens
from moss_perception.simulation.equipment import BELT, Gripper, SURFACE, Surface, VIEW
from moss_perception.simulation.look import Lamp, Look
from moss_perception.simulation.motions import PUSHED
from moss_perception.simulation.objects import ObjectSpec, Part
from moss_perception.simulation.scene import DECISION_S, SceneSpec
from moss_perception.simulation.textures import belt_texture, cover_texture
import numpy as np

TIMESTEP_S = 0.002
BELT_HALF_LENGTH_M = 2.0
# Half sizes of the bar that pushes objects on a table, metres, and its gaps.
_BAR_M, _BAR_GAP_M = (0.005, 0.03, 0.01), 0.002
_DRIVEN_INERTIA = 1000  # contacts must not disturb bodies that follow a prescribed velocity
# Half width of the shadow map as a share of the model's extent, which is 4 m; its width, pixels.
_SHADOW_CLIP, _SHADOW_MAP = 0.12, 512
_SENSOR_M = 0.01


def build(spec: SceneSpec, marker: tuple = ()) -> tuple:
    """
    Write the model of a scene.

    :param spec: the scene.
    :param marker: x, y, z of a small bright sphere, for calibration; empty for none.
    :returns: the MJCF text and its assets, as ``mujoco.MjModel.from_xml_string`` takes them.
    """
    materials, assets = _materials(spec.look, spec.cell.surface)
    width, height = spec.lens.size
    shadows = _SHADOW_MAP if spec.look.shadows else 0
    force = f'-{spec.cell.gripper.force_n} {spec.cell.gripper.force_n}'
    text = f"""
<mujoco model="work_cell">
  <compiler angle="radian"/>
  <option timestep="{TIMESTEP_S}" integrator="implicitfast" cone="elliptic" impratio="5"
          iterations="20" ls_iterations="20"/>
  <visual>
    <global offwidth="{width}" offheight="{height}"
            fovy="{math.degrees(spec.cell.view.field_of_view_y)}"/>
    <quality shadowsize="{shadows}" offsamples="4" {spec.cell.mesh_quality}/>
    <headlight active="0"/>
    <map znear="0.05" zfar="5" shadowclip="{_SHADOW_CLIP}"/>
  </visual>
  <asset>
    {materials}
  </asset>
  <default>
    <geom friction="0.1 0.005 0.0005" condim="4" solref="0.008 1"/>
    <default class="driven"><joint armature="{_DRIVEN_INERTIA}" damping="0"/></default>
    <default class="metal">
      <geom rgba="{_numbers(spec.look.fingers)} 1" contype="2" conaffinity="4"/>
    </default>
  </default>
  <worldbody>
    {_lamps(spec.look)}
    {_camera(spec)}
    <geom name="floor" type="plane" size="{_numbers(spec.cell.floor_size)}" pos="0 0 -0.06"
          contype="1" conaffinity="4" rgba="{_numbers(spec.look.floor)} 1" material="floor"/>
    {_distractors(spec, rides=False)}
    <body name="belt" gravcomp="1">
      {_belt_joint(spec)}
      <geom name="belt" type="box" pos="0 0 -0.01" mass="10" material="belt" contype="1"
            conaffinity="4" size="{BELT_HALF_LENGTH_M} {spec.cell.surface.half_width_m} 0.01"/>
      {_distractors(spec, rides=True)}
    </body>
    {_bar(spec)}
    {_object(spec.object)}
    {_gripper(spec.cell.gripper, spec.look)}
    {_marker(marker)}
  </worldbody>
  {_belt_contacts(spec.object)}
  <equality>
    <joint joint1="left" joint2="right" solref="0.004 1"/>
  </equality>
  <actuator>
    <position name="left" joint="left" kp="800" forcerange="{force}"/>
    <position name="right" joint="right" kp="800" forcerange="{force}"/>
  </actuator>
</mujoco>
"""
    return text, assets


def driven(spec: SceneSpec) -> str | None:
    """Return the joint that follows the scene's motion; ``None`` if nothing does."""
    if spec.cell.surface.kind == BELT:
        return 'belt'
    return 'bar' if spec.motion.name == PUSHED else None


def bar_distance(thing: ObjectSpec) -> float:
    """Return the distance of the bar's middle from an object's origin that it does not touch."""
    cos, sin = math.cos(thing.yaw), math.sin(thing.yaw)
    behind = []
    for part in thing.solids:
        (x, y, _), (long, wide, _) = part.position, part.half_extents
        behind.append(abs(cos) * long + abs(sin) * wide - (cos * x - sin * y))
    return max(behind) + _BAR_M[0] + _BAR_GAP_M


def _belt_joint(spec: SceneSpec) -> str:
    if spec.cell.surface.kind != BELT:
        return ''
    return '<joint name="belt" type="slide" axis="1 0 0" class="driven"/>'


def _bar(spec: SceneSpec) -> str:
    """Write the bar; it touches the object only, so that it does not stop the gripper."""
    if driven(spec) != 'bar':
        return ''
    return f"""<body name="bar" pos="0 {spec.object.y:.9g} {_BAR_M[2] + _BAR_GAP_M}" gravcomp="1">
      <joint name="bar" type="slide" axis="1 0 0" class="driven"/>
      <geom name="bar" type="box" mass="0.5" size="{_numbers(_BAR_M)}" contype="2"
            conaffinity="4" rgba="{_numbers(spec.look.palm)} 1"/>
    </body>"""


def _object(thing: ObjectSpec) -> str:
    whole = sum(part.volume for part in thing.solids)
    mass = thing.mass * (1 - thing.ballast[3]) if thing.ballast else thing.mass
    geoms = ''.join(_part(part, name, thing, mass * part.volume / whole)
                    for part, name in zip(thing.solids, _geom_names(thing), strict=True))
    half = thing.yaw / 2
    return f"""
    <body name="object" pos="0 {thing.y:.9g} {rest_height(thing) + 0.0005:.9g}"
          quat="{math.cos(half):.9g} 0 0 {math.sin(half):.9g}">
      <freejoint name="object"/>{geoms}{_ballast(thing)}{_rollers(thing)}
    </body>"""


def _geom_names(thing: ObjectSpec) -> list:
    """Return the names of an object's solids; the first is ``object``."""
    return ['object', *(f'object{index}' for index in range(1, len(thing.solids)))]


def rest_height(thing: ObjectSpec) -> float:
    """Return the height of a resting object's origin above the belt, metres."""
    return thing.half_sizes[2]


def _part(part: Part, name: str, thing: ObjectSpec, mass: float) -> str:
    color = part.shade * np.asarray(thing.color)
    # Nine digits would change the rotation of capsules slightly; recorded scenes depend on it.
    euler = ' '.join(str(angle) for angle in part.euler)
    # An object with rollers touches the fingers only; its rollers touch the belt.
    touches = 'contype="0" conaffinity="2"' if thing.rollers else 'contype="4" conaffinity="3"'
    return f"""
      <geom name="{name}" type="{part.kind}" size="{_numbers(part.size)}"
            pos="{_numbers(part.position)}" euler="{euler}" mass="{mass:.9g}"
            friction="{thing.friction:.9g} 0.01 0.002" condim="6" {touches}
            material="object" rgba="{_numbers(color)} 1"/>"""


def _ballast(thing: ObjectSpec) -> str:
    if not thing.ballast:
        return ''
    *place, share = thing.ballast
    return f"""
      <geom name="ballast" type="sphere" size="0.002" pos="{_numbers(place)}" contype="0"
            conaffinity="0" group="4" mass="{share * thing.mass:.9g}"/>"""


def _rollers(thing: ObjectSpec) -> str:
    return ''.join(f"""
      <geom name="roller{index}" type="{part.kind}" size="{_numbers(part.size)}"
            pos="{_numbers(part.position)}" contype="0" conaffinity="0" group="4" mass="0"/>"""
                   for index, part in enumerate(thing.rollers))


def _belt_contacts(thing: ObjectSpec) -> str:
    """Write the contacts of an object that rolls on the belt differently than on the fingers."""
    if thing.rolling_friction is None:
        return ''
    friction = _numbers([thing.friction, thing.friction, 0.01, *[thing.rolling_friction] * 2])
    names = [f'roller{index}' for index in range(len(thing.rollers))] or _geom_names(thing)
    pairs = ''.join(f"""
    <pair geom1="belt" geom2="{name}" condim="6" friction="{friction}" solref="0.008 1"/>"""
                    for name in names)
    return f'<contact>{pairs}\n  </contact>'


def _gripper(gripper: Gripper, look: Look) -> str:
    pad = (f'friction="{_numbers(gripper.friction)}" solref="{_numbers(gripper.solref)}" '
           f'solimp="{_numbers(gripper.solimp)}"')
    opening_m, (thick, wide, high) = gripper.half_opening_m, gripper.pad
    fingers = ''.join(f"""
      <body name="{name}" pos="{side * (opening_m + thick)} 0 0" gravcomp="1">
        <joint name="{name}" type="slide" axis="{-side} 0 0" damping="8" armature="0.05"
               range="0 {opening_m}" limited="true"/>
        <geom name="{name}" type="box" mass="0.05" class="metal" pos="0 0 0" {pad}
              size="{thick} {wide} {high}"/>
        <geom type="box" mass="0.05" class="metal" pos="0 0 {high + 0.02}"
              size="{thick} 0.008 0.02"/>
      </body>""" for name, side in (('left', 1), ('right', -1)))
    return f"""
    <body name="wrist" gravcomp="1">
      <joint name="wrist_x" type="slide" axis="1 0 0" class="driven"/>
      <joint name="wrist_y" type="slide" axis="0 1 0" class="driven"/>
      <joint name="wrist_z" type="slide" axis="0 0 1" class="driven"/>
      <joint name="wrist_yaw" type="hinge" axis="0 0 1" class="driven"/>
      <geom name="palm" type="box" mass="0.3" class="metal" pos="0 0 {_numbers([high + 0.052])}"
            size="{_numbers([opening_m + 0.015])} 0.016 0.012"
            rgba="{_numbers(look.palm)} 1"/>{fingers}
    </body>"""


def _marker(marker: tuple) -> str:
    if not marker:
        return ''
    return (f'<geom name="marker" type="sphere" size="0.006" pos="{_numbers(marker)}" '
            f'contype="0" conaffinity="0" rgba="1 0 1 1"/>')


def _materials(look: Look, surface: Surface) -> tuple:
    """
    Write the textures and materials of ``belt``, ``floor`` and ``object``.

    :returns: the elements, and the assets that they name.
    """
    across = 0.55 * (surface.half_width_m / SURFACE.half_width_m)
    gloss = [f'specular="{_numbers([specular])}" shininess="{_numbers([shininess])}"'
             for specular, shininess in look.gloss] or ['specular="0.1"', '', '']
    text = f"""<texture name="belt" type="2d" file="belt.png"/>
    <material name="belt" texture="belt" texrepeat="10 {_numbers([across])}" {gloss[0]}/>"""
    assets = {'belt.png': belt_texture(look)}
    for name, kind, contrast, part, more in (
            ('floor', '2d', look.floor_contrast, 1, 'texrepeat="3 3"'),
            ('object', 'cube', look.object_contrast, 2, '')):
        if contrast:
            assets[f'{name}.png'] = cover_texture(look, contrast, part)
            text += f"""
    <texture name="{name}" type="{kind}" file="{name}.png"/>
    <material name="{name}" texture="{name}" {more} {gloss[part]}/>"""
        else:
            text += f"""
    <material name="{name}" {gloss[part]}/>"""
    return text, assets


def _lamps(look: Look) -> str:
    ambient = _numbers([look.ambient / len(look.lamps)] * 3)
    return '\n    '.join(
        f'<light {_lamp_place(lamp)} '
        f'dir="{_numbers(lamp.direction)}" castshadow="{str(lamp.shadow).lower()}" '
        f'diffuse="{_numbers(lamp.diffuse)}" ambient="{ambient}" specular="0.2 0.2 0.2"/>'
        for lamp in look.lamps)


def _lamp_place(lamp: Lamp) -> str:
    if lamp.position:
        return (f'directional="false" pos="{_numbers(lamp.position)}" '
                f'cutoff="{math.degrees(lamp.cutoff):.9g}" exponent="{_numbers([lamp.focus])}"')
    # A shadow map covers what is in front of its lamp, so the lamp must hang behind the scene.
    place = [-2 * part for part in lamp.direction] if lamp.shadow else (0, 0, 2)
    return f'directional="true" pos="{_numbers(place)}"'


def _camera(spec: SceneSpec) -> str:
    """Write the camera."""
    rotation, lens = spec.mount.rotation, spec.lens
    width, height = lens.size
    view = f'fovy="{math.degrees(VIEW.field_of_view_y):.9g}"'
    if lens != Lens():
        # MuJoCo measures the principal point from the middle, left and up.
        view = (f'sensorsize="{_SENSOR_M} {_SENSOR_M * height / width}" '
                f'resolution="{width} {height}" focalpixel="{_numbers([lens.focal_px] * 2)}" '
                f'principalpixel="{_numbers([-lens.centre[0], -lens.centre[1]])}"')
    return (f'<camera name="camera" pos="{_numbers(spec.mount.position)}" '
            f'xyaxes="{_numbers(rotation[:, 0])} {_numbers(-rotation[:, 1])}" {view}/>')


def _distractors(spec: SceneSpec, rides: bool) -> str:
    """
    Write the distractors, which have no contacts.

    :param rides: whether to write those on the belt, or those beside it.
    """
    start = spec.object.x if rides else 0.0
    if rides and driven(spec) == 'belt':
        start -= spec.motion.travel(DECISION_S)
    return '\n    '.join(
        f"""<body pos="{_numbers((start + thing.position[0], *thing.position[1:]))}"
          quat="{math.cos(thing.yaw / 2):.9g} 0 0 {math.sin(thing.yaw / 2):.9g}">
      <geom name="distractor_{index}" type="{thing.shape}" size="{_numbers(thing.size)}"
            mass="0" contype="0" conaffinity="0" rgba="{_numbers(thing.color)} 1"/>
    </body>""" for index, thing in enumerate(spec.look.distractors) if thing.rides == rides)


def _numbers(values) -> str:
    """Format numbers for an MJCF attribute."""
    return ' '.join(f'{value:.9g}' for value in values)

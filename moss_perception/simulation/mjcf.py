"""The work cell as MJCF text, MuJoCo's model format."""

import math

import cv2
from moss_perception.simulation.camera import field_of_view_y, HEIGHT, Mount, WIDTH
from moss_perception.simulation.scene import Look, ObjectSpec, SceneSpec
import numpy as np

TIMESTEP_S = 0.002
BELT_HALF_LENGTH_M = 2.0
BELT_HALF_WIDTH_M = 0.11
OPENING_M = 0.045  # from the gripper's middle to each pad's face, open
PAD_HALF_HEIGHT_M = 0.016
PAD_HALF_THICKNESS_M = 0.005
GRIP_FORCE_N = 10.0
_DRIVEN_INERTIA = 1000  # what is moved by prescribed velocity must not feel what it touches


def build(spec: SceneSpec, marker: tuple = ()) -> tuple:
    """
    Write the model of a scene.

    :param spec: the scene.
    :param marker: x, y, z of a small bright sphere, for calibration; empty for none.
    :returns: the MJCF text and its assets, as ``mujoco.MjModel.from_xml_string`` takes them.
    """
    text = f"""
<mujoco model="work_cell">
  <compiler angle="radian"/>
  <option timestep="{TIMESTEP_S}" integrator="implicitfast" cone="elliptic" impratio="5"
          iterations="20" ls_iterations="20"/>
  <visual>
    <global offwidth="{WIDTH}" offheight="{HEIGHT}" fovy="{math.degrees(field_of_view_y())}"/>
    <quality shadowsize="0" offsamples="4"/>
    <headlight active="0"/>
    <map znear="0.05" zfar="5"/>
  </visual>
  <asset>
    <texture name="belt" type="2d" file="belt.png"/>
    <material name="belt" texture="belt" texrepeat="10 0.55" specular="0.1"/>
  </asset>
  <default>
    <geom friction="0.1 0.005 0.0005" condim="4" solref="0.008 1"/>
    <default class="driven"><joint armature="{_DRIVEN_INERTIA}" damping="0"/></default>
    <default class="metal"><geom rgba="0.55 0.57 0.6 1" contype="2" conaffinity="4"/></default>
  </default>
  <worldbody>
    {_light(spec.look)}
    {_camera(spec.mount)}
    <geom name="floor" type="plane" size="3 3 0.1" pos="0 0 -0.06" contype="1" conaffinity="4"
          rgba="{_numbers(spec.look.floor)} 1"/>
    <body name="belt" gravcomp="1">
      <joint name="belt" type="slide" axis="1 0 0" class="driven"/>
      <geom name="belt" type="box" pos="0 0 -0.01" mass="10" material="belt" contype="1"
            conaffinity="4" size="{BELT_HALF_LENGTH_M} {BELT_HALF_WIDTH_M} 0.01"/>
    </body>
    {_object(spec.object)}
    {_gripper()}
    {_marker(marker)}
  </worldbody>
  <equality>
    <joint joint1="left" joint2="right" solref="0.004 1"/>
  </equality>
  <actuator>
    <position name="left" joint="left" kp="800" forcerange="-{GRIP_FORCE_N} {GRIP_FORCE_N}"/>
    <position name="right" joint="right" kp="800" forcerange="-{GRIP_FORCE_N} {GRIP_FORCE_N}"/>
  </actuator>
</mujoco>
"""
    return text, {'belt.png': _belt_texture(spec.look)}


def _numbers(values) -> str:
    return ' '.join(f'{value:.9g}' for value in values)


def _light(look: Look) -> str:
    return (f'<light directional="true" pos="0 0 2" dir="{_numbers(look.lamp)}" '
            f'castshadow="false" diffuse="{_numbers([look.light] * 3)}" '
            f'ambient="{_numbers([look.ambient] * 3)}" specular="0.2 0.2 0.2"/>')


def _camera(mount: Mount) -> str:
    rotation = mount.rotation
    return (f'<camera name="camera" pos="{_numbers(mount.position)}" '
            f'xyaxes="{_numbers(rotation[:, 0])} {_numbers(-rotation[:, 1])}" '
            f'fovy="{math.degrees(field_of_view_y()):.9g}"/>')


def _object(thing: ObjectSpec) -> str:
    long, short, high = thing.half_sizes
    size, euler = {
        'box': ((long, short, high), '0 0 0'),
        'cylinder': ((long, high), '0 0 0'),
        'capsule': ((short, long - short), f'0 {math.pi / 2} 0'),
        'ellipsoid': ((long, short, high), '0 0 0'),
    }[thing.shape]
    half = thing.yaw / 2
    return f"""
    <body name="object" pos="0 {thing.y:.9g} {high + 0.0005:.9g}"
          quat="{math.cos(half):.9g} 0 0 {math.sin(half):.9g}">
      <freejoint name="object"/>
      <geom name="object" type="{thing.shape}" size="{_numbers(size)}" euler="{euler}"
            mass="{thing.mass:.9g}" friction="{thing.friction:.9g} 0.01 0.002" condim="6"
            contype="4" conaffinity="3" rgba="{_numbers(thing.color)} 1"/>
    </body>"""


def _gripper() -> str:
    fingers = ''.join(f"""
      <body name="{name}" pos="{side * (OPENING_M + PAD_HALF_THICKNESS_M)} 0 0" gravcomp="1">
        <joint name="{name}" type="slide" axis="{-side} 0 0" damping="8" armature="0.05"
               range="0 {OPENING_M}" limited="true"/>
        <geom name="{name}" type="box" mass="0.05" class="metal" pos="0 0 0"
              size="{PAD_HALF_THICKNESS_M} 0.011 {PAD_HALF_HEIGHT_M}"/>
        <geom type="box" mass="0.05" class="metal" pos="0 0 {PAD_HALF_HEIGHT_M + 0.02}"
              size="{PAD_HALF_THICKNESS_M} 0.008 0.02"/>
      </body>""" for name, side in (('left', 1), ('right', -1)))
    return f"""
    <body name="wrist" gravcomp="1">
      <joint name="wrist_x" type="slide" axis="1 0 0" class="driven"/>
      <joint name="wrist_y" type="slide" axis="0 1 0" class="driven"/>
      <joint name="wrist_z" type="slide" axis="0 0 1" class="driven"/>
      <joint name="wrist_yaw" type="hinge" axis="0 0 1" class="driven"/>
      <geom name="palm" type="box" mass="0.3" class="metal" pos="0 0 0.068"
            size="0.06 0.016 0.012" rgba="0.25 0.27 0.3 1"/>{fingers}
    </body>"""


def _marker(marker: tuple) -> str:
    if not marker:
        return ''
    return (f'<geom name="marker" type="sphere" size="0.006" pos="{_numbers(marker)}" '
            f'contype="0" conaffinity="0" rgba="1 0 1 1"/>')


def _belt_texture(look: Look) -> bytes:
    """Draw blotches, grain and a few cross seams as PNG; the texture covers 0.4 m of belt."""
    rng = np.random.default_rng(look.texture_seed)
    blotches = cv2.resize(rng.normal(0, 0.5, (8, 20)), (256, 128), interpolation=cv2.INTER_CUBIC)
    grain = cv2.resize(rng.normal(0, 0.4, (64, 128)), (256, 128))
    seams = np.zeros((128, 256))
    for column in rng.integers(0, 250, rng.integers(0, 4)):
        seams[:, column:column + 5] += rng.choice((-1.0, 1.0))
    level = look.belt * (1 + look.belt_contrast * (blotches + grain + seams))
    color = np.clip(level[..., None] * (1 + rng.uniform(-0.12, 0.12, 3)), 0, 1)
    return cv2.imencode('.png', np.round(color * 255).astype(np.uint8))[1].tobytes()

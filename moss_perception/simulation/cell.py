"""A running work cell: belt and wrist follow prescribed motions; physics moves the rest."""

import logging
import math
import os

from moss_perception.core.errors import SceneError, SimulationError
from moss_perception.simulation import arena
from moss_perception.simulation.cells import TICK_S
from moss_perception.simulation.equipment import BELT
from moss_perception.simulation.motions import PUSHED
from moss_perception.simulation.scene import DECISION_S, SceneSpec
import numpy as np


def _load():
    # With MUJOCO_GL set, the import tries to load a renderer and fails if that is not installed.
    # Physics needs no renderer, and ``renderer`` opens its own.
    wanted = os.environ.get('MUJOCO_GL')
    os.environ['MUJOCO_GL'] = 'disable'
    try:
        import mujoco
    except ImportError as error:
        raise SimulationError(
            f'the simulated work cell needs the Python package mujoco: {error}') from error
    finally:
        if wanted is None:
            del os.environ['MUJOCO_GL']
        else:
            os.environ['MUJOCO_GL'] = wanted
    return mujoco


mujoco = _load()
# MuJoCo would write MUJOCO_LOG.TXT into the working directory. Such scenes are refused here.
mujoco.set_mju_user_warning(logging.getLogger(__name__).debug)
_STEPS = round(TICK_S / arena.TIMESTEP_S)
# From the objects' side of the belt to the waiting gripper, metres.
_ASIDE_M = 0.09
OPEN = 0.0
# Largest depth at which soft contacts let an object rest.
_MAX_DEPTH_M = 0.002
_WARNINGS = tuple(name for name in mujoco.mjtWarning.__members__ if name.startswith('mjWARN_'))


class WorkCell:
    """
    One running scene, in ticks of 10 ms.

    :ivar spec: the scene.
    :ivar ticks: number of ticks that have passed.
    """

    def __init__(self, spec: SceneSpec, marker: tuple = ()):
        """
        Build the scene; the object is placed to reach ``spec.object.x`` at the decision.

        :raises SimulationError: if MuJoCo refuses the model.
        :raises SceneError: if the object touches the gripper or penetrates the belt, or the
            physics is unstable.
        """
        text, assets = arena.build(spec, marker)
        try:
            self.model = mujoco.MjModel.from_xml_string(text, assets)
        except ValueError as error:
            raise SimulationError(f'MuJoCo refuses the scene of seed {spec.seed}: {error}') \
                from error
        self.data = mujoco.MjData(self.model)
        self.spec = spec
        # The gripper waits where it does not hide the objects.
        self._hover = (0.03, spec.cell.goods.across_m + _ASIDE_M, 0.13, 0.0)
        self._addresses()
        self._place(np.zeros(2))
        if spec.rolling or spec.motion.name == PUSHED:
            # How far it goes depends on friction and balance: try it, then correct the start.
            self.wait(DECISION_S)
            gap = (spec.object.x, spec.object.y) - self.object_position[:2]
            # The bar does not move sideways, and neither must the object, relative to it.
            self._place(gap if spec.rolling else gap * (1, 0))
        self._check_start()

    def _addresses(self):
        model = self.model
        joint, driven = model.joint, arena.driven(self.spec)
        # The belt, or the bar that pushes the object; on a table without a bar nothing is driven.
        self._driven = None if driven is None else (
            joint(driven).qposadr[0], joint(driven).dofadr[0])
        wrist = joint('wrist_x')
        self._wrist_q = slice(wrist.qposadr[0], wrist.qposadr[0] + 4)
        self._wrist_v = slice(wrist.dofadr[0], wrist.dofadr[0] + 4)
        self._object_q = joint('object').qposadr[0]
        self._object_v = joint('object').dofadr[0]
        self._object = model.body('object').id
        self._pads = model.geom('left').id, model.geom('right').id

    def _place(self, shift: np.ndarray):
        spec, data = self.spec, self.data
        mujoco.mj_resetData(self.model, data)
        self.ticks = 0
        # On a table the object rests until the bar reaches it.
        velocity = spec.motion.velocity(0.0) if spec.cell.surface.kind == BELT else 0.0
        data.qpos[self._wrist_q] = self._hover
        data.qpos[self._object_q] = spec.object.x - spec.motion.travel(DECISION_S)
        data.qpos[self._object_q:self._object_q + 2] += shift
        data.qvel[self._object_v] = velocity
        self._origin = 0.0
        if self._driven is not None:
            if spec.cell.surface.kind != BELT:
                self._origin = data.qpos[self._object_q] - arena.bar_distance(spec.object)
                data.qpos[self._driven[0]] = self._origin
            data.qvel[self._driven[1]] = velocity
        if spec.rolling:
            # It turns about its x axis, and so rolls across that axis.
            yaw = spec.object.yaw
            turning = spec.rolling / math.sin(yaw)
            data.qvel[self._object_v:self._object_v + 2] += (
                spec.rolling, -turning * math.cos(yaw))
            data.qvel[self._object_v + 3] = turning / arena.rest_height(spec.object)
        mujoco.mj_forward(self.model, data)

    def _check_start(self):
        """
        Refuse a scene that starts with impossible contacts.

        :raises SceneError: if there are any; the message names the contact.
        """
        belt = self.model.body('belt').id
        for contact in self.data.contact:
            bodies = self.model.geom_bodyid[contact.geom]
            if self._object not in bodies:
                continue
            (other,) = bodies[bodies != self._object]
            if other != belt:
                raise SceneError('contact', (
                    f'the object of seed {self.spec.seed} touches the '
                    f'{self.model.body(int(other)).name} at the start: expected only the belt'))
            if contact.dist < -_MAX_DEPTH_M:
                raise SceneError('contact', (
                    f'the object of seed {self.spec.seed} penetrates the belt by '
                    f'{-contact.dist:.4f} m at the start: expected at most {_MAX_DEPTH_M} m'))

    def _check_physics(self):
        """
        Refuse to continue if the physics has diverged.

        MuJoCo then resets itself with a warning, so that the numbers alone do not show it.

        :raises SceneError: if it has; the message names seed and time.
        """
        data = self.data
        warned = data.warning.number.any()
        if warned or not np.isfinite(data.qpos).all() or not np.isfinite(data.qvel).all():
            named = [name for index, name in enumerate(_WARNINGS) if data.warning[index].number]
            raise SceneError('unstable', (
                f'the physics of seed {self.spec.seed} is unstable at {self.time_s:.2f} s: '
                f'{", ".join(named) or "positions or velocities are not finite"}'))

    @property
    def time_s(self) -> float:
        """Return the scene's time, seconds."""
        return self.ticks * TICK_S

    def tick(self, wrist: np.ndarray, finger: float):
        """
        Advance by 10 ms.

        :param wrist: pose of the wrist at the end of the tick: x, y, z of the middle between the
            pads, metres, and yaw of the closing direction, radians; shape ``(4,)``.
        :param finger: commanded position of each finger, metres: from ``OPEN`` to half the
            gripper's opening.
        :raises SceneError: if the physics is unstable.
        """
        data = self.data
        self.ticks += 1
        data.qvel[self._wrist_v] = (wrist - data.qpos[self._wrist_q]) / TICK_S
        if self._driven is not None:
            data.qvel[self._driven[1]] = (self.spec.motion.travel(self.time_s) + self._origin
                                          - data.qpos[self._driven[0]]) / TICK_S
        data.ctrl[:] = finger
        mujoco.mj_step(self.model, data, _STEPS)
        self._check_physics()

    def wait(self, until_s: float):
        """Advance to a time with the gripper open and hovering."""
        while self.time_s < until_s - TICK_S / 2:
            self.tick(np.asarray(self._hover), OPEN)

    def foresee(self, seconds: float) -> np.ndarray:
        """
        Predict the object's position if nothing touches it; the state does not change.

        :param seconds: time from now, at least 0.
        :returns: centre of the object at that time, metres, shape ``(3,)``.
        """
        saved = self.save()
        try:
            self.wait(self.time_s + seconds)
            return self.object_position
        finally:
            self.restore(saved)

    @property
    def wrist(self) -> np.ndarray:
        """Return the pose of the wrist: x, y, z, metres, and yaw, radians."""
        return self.data.qpos[self._wrist_q].copy()

    @property
    def object_geoms(self) -> range:
        """Return the numbers of the geoms that the object is made of."""
        first = int(self.model.body_geomadr[self._object])
        return range(first, first + int(self.model.body_geomnum[self._object]))

    @property
    def object_position(self) -> np.ndarray:
        """Return the object's centre, metres, shape ``(3,)``."""
        return self.data.qpos[self._object_q:self._object_q + 3].copy()

    @property
    def object_velocity(self) -> np.ndarray:
        """Return the velocity of the object's centre, m/s, shape ``(3,)``."""
        return self.data.qvel[self._object_v:self._object_v + 3].copy()

    @property
    def object_yaw(self) -> float:
        """Return the heading of the object's long axis, radians."""
        w, x, y, z = self.data.qpos[self._object_q + 3:self._object_q + 7]
        return float(np.arctan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z)))

    @property
    def wrist_force(self) -> float:
        """Return the upward force on the wrist, newtons."""
        return float(self.data.qfrc_constraint[self._wrist_v.start + 2])

    def touching(self) -> tuple:
        """Return whether the left and the right pad touch the object."""
        pairs = self.data.contact.geom
        of_object = (self.model.geom_bodyid[pairs] == self._object).any(axis=1)
        return tuple(bool((of_object & (pairs == pad).any(axis=1)).any()) for pad in self._pads)

    def save(self) -> tuple:
        """Return the state that determines the simulation from here."""
        kind = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(self.model, kind))
        mujoco.mj_getState(self.model, self.data, state, kind)
        return self.ticks, state

    def restore(self, saved: tuple):
        """Restore a state that :meth:`save` returned."""
        self.ticks, state = saved
        mujoco.mj_setState(self.model, self.data, state, mujoco.mjtState.mjSTATE_INTEGRATION)
        mujoco.mj_forward(self.model, self.data)

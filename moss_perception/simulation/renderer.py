"""Rendering without a display, with the first OpenGL back end that works."""

from functools import cache
import importlib
import os
import sys
from typing import Any

from moss_perception.core.errors import SimulationError
from moss_perception.simulation.cell import mujoco, WorkCell
from moss_perception.simulation.equipment import HEIGHT, WIDTH
from moss_perception.simulation.sensor import develop, encode, expose
import numpy as np

BACKENDS = ('egl', 'osmesa')


def open_context():
    """
    Create an off-screen OpenGL context and make it current in this thread.

    It uses the back end that ``MUJOCO_GL`` names, or else the first of EGL and OSMesa that works.

    :raises SimulationError: if none works.
    """
    wanted = os.environ.get('MUJOCO_GL', '').lower()
    if wanted and wanted not in BACKENDS:
        raise SimulationError(
            f'MUJOCO_GL is {wanted!r}; rendering without a display needs egl or osmesa')
    reasons = []
    for backend in (wanted,) if wanted else BACKENDS:
        context, reason = _try(backend)
        if context is not None:
            return context
        reasons.append(f'{backend}: {reason}')
    if not wanted:
        del os.environ['MUJOCO_GL']
    raise SimulationError(
        f'no OpenGL renderer works here ({"; ".join(reasons)}); '
        'install the Debian packages libegl1, libgl1-mesa-dri and libosmesa6')


def _try(backend: str) -> tuple:
    """Return a context, or ``None`` and the reason."""
    # PyOpenGL and MuJoCo's loader of OpenGL read the environment.
    os.environ['PYOPENGL_PLATFORM'] = os.environ['MUJOCO_GL'] = backend
    try:
        # Images are rendered into a buffer of the model's own size.
        context = importlib.import_module(f'mujoco.{backend}').GLContext(WIDTH, HEIGHT)
        context.make_current()
    except Exception as error:  # noqa: BLE001 - loaders raise many types; all are reported
        # PyOpenGL binds to one platform at import; remove it so that the next can be tried.
        for name in [name for name in sys.modules if name.split('.')[0] == 'OpenGL']:
            del sys.modules[name]
        return None, (str(error) or type(error).__name__).splitlines()[0].split('. ')[0]
    return context, ''


class Renderer:
    """
    The camera: renders cells one after another in one OpenGL context.

    Use it only in the thread that created it.
    """

    def __init__(self):
        """
        Open the context.

        :raises SimulationError: if no renderer works.
        """
        self._gl = open_context()
        self._context: Any = None
        self._cell = None
        self._rgb = np.empty(0, np.uint8)

    def _use(self, cell: WorkCell):
        """Make the context current: another renderer of this thread may have been used since."""
        self._gl.make_current()
        if cell is not self._cell:
            self._attach(cell)

    def _attach(self, cell: WorkCell):
        if self._context is not None:
            self._context.free()
        self._cell = cell
        width, height = cell.spec.lens.size
        self._rgb = np.empty((height, width, 3), np.uint8)
        self._scratch = mujoco.MjData(cell.model)
        self._scene = mujoco.MjvScene(cell.model, maxgeom=200)
        for flag in (mujoco.mjtRndFlag.mjRND_REFLECTION, mujoco.mjtRndFlag.mjRND_SKYBOX,
                     mujoco.mjtRndFlag.mjRND_HAZE):
            self._scene.flags[flag] = 0
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = cell.spec.look.shadows
        self._option = mujoco.MjvOption()
        self._camera = mujoco.MjvCamera()
        self._camera.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._camera.fixedcamid = cell.model.camera('camera').id
        try:
            self._context = mujoco.MjrContext(cell.model, mujoco.mjtFontScale.mjFONTSCALE_50)
        except mujoco.FatalError as error:
            raise SimulationError(f'MuJoCo could not use the renderer: {error}') from error
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)

    def render(self, cell: WorkCell) -> np.ndarray:
        """
        Render a frame of a cell, as the scene's sensor sees it.

        :returns: uint8, RGB, shape ``(H, W, 3)``, of the lens's size.
        """
        self._use(cell)
        spec = cell.spec
        light = expose([self._picture(cell, instant) for instant in spec.sensor.instants],
                       spec.sensor)
        return develop(light, spec.look, spec.sensor,
                       np.random.default_rng([spec.seed, 2, cell.ticks]))

    def render_jpeg(self, cell: WorkCell) -> bytes:
        """Render a frame and compress it as the scene's camera does."""
        return encode(self.render(cell), cell.spec.sensor.jpeg_quality)

    def object_mask(self, cell: WorkCell) -> np.ndarray:
        """
        Return which pixels of a frame show the object at the time of its stamp.

        :returns: bool, shape ``(H, W)``.
        """
        self._use(cell)
        flags = self._scene.flags
        segment = [int(flag) for flag in (mujoco.mjtRndFlag.mjRND_SEGMENT,
                                          mujoco.mjtRndFlag.mjRND_IDCOLOR)]
        flags[segment] = 1
        colours = self._picture(cell, 0.0).astype(np.int32)
        flags[segment] = 0
        # The colour of a pixel is one more than the number of its geom; 0 is the background.
        shown = colours @ (1, 1 << 8, 1 << 16)
        numbers = [geom.segid + 1 for geom in self._scene.geoms[:self._scene.ngeom]
                   if geom.objtype == mujoco.mjtObj.mjOBJ_GEOM
                   and geom.objid in cell.object_geoms]
        return np.isin(shown, numbers)

    def _picture(self, cell: WorkCell, instant_s: float) -> np.ndarray:
        """Render an image without sensor effects, at a time relative to the cell's."""
        view = mujoco.MjrRect(0, 0, *cell.spec.lens.size)
        data = self._moved(cell, instant_s) if instant_s else cell.data
        mujoco.mjv_updateScene(cell.model, data, self._option, None, self._camera,
                               mujoco.mjtCatBit.mjCAT_ALL, self._scene)
        mujoco.mjr_render(view, self._scene, self._context)
        mujoco.mjr_readPixels(self._rgb, None, view, self._context)
        return np.flipud(self._rgb).copy()

    def _moved(self, cell: WorkCell, seconds: float):
        """Return the state extrapolated by some seconds at constant velocity."""
        data = self._scratch
        data.qpos[:] = cell.data.qpos
        data.mocap_pos[:], data.mocap_quat[:] = cell.data.mocap_pos, cell.data.mocap_quat
        mujoco.mj_integratePos(cell.model, data.qpos, cell.data.qvel, seconds)
        mujoco.mj_kinematics(cell.model, data)
        mujoco.mj_comPos(cell.model, data)
        mujoco.mj_camlight(cell.model, data)
        return data

    def close(self):
        """Free the context."""
        if self._context is not None:
            self._context.free()
            self._context = None
        self._gl.free()


@cache
def process_renderer() -> Renderer:
    """Return the one renderer of a worker process, created by the first call."""
    # One rendering thread a worker is faster than all cores for each worker.
    os.environ.setdefault('LP_NUM_THREADS', '1')
    return Renderer()

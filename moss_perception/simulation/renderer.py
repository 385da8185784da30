"""Rendering without a display, through the first OpenGL back end that works."""

import importlib
import os
import sys

import cv2
from moss_perception.errors import SimulationError
from moss_perception.simulation.camera import HEIGHT, WIDTH
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.physics import mujoco
import numpy as np

BACKENDS = ('egl', 'osmesa')


def open_context():
    """
    Make an off-screen OpenGL context, current in this thread.

    By the back end that ``MUJOCO_GL`` names, or else the first of EGL and OSMesa that works.

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
    """Return a context and why there is none."""
    # PyOpenGL and MuJoCo's own loader of OpenGL are told through the environment.
    os.environ['PYOPENGL_PLATFORM'] = os.environ['MUJOCO_GL'] = backend
    try:
        context = importlib.import_module(f'mujoco.{backend}').GLContext(WIDTH, HEIGHT)
        context.make_current()
    except Exception as error:  # noqa: BLE001 - loaders fail in ways of their own; all are told
        # PyOpenGL binds to one platform when it is imported: the next must find it unbound.
        for name in [name for name in sys.modules if name.split('.')[0] == 'OpenGL']:
            del sys.modules[name]
        return None, (str(error) or type(error).__name__).splitlines()[0].split('. ')[0]
    return context, ''


class Renderer:
    """
    The camera: renders cells one after another in one OpenGL context.

    To be used in the thread that made it.
    """

    def __init__(self):
        """
        Open the context.

        :raises SimulationError: if no renderer works.
        """
        self._gl = open_context()
        self._context = None
        self._cell = None
        self._rgb = np.empty((HEIGHT, WIDTH, 3), np.uint8)

    def _attach(self, cell: WorkCell):
        if self._context is not None:
            self._context.free()
        self._cell = cell
        self._scene = mujoco.MjvScene(cell.model, maxgeom=50)
        for flag in (mujoco.mjtRndFlag.mjRND_SHADOW, mujoco.mjtRndFlag.mjRND_REFLECTION,
                     mujoco.mjtRndFlag.mjRND_SKYBOX, mujoco.mjtRndFlag.mjRND_HAZE):
            self._scene.flags[flag] = 0
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
        Take a picture of a cell, with the scene's sensor noise.

        :returns: uint8, RGB, shape ``(128, 128, 3)``.
        """
        if cell is not self._cell:
            self._attach(cell)
        view = mujoco.MjrRect(0, 0, WIDTH, HEIGHT)
        mujoco.mjv_updateScene(cell.model, cell.data, self._option, None, self._camera,
                               mujoco.mjtCatBit.mjCAT_ALL, self._scene)
        mujoco.mjr_render(view, self._scene, self._context)
        mujoco.mjr_readPixels(self._rgb, None, view, self._context)
        return _sense(np.flipud(self._rgb), cell)

    def close(self):
        """Free the context."""
        if self._context is not None:
            self._context.free()
            self._context = None
        self._gl.free()


def _sense(image: np.ndarray, cell: WorkCell) -> np.ndarray:
    look = cell.spec.look
    image = image.astype(np.float32) * np.asarray(look.gains, np.float32)
    if look.blur > 0.1:
        image = cv2.GaussianBlur(image, (0, 0), look.blur)
    rng = np.random.default_rng([cell.spec.seed, 2, cell.ticks])
    image += rng.standard_normal(image.shape, np.float32) * look.noise
    return np.clip(np.round(image), 0, 255).astype(np.uint8)

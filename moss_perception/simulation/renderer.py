"""Rendering without a display, through the first OpenGL back end that works."""

import importlib
import os

import cv2
from moss_perception.errors import SimulationError
from moss_perception.simulation.camera import HEIGHT, WIDTH
from moss_perception.simulation.cell import WorkCell
import numpy as np

_NO_RENDERER = ('no OpenGL renderer works here ({reasons}); '
                'install the Debian packages libegl1, libgl1-mesa-dri and libosmesa6')


def open_context():
    """
    Make an off-screen OpenGL context, current in this thread.

    MuJoCo reads ``MUJOCO_GL`` when it is first imported; its back ends are therefore asked for
    by name here: the one that the variable names, or EGL and then OSMesa.

    :raises SimulationError: if none works.
    """
    wanted = os.environ.get('MUJOCO_GL', '').lower()
    backends = (wanted,) if wanted in ('egl', 'osmesa', 'glfw') else ('egl', 'osmesa')
    if wanted == 'disable':
        backends = ()
    reasons = []
    for backend in backends:
        os.environ['PYOPENGL_PLATFORM'] = backend if backend != 'glfw' else ''
        try:
            module = importlib.import_module(f'mujoco.{backend}')
            context = module.GLContext(WIDTH, HEIGHT)
            context.make_current()
            return context
        except Exception as error:  # each back end fails with errors of its own
            first = str(error).splitlines()[0] if str(error) else type(error).__name__
            reasons.append(f'{backend}: {first}')
    raise SimulationError(_NO_RENDERER.format(
        reasons='; '.join(reasons) or f'MUJOCO_GL is {wanted!r}'))


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
        import mujoco
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
        self._context = mujoco.MjrContext(cell.model, mujoco.mjtFontScale.mjFONTSCALE_50)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)

    def render(self, cell: WorkCell) -> np.ndarray:
        """
        Take a picture of a cell, with the scene's sensor noise.

        :returns: uint8, RGB, shape ``(128, 128, 3)``.
        """
        import mujoco
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

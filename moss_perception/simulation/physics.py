"""MuJoCo, imported once and without a renderer."""

import logging
import os

from moss_perception.core.errors import SimulationError


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
# MuJoCo would write MUJOCO_LOG.TXT into the working directory. ``cell`` refuses such scenes.
mujoco.set_mju_user_warning(logging.getLogger(__name__).debug)

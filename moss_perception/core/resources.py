"""What is installed: the package's own files, its executables, and other packages."""

import importlib.util
import os
from pathlib import Path
import sysconfig

from moss_perception.core.errors import MossError

SHIPPED_MODEL = 'grasp_moss.safetensors'

_NAME = 'moss_perception'
_HERE = Path(__file__).resolve()
_ROS = 'ROS 2; source its setup.bash, or run scripts/setup.sh'
OLD_RCLPY = ('the rclpy of this machine is older than that of ROS 2 Jazzy, it has no {}: expected '
             'Jazzy, Kilted or newer')
"""What an old rclpy lacks, such as Humble's, is filled in."""
_EXTRA = "the extra '{}'; pip install {}, or run scripts/setup.sh"
_BRINGS = {
    'builtin_interfaces': _ROS,
    'rcl_interfaces': _ROS,
    'rclpy': _ROS,
    'std_srvs': _ROS,
    'PIL': _EXTRA.format('report', 'pillow'),
    'av': _EXTRA.format('lerobot', 'av pyarrow') + ' test',
    'foxglove': _EXTRA.format('foxglove', 'foxglove-sdk') + ' test',
    'jinja2': _EXTRA.format('report', 'jinja2'),
    'matplotlib': _EXTRA.format('report', 'matplotlib'),
    'mujoco': _EXTRA.format('sim', 'mujoco') + ' test',
    'onnxscript': _EXTRA.format('train', 'onnx onnxscript') + ' test',
    'pyarrow': _EXTRA.format('lerobot', 'av pyarrow') + ' test',
    'rich': _EXTRA.format('monitor', 'rich'),
    'scipy': 'scipy; pip install scipy, or run scripts/setup.sh',
    'simplejpeg': 'simplejpeg; pip install simplejpeg, or run scripts/setup.sh',
    'sklearn': _EXTRA.format('eval', 'scikit-learn'),
    'starlette': _EXTRA.format('monitor', 'starlette uvicorn websockets'),
    'torch': 'torch; pip install torch, or run scripts/setup.sh test',
    'uvicorn': _EXTRA.format('monitor', 'starlette uvicorn websockets'),
}


def share_directory() -> Path:
    """
    Find the share folder that belongs to these modules.

    In a source tree (and with ``colcon build --symlink-install``) that is the tree's root;
    once installed, by colcon or by pip, it is ``share/moss_perception`` of the prefix.

    :returns: absolute path of a folder that holds ``package.xml``.
    :raises MossError: if neither is there.
    """
    candidates = [_HERE.parents[2]] + [parent / 'share' / _NAME for parent in _HERE.parents]
    for candidate in candidates:
        if (candidate / 'package.xml').is_file():
            return candidate
    raise MossError(
        f'the share folder of {_NAME} is missing: expected share/{_NAME}/package.xml above '
        f'{_HERE.parents[1]}; build the package with colcon build, or install it with pip')


def model_path(path: str = '') -> Path:
    """
    Find a checkpoint.

    :param path: of the file; empty for the checkpoint that comes with the package.
    :returns: its path, which need not exist.
    :raises MossError: if the path is empty and the share folder is missing.
    """
    return Path(path).expanduser() if path else share_directory() / 'models' / SHIPPED_MODEL


def executable(name: str) -> Path:
    """
    Find an installed executable of this package.

    :param name: its name, as ``ros2 run moss_perception`` takes it.
    :returns: absolute path.
    :raises MossError: if the package isn't built, or has no such executable.
    """
    # Beside these modules first, then what is sourced.
    sourced = os.environ.get('AMENT_PREFIX_PATH', '').split(os.pathsep)
    prefixes = [*_HERE.parents[2:], *(Path(prefix) for prefix in sourced if prefix)]
    places = [prefix / 'lib' / _NAME for prefix in prefixes]
    # With pip they are beside the interpreter's own.
    if _HERE.is_relative_to(sysconfig.get_path('purelib')):
        places.insert(0, Path(sysconfig.get_path('scripts')))
    for place in places:
        if (place / name).is_file():
            return place / name
    raise MossError(
        f"the executable '{name}' is not installed: expected lib/{_NAME}/{name} in a folder of "
        'AMENT_PREFIX_PATH; run colcon build and source install/setup.bash, or pip install .')


def missing(program: str, error: ModuleNotFoundError) -> MossError:
    """
    Turn a failed import into one line.

    :param program: what needs the package.
    :param error: what the import raised.
    :returns: an error that names the package and says what brings it.
    :raises ModuleNotFoundError: the error itself, if nothing known brings the module.
    """
    top = (error.name or '').partition('.')[0]
    brings = _BRINGS.get(top, _ROS if top.endswith('_msgs') else None)
    if brings is None:
        raise error
    if top == 'rclpy' != error.name and importlib.util.find_spec(top) is not None:
        return MossError(f'{program}: {OLD_RCLPY.format(error.name)}')
    return MossError(
        f'{program} needs the package {top}, which is not installed: expected {brings}')

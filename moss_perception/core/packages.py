"""Which installation brings a Python package that is missing."""

from moss_perception.core.errors import MossError

_ROS = 'ROS 2; source its setup.bash, or run scripts/setup.sh'
_EXTRA = "the extra '{}'; pip install {}, or run scripts/setup.sh"
_BRINGS = {
    'builtin_interfaces': _ROS,
    'rcl_interfaces': _ROS,
    'rclpy': _ROS,
    'std_srvs': _ROS,
    'jinja2': _EXTRA.format('report', 'jinja2'),
    'matplotlib': _EXTRA.format('report', 'matplotlib'),
    'mujoco': _EXTRA.format('sim', 'mujoco') + ' test',
    'onnxscript': _EXTRA.format('train', 'onnx onnxscript') + ' test',
    'scipy': 'scipy; pip install scipy, or run scripts/setup.sh',
    'sklearn': _EXTRA.format('eval', 'scikit-learn'),
    'torch': 'torch; pip install torch, or run scripts/setup.sh test',
}


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
    return MossError(
        f'{program} needs the package {top}, which is not installed: expected {brings}')

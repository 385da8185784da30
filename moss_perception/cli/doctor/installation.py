"""Checks of an installation: packages, ROS, environment, folders, checkpoint, renderer."""

import importlib
from importlib.metadata import PackageNotFoundError, version
import importlib.util
import os
from pathlib import Path
import platform
import shutil
import subprocess
import sys

from moss_perception.core.errors import MossError
from moss_perception.core.resources import executable, model_path, OLD_RCLPY
from moss_perception.evaluation.checks import Checks, ERROR

_PACKAGES = ('moss_perception', 'numpy', 'opencv-python-headless', 'opencv-python', 'onnxruntime',
             'rosbags', 'mcap', 'rclpy')
_IMPORTED = ('numpy', 'cv2', 'onnxruntime', 'rosbags', 'simplejpeg')
_PYTHONS = ((3, 10), (3, 13))
# ROS 2 takes these ports of a domain; see its design article on domain ids.
_BASE_PORT, _PER_DOMAIN, _DOMAINS = 7400, 250, 232
# Of each domain's ports, those where a participant hears of others: two apart, from the eleventh.
# With discovery on one machine, rmw_fastrtps tells Fast DDS to look at the first so many.
_FIRST_PARTICIPANT, _PER_PARTICIPANT, _LOCAL_PARTICIPANTS = 10, 2, 32
_SHM, _SHM_MIB = Path('/dev/shm'), 64
# Iron has no such module, nor has Humble.
_SINCE_JAZZY = 'rclpy.clock_type'
_RANGES = ('SUBNET', 'LOCALHOST', 'OFF', 'SYSTEM_DEFAULT')
_RENDER = 'from moss_perception.simulation.renderer import open_context; open_context()'
_RENDER_S = 60.0
_SETUP = 'run scripts/setup.sh, or pip install .'


def check_installation(model: str = '', sha256: str = '') -> Checks:
    """
    Check what does not need a running system.

    :param model: checkpoint; empty for the shipped one.
    :param sha256: its expected digest; empty for that of SHA256SUMS.
    """
    checks = Checks('installation')
    _check_python(checks)
    _check_ros(checks)
    _check_domain(checks)
    _check_folders(checks)
    _check_model(checks, model, sha256)
    _check_renderer(checks)
    return checks


def _check_python(checks: Checks) -> None:
    low, high = _PYTHONS
    here = sys.version_info[:2]
    if low <= here <= high:
        checks.fine(f'Python {platform.python_version()}, {platform.platform()}')
    else:
        checks.warn(f'Python {platform.python_version()}', 'use Python {}.{} to {}.{}'.format(
            *low, *high))
    for name in _IMPORTED:
        try:
            importlib.import_module(name)
        except Exception as error:  # noqa: BLE001, a broken binary raises anything
            checks.fail(f'{name} cannot be imported: {error}',
                        f'install it again ({_SETUP}); binaries may be built for another NumPy')
    found = []
    for name in _PACKAGES:
        try:
            found.append(f'{name} {version(name)}')
        except PackageNotFoundError:
            continue
    checks.fine(', '.join(found))


def _check_ros(checks: Checks) -> None:
    if importlib.util.find_spec('rclpy') is None:
        checks.warn('rclpy is not there: nodes, moss run and moss demo do not work',
                    'source the setup.bash of ROS 2, or run scripts/setup.sh')
        return
    try:
        if importlib.util.find_spec(_SINCE_JAZZY) is None:
            checks.fail(OLD_RCLPY.format(_SINCE_JAZZY),
                        'source the setup.bash of ROS 2 Jazzy, Kilted or newer')
            return
        from moss_perception.ros.common.middleware import middleware
        checks.fine(f'ROS {os.environ.get("ROS_DISTRO", "of unknown distribution")}, '
                    f'middleware {middleware()}')
    except Exception as error:  # noqa: BLE001, a broken installation raises anything
        checks.fail(f'rclpy cannot be imported: {error}',
                    'source the setup.bash of the same distribution for which it was built')
        return
    try:
        checks.fine(f'executables in {executable("grasp_predictor").parent}')
    except MossError as error:
        checks.warn(str(error), 'run colcon build, and source install/setup.bash')


def _check_domain(checks: Checks) -> None:
    text = os.environ.get('ROS_DOMAIN_ID', '0') or '0'
    remedy = 'set ROS_DOMAIN_ID to a number from 0 to 101, the same for all machines of a robot'
    if not text.isdecimal() or int(text) > _DOMAINS:
        checks.fail(f'ROS_DOMAIN_ID is {text!r}', remedy)
        return
    first = _BASE_PORT + _PER_DOMAIN * int(text)
    low, high = _ephemeral_ports()
    clash = low <= first + _PER_DOMAIN and first <= high
    checks.decide(
        f'the ports of domain {text} (from {first}) are among those that the system gives to '
        f'other programs ({low} to {high})' if clash else '',
        f'domain {text}, ports from {first}', remedy)
    reach = os.environ.get('ROS_AUTOMATIC_DISCOVERY_RANGE', 'SUBNET')
    checks.decide(f'ROS_AUTOMATIC_DISCOVERY_RANGE is {reach!r}' if reach not in _RANGES else '',
                  f'discovery range {reach}', f'set it to one of {", ".join(_RANGES)}')
    places = _participants(first)
    far = reach == 'LOCALHOST' and max(places, default=0) >= _LOCAL_PARTICIPANTS
    checks.decide(
        f'{len(places)} participants of domain {text} on this machine: with '
        f'ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST nobody finds those after the first '
        f'{_LOCAL_PARTICIPANTS}' if far else '',
        f'{len(places)} participants of domain {text} on this machine',
        'end what is no longer needed, use another ROS_DOMAIN_ID for a part, or set '
        'ROS_AUTOMATIC_DISCOVERY_RANGE=SUBNET')


def _participants(first_port: int) -> set[int]:
    """Return the places of DDS participants among a domain's ports, of any process."""
    try:
        rows = Path('/proc/net/udp').read_text().splitlines()[1:]
    except OSError:
        return set()
    ports = {int(row.split()[1].rpartition(':')[2], 16) - first_port - _FIRST_PARTICIPANT
             for row in rows}
    return {x // _PER_PARTICIPANT for x in ports
            if x in range(0, _PER_DOMAIN - _FIRST_PARTICIPANT, _PER_PARTICIPANT)}


def _ephemeral_ports() -> tuple[int, int]:
    try:
        text = Path('/proc/sys/net/ipv4/ip_local_port_range').read_text()
        low, high = map(int, text.split())
        return low, high
    except (OSError, ValueError):
        return 32768, 60999


def log_folder() -> Path | None:
    """Return the folder of ROS's log files; ``None`` if the environment names none."""
    if named := os.environ.get('ROS_LOG_DIR'):
        return Path(named).expanduser()
    if home := os.environ.get('ROS_HOME'):
        return Path(home).expanduser() / 'log'
    return Path(os.environ['HOME']) / '.ros' / 'log' if os.environ.get('HOME') else None


def why_no_node() -> str:
    """Say why no node can be started here; empty if one can."""
    if importlib.util.find_spec('rclpy') is None:
        return 'rclpy is not there'
    checks = Checks('ROS')
    for check in (_check_ros, _check_domain, _check_logs):
        check(checks)
    return next((x.what for x in checks if x.level == ERROR), '')


def _check_logs(checks: Checks) -> None:
    logs = log_folder()
    if logs is None:
        checks.fail('HOME is not set, so ROS has no folder for its log files',
                    'set HOME, or ROS_LOG_DIR to a folder that can be written, such as in the '
                    'unit file of systemd')
    elif problem := _unwritable(logs):
        checks.fail(f'{problem}, so no node can write its log file',
                    'make it writable, or set ROS_LOG_DIR to a folder that is')
    else:
        checks.fine(f'log files in {logs}')


def _check_folders(checks: Checks) -> None:
    _check_logs(checks)
    for folder, least_mib, use in ((_SHM, _SHM_MIB, 'the middleware passes images through it'),
                                   (Path(os.environ.get('TMPDIR', '/tmp')), 100,
                                    'damaged recordings are sorted in it')):
        problem = _unwritable(folder)
        if not problem:
            free = shutil.disk_usage(folder).free >> 20
            problem = f'{folder} has {free} MiB left' if free < least_mib else ''
        checks.decide(problem and f'{problem}; {use}', f'{folder} can be written',
                      f'make it writable, with {least_mib} MiB or more left')


def _unwritable(folder: Path) -> str:
    """Say why nothing can be written into a folder, which need not exist yet; empty if it can."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        return f'{there} is not a folder'
    # Virtual file systems such as /proc let root pass every check and still take no file.
    if not os.access(there, os.W_OK | os.X_OK) or there.is_relative_to('/proc'):
        return f'{folder} cannot be written'
    return ''


def _check_model(checks: Checks, model: str, sha256: str) -> None:
    path = model_path(model)
    try:
        from moss_perception.runtime.engine import load_engine
        engine = load_engine(str(path), sha256, threads=2)
    except MossError as error:
        checks.fail(str(error),
                    'restore the checkpoint, SHA256SUMS and graphs, or run moss export')
        return
    checks.fine(f'checkpoint {path}, sha256 {engine.sha256[:12]}…, verified with its graphs')
    cost_ms = 1e3 * engine.costs[-1] if engine.costs else float('nan')
    period_ms = 1e3 / engine.config.frame_rate_hz
    checks.decide(
        f'a step takes {cost_ms:.1f} ms, images for it come every {period_ms:.0f} ms'
        if cost_ms > period_ms / 2 else '',
        f'model {engine.config.model}, a step takes {cost_ms:.1f} ms',
        'leave the machine more time, or set budget to a lower level')


def _check_renderer(checks: Checks) -> None:
    if importlib.util.find_spec('mujoco') is None:
        checks.fine('no MuJoCo: sim_cell and moss record are not installed (extra sim)')
        return
    # In a process of its own, since OpenGL drivers end a process at times.
    try:
        done = subprocess.run([sys.executable, '-c', _RENDER], capture_output=True, text=True,
                              timeout=_RENDER_S, check=False)
        lines = done.stderr.strip().splitlines() or [f'status {done.returncode}']
        problem = '' if done.returncode == 0 else lines[-1]
    except subprocess.TimeoutExpired:
        problem = f'no answer within {_RENDER_S:g} s'
    checks.decide(problem and f'the renderer does not work: {problem}',
                  f'the renderer works ({os.environ.get("MUJOCO_GL") or "chosen by itself"})',
                  'install libegl1, libgl1-mesa-dri and libosmesa6, or set MUJOCO_GL to osmesa; '
                  'only the simulated cell needs it')

"""Who may import whom: the rules of docs/architecture.md, read from the sources."""

import ast
from functools import cache
from pathlib import Path
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'moss_perception'
ALLOWED = {
    'core': set(),
    'moss': {'core'},
    'models': {'core', 'moss'},
    'runtime': {'core', 'moss', 'models'},
    'data': {'core'},
    'simulation': {'core', 'moss', 'data'},
    'evaluation': {'core', 'moss', 'models', 'runtime', 'data'},
    'training': {'core', 'moss', 'models', 'runtime', 'data'},
    'ros': {'core', 'moss', 'models', 'runtime', 'data', 'evaluation', 'simulation'},
    'client': {'core', 'ros'},
}
ROS_PACKAGES = {'rclpy', 'cv_bridge', 'ament_index_python', 'launch', 'launch_ros', 'std_srvs',
                'builtin_interfaces', 'rosidl_runtime_py'}
ROSBAGS_HOMES = {'data/bags/storage.py', 'data/bags/writer.py', 'core/images.py'}


def imported_modules(path: Path) -> set[str]:
    """Read the absolute module names that a file imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f'{path}: relative import on line {node.lineno}'
            names.add(node.module)
            if node.module == 'moss_perception':
                names |= {f'moss_perception.{alias.name}' for alias in node.names}
    return names


def is_ros(name: str) -> bool:
    top = name.split('.')[0]
    return top in ROS_PACKAGES or top.endswith('_msgs')


FILES = sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob('*.py'))


@cache
def imports_of(name: str) -> set[str]:
    return imported_modules(PACKAGE / name)


def room_of(name: str) -> str:
    return name.split('/')[0].removesuffix('.py')


def test_the_sources_are_found():
    assert {'core/errors.py', 'ros/predictor/node.py', 'cli/run.py'} <= set(FILES)


@pytest.mark.parametrize('name', FILES)
def test_a_room_imports_only_the_rooms_below_it(name):
    room = room_of(name)
    if room in ('cli', '__init__', '__main__'):
        return
    own = {module.split('.')[1] for module in imports_of(name)
           if module.startswith('moss_perception.')}
    assert own - {room} <= ALLOWED[room], f'{name} imports {own - {room} - ALLOWED[room]}'


@pytest.mark.parametrize('name', FILES)
def test_ros_is_imported_in_its_room_only(name):
    if room_of(name) in ('ros', 'client'):
        return
    found = {module for module in imports_of(name) if is_ros(module)}
    if name == 'core/images.py':
        found = {module for module in found if module.split('.')[0] != 'cv_bridge'}
    assert not found, f'{name} imports {found}: expected ROS in the rooms ros and client only'


@pytest.mark.parametrize('name', FILES)
def test_rosbags_and_mujoco_stay_in_their_homes(name):
    tops = {module.split('.')[0] for module in imports_of(name)}
    assert 'rosbags' not in tops or name in ROSBAGS_HOMES
    assert 'mujoco' not in tops or room_of(name) == 'simulation'


def test_the_paper_is_pure_torch():
    tops = {module.split('.')[0] for name in FILES
            if room_of(name) == 'moss' for module in imports_of(name)}
    foreign = tops - set(sys.stdlib_module_names) - {'torch', 'moss_perception'}
    assert not foreign


def test_metrics_need_numpy_only():
    for name in FILES:
        if name == 'evaluation/metrics.py':
            tops = {module.split('.')[0] for module in imports_of(name)}
            assert tops - set(sys.stdlib_module_names) <= {'numpy', 'moss_perception'}


def test_the_rules_see_a_forbidden_import(tmp_path):
    path = tmp_path / 'module.py'
    path.write_text('def f():\n    from sensor_msgs.msg import Image\n    import mujoco.viewer\n')
    assert imported_modules(path) == {'sensor_msgs.msg', 'mujoco.viewer'}
    assert is_ros('sensor_msgs.msg')
    assert not is_ros('numpy')


def loaded(modules, names):
    """Import modules in a process of their own; return which of some packages came with them."""
    code = 'import importlib, sys\n' + ''.join(
        f'importlib.import_module("moss_perception.{module}")\n' for module in modules)
    code += f'print(*(name for name in {names!r} if name in sys.modules))'
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, timeout=60,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_importing_the_nodes_does_not_import_torch():
    modules = [name.removesuffix('.py').replace('/', '.') for name in FILES
               if room_of(name) in ('ros', 'client') and not name.endswith('__init__.py')]
    assert not loaded(modules, ['torch'])


def test_a_planner_needs_no_decoder_and_no_engine():
    assert not loaded(['client'], ['cv2', 'simplejpeg', 'onnxruntime', 'torch', 'safetensors'])

"""The package's description and the source tree say the same."""

import ast
import importlib.util
import json
import os
from pathlib import Path
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

from moss_perception.core.errors import MossError
from moss_perception.core.resources import executable, share_directory
import pytest

ROOT = Path(__file__).resolve().parents[1]
ROS = ('rclpy', 'std_srvs', 'cv_bridge', 'launch', 'launch_ros', 'builtin_interfaces',
       'rcl_interfaces')


@pytest.fixture(scope='module')
def described():
    """Run setup.py as far as its call of setup(), and return the arguments of that call."""
    code = ('import json, runpy, setuptools\n'
            'setuptools.setup = lambda **k: print(json.dumps(k))\n'
            'runpy.run_path("setup.py")')
    done = subprocess.run([sys.executable, '-c', code], cwd=ROOT, timeout=60,
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def executables(described):
    return dict(line.replace(' ', '').split('=')
                for line in described['entry_points']['console_scripts'])


def test_every_executable_is_a_function_of_a_module(described):
    for name, target in executables(described).items():
        module, function = target.split(':')
        spec = importlib.util.find_spec(module)
        assert spec is not None, f'{name}: there is no module {module}'
        names = {node.name for node in ast.parse(Path(spec.origin).read_text()).body
                 if isinstance(node, ast.FunctionDef)}
        assert function in names, f'{name}: {module} has no function {function}'


def test_every_executable_is_installed(described):
    try:
        executable('moss')
    except MossError as error:
        pytest.skip(f'the package is not built: {error}')
    for name in executables(described):
        first = executable(name).read_text().splitlines()[0]
        assert first.startswith('#!'), f'{name} has no first line that names its interpreter'


def test_every_folder_of_modules_is_a_package(described):
    folders = {path.parent for path in (ROOT / 'moss_perception').rglob('*.py')}
    names = {'.'.join(folder.relative_to(ROOT).parts) for folder in folders}
    assert names == set(described['packages'])


def test_every_data_file_is_installed_where_it_stood(described):
    installed = {(folder, path) for folder, paths in described['data_files'] for path in paths}
    for folder in ('launch', 'config', 'foxglove', 'models', 'rviz', 'samples'):
        for path in (ROOT / folder).rglob('*'):
            if path.is_file() and path.suffix != '.pyc' and not path.name.startswith('.'):
                place = path.relative_to(ROOT)
                assert (f'share/moss_perception/{place.parent}', str(place)) in installed
    assert ('share/ament_index/resource_index/packages', 'resource/moss_perception') in installed


def test_a_change_in_any_folder_that_is_installed_is_built(described, tmp_path):
    (tmp_path / 'scripts').mkdir()
    (tmp_path / 'install').mkdir()
    shutil.copy(ROOT / 'scripts' / 'lib.sh', tmp_path / 'scripts')
    shutil.copytree(ROOT / 'scripts' / 'requirements', tmp_path / 'scripts' / 'requirements')
    folders = {path.split('/')[0] for _, paths in described['data_files'] for path in paths
               if '/' in path}
    assert {'foxglove', 'rviz'} <= folders

    def is_built():
        return subprocess.run(['bash', '-c', f'. {tmp_path}/scripts/lib.sh; moss_is_built'],
                              timeout=60).returncode == 0
    subprocess.run(
        ['bash', '-c', f'. {tmp_path}/scripts/lib.sh; echo "{tmp_path} $(moss_hash)" '
         '>$moss_root/install/moss_build.stamp'], check=True, timeout=60)
    assert is_built()
    for folder in (*folders, 'moss_perception'):
        file = tmp_path / folder / 'file'
        file.parent.mkdir()
        file.touch()
        after_ns = (tmp_path / 'install' / 'moss_build.stamp').stat().st_mtime_ns + 10**9
        os.utime(file, ns=(after_ns, after_ns))
        assert not is_built(), folder
        file.unlink()
        file.parent.rmdir()


def test_the_manifest_is_of_an_ament_python_package(described):
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    assert manifest.get('format') == '3'
    assert manifest.findtext('name') == described['name'] == 'moss_perception'
    assert manifest.findtext('version') == described['version']
    assert manifest.findtext('license') == described['license'] == 'Apache-2.0'
    assert manifest.findtext('export/build_type') == 'ament_python'
    assert manifest.find('buildtool_depend') is None
    assert 'pytest' in described['extras_require']['test']


# By the name that is imported, where the package is called otherwise; compression came with 3.14.
DISTRIBUTIONS = {'PIL': 'pillow', 'backports': 'backports-zstd', 'cv2': 'opencv-python-headless',
                 'foxglove': 'foxglove-sdk',
                 'sklearn': 'scikit-learn', 'yaml': 'pyyaml'}


def test_every_package_that_is_imported_is_declared_for_pip(described):
    extras = described['extras_require'].values()
    declared = {re.split('[<>=[;]', line)[0] for lines in (described['install_requires'], *extras)
                for line in lines}
    own = {'moss_perception', *sys.stdlib_module_names, 'ament_index_python', 'compression'}
    imported = {name for path in (ROOT / 'moss_perception').rglob('*.py')
                for name in imported_packages(path) if name not in own and not is_ros(name)}
    assert {DISTRIBUTIONS.get(name, name.replace('_', '-')) for name in imported} <= declared


# Keys of rosdep by distribution, where the two differ; jinja2 brings markupsafe along.
KEYS = {'markupsafe': 'python3-jinja2', 'opencv-python-headless': 'python3-opencv',
        'pillow': 'python3-pil', 'pyyaml': 'python3-yaml'}


def test_every_package_for_pip_is_a_dependency_of_the_manifest_or_named_in_its_comment(described):
    text = (ROOT / 'package.xml').read_text(encoding='utf-8')
    keys = {node.text for node in ElementTree.fromstring(text) if node.tag == 'exec_depend'}
    named = set(re.findall(r'[\w-]+', re.findall('<!--(.*?)-->', text, re.DOTALL)[0]))
    lists = [lines for extra, lines in described['extras_require'].items()
             if extra in ('eval', 'fleet', 'foxglove', 'lerobot', 'monitor', 'report', 'sim',
                          'train', 'xlsx')]
    wanted = {re.split('[<>=[;]', line)[0]
              for lines in (described['install_requires'], *lists) for line in lines}
    lacking = {x for x in wanted if KEYS.get(x, f'python3-{x}') not in keys and x not in named}
    assert not lacking


def imported_packages(path):
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom):
            yield node.module.split('.')[0]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split('.')[0] for alias in node.names)


def is_ros(name):
    return name.endswith('_msgs') or name in ROS


def test_the_manifest_parses_as_the_build_reads_it():
    package = pytest.importorskip('catkin_pkg.package', reason='catkin_pkg is not installed')
    parsed = package.parse_package(ROOT)
    assert parsed.get_build_type() == 'ament_python'


def test_ros_packages_that_are_imported_are_depended_on():
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    declared = {node.text for node in manifest if node.tag.endswith('depend')}
    imported = set()
    for path in [*(ROOT / 'moss_perception').rglob('*.py'), *(ROOT / 'launch').glob('*.py')]:
        imported |= set(imported_packages(path))
    assert {name for name in imported if is_ros(name)} <= declared


def test_share_directory_holds_the_configuration():
    assert (share_directory() / 'config' / 'grasp.yaml').is_file()

"""
What ``pip install .`` gives in an empty environment: MOSS and the command, without ROS.

The environment is new and has no site packages of its own. It is given the wheel, and of the
running environment exactly the packages that the wheel declares, with what those declare in turn.
So a dependency that is not declared is not there, no index has to answer, and nothing is fetched.
"""

from importlib.metadata import distribution, PackageNotFoundError
import json
import os
from pathlib import Path
import shutil
import subprocess
import sys
import venv

import pytest

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ('moss_perception', 'launch', 'config', 'models', 'samples', 'resource')
pytestmark = pytest.mark.timeout(170)


def run(*words, cwd, **more):
    # Neither the tree around this file nor a sourced workspace may help out.
    hidden = ('PYTHONPATH', 'AMENT_PREFIX_PATH', 'COLCON_PREFIX_PATH', 'PYTHONHOME')
    environment = {k: v for k, v in os.environ.items() if k not in hidden}
    return subprocess.run([str(x) for x in words], cwd=cwd, timeout=100, text=True,
                          capture_output=True, env={**environment, **more})


def checked(*words, cwd):
    done = run(*words, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope='module')
def wheel(tmp_path_factory):
    """Build the wheel from a copy: in the tree, what an earlier build left would get into it."""
    folder = tmp_path_factory.mktemp('wheel')
    source = folder / 'source'
    for name in SOURCES:
        shutil.copytree(ROOT / name, source / name,
                        ignore=shutil.ignore_patterns('__pycache__', '*.pyc'))
    for name in ('setup.py', 'setup.cfg', 'package.xml', 'LICENSE'):
        shutil.copy(ROOT / name, source / name)
    checked(sys.executable, '-m', 'pip', 'wheel', '-q', '--no-deps', '--no-build-isolation',
            '--disable-pip-version-check', '-w', folder, source, cwd=folder)
    made, = folder.glob('*.whl')
    return made


def requirements(described, extras=()):
    """Return the names that a distribution requires here, each with the extras it asks for."""
    requirement = pytest.importorskip('packaging.requirements').Requirement
    found = [requirement(line) for line in described.requires or ()]
    return [x for x in found if not x.marker or any(
        x.marker.evaluate({'extra': extra}) for extra in ('', *extras))]


def closure(roots):
    """Return the distributions of the running environment that requirements lead to."""
    found, waiting = {}, [(x.name, tuple(x.extras), x.specifier) for x in roots]
    while waiting:
        name, extras, versions = waiting.pop()
        key = name.lower().replace('_', '-'), extras
        if key in found:
            continue
        try:
            found[key] = distribution(name)
        except PackageNotFoundError:
            pytest.skip(f'{name} is not installed as a package of pip here')
        assert versions.contains(found[key].version, prereleases=True), (
            f'{name} {found[key].version} is not {versions}')
        waiting += [(x.name, tuple(x.extras), x.specifier)
                    for x in requirements(found[key], extras)]
    return {x.metadata['Name']: x for x in found.values()}


def link(described, site):
    """Give a distribution to another environment: a link to each of its entries."""
    for path in described.files or ():
        top = path.parts[0]
        target = site / top
        if top not in ('..', '__pycache__') and not target.exists():
            target.symlink_to(Path(described.locate_file('')) / top)


@pytest.fixture(scope='module')
def environment(wheel, tmp_path_factory):
    """Return the folder of an environment that pip has installed the wheel into."""
    folder = tmp_path_factory.mktemp('pip') / 'venv'
    venv.create(folder, with_pip=False, symlinks=True)
    checked(sys.executable, '-m', 'pip', '--python', folder, 'install', '-q', '--no-deps',
            '--no-index', '--disable-pip-version-check', wheel, cwd=folder)
    site, = folder.glob('lib/python3*/site-packages')
    installed, = site.glob('moss_perception-*.dist-info')
    described = type(distribution('pip')).at(installed)
    for one in closure(requirements(described)).values():
        link(one, site)
    return folder


def test_the_environment_has_no_ros_and_none_of_the_tests_packages(environment, tmp_path):
    done = checked(environment / 'bin' / 'python', '-c', 'import importlib.util as u\n'
                   'names = "rclpy pytest mujoco matplotlib torch moss_perception".split()\n'
                   'print(*(x for x in names if u.find_spec(x)))', cwd=tmp_path)
    assert done.split() == ['torch', 'moss_perception']


def test_moss_is_imported_and_attached(environment, tmp_path):
    done = checked(environment / 'bin' / 'python', '-c', """
from moss_perception.moss import MOSS
import moss_perception, torch
torch.manual_seed(0)
block = MOSS(8)
print(moss_perception.__file__)
print(tuple(block(torch.randn(1, 4, 8, 6, 6)).shape))
""", cwd=tmp_path)
    path, shape = done.splitlines()
    assert Path(path).is_relative_to(environment) and shape == '(1, 4, 8, 6, 6)'


def test_a_shipped_sample_is_evaluated(environment, tmp_path):
    sample = environment / 'share' / 'moss_perception' / 'samples' / 'sim_20'
    done = run(environment / 'bin' / 'moss', 'evaluate', sample, '--threads', '1', '--record',
               'kept.json', cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'grasp_moss.safetensors' in done.stdout and '20 scored; AUROC' in done.stdout
    assert (tmp_path / 'kept.json').is_file()


def test_the_topics_of_a_sample_are_found(environment, tmp_path):
    sample = environment / 'share' / 'moss_perception' / 'samples' / 'shifted_20'
    done = checked(environment / 'bin' / 'moss', 'topics', sample, cwd=tmp_path)
    assert json.loads(done) == {'topic': '/image/compressed', 'compressed': True}


@pytest.mark.parametrize(('words', 'message'), [
    (('moss', 'demo', '--out', 'out'), '_msgs, which is not installed: expected ROS 2'),
    (('moss', 'activate', 'node'), 'moss activate needs the package diagnostic_msgs'),
    (('moss', 'record', '--bag', 'bag', '--attempts', '1'), 'the Python package mujoco'),
    (('moss', 'evaluate', 'SAMPLE', '--report', 'out'), 'matplotlib'),
    (('grasp_predictor',), 'grasp_predictor needs the package rclpy')])
def test_what_is_left_out_says_what_it_needs_in_one_line(environment, tmp_path, words, message):
    sample = environment / 'share' / 'moss_perception' / 'samples' / 'sim_20'
    program, *words = [str(sample) if x == 'SAMPLE' else x for x in words]
    done = run(environment / 'bin' / program, *words, cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert message in lines[-1] and len(lines) == 1, done.stderr


def test_pip_itself_finds_nothing_missing(environment, tmp_path):
    done = checked(sys.executable, '-m', 'pip', '--python', environment, '--no-color',
                   '--disable-pip-version-check', 'check', cwd=tmp_path)
    assert 'No broken requirements' in done

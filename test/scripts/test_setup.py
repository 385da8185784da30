"""The set-up on machines that lack something: one clear line each, and status 1."""

import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ('bash', 'cat', 'cut', 'dirname', 'du', 'env', 'find', 'flock', 'grep', 'id', 'mkdir',
         'mktemp', 'rm', 'sed', 'sh', 'sha256sum', 'tail', 'touch', 'tr', 'uniq')
TESTED = {'demo.txt', 'torch.txt', 'test.txt', 'docs.txt', 'bare.txt', 'jazzy.txt'}
FIT = '[ "$1" = -c ] || { echo Python 3.12.3; exit; }'


@pytest.fixture
def machine(tmp_path):
    """A copy of the set-up, and a PATH with a few tools but no Python."""
    shutil.copytree(ROOT / 'scripts', tmp_path / 'root' / 'scripts')
    (tmp_path / 'bin').mkdir()
    for tool in TOOLS:
        if shutil.which(tool):
            (tmp_path / 'bin' / tool).symlink_to(shutil.which(tool))
    put(tmp_path, 'uname', '[ "$1" = -m ] && echo x86_64 || echo Linux')
    return tmp_path


def put(machine, name, code):
    path = machine / 'bin' / name
    path.write_text(f'#!/bin/sh\n{code}\n')
    path.chmod(0o755)


def set_up(machine, *words, **variables):
    return subprocess.run(
        [shutil.which('bash'), machine / 'root' / 'scripts' / 'setup.sh', *words], timeout=100,
        env={'PATH': str(machine / 'bin'), 'HOME': str(machine), **variables},
        capture_output=True, text=True)


def assert_one_line(done, *parts):
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stderr.count('\n') == 1, done.stderr
    for part in ('[setup] error: ', *parts):
        assert part in done.stderr


def test_no_python(machine):
    assert_one_line(set_up(machine), 'there is no python3', 'apt install python3')
    assert not (machine / 'root' / '.venv').exists()


def test_an_unsupported_python(machine):
    put(machine, 'python3', '[ "$1" = -c ] && exit 1; echo Python 3.8.10')
    assert_one_line(set_up(machine), 'python3 is Python 3.8.10', 'python3.10 to python3.13')


def test_another_python_on_the_path_is_taken(machine):
    put(machine, 'python3', 'exit 1')
    put(machine, 'python3.11', f'{FIT}; case "$2" in *ensurepip*) exit 1;; esac')
    assert_one_line(set_up(machine), 'python3.11 has no venv module')


def test_no_venv_module(machine):
    put(machine, 'python3', f'{FIT}; case "$2" in *ensurepip*) exit 1;; esac')
    assert_one_line(set_up(machine), 'python3 has no venv module', 'apt install python3-venv')
    assert not (machine / 'root' / '.venv').exists()


def test_a_processor_without_wheels(machine):
    put(machine, 'uname', '[ "$1" = -m ] && echo aarch64 || echo Linux')
    assert_one_line(set_up(machine), 'this processor is aarch64', 'x86_64 only')


def test_a_distribution_without_rclpy(machine):
    done = set_up(machine, ROS_DISTRO='none_such')
    assert_one_line(done, 'ROS_DISTRO is none_such', 'import rclpy')


def test_a_distribution_before_jazzy(machine):
    # The test's machine may have a ROS of its own in /usr/bin.
    put(machine, 'python3', 'case "$2" in *clock_type*) exit 1;; esac')
    script = machine / 'root' / 'scripts' / 'lib.sh'
    script.write_text(script.read_text().replace('/usr/bin/python3', 'python3'))
    done = set_up(machine, ROS_DISTRO='humble')
    assert_one_line(done, 'ROS_DISTRO is humble', 'expected jazzy, kilted or rolling')
    assert not (machine / 'root' / '.venv').exists()


def test_a_distribution_of_a_newer_python(machine):
    """As Lyrical on Ubuntu 26.04."""
    put(machine, 'python3', """case "$2" in *version_info*) exit 1;; esac
    if [ "$1" = --version ]; then echo Python 3.14.2; fi""")
    script = machine / 'root' / 'scripts' / 'lib.sh'
    script.write_text(script.read_text().replace('/usr/bin/python3', 'python3'))
    done = set_up(machine, ROS_DISTRO='lyrical')
    assert_one_line(done, 'ROS_DISTRO is lyrical, and its python3 is Python 3.14.2; expected '
                    'Python 3.10 to 3.13')


@pytest.mark.parametrize(('variables', 'words'), [
    ({'MOSS_ROS': 'humble'}, "MOSS_ROS is 'humble': expected jazzy or kilted"),
    ({'MOSS_ROS': '../demo'}, "MOSS_ROS is '../demo': expected jazzy or kilted"),
    ({'MOSS_ROS': 'kilted', 'ROS_DISTRO': 'jazzy'}, 'MOSS_ROS is kilted, but jazzy is sourced')])
def test_a_distribution_that_cannot_be_chosen(machine, variables, words):
    assert_one_line(set_up(machine, **variables), words)
    assert not (machine / 'root' / '.venv').exists()


def install(machine, last, *words, **variables):
    """Run the installation with a pip that says what it would install; return what is printed."""
    put(machine, 'python', 'exit 0')
    script = f"""
. {machine}/root/scripts/lib.sh
moss_venv={machine}; moss_running={machine}/running; moss_log={machine}/log
moss_pip() {{ echo "pip $*"; }}
moss_write_prefix() {{ :; }}
{last}
"""
    done = subprocess.run([shutil.which('bash'), '-euo', 'pipefail', '-c', script, '-', *words],
                          env={'PATH': str(machine / 'bin'), **variables}, timeout=60,
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_kilted_is_installed_where_it_is_chosen(machine):
    lines = install(machine, 'moss_install demo; moss_kind 3.11', MOSS_ROS='kilted')
    call = next(line for line in lines if line.startswith('pip '))
    assert 'requirements/kilted.txt' in call and '-c' in call.split()
    assert call.endswith('kilted-constraints.txt') and 'jazzy' not in call
    # An environment of the other distribution is not kept.
    assert lines[-1] == 'bare-kilted 3.11'


def test_an_unknown_argument(machine):
    assert_one_line(set_up(machine, 'everything'), "unknown argument 'everything'", 'demo, test')
    assert_one_line(set_up(machine, '--torch-index'), '--torch-index needs the address')


def test_no_network(machine):
    (machine / 'bin' / 'python3').symlink_to(sys.executable)
    done = set_up(machine, 'demo', PIP_CONFIG_FILE=os.devnull, NO_PROXY='127.0.0.1',
                  PIP_INDEX_URL='http://127.0.0.1:9/simple')
    assert_one_line(done, 'no network', 'setup.log')
    assert not (machine / 'root' / '.venv' / 'moss_setup.stamp').exists()


@pytest.mark.parametrize(('words', 'lists'), [
    (['demo'], [{'demo.txt', 'bare.txt', 'jazzy.txt'}]),
    (['demo', '--torch-index', 'file:///wheels'], [{'demo.txt', 'bare.txt', 'jazzy.txt'}]),
    (['test'], [TESTED, {'hosts.txt'}]),
    (['test', '--torch-index', 'file:///wheels'], [{'torch.txt'}, TESTED, {'hosts.txt'}])])
def test_only_the_tests_install_torch(machine, words, lists):
    lines = install(machine, 'moss_options "$@"; moss_install "${moss_args[0]}"', *words)
    calls = [line for line in lines if line.startswith('pip ')]
    installed = [{Path(part.split()[0]).name for part in call.split(' -r ')[1:]} for call in calls]
    assert installed == lists
    assert [('file:///wheels' in call) for call in calls] == [
        'torch.txt' in found and len(found) == 1 for found in lists]


def test_what_the_demo_needs_names_no_training():
    text = (ROOT / 'scripts' / 'requirements' / 'demo.txt').read_text()
    assert 'onnxruntime==' in text
    assert not any(name in text for name in ('torch', 'onnxscript', 'onnx==', 'mujoco'))


def test_a_build_leaves_no_module_of_an_older_version(machine):
    root = machine / 'root'
    (root / 'log').mkdir()
    gone = [root / 'install/moss_perception/lib/python3.12/site-packages/moss_perception/old',
            root / 'build/moss_perception/build/lib/moss_perception/old']
    for folder in gone:
        folder.mkdir(parents=True)
    put(machine, 'python', f'[ "$*" = "-m colcon build --executor sequential" ] && '
        f'touch {root}/install/setup.bash')
    done = subprocess.run(
        [shutil.which('bash'), '-euc', f'. {root}/scripts/lib.sh; moss_build'], timeout=100,
        env={'PATH': str(machine / 'bin'), 'HOME': str(machine)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not [folder for folder in gone if folder.exists()]
    assert (root / 'install/moss_build.stamp').exists()


def test_of_two_builds_at_a_time_the_second_waits_and_finds_it_built(machine):
    root = machine / 'root'
    (root / 'log').mkdir()
    (root / 'install').mkdir()
    # The build takes a second, in which the other one would begin too.
    put(machine, 'python', f'echo built >>{root}/builds; sleep 1; touch {root}/install/setup.bash')
    (machine / 'bin' / 'sleep').symlink_to(shutil.which('sleep'))
    command = [shutil.which('bash'), '-euc', f'. {root}/scripts/lib.sh; moss_build']
    environment = {'PATH': str(machine / 'bin'), 'HOME': str(machine)}
    both = [subprocess.Popen(command, env=environment) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert (root / 'builds').read_text() == 'built\n'


@pytest.mark.parametrize('system', ['grasp', 'record', 'eval'])
def test_every_system_of_moss_run_can_be_run(machine, system):
    root = machine / 'root'
    moss = root / 'install/moss_perception/lib/moss_perception/moss'
    moss.parent.mkdir(parents=True)
    moss.write_text('#!/bin/sh\necho "$*"\n')
    moss.chmod(0o755)
    script = root / 'scripts' / 'lib.sh'
    script.write_text(f'{script.read_text()}\nmoss_setup() {{ :; }}; moss_build() {{ :; }}\n')
    run = [shutil.which('bash'), root / 'scripts' / 'run.sh']
    environment = {'PATH': str(machine / 'bin'), 'HOME': str(machine)}
    done = subprocess.run([*run, system, 'out:=x'], env=environment, timeout=60,
                          capture_output=True, text=True)
    assert done.stdout == f'run {system} out:=x\n', done.stderr
    assert_one_line(subprocess.run([*run, 'walk'], env=environment, timeout=60,
                                   capture_output=True, text=True),
                    "unknown system 'walk': expected scripts/run.sh grasp|record|eval")

"""The night's tests: every step runs in the clone of its distribution, whatever fails before."""

from pathlib import Path
import shutil
import subprocess

import pytest

ROOT = Path(__file__).resolve().parents[2]
STEPS = ['jazzy', 'kilted', 'mutations', 'hosts', 'reliability', 'lerobot', 'study', 'video']
# Each stands in for a program, and says where it is, for which distribution and with what.
SAYS = 'echo "$(basename "$PWD") $MOSS_ROS: $(basename "$0") $*"; echo the second line\n'
SETUP = """mkdir -p .venv/bin install; : >install/setup.bash
printf '#!/bin/sh\\necho "$(basename "$PWD") $MOSS_ROS: python $*"\\n' >.venv/bin/python
chmod +x .venv/bin/python
"""


@pytest.fixture
def nightly(tmp_path):
    """Give a function that runs the script in a repository of stand-ins."""
    root = tmp_path / 'root'
    (root / 'scripts').mkdir(parents=True)
    for name in ('lib.sh', 'nightly.sh'):
        shutil.copy(ROOT / 'scripts' / name, root / 'scripts' / name)
    for name, text in (('test.sh', SAYS), ('hosts.sh', SAYS), ('lerobot.sh', SAYS),
                       ('reproduce.sh', SAYS), ('setup.sh', SETUP)):
        (root / 'scripts' / name).write_text(text)
    (root / '.gitignore').write_text('.venv\ninstall\nruns\n')

    def git(*words):
        subprocess.run(['git', '-C', root, '-c', 'user.name=x', '-c', 'user.email=x@x', *words],
                       check=True, capture_output=True)

    def run(*words, **variables):
        return subprocess.run(
            [shutil.which('bash'), root / 'scripts' / 'nightly.sh', '--folder',
             tmp_path / 'night', *words], capture_output=True, text=True, timeout=60,
            env={'PATH': '/usr/local/bin:/usr/bin:/bin', 'HOME': str(tmp_path), **variables})

    def commit(**texts):
        for name, text in texts.items():
            (root / 'scripts' / f'{name}.sh').write_text(text)
        git('add', '-A')
        git('commit', '-qm', 'stand-ins')
    git('init', '-q')
    commit()
    run.commit, run.logs = commit, tmp_path / 'night' / 'log'
    return run


def test_the_steps_are_listed(nightly):
    assert [x.split()[0] for x in nightly('--list').stdout.splitlines()] == STEPS


def test_the_commands_are_shown_without_running_them(nightly, tmp_path):
    lines = nightly('--dry-run', '--torch-index', 'https://x.org').stdout.splitlines()
    assert lines[1] == 'kilted: bash scripts/test.sh --torch-index https://x.org'
    assert lines[2] == 'mutations: .venv/bin/python test/mutations.py 10000'
    assert lines[4] == 'reliability: .venv/bin/python scripts/reliability.py --small'
    assert lines[5] == (f'lerobot: bash scripts/lerobot.sh --folder {tmp_path}/night/lerobot '
                        '--torch-index https://x.org')
    assert [x.partition(':')[0] for x in lines] == STEPS and not (tmp_path / 'night').exists()


def test_each_step_runs_in_the_clone_of_its_distribution(nightly, tmp_path):
    done = nightly()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(' passed ') == 8
    said = {x: (nightly.logs / f'{x}.txt').read_text().splitlines()[0] for x in STEPS}
    assert said == {
        'jazzy': 'jazzy jazzy: test.sh ', 'kilted': 'kilted kilted: test.sh ',
        'mutations': 'jazzy jazzy: python test/mutations.py 10000',
        'hosts': f'jazzy jazzy: hosts.sh --all --folder {tmp_path}/night/hosts',
        'reliability': 'jazzy jazzy: python scripts/reliability.py --small',
        'lerobot': f'jazzy jazzy: lerobot.sh --folder {tmp_path}/night/lerobot',
        'study': 'jazzy jazzy: reproduce.sh --small',
        'video': 'jazzy jazzy: reproduce.sh --video --small'}


def test_a_failure_is_summed_up_and_stops_no_other_step(nightly):
    nightly.commit(test='[ "$MOSS_ROS" = jazzy ] && echo wrong && exit 3; echo right\n',
                   setup='exit 4\n')
    done = nightly('jazzy', 'kilted', 'mutations')
    assert done.returncode == 1
    jazzy, kilted, mutations = [
        x for x in done.stdout.splitlines() if x.split()[:1] and x.split()[0] in STEPS]
    assert 'failed, status 3' in jazzy and ' passed ' in kilted
    # What could not be set up does not count as run.
    assert 'failed, status 4' in mutations
    assert 'the last lines of jazzy:\nwrong\n' in done.stdout


def test_another_night_tests_another_commit_in_the_same_folder(nightly, tmp_path):
    assert nightly('jazzy').returncode == 0
    (tmp_path / 'night' / 'jazzy' / '.venv').mkdir()
    (tmp_path / 'night' / 'jazzy' / 'left_over').touch()
    nightly.commit(test='echo newer; ls -A\n')
    assert nightly('jazzy').returncode == 0
    said = (nightly.logs / 'jazzy.txt').read_text().split()
    assert said[0] == 'newer' and '.venv' in said and 'left_over' not in said


def test_a_study_does_not_continue_that_of_the_night_before(nightly, tmp_path):
    nightly.commit(reproduce='mkdir -p runs/reproduce_small/video\ncd runs/reproduce_small\n'
                             '[ "$1" = --small ] || cd video\n[ ! -e done ] && touch done\n')
    for _ in range(2):
        assert nightly('study', 'video').returncode == 0
        assert (tmp_path / 'night/jazzy/runs/reproduce_small/video/done').exists()


@pytest.mark.parametrize(('words', 'expected'), [
    (['--videos'], "unknown argument '--videos': expected --folder DIR or --torch-index URL"),
    ([], 'LeRobot needs Python 3.12 or newer: expected python3.12 on the PATH')])
def test_lerobot_can_not_be_asked_without_its_python(tmp_path, words, expected):
    # Programs of the shell, and an old Python.
    (tmp_path / 'bin').mkdir()
    for name in ('dirname', 'realpath'):
        (tmp_path / 'bin' / name).symlink_to(shutil.which(name))
    for name in ('python3', 'python3.12', 'python3.13'):
        (tmp_path / 'bin' / name).write_text('#!/bin/sh\nexit 1\n')
        (tmp_path / 'bin' / name).chmod(0o755)
    done = subprocess.run(
        [shutil.which('bash'), ROOT / 'scripts' / 'lerobot.sh', '--folder', tmp_path / 'le',
         *words], capture_output=True, text=True, timeout=60,
        env={'PATH': str(tmp_path / 'bin'), 'HOME': str(tmp_path)})
    assert done.returncode == 1 and expected in done.stderr and not (tmp_path / 'le').exists()


@pytest.mark.parametrize(('words', 'variables', 'expected'), [
    (['humble'], {}, "unknown step 'humble': expected one of jazzy kilted mutations"),
    (['--folder'], {}, '--folder needs a folder outside'),
    (['--folder', 'root/out'], {}, 'lies in the repository'),
    ([], {'ROS_DISTRO': 'jazzy'}, 'ROS_DISTRO is jazzy: expected none to be sourced')])
def test_what_cant_run_is_one_line(nightly, tmp_path, words, variables, expected):
    words = [str(tmp_path / x) if x.startswith('root') else x for x in words]
    done = nightly(*words, **variables)
    assert done.returncode == 1 and done.stderr.count('\n') == 1, done.stderr
    assert expected in done.stderr

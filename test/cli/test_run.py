"""The supervisor and ``moss run``: exit statuses by role, with real processes."""

from dataclasses import replace
import os
from pathlib import Path
import signal
import subprocess
import sys
import threading
import time

from moss_perception.cli.main import main as moss
from moss_perception.core.errors import MossError
from moss_perception.ros.system.processes import JOB, Process, SERVICE, STARTER, WATCHER
from moss_perception.ros.system.supervisor import Supervisor
import pytest

ROOT = Path(__file__).resolve().parents[2]
STAY = 'import time\nprint("up")\ntime.sleep(60)'
STUBBORN = ('import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n'
            'signal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint("up")\ntime.sleep(60)')


class System:
    """Small executables in a folder, and the lines that they print."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = []
        self.lines = []

    def add(self, name, role, code, **options):
        path = self.folder / name
        path.write_text(f'#!{sys.executable}\n{code}\n')
        path.chmod(0o755)
        self.processes.append(Process(name, name, role, **options))
        return self

    def supervisor(self, **settings):
        return Supervisor(self.processes, show=lambda name, line: self.lines.append((name, line)),
                          find=lambda name: self.folder / name, **settings)

    def pids(self):
        return [int(line.split()[1]) for _, line in self.lines if line.startswith('pid ')]


@pytest.fixture
def system(tmp_path):
    return System(tmp_path)


def wait_for(condition, timeout_s=20.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, 'it did not happen in time'
        time.sleep(0.02)


def test_a_job_that_ends_well_ends_the_system_well(system):
    system.add('server', SERVICE, STAY).add('job', JOB, 'print("played")')
    assert system.supervisor().start().wait(timeout_s=30) == 0
    assert ('job', 'played') in system.lines


def test_the_status_of_a_job_is_the_systems(system):
    system.add('server', SERVICE, STAY).add('job', JOB, 'raise SystemExit(3)')
    assert system.supervisor().start().wait(timeout_s=30) == 3
    assert ('run', 'error: job failed with status 3') in system.lines


def test_a_job_killed_by_a_signal_is_told_as_shells_do(system):
    system.add('job', JOB, 'import os\nos.kill(os.getpid(), 9)')
    assert system.supervisor().start().wait(timeout_s=30) == 137


@pytest.mark.parametrize('status', [0, 7])
def test_a_service_that_ends_by_itself_is_a_failure(system, status):
    system.add('server', SERVICE, f'raise SystemExit({status})').add('job', JOB, STAY)
    assert system.supervisor().start().wait(timeout_s=30) == 1
    assert ('run', f'error: server ended early with status {status}'
            ) in system.lines


LIVES = """import os, time
print('life', os.environ.get('MOSS_RESTARTS'), os.environ.get('MOSS_RESTART_REASON'), flush=True)
time.sleep(60 * (os.environ.get('MOSS_RESTARTS') == '{lives}'))
raise SystemExit(3)"""


def test_a_service_that_respawns_is_started_again_and_activated(system, monkeypatch):
    monkeypatch.setattr('moss_perception.ros.system.supervisor.DELAY_S', 0.05)
    system.add('server', SERVICE, LIVES.format(lives=2), respawn=True, lifecycle=True).add(
        'starter', STARTER, 'print("activated", flush=True)')
    running = system.supervisor().start()
    ended = []
    waiting = threading.Thread(target=lambda: ended.append(running.wait()))
    waiting.start()
    wait_for(lambda: ('server', 'life 2 status 3') in system.lines)
    begun = system.lines.index(('server', 'life 2 status 3'))
    wait_for(lambda: ('starter', 'activated') in system.lines[begun - 1:])
    running.interrupt()
    waiting.join(30)
    assert ended == [0]
    assert [line for name, line in system.lines if name == 'server'] == [
        'life None None', 'life 1 status 3', 'life 2 status 3']
    assert ('run', 'server has ended with status 3; starting it again') in system.lines


def test_only_the_starter_of_a_robots_own_service_is_started_again(system, monkeypatch):
    monkeypatch.setattr('moss_perception.ros.system.supervisor.DELAY_S', 0.05)
    system.add('server', SERVICE, LIVES.format(lives=1), respawn=True, lifecycle=True,
               namespace='/left').add('starter', STARTER, 'print("activated", flush=True)',
                                      namespace='/left')
    system.processes.append(Process('starter', 'starter', STARTER, namespace='/right'))
    running = system.supervisor().start()
    waiting = threading.Thread(target=running.wait)
    waiting.start()
    wait_for(lambda: system.lines.count(('left/starter', 'activated')) == 2)
    running.interrupt()
    waiting.join(30)
    assert system.lines.count(('right/starter', 'activated')) == 1


def test_a_starter_activates_the_nodes_of_its_namespace():
    starter = Process('starter', 'starter', STARTER, namespace='/left')
    alone = Process('server', 'server', SERVICE, namespace='/left', lifecycle=True)
    assert starter.activates(alone)
    assert not starter.activates(replace(alone, namespace='/right'))
    assert not starter.activates(replace(alone, lifecycle=False))
    assert starter.activates(replace(alone, namespace='', namespaces=('/right', '/left')))
    assert not alone.activates(alone)


def test_a_service_that_ends_again_and_again_fails_the_system(system, monkeypatch):
    monkeypatch.setattr('moss_perception.ros.system.supervisor.DELAY_S', 0.01)
    system.add('server', SERVICE, 'raise SystemExit(3)', respawn=True)
    assert system.supervisor().start().wait(timeout_s=30) == 1
    assert ('run', 'server has ended 6 times in a row') in system.lines
    assert system.lines[-1] == ('run', 'error: server ended early with status 3')


def test_an_interrupt_between_two_lives_ends_the_system(system, monkeypatch):
    monkeypatch.setattr('moss_perception.ros.system.supervisor.DELAY_S', 60.0)
    system.add('server', SERVICE, 'raise SystemExit(3)', respawn=True)
    running = system.supervisor().start()
    threading.Timer(0.5, running.interrupt).start()
    assert running.wait(timeout_s=30) == 0


def test_jobs_wait_for_the_starter(system):
    flag = system.folder / 'ready'
    system.add('starter', STARTER, f'import time\ntime.sleep(0.5)\nopen({str(flag)!r}, "w")')
    system.add('job', JOB, f'import os\nraise SystemExit(not os.path.exists({str(flag)!r}))')
    assert system.supervisor().start().wait(timeout_s=30) == 0


def test_an_early_job_does_not_wait_and_is_waited_for(system):
    up, done = system.folder / 'up', system.folder / 'done'
    wait = 'import os, time\nwhile not os.path.exists({!r}): time.sleep(0.01)\n'.format
    system.add('watcher', JOB, (f'open({str(up)!r}, "w")\n{wait(str(done))}time.sleep(0.5)\n'
                                'print("seen")'), early=True)
    system.add('starter', STARTER, wait(str(up)))
    system.add('job', JOB, f'print("played", flush=True)\nopen({str(done)!r}, "w")')
    assert system.supervisor().start().wait(timeout_s=30) == 0
    lines = [line for _, line in system.lines]
    assert lines.index('played') < lines.index('seen')


def test_an_early_job_that_ends_first_does_not_end_the_system(system):
    system.add('watcher', JOB, 'pass', early=True)
    system.add('starter', STARTER, 'import time\ntime.sleep(0.5)')
    system.add('job', JOB, 'print("played")')
    assert system.supervisor().start().wait(timeout_s=30) == 0
    assert ('job', 'played') in system.lines


def test_a_starter_that_fails_fails_the_system_without_the_job(system):
    system.add('server', SERVICE, STAY).add('starter', STARTER, 'raise SystemExit(4)')
    system.add('job', JOB, 'print("played")')
    assert system.supervisor().start().wait(timeout_s=30) == 1
    assert ('run', 'error: starter failed with status 4') in system.lines
    assert ('job', 'played') not in system.lines


def test_a_process_that_ignores_signals_is_killed_and_named(system):
    system.add('stubborn', SERVICE, STUBBORN)
    supervisor = system.supervisor(patience_s=0.3).start()
    wait_for(lambda: ('stubborn', 'up') in system.lines)
    supervisor.interrupt()
    assert supervisor.wait(timeout_s=30) == 0
    assert ('run', 'stubborn did not end in time: killing it') in system.lines


def test_nothing_is_left_behind_not_even_grandchildren(system):
    system.add('server', SERVICE, (
        'import os, subprocess, sys\nchild = subprocess.Popen([sys.executable, "-c", '
        '"import time; time.sleep(60)"])\nprint("pid", child.pid)\nprint("pid", os.getpid())\n'
        'child.wait()'))
    supervisor = system.supervisor().start()
    wait_for(lambda: len(system.pids()) == 2)
    supervisor.interrupt()
    assert supervisor.wait(timeout_s=30) == 0
    wait_for(lambda: not any(is_running(pid) for pid in system.pids()))


def is_running(pid):
    try:
        return Path(f'/proc/{pid}/stat').read_text().rsplit(')', 1)[1].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def test_a_wait_with_a_limit_comes_back_while_the_system_runs(system):
    system.add('server', SERVICE, STAY)
    supervisor = system.supervisor().start()
    try:
        assert supervisor.wait(timeout_s=0.2) is None
    finally:
        supervisor.interrupt()
        assert supervisor.wait(timeout_s=30) == 0


def test_an_interrupted_job_is_not_a_success(system):
    system.add('job', JOB, STAY)
    supervisor = system.supervisor().start()
    wait_for(lambda: ('job', 'up') in system.lines)
    supervisor.interrupt(signal.SIGTERM)
    assert supervisor.wait(timeout_s=30) == 143


def test_the_verdict_is_the_last_line_and_interrupted_imports_are_not_shown(system):
    loading = ('def load():\n    import time\n    print("up", flush=True)\n    time.sleep(60)\n'
               'load()')
    system.add('loading', SERVICE, loading)
    system.add('other', SERVICE, 'import time\ntime.sleep(0.5)\nraise SystemExit(2)')
    assert system.supervisor().start().wait(timeout_s=30) == 1
    assert system.lines[0] == ('loading', 'up')
    assert system.lines[-1] == ('run', 'error: other ended early with status 2')
    assert len(system.lines) == 2


def test_a_traceback_of_another_kind_is_shown(system):
    system.add('server', SERVICE, 'try:\n    import time\n    time.sleep(60)\n'
               'except KeyboardInterrupt:\n    pass\n1 / 0')
    system.add('job', JOB, 'import time\ntime.sleep(0.5)')
    assert system.supervisor().start().wait(timeout_s=30) == 0
    assert ('server', 'ZeroDivisionError: division by zero') in system.lines
    assert ('server', 'Traceback (most recent call last):') in system.lines


@pytest.mark.parametrize('status', [0, 3])
def test_the_end_of_a_watcher_changes_nothing_and_is_said(system, status):
    system.add('server', SERVICE, STAY)
    system.add('view', WATCHER, f'raise SystemExit({status})')
    system.add('job', JOB, 'import time\ntime.sleep(1.5)')
    assert system.supervisor().start().wait(timeout_s=30) == 0
    assert ('run', f'view has ended with status {status}; the system goes on') in system.lines


def test_a_missing_executable_is_named_before_anything_starts(system):
    with pytest.raises(MossError, match="executable 'nothing' is not installed"):
        Supervisor([Process('nothing', 'nothing')])


@pytest.mark.parametrize('words, expected', [
    (['imagetopic:=x'], "unknown argument 'imagetopic': expected image_topic"),
    (['bag'], "unknown argument 'bag': expected name:=value"),
    (['--bag'], 'unrecognized arguments: --bag'),
    (['gate:=maybe'], "argument 'gate' is 'maybe': expected one of true, false"),
])
def test_a_wrong_argument_is_one_line_after_the_usage_and_status_2(words, expected, capsys):
    with pytest.raises(SystemExit) as info:
        moss(['run', 'grasp', *words])
    assert info.value.code == 2
    *usage, error = capsys.readouterr().err.splitlines()
    assert expected in error and error.startswith('moss')
    assert usage[0].startswith('usage: moss')


def test_the_help_lists_descriptions_defaults_and_choices(capsys):
    with pytest.raises(SystemExit, match='0'):
        moss(['run', 'grasp', '--help'])
    shown = capsys.readouterr().out
    assert 'image_topic: topic of the camera images' in shown
    assert "default 'info', one of 'debug', 'info', 'warn', 'error', 'fatal'" in shown


@pytest.mark.parametrize('number, status', [(signal.SIGINT, 0), (signal.SIGTERM, 0)])
def test_a_signal_to_the_runner_ends_a_live_system_well(tmp_path, number, status):
    prefix = tmp_path / 'lib' / 'moss_perception'
    prefix.mkdir(parents=True)
    for name in ('grasp_predictor', 'grasp_gate'):
        System(prefix).add(name, SERVICE, STAY)
    runner = subprocess.Popen(
        [sys.executable, '-m', 'moss_perception', 'run', 'grasp', 'autostart:=false',
         'console:=false'], cwd=ROOT,
        env={**os.environ, 'AMENT_PREFIX_PATH': str(tmp_path)}, stdout=subprocess.PIPE, text=True)
    try:
        seen = {runner.stdout.readline().strip() for _ in range(2)}
        assert seen == {'[grasp_predictor] up', '[grasp_gate] up'}
        runner.send_signal(number)
        assert runner.wait(timeout=30) == status
    finally:
        runner.kill()
        runner.stdout.close()

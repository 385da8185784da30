"""The command moss monitor: its options, one snapshot, and a port that is taken."""

import json
import socket
import subprocess

from moss_perception.cli.main import main as moss
import pytest

pytestmark = pytest.mark.timeout(120)


@pytest.mark.parametrize('words, expected', [
    (['--web', '--once'], 'expected one of them'),
    (['--web', '--json'], 'expected one of them'),
    (['--lines', '--json'], 'expected one of them'),
    (['--port', '80'], 'go with --web'),
    (['--foxglove', '--rviz'], 'expected one of them'),
    (['--services'], '--services goes with --foxglove'),
    (['--foxglove', '--token', 'x' * 20], '--token and --open go with --web'),
    (['--web', '--port', '99999'], 'port 99999 is not allowed: expected 0 to 65535'),
    (['--web', '--host', '0.0.0.0'], 'host 0.0.0.0 is not loopback, so others can open the page'),
    (['--web', '--token', 'short'], 'a token of 5 characters is not allowed: expected 16'),
])
def test_options_that_do_not_fit_are_refused(words, expected, capsys, monkeypatch):
    monkeypatch.delenv('MOSS_MONITOR_TOKEN', raising=False)
    with pytest.raises(SystemExit, match='2'):
        moss(['monitor', *words])
    assert expected in ' '.join(capsys.readouterr().err.split())


def run(programs, folder, *words):
    return subprocess.run([*programs.command('moss'), 'monitor', *words], cwd=folder, text=True,
                          timeout=90, env=programs.environment(), capture_output=True)


def test_without_a_predictor_a_snapshot_says_what_is_missing(programs, ros_domain, tmp_path):
    done = run(programs, tmp_path, '--once', '--json', '--timeout', '0.1', '--node', '/nobody')
    assert done.returncode == 1 and done.stderr == ''
    state = json.loads(done.stdout)
    assert state['phase'] == 'waiting' and state['message'].startswith('waits for /nobody: ')


def test_a_port_that_is_taken_is_one_line(programs, ros_domain, tmp_path):
    with socket.create_server(('127.0.0.1', 0)) as taken:
        port = taken.getsockname()[1]
        done = run(programs, tmp_path, '--web', '--port', str(port))
    assert done.returncode == 1 and done.stdout == ''
    assert done.stderr == (
        f'monitor: the page cannot be served on 127.0.0.1 port {port}: Address already in use; '
        'expected a free port of this machine, so end what uses this one, or choose another: '
        'moss monitor --port, moss demo --watch, web_port:=\n')


def test_without_rviz_one_line_says_what_to_install(programs, ros_domain, tmp_path):
    environment = programs.environment(PATH='/nowhere')
    done = subprocess.run([*programs.command('moss'), 'monitor', '--rviz'], text=True, timeout=90,
                          cwd=tmp_path, env=environment, capture_output=True)
    assert done.returncode == 1 and 'rviz2 is not on the PATH: expected RViz' in done.stderr


def test_rviz_starts_with_the_layout_and_the_namespace(programs, ros_domain, tmp_path):
    stub = tmp_path / 'rviz2'
    stub.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    stub.chmod(0o755)
    done = subprocess.run(
        [*programs.command('moss'), 'monitor', '--rviz', '--ros-args', '-r', '__ns:=/arm'],
        cwd=tmp_path, env=programs.environment(PATH=f'{tmp_path}:/usr/bin:/bin'), text=True,
        timeout=90, capture_output=True)
    words = done.stdout.splitlines()
    assert words[0] == '-d' and words[1].endswith('rviz/grasp.rviz') and words[2] == '--ros-args'
    assert '/grasp_predictor/debug_image:=/arm/grasp_predictor/debug_image' in words

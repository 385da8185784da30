"""The installed executables of the nodes, before there is a node."""

import signal
import subprocess
import sys

import pytest

NODES = ('moss', 'attempt_recorder', 'bag_player', 'grasp_gate', 'grasp_predictor',
         'run_recorder', 'sim_cell')
OWN = {'moss': ('activate', 'nobody')}


@pytest.mark.parametrize('waits, then', [
    ('pathlib', 'import moss_perception.ros.entry_points'),
    ('argparse', 'from moss_perception.cli.entry_point import moss; moss()'),
    ('yaml', 'sys.argv[1:] = ["doctor", "--help"]; '
     'from moss_perception.cli.entry_point import moss; moss()')])
def test_ctrl_c_is_handled_before_the_executables_import_anything_else(tmp_path, waits, then):
    # The first module that is not built into Python waits for the signal.
    (tmp_path / f'{waits}.py').write_text(
        'import time\nprint("importing", flush=True)\ntime.sleep(60)\n')
    program = (f'import sys; sys.modules.pop("{waits}", None); '
               f'sys.path.insert(0, {str(tmp_path)!r}); {then}')
    process = subprocess.Popen([sys.executable, '-c', program], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'importing\n'
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (-signal.SIGINT, '')


@pytest.mark.parametrize('name', NODES)
def test_ctrl_c_amid_the_imports_ends_a_node_without_a_word(programs, tmp_path, name):
    if not programs.prefix():
        pytest.skip('the package is not built: executables are modules that are run')
    (tmp_path / 'rclpy.py').write_text(
        'import time\nprint("importing", flush=True)\ntime.sleep(60)\n')
    process = subprocess.Popen([*programs.command(name), *OWN.get(name, ())],
                               env=programs.environment(tmp_path),
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout.readline() == 'importing\n'
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30) == ('', None)
        assert process.returncode == -signal.SIGINT
    finally:
        process.kill()
        process.wait()

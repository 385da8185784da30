"""Closed loop by ``moss run``: simulated camera, predictor, gate and gripper."""

import re
import subprocess

from moss_perception.core.errors import SimulationError
from moss_perception.core.resources import model_path
import pytest

pytestmark = pytest.mark.timeout(115)

OWN = """\
/**/grasp_predictor:
  ros__parameters: {threads: 1}
/**/grasp_gate:
  ros__parameters: {min_score: 0.0, release_score: 0.0, max_uncertainty: 0.5, hold_time: 0.0}
/**/sim_cell:
  ros__parameters: {rate: 10.0, timeout: 6.0, start_delay: 60.0}
"""


@pytest.fixture
def environment(programs, tmp_path):
    """Return the runner's environment; in a tree that isn't built, with executables to find."""
    return programs.with_executables(
        tmp_path, 'grasp_predictor', 'grasp_gate', 'moss', 'sim_cell')


def test_predictor_and_gate_select_a_grasp_in_each_of_two_attempts(
        programs, environment, tmp_path):
    try:
        from moss_perception.simulation.renderer import Renderer
        Renderer().close()
    except SimulationError as error:
        pytest.skip(str(error))
    (tmp_path / 'own.yaml').write_text(OWN)
    done = subprocess.run(
        [*programs.command('moss'), 'run', 'grasp', 'sim:=true', 'sim_attempts:=2', 'sim_seed:=5',
         f'model:={model_path()}', 'params_file:=own.yaml', 'namespace:=arm'],
        cwd=tmp_path, env=environment, timeout=110, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    found = re.search(r'2 attempts: (\d) succeeded, (\d) failed, 0 without', done.stdout)
    assert found, done.stdout
    assert int(found[1]) + int(found[2]) == 2
    assert 'skipped' not in found.string.partition(found[0])[2].splitlines()[0]
    assert 'Traceback' not in done.stdout, done.stdout

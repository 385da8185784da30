"""Each example executes a grasp of the simulated cell, over DDS, in a process of its own."""

from contextlib import ExitStack
import importlib.util
import os
from pathlib import Path

from geometry_msgs.msg import PoseArray
from moss_perception.core.errors import SimulationError
from moss_perception.core.lead_times import to_lead_times
import numpy as np
import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import PointCloud2

pytestmark = pytest.mark.timeout(180)

EXAMPLES = Path(__file__).resolve().parents[2] / 'examples'
COMMON = ('-p', 'attempts:=1', '-p', 'min_score:=0.0', '-p', 'max_uncertainty:=0.5',
          '-p', 'max_age:=600.0', '-p', 'timeout:=30.0')


@pytest.fixture(scope='module')
def system(harness, peer, tiny_checkpoint, tmp_path_factory):
    """Start a cell without an end and a predictor; return a function that starts more."""
    try:
        from moss_perception.simulation.renderer import Renderer
        Renderer().close()
    except SimulationError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp('examples')
    with ExitStack() as stack:
        def start(command, *ros_args):
            process = harness.NodeProcess(folder, command, ros_args=ros_args)
            # Whatever fails, none may outlive the tests: the next ones have the same names.
            stack.callback(process.stop)
            return process
        start.predictor = start(
            'grasp_predictor', '-p', f'model_path:={tiny_checkpoint}', '-p', 'threads:=1', '-p',
            'image_transport:=compressed', '-p', 'max_gap:=5.0', '-r',
            'grasp_candidates:=planner/candidates')
        for label in ('configure', 'activate'):
            assert peer.transition('/grasp_predictor', label), start.predictor.output()
        start.cell = start(
            'sim_cell', '-p', 'rate:=10.0', '-p', 'timeout:=60.0', '-p', 'pause:=0.2', '-p',
            'latency:=0.0', '-p', 'start_delay:=60.0', '-p', 'motion:=constant')
        yield start
    for process in (start.predictor, start.cell):
        assert 'Traceback' not in process.output(), process.output()


def run(system, name, *ros_args):
    example = system(str(EXAMPLES / f'{name}.py'), *COMMON, *ros_args)
    status = example.wait(120)
    output = example.output()
    assert status == 0, f'{output}; {system.cell.output()}; {system.predictor.output()}'
    assert 'attempt 1: ' in output and 'Traceback' not in output
    assert 'none selected' not in output
    return output


def test_the_plain_loop_executes_the_best_candidate(system):
    output = run(system, 'plain_loop')
    assert 'attempt 1: candidate ' in output and 'scores after ' in output


def test_grasps_on_the_belt_have_lead_times(system, peer):
    # A listener that the example learns of late hears its last message all the same.
    latched = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    times = peer.listen(PointCloud2, '/grasp_lead_times', latched)
    proposed = peer.listen(PoseArray, '/planner/candidates', latched)
    output = run(system, 'moving_belt', '-p', 'attempts:=3')
    assert 'grasp where the object is in ' in output and 'attempt 3: ' in output
    assert to_lead_times(times[-1]).values == pytest.approx([0.65, 0.7, 0.75, 0.8, 0.9])
    # The object moves along the belt: later points are further on.
    gaps = np.diff([[pose.position.x, pose.position.y] for pose in proposed[-1].poses], axis=0)
    steps = np.linalg.norm(gaps, axis=1)
    assert steps.min() > 0 and steps[-1] == pytest.approx(2 * steps[0], rel=1e-3)


def test_the_behaviour_tree_succeeds(system):
    pytest.importorskip('py_trees')
    run(system, 'behaviour_tree')


def test_the_state_machine_executes_what_the_gate_selects(system):
    gate = system('grasp_gate', '-r', 'grasp_scores:=grasp_predictor/grasp_scores', '-r',
                  'selected_grasp:=gate/selected_grasp', '-p', 'min_score:=0.0', '-p',
                  'release_score:=0.0', '-p', 'max_uncertainty:=0.5', '-p', 'max_age:=60.0')
    output = run(system, 'gate_state_machine')
    assert 'searching -> executing: the gate has selected a grasp' in output, gate.output()
    assert 'executing -> finished' in output


def test_the_pick_by_moveit_executes_the_grasp_of_the_lowest_cost(system, monkeypatch):
    stub = str(EXAMPLES.parent / 'test' / 'moveit_stub')
    monkeypatch.setenv('PYTHONPATH', os.pathsep.join([stub, os.environ.get('PYTHONPATH', '')]))
    output = run(system, 'moveit_pick', '-p', 'item:=part')
    assert ('stages: current, open hand, reach, approach, grasp pose, allow contact, close hand, '
            'hold, lift') in output
    assert 'attempt 1: cost 0.' in output


def test_without_moveit_the_pick_says_what_it_needs(harness, tmp_path):
    if importlib.util.find_spec('moveit') is not None:
        pytest.skip('MoveIt is there')
    example = harness.NodeProcess(tmp_path, str(EXAMPLES / 'moveit_pick.py'))
    assert example.wait(60) == 1
    line, = example.output().splitlines()
    assert "No module named 'moveit'" in line and 'expected MoveIt 2' in line


def test_the_guide_shows_the_very_planner_that_is_tested():
    page = (EXAMPLES.parent / 'docs' / 'planner.md').read_text(encoding='utf-8')
    code = (EXAMPLES / 'plain_loop.py').read_text(encoding='utf-8')
    assert f'```python\n{code}```' in page

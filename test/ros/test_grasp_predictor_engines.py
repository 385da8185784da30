"""The engines of grasp_predictor in its own process: what is loaded, what it costs, what fails."""

from pathlib import Path

from moss_perception.core.scores import read_scores
from moss_perception.models.checkpoint import load_checkpoint, save_checkpoint
from moss_perception.models.manifest import graph_path
from moss_perception.ros.common import conversions
import numpy as np
import pytest
from sensor_msgs.msg import Image
from tiny import tiny_network

pytestmark = pytest.mark.timeout(120)
WINDOW = 16
RESIDENT_LIMIT_MIB = 350
GROUND = np.random.default_rng(5).integers(0, 255, (24, 32, 3), np.uint8)
# Time stands still but for the steps of the engine: what a prefix takes is what its orders say.
TIMED = """
import sys
import time
from moss_perception.runtime.onnx_engine import OnnxEngine
from moss_perception.ros.predictor.main import main

step, now = OnnxEngine.step, [0.0]


def timed(self, observation, grasps, state, budget):
    now[0] += 0.010 * budget
    return step(self, observation, grasps, state, budget)


OnnxEngine.step = timed
time.perf_counter = lambda: now[0]
sys.exit(main())
"""
NOT_FINITE = """
from dataclasses import replace
import sys
from moss_perception.runtime.onnx_engine import OnnxEngine
from moss_perception.ros.predictor.main import main
import numpy as np

step = OnnxEngine.step


def faulty(self, observation, *args):
    result, state = step(self, observation, *args)
    if observation is None or observation['rgb'][16, 16].any():
        return result, state
    return replace(result, scores=np.full_like(result.scores, np.nan)), state


OnnxEngine.measure = lambda self: None
OnnxEngine.step = faulty
sys.exit(main())
"""
WITHOUT_TORCH = """
import sys
sys.modules['torch'] = None
from moss_perception.ros.predictor.main import main
sys.exit(main())
"""


def image(index: int, black: bool = False) -> Image:
    picture = np.zeros_like(GROUND) if black else np.roll(GROUND, index, axis=1)
    return conversions.rgb_to_image(picture, 10**9 + index * 10**8, 'camera')


@pytest.fixture
def start(harness, peer, tmp_path, tiny_checkpoint):
    """Return a function that starts a node and readies it, from a script or as installed."""
    benches = []

    def started(*ros_args: str, script: str = '') -> object:
        name = f'/engines_{len(benches)}'
        command = harness.PredictorBench.module
        if script:
            path = tmp_path / f'node_{len(benches)}.py'
            path.write_text(script)
            command = (str(path),)
        bench = harness.PredictorBench(
            peer, tmp_path, '-p', f'model_path:={tiny_checkpoint}', '-p', 'threads:=1',
            '-p', 'qos_depth:=100', *ros_args, namespace=name, image=f'{name}/image',
            command=command)
        benches.append(bench)
        return bench
    yield started
    for bench in benches:
        status = bench.process.stop()
        bench.forget_publishers()
        assert status == 0, bench.process.output()
        assert 'Traceback' not in bench.process.output(), bench.process.output()


def fill(bench) -> float:
    """Send a window of images and return the score."""
    bench.connect(image(0))
    fates = [bench.send(image(index)) for index in range(1, WINDOW)]
    assert fates == ['stored'] * (WINDOW - 2) + ['scored']
    bench.wait_for(lambda: bench.scores, 5, 'scores')
    return float(read_scores(bench.scores[-1])['score'][0])


def mapped(bench) -> str:
    return Path(f'/proc/{bench.process.process.pid}/maps').read_text()


def resident_mib(bench) -> float:
    lines = Path(f'/proc/{bench.process.process.pid}/status').read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith('VmRSS')) / 1024


def test_the_default_engine_brings_no_torch_and_both_engines_score_alike(start):
    bench = start()
    bench.fresh()
    score = fill(bench)
    _, values = bench.status()
    assert values['engine'] == 'onnxruntime'
    assert all(float(values[f'cost_ms/{orders}']) > 0 for orders in ('1', '1,2', '1,2,3'))
    maps = mapped(bench)
    assert 'libonnxruntime' in maps or 'onnxruntime_pybind11_state' in maps
    assert 'libtorch' not in maps
    assert resident_mib(bench) <= RESIDENT_LIMIT_MIB
    bench.fresh(engine='torch')
    assert fill(bench) == pytest.approx(score, abs=1e-4)
    assert 'libtorch' in mapped(bench)
    assert bench.status()[1]['engine'] == 'torch'


def test_without_torch_one_engine_works_and_the_other_says_what_is_missing(start):
    bench = start('-p', 'engine:=torch', script=WITHOUT_TORCH)
    assert not bench.peer.transition(bench.name, 'configure')
    said = [line for line in bench.process.output().splitlines() if line.strip()]
    assert len(said) == 1 and "engine 'torch' needs the package torch" in said[0], said
    bench.fresh(engine='onnxruntime')
    assert 0 < fill(bench) < 1


def test_a_missing_graph_fails_in_one_line(start, tiny_checkpoint, tmp_path):
    copy = tmp_path / tiny_checkpoint.name
    for path in (tiny_checkpoint, tiny_checkpoint.with_name('SHA256SUMS')):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    bench = start('-p', f'model_path:={copy}')
    assert not bench.peer.transition(bench.name, 'configure')
    said = [line for line in bench.process.output().splitlines() if line.strip()]
    graph = graph_path(copy, 'orders_1')
    assert len(said) == 1 and f'{graph} is not there: run moss export {copy}' in said[0]


@pytest.mark.parametrize(('budget_s', 'orders'), [(0.035, '1,2,3'), (0.025, '1,2'), (0.005, '1')])
def test_auto_runs_the_highest_order_that_the_budget_allows(start, budget_s, orders):
    bench = start('-p', f'latency_budget:={budget_s}', script=TIMED)
    bench.fresh()
    fill(bench)
    _, values = bench.status()
    assert (values['budget_level'], values['budget_target']) == (orders, orders)
    assert [values[f'cost_ms/{prefix}'] for prefix in ('1', '1,2', '1,2,3')] == [
        '10.000', '20.000', '30.000']


def test_a_checkpoint_that_was_trained_with_all_orders_runs_all_whatever_the_budget(
        start, tiny_checkpoint, tmp_path):
    path = tmp_path / 'whole.safetensors'
    save_checkpoint(path, load_checkpoint(tiny_checkpoint), {'recipe': {'full_orders': 1.0}})
    bench = start('-p', f'model_path:={path}', '-p', 'engine:=torch', '-p',
                  'latency_budget:=0.001')
    bench.fresh()
    answer = bench.peer.set(bench.name, budget='1,2')[0]
    assert not answer.successful and "expected 'auto', '1,2,3'" in answer.reason
    fill(bench)
    _, values = bench.status()
    assert (values['budget_level'], values['budget_target']) == ('1,2,3', '1,2,3')


def test_a_model_with_one_level_takes_auto_and_that_levels_name_only(start, tmp_path):
    path = tmp_path / 'one.safetensors'
    save_checkpoint(path, tiny_network('flow_grasp'), {})
    bench = start('-p', f'model_path:={path}', '-p', 'engine:=torch', '-p', 'budget:=[1]')
    assert not bench.peer.transition(bench.name, 'configure')
    assert "budget '1' is not allowed: expected 'auto', 'all'" in bench.process.output()
    bench.fresh(budget='all')
    late, = bench.peer.set(bench.name, budget='1,2')
    assert not late.successful and "expected 'auto', 'all'" in late.reason
    assert bench.peer.set(bench.name, budget='auto')[0].successful
    _, values = bench.status()
    assert (values['budget_level'], values['budget_target']) == ('all', 'all')


def test_a_budget_that_is_cut_gives_up_an_order_and_a_wider_one_warms_it_up(start):
    bench = start('-p', 'latency_budget:=0.1', script=TIMED)
    bench.fresh()
    fill(bench)
    assert bench.peer.set(bench.name, latency_budget=0.025)[0].successful
    assert {bench.send(image(WINDOW + k)) for k in range(2)} == {'scored'}
    _, values = bench.status()
    assert (values['budget_level'], values['budget_target']) == ('1,2', '1,2')
    assert bench.peer.set(bench.name, latency_budget=0.1)[0].successful
    bench.send(image(WINDOW + 2))
    _, values = bench.status()
    assert (values['budget_level'], values['budget_target']) == ('1,2', '1,2,3')
    # The third order's caches and the head's maps fill: as long as a window, at most.
    for k in range(3, 3 + WINDOW):
        bench.send(image(WINDOW + k))
    assert bench.status()[1]['budget_level'] == '1,2,3'


def test_what_is_not_finite_is_refused_counted_and_survived(start):
    bench = start(script=NOT_FINITE)
    bench.fresh()
    fill(bench)
    scores = len(bench.scores)
    assert [bench.send(image(WINDOW, black=True)), bench.send(image(WINDOW + 1))] == [
        'refused', 'stored']
    status, values = bench.status(lambda _, v: v.get('refused/not_finite') == '1')
    assert values['resets/not_finite'] == '1' and values['window_fill'] == '1/16'
    assert 'not_finite' in values['last_refusal'] and len(bench.scores) == scores
    assert 'refused a frame: not_finite' in bench.process.output()
    for k in range(2, WINDOW):
        assert bench.send(image(WINDOW + k)) == 'stored'
    assert bench.send(image(2 * WINDOW)) == 'scored'

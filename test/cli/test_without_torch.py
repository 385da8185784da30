"""The commands of a machine on which torch is not installed."""

import json
import subprocess

import cv2
from moss_perception.data.schema import Sample
from moss_perception.data.shards import write_shard
import numpy as np
import pytest

MATRIX = np.array([[48.0, 0, 15.5], [0, 48, 15.5], [0, 0, 1]])


@pytest.fixture
def run(programs, no_torch, tmp_path):
    """Return a function that runs a command from another folder, without torch."""
    def run(name, *arguments):
        return subprocess.run(
            [*programs.command('moss'), name, *map(str, arguments)], cwd=tmp_path, timeout=90,
            text=True, capture_output=True,
            env=programs.environment(no_torch, OMP_NUM_THREADS='1'))
    return run


@pytest.fixture
def scenes(tmp_path):
    """Write eight scenes of noise, with two candidates each."""
    made, random = [], np.random.default_rng(0)
    for seed in range(100, 108):
        jpegs = tuple(cv2.imencode('.jpg', random.integers(0, 256, (32, 32, 3), np.uint8))[1]
                      .tobytes() for _ in range(16))
        candidates = np.float32([[0.05, 0.02, 0.6, 0.1], [-0.08, 0.03, 0.55, 1.0]])
        made.append(Sample(seed=seed, jpegs=jpegs, candidates=candidates,
                          labels=np.array([True, False]), speed=0.0, motion='still',
                          shape='box', track=candidates[:, :3]))
    write_shard(tmp_path / 'scenes' / 'scenes_00000100.npz', made, MATRIX)
    return tmp_path / 'scenes'


def test_torch_is_hidden(run, tiny_checkpoint):
    done = run('export', tiny_checkpoint)
    assert done.returncode == 1
    assert done.stderr == ('export: moss export needs the package torch, which is not installed: '
                           'expected torch; pip install torch, or run scripts/setup.sh test\n')


def test_a_model_is_evaluated(run, scenes, tiny_checkpoint):
    done = run('evaluate', '--scenes', scenes, '--model', tiny_checkpoint, '--threads', 1)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result['engine'], result['attempts']) == ('onnxruntime', 16)
    assert set(result['variants']) == {'orders 1', 'orders 1,2', 'orders 1,2,3',
                                       'orders 1,2,3, frozen clip'}
    # Each variant scores differently.
    assert len({one['brier'] for one in result['variants'].values()}) == 4
    last = result['variants']['orders 1,2,3']
    assert result['brier'] == last['brier']
    assert last['chosen_success']['model'] == result['chosen_success']['model']
    for one in result['variants'].values():
        chosen = one['chosen_success']
        assert 0 <= chosen['low'] <= chosen['model'] <= chosen['high'] <= 1


def test_evaluating_with_the_engine_torch_says_what_is_missing(run, scenes, tiny_checkpoint):
    done = run('evaluate', '--scenes', scenes, '--model', tiny_checkpoint, '--engine', 'torch')
    assert done.returncode == 1
    assert done.stderr.startswith("evaluate: engine 'torch' needs the package torch")
    assert done.stderr.count('\n') == 1

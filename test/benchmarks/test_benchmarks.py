"""Each benchmark runs, and ends in one JSON line; no time is held against anything."""

import json
import os
from pathlib import Path
import subprocess
import sys

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / 'benchmarks'
KEYS = {'benchmark', 'date', 'quick', 'machine', 'seeds', 'targets', 'tables', 'curves'}
TARGETS = {'moss_step': 10, 'stream_length': 4, 'predictor_step': 5, 'overhead': 5, 'low_rank': 0,
           'replay': 2, 'displacement_step': 1, 'floor': 0, 'precision': 0,
           'watching': 1, 'several_streams': 2, 'planner': 1, 'fleet': 0,
           'own_robot': 2}
LIVE = ('watching', 'several_streams', 'planner')


def run(script: str, *arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *arguments], capture_output=True, text=True,
        cwd=BENCHMARKS, env={**os.environ, 'OMP_NUM_THREADS': '1'}, check=False)


@pytest.mark.parametrize('name', TARGETS)
def test_a_benchmark_ends_in_one_json_line_with_a_verdict_on_each_target(
        name, tiny_checkpoint, tmp_path):
    if name in ('moss_step', 'stream_length', 'floor') and not (BENCHMARKS / '.peers').is_dir():
        pytest.skip('the peers are not installed: python benchmarks/setup_peers.py')
    if name in LIVE:
        pytest.importorskip('rclpy')
    kept = tmp_path / f'{name}.json'
    done = run(f'{name}.py', '--quick', '--threads', '1', '--model', str(tiny_checkpoint),
               '--out', str(kept))
    assert done.returncode == 0, done.stderr[-3000:]
    line = done.stdout.splitlines()[-1]
    content = json.loads(line)
    assert content.keys() >= KEYS
    assert content['benchmark'] == name
    assert content['quick'] is True
    assert content['machine'].keys() >= {'cpu', 'cores', 'ram_gib', 'threads', 'torch'}
    assert content['machine']['threads'] == 1
    assert len(content['targets']) == TARGETS[name]
    for target in content['targets']:
        assert target['bound'] in ('at least', 'at most')
        # What could not be measured has no value, and the output says why.
        assert target['value'] is not None, done.stdout[-3000:]
        better = target['value'] >= target['target'] if target['bound'] == 'at least' else (
            target['value'] <= target['target'])
        assert target['met'] is better, target
    assert all(table['rows'] for table in content['tables'].values())
    assert kept.read_text().strip() == line
    if name == 'predictor_step':
        parts = content['tables']['profile by part']['rows']
        assert {row['part'] for row in parts} == {
            'backbone', 'MOSS, order 1', 'head, scores and state', 'between the nodes'}
        assert sum(row['share %'] for row in parts) == pytest.approx(100, abs=0.1)


def test_a_peer_that_is_missing_is_one_clear_line(tmp_path):
    script = ('import checkout, sys; from pathlib import Path\n'
              f'checkout.PEERS = Path({str(tmp_path)!r})\n'
              'from peers import vit_pytorch\n'
              'try:\n    vit_pytorch.load()\n'
              'except vit_pytorch.PeerMissingError as error:\n    print(error)')
    done = subprocess.run([sys.executable, '-c', script], capture_output=True, text=True,
                          cwd=BENCHMARKS, check=False)
    assert 'setup_peers.py' in done.stdout, done.stderr

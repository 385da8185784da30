"""A model that the package does not know: trained, exported, replayed and run in the node."""

import importlib.util
from pathlib import Path
import sys

import cv2
from frames import frame, push_all, WINDOW
from moss_perception.cli.main import main as moss
from moss_perception.data.bags.writer import RecordingWriter
from moss_perception.data.shards import write_shard
from moss_perception.evaluation.replay import replay
from moss_perception.models.checkpoint import load_checkpoint
from moss_perception.models.manifest import read_header
from moss_perception.runtime.engine import ENGINES, load_engine
from moss_perception.runtime.predictor import Predictor
from node_scores import node_scores
import numpy as np
import pytest
from spots import MATRIX, scene
import torch

TOY = Path(__file__).with_name('toy.py')
SIDE = 32
pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope='module', autouse=True)
def toy():
    """Import the model, which registers it."""
    spec = importlib.util.spec_from_file_location('toy', TOY)
    sys.modules['toy'] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules['toy'])
    return sys.modules['toy']


@pytest.fixture(scope='module')
def trained(toy, tmp_path_factory):
    """Train it by the command, which also fits its OOD statistics and exports it."""
    folder = tmp_path_factory.mktemp('toy')
    write_shard(folder / 'data' / 'scenes_00000000.npz', [scene(n) for n in range(220)], MATRIX)
    settings = folder / 'toy.yaml'
    settings.write_text('name: mine\nmodel: toy\nnetwork: {image_size: 32, width: 3, ensemble: 2}'
                        '\ntraining: {epochs: 1, batch: 32}\n')
    out = folder / 'mine.safetensors'
    assert moss(['train', '--data', str(folder / 'data'), '--config', str(settings), '--run',
                 str(folder / 'run'), '--out', str(out), '--graphs', '--threads', '1']) == 0
    return out


@pytest.fixture(scope='module')
def recording(tmp_path_factory):
    """Write one attempt of 24 frames at the model's rate."""
    path, noise = tmp_path_factory.mktemp('recorded') / 'bag', np.random.default_rng(8)
    start_ns, grasps = 10**18, np.array([[0.01, 0.0, 0.5, 0.3], [-0.05, 0.0, 0.6, 1.2]])
    with RecordingWriter(path) as writer:
        for index in range(24):
            stamp_ns = start_ns + index * 10**8
            writer.camera_info(stamp_ns, SIDE, SIDE, np.diag([40.0, 40, 1]))
            writer.candidates(stamp_ns, grasps)
            image = noise.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
            writer.image(stamp_ns, cv2.imencode('.jpg', image)[1].tobytes())
            if index == 20:
                writer.selected(stamp_ns, grasps[1])
        writer.outcome('held', attempt=1, start_ns=start_ns, decision_ns=start_ns + 2 * 10**9,
                       end_ns=stamp_ns, success=True, domain='real', motion='steady', object='box')
    return path


def test_it_is_trained_and_exported_by_the_command(toy, trained):
    config, notes = read_header(trained)
    assert isinstance(config, toy.ToyConfig) and (config.width, config.image_size) == (3, 32)
    assert notes['recipe']['epochs'] == 1
    assert trained.with_name('mine.toy.onnx').is_file()
    assert load_engine(str(trained), threads=1).distribution is not None


@pytest.mark.parametrize('engine', ENGINES)
def test_its_stream_equals_its_clip(trained, engine):
    frames = [frame(k) for k in range(WINDOW + 5)]
    predictor = Predictor.load(str(trained), engine=engine, threads=1)
    found = push_all(predictor, frames)[-1]
    network = load_checkpoint(trained)
    state = predictor.engine.initial_state()
    grasps = np.float32([[0.1, 0.2, 0.6, 0.1, 0.1]])
    for one in frames:
        scores, state = predictor.engine.step({'rgb': one.image}, grasps, state, 1)
    clip = torch.from_numpy(np.stack([one.image for one in frames[-WINDOW:]]))
    with torch.inference_mode():
        logits, _ = network(clip[None], torch.from_numpy(grasps)[None])
    assert scores.scores[0] == pytest.approx(torch.sigmoid(logits).mean().item(), abs=1e-5)
    assert 0 < found.score < 1 and np.isfinite(found.ood_score)


@pytest.mark.parametrize('engine', ENGINES)
def test_a_recording_is_replayed_and_evaluated_with_it(trained, recording, engine, tmp_path):
    predictor = Predictor.load(str(trained), engine=engine, threads=1)
    seen = []
    record = replay(recording, predictor, on_prediction=seen.append)
    assert len(seen) == 24 - WINDOW + 1 and len(record.attempts) == 1
    assert moss(['evaluate', str(recording), '--model', str(trained), '--engine', engine,
                 '--report', str(tmp_path / 'report')]) == 0


def test_the_node_runs_it(trained, ros_domain):
    assert all(0 < score < 1 for score in node_scores(trained))

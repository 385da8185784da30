"""The engine on ONNX Runtime: equal to torch, verified, and without torch."""

from pathlib import Path
import shutil
import subprocess
import sys

from moss_perception.core.errors import CheckpointError, ConfigError, ShapeError
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.models.manifest import file_sha256, graph_path, MANIFEST
from moss_perception.runtime.engine import load_engine
from moss_perception.runtime.onnx_engine import OnnxState
import numpy as np
import pytest
from tiny import tiny_network

ROOT = Path(__file__).resolve().parents[2]
# Beside the numbers of torch: float32, summed in another order through about twenty layers.
CLOSE = {'rtol': 0, 'atol': 1e-4}


@pytest.fixture(scope='module')
def engine(tiny_checkpoint):
    return load_engine(str(tiny_checkpoint), threads=1)


@pytest.fixture(scope='module')
def reference(tiny_checkpoint):
    return load_engine(str(tiny_checkpoint), engine='torch', threads=1)


@pytest.fixture
def copied(tiny_checkpoint, tmp_path):
    """Return a copy of the checkpoint with its graphs, to be spoilt."""
    for path in tiny_checkpoint.parent.iterdir():
        shutil.copy(path, tmp_path)
    return tmp_path / tiny_checkpoint.name


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (32, 32, 3), np.uint8)


def grasps(count, seed=0):
    values = np.random.default_rng(seed).uniform(-0.8, 0.8, (count, 5)).astype(np.float32)
    values[:, 2:] = values[:, 2:] * 0.1 + np.float32([0.6, 0.2, 0.2])
    return values


def enter(path):
    """Make the manifest agree with a file."""
    manifest = path.parent / MANIFEST
    lines = [line for line in manifest.read_text().splitlines() if not line.endswith(path.name)]
    manifest.write_text('\n'.join([*lines, f'{file_sha256(path)}  {path.name}', '']))


def test_it_is_the_default(engine, tiny_checkpoint):
    assert engine.name == 'onnxruntime'
    assert engine.sha256 == file_sha256(tiny_checkpoint)
    assert engine.config == tiny_network().config


def test_both_engines_agree_over_a_stream_in_which_everything_changes(engine, reference):
    random = np.random.default_rng(4)
    ours, theirs = engine.initial_state(), reference.initial_state()
    differ = 0
    for k in range(90):
        if k % 10 == 0:
            computed = int(random.integers(1, 4))
        used = int(random.integers(1, computed + 1))
        image = None if k and random.random() < 0.2 else picture(k)
        chosen = grasps(int(random.integers(0, 5)), seed=k)
        found = engine.step(image, chosen, ours, computed=computed, used=used)
        expected = reference.step(image, chosen, theirs, computed=computed, used=used)
        ours, theirs = found.state, expected.state
        np.testing.assert_allclose(found.scores, expected.scores, **CLOSE)
        np.testing.assert_allclose(found.uncertainties, expected.uncertainties, **CLOSE)
        scale = max(1.0, np.abs(expected.motion_features).max())
        np.testing.assert_allclose(
            found.motion_features / scale, expected.motion_features / scale, **CLOSE)
        assert (found.scores.dtype, found.motion_features.dtype) == (np.float32, np.float32)
        assert found.finite and expected.finite
        differ += len(set(found.scores.tolist())) > 1
    assert differ > 40


def test_an_order_that_is_not_run_leaves_nothing(engine):
    state = engine.initial_state()
    for k in range(3):
        state = engine.step(picture(k), grasps(1), state, computed=3, used=3).state
    kept = state.caches
    # Of the four samples that a cache keeps, the oldest was before the first.
    assert [[bool(one.any()) for one in cache] for cache in kept] == [[False, *[True] * 3]] * 3
    assert [len(maps) for maps in state.recent] == [3, 3, 3]
    state = engine.step(picture(3), grasps(1), state, computed=2, used=2).state
    assert len(state.caches) == 2 and [len(maps) for maps in state.recent] == [3, 3, 2]
    back = engine.step(picture(4), grasps(1), state, computed=3, used=2).state
    assert [bool(one.any()) for one in back.caches[2]] == [False, False, False, True]
    assert [len(maps) for maps in back.recent] == [3, 2, 3]


def test_the_maps_of_earlier_samples_are_handed_on_and_not_copied(engine):
    first = engine.step(picture(0), grasps(1), engine.initial_state(), computed=3, used=3).state
    second = engine.step(picture(1), grasps(1), first, computed=3, used=3).state
    assert second.recent[-2] is first.recent[-1]
    for earlier, later in zip(first.caches, second.caches, strict=True):
        assert [one is other for one, other in zip(earlier[1:], later, strict=False)] == [True] * 3


def test_a_step_leaves_the_state_that_it_was_given(engine):
    before = engine.step(picture(0), grasps(2), engine.initial_state(), computed=3, used=3).state
    first = engine.step(picture(1), grasps(2), before, computed=3, used=3)
    image = picture(1)
    second = engine.step(image, grasps(2), before, computed=3, used=3)
    np.testing.assert_array_equal(first.scores, second.scores)
    # A caller that reuses his buffer does not change what a repeat repeats.
    repeated = engine.step(None, grasps(2), second.state, computed=3, used=3).scores
    image[:] = 0
    again = engine.step(None, grasps(2), second.state, computed=3, used=3).scores
    np.testing.assert_array_equal(repeated, again)


def test_what_cannot_be_stepped_is_refused(engine):
    with pytest.raises(ShapeError, match='needs an image, got a repeat'):
        engine.step(None, grasps(1), engine.initial_state(), computed=3, used=3)
    with pytest.raises(ShapeError, match=r'\(32, 32, 3\), got uint8 \(16, 32, 3\)'):
        engine.step(picture(0)[:16], grasps(1), engine.initial_state(), computed=3, used=3)


def test_a_state_that_is_not_finite_is_noticed(engine):
    result = engine.step(picture(0), grasps(1), engine.initial_state(), computed=1, used=1)
    assert result.state_finite
    state = result.state
    spoilt = np.zeros_like(state.caches[0][-1])
    spoilt[0, -1, 0] = np.nan
    state = OnnxState(None, ((*state.caches[0][:-1], spoilt),), state.recent)
    result = engine.step(picture(0), grasps(1), state, computed=1, used=1)
    assert not result.state_finite and not result.finite


def test_the_cost_of_each_prefix_is_measured(engine, reference):
    for measured in (engine.costs, reference.costs):
        assert len(measured) == 3 and min(measured) > 0


def test_a_missing_graph_is_named_with_what_to_do(copied):
    graph_path(copied, 2).unlink()
    with pytest.raises(CheckpointError, match=r'orders_1_2.onnx is not there: run export .*tiny'):
        load_engine(str(copied))
    load_engine(str(copied), engine='torch')


@pytest.mark.parametrize('spoil', [
    lambda data: data[:-100], lambda data: b'',
    lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]])
def test_a_damaged_graph_is_refused_before_it_is_opened(copied, spoil):
    graph = graph_path(copied, 3)
    graph.write_bytes(spoil(graph.read_bytes()))
    with pytest.raises(CheckpointError, match=r'orders_1_2_3.onnx has sha256 .*: expected'):
        load_engine(str(copied))


def test_a_graph_without_a_known_digest_is_refused(copied):
    manifest = copied.parent / MANIFEST
    manifest.write_text(''.join(
        f'{line}\n' for line in manifest.read_text().splitlines() if 'orders_1.onnx' not in line))
    with pytest.raises(CheckpointError, match=r'orders_1.onnx has no known sha256'):
        load_engine(str(copied))


def test_a_file_that_is_no_graph_is_refused_in_one_line(copied):
    graph_path(copied, 1).write_bytes(b'no graph\n' * 20)
    enter(graph_path(copied, 1))
    with pytest.raises(CheckpointError, match="can't be loaded by onnxruntime") as caught:
        load_engine(str(copied))
    assert '\n' not in str(caught.value)


def test_graphs_of_another_checkpoint_are_refused(copied):
    digest = save_checkpoint(copied, tiny_network(), {'trained': 'anew'})
    with pytest.raises(CheckpointError, match=f'exported from.*expected {digest}; run export'):
        load_engine(str(copied))


def test_a_graph_of_other_orders_is_refused(copied):
    shutil.copy(graph_path(copied, 1), graph_path(copied, 2))
    enter(graph_path(copied, 2))
    with pytest.raises(CheckpointError, match=r"'1'\): expected .*'2'\); run export"):
        load_engine(str(copied))


@pytest.mark.parametrize('device', ['cuda', 'cuda:1', 'abacus', 'cpu:x'])
def test_a_device_that_is_not_there_is_refused(tiny_checkpoint, device):
    with pytest.raises(ConfigError, match=f"'{device}'.*CPUExecutionProvider: expected cpu"):
        load_engine(str(tiny_checkpoint), device=device)


def run_without(package, code, *arguments):
    """Run Python where a package can't be imported."""
    code = f'import sys\nsys.modules[{package!r}] = None\n{code}'
    return subprocess.run([sys.executable, '-c', code, *map(str, arguments)], cwd=ROOT,
                          timeout=60, capture_output=True, text=True)


def test_it_scores_where_torch_cannot_be_imported(tiny_checkpoint):
    done = run_without('torch', """
from moss_perception.core.frames import Frame
from moss_perception.runtime.predictor import Predictor
import numpy as np
predictor = Predictor.load(sys.argv[1], threads=1)
frames = [Frame(10**9 + k * 10**8, 'c', np.full((24, 32, 3), k, np.uint8)) for k in range(16)]
print([predictor.push(frame) for frame in frames][-1].score)
assert not any(name.startswith(('torch', 'safetensors.torch')) for name, module in
               sys.modules.items() if module)
""", tiny_checkpoint)
    assert done.returncode == 0, done.stderr
    assert 0 < float(done.stdout) < 1 and not done.stderr


@pytest.mark.parametrize(('absent', 'other'), [
    ('torch', 'onnxruntime'), ('onnxruntime', 'torch')])
def test_an_engine_whose_package_is_absent_says_so(tiny_checkpoint, absent, other):
    done = run_without(absent, """
from moss_perception.core.errors import ConfigError
from moss_perception.runtime.engine import load_engine
try:
    load_engine(sys.argv[1], engine=sys.argv[2])
except ConfigError as error:
    print(error)
""", tiny_checkpoint, absent)
    assert done.stdout == (
        f"engine '{absent}' needs the package {absent}, which is not installed: expected pip "
        f'install {absent}, or engine {other}\n'), done.stderr

"""The engine on ONNX Runtime: equal to torch, verified, and without torch."""

import json
import os
from pathlib import Path
import shutil
import subprocess
import sys

from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.models import manifest
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.models.graph_model import StreamState
from moss_perception.models.manifest import (
    file_sha256,
    graph_path,
    graphs_beside,
    MANIFEST,
    replace_files,
    seal,
)
from moss_perception.models.moss_grasp.model import ActiveOrders, graph_name
from moss_perception.runtime.engine import load_engine
import numpy as np
import onnx
from onnx import helper, numpy_helper
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file
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
    sums = path.parent / MANIFEST
    lines = [line for line in sums.read_text().splitlines() if not line.endswith(path.name)]
    sums.write_text('\n'.join([*lines, f'{file_sha256(path)}  {path.name}', '']))


def reseal(path, graphs):
    """Store the digests of these graphs in a checkpoint."""
    seal(path, graphs, path.with_suffix('.sealed'))
    replace_files({path: path.with_suffix('.sealed')})


def test_it_is_the_default(engine, tiny_checkpoint):
    assert engine.name == 'onnxruntime'
    assert engine.sha256 == file_sha256(tiny_checkpoint)
    assert engine.config == tiny_network().config


def step(engine, seed, state, level=3, count=1):
    """Step a random image, and return the scores and the state."""
    image = None if seed is None else {'rgb': picture(seed)}
    return engine.step(image, grasps(count, seed or 0), state, level)


def test_both_engines_agree_over_a_stream_in_which_everything_changes(engine, reference):
    random = np.random.default_rng(4)
    ours, theirs = engine.initial_state(), reference.initial_state()
    differ, levels = 0, set()
    for k in range(120):
        if k % 20 == 0:
            level = int(random.integers(1, 4))
        seed = None if k and random.random() < 0.2 else k
        count = int(random.integers(0, 5))
        found, ours = step(engine, seed, ours, level, count)
        expected, theirs = step(reference, seed, theirs, level, count)
        np.testing.assert_allclose(found.scores, expected.scores, **CLOSE)
        np.testing.assert_allclose(found.uncertainties, expected.uncertainties, **CLOSE)
        scale = max(1.0, np.abs(expected.motion_features).max())
        np.testing.assert_allclose(
            found.motion_features / scale, expected.motion_features / scale, **CLOSE)
        assert (found.scores.dtype, found.motion_features.dtype) == (np.float32, np.float32)
        assert found.motion_features.shape == expected.motion_features.shape == (4, 4, 12)
        assert found.level == expected.level
        assert found.finite and expected.finite
        levels.add((level, found.level))
        differ += len(set(found.scores.tolist())) > 1
    assert differ > 40 and len(levels) > 3


def test_an_order_that_is_not_run_leaves_nothing(engine):
    state = engine.initial_state()
    for k in range(3):
        _, state = step(engine, k, state)
    assert [len(kept) for kept in state.history] == [6] * 3
    _, state = step(engine, 3, state, level=2)
    assert sorted(state.history[-1]) == ['map_1', 'map_2', 'newest_1', 'newest_2']
    _, back = step(engine, 4, state)
    assert len(back.history[-1]) == 6
    # Four samples for the caches, three more for the head, of which one is done.
    assert back.extra == ActiveOrders(3, 2, 6)


def test_the_maps_of_earlier_samples_are_handed_on_and_not_copied(engine):
    _, first = step(engine, 0, engine.initial_state())
    _, second = step(engine, 1, first)
    for name, kept in first.history[-1].items():
        assert second.history[-2][name] is kept


def test_no_more_samples_are_kept_than_later_steps_take(engine):
    state = engine.initial_state()
    for k in range(8):
        _, state = step(engine, k, state)
    # Of a window of 16, three orders of five frames each leave four to the head.
    assert len(state.history) == 4


def test_a_step_leaves_the_state_that_it_was_given(engine):
    _, before = step(engine, 0, engine.initial_state(), count=2)
    first, _ = step(engine, 1, before, count=2)
    image = picture(1)
    second, after = engine.step({'rgb': image}, grasps(2, 1), before, 3)
    np.testing.assert_array_equal(first.scores, second.scores)
    # A caller that reuses its buffer does not change what a repeat repeats.
    repeated = step(engine, None, after, count=2)[0].scores
    image[:] = 0
    np.testing.assert_array_equal(repeated, step(engine, None, after, count=2)[0].scores)


def test_a_state_that_is_not_finite_is_noticed(engine):
    result, state = step(engine, 0, engine.initial_state(), level=1)
    assert result.state_finite
    kept = {name: np.array(value) for name, value in state.history[-1].items()}
    kept['newest_1'][0, -1, 0] = np.nan
    state = StreamState(None, (*state.history[:-1], kept), state.extra)
    result, _ = step(engine, 1, state, level=1)
    assert not result.state_finite and not result.finite


def test_the_cost_of_each_prefix_is_measured(engine, reference):
    for measured in (engine.costs, reference.costs):
        assert len(measured) == 3 and min(measured) > 0


def test_a_missing_graph_is_named_with_what_to_do(copied):
    graph_path(copied, graph_name(2)).unlink()
    with pytest.raises(CheckpointError, match=r'orders_1_2.onnx is not there: run moss exp'):
        load_engine(str(copied))
    load_engine(str(copied), engine='torch')


@pytest.mark.parametrize('spoil', [
    lambda data: data[:-100], lambda data: b'',
    lambda data: data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]])
def test_a_damaged_graph_is_refused_before_it_is_opened(copied, spoil):
    graph = graph_path(copied, graph_name(3))
    graph.write_bytes(spoil(graph.read_bytes()))
    with pytest.raises(CheckpointError, match=r'orders_1_2_3.onnx has sha256 .*: expected'):
        load_engine(str(copied))


def test_a_graph_without_a_known_digest_is_refused(copied):
    reseal(copied, [x for x in graphs_beside(copied) if x.name != 'tiny.orders_1.onnx'])
    with pytest.raises(CheckpointError, match=r'orders_1.onnx has no known sha256'):
        load_engine(str(copied))


def test_a_graph_that_was_replaced_together_with_the_sums_is_refused(copied):
    digest = file_sha256(copied)
    model = onnx.load(graph_path(copied, graph_name(3)))
    model.producer_name = 'somebody else'
    graph_path(copied, graph_name(3)).write_bytes(model.SerializeToString())
    enter(graph_path(copied, graph_name(3)))
    with pytest.raises(CheckpointError, match=r'orders_1_2_3.onnx has sha256 .*: expected'):
        load_engine(str(copied), digest)


@pytest.mark.parametrize('engine', ['onnxruntime', 'torch'])
def test_what_is_run_is_what_was_verified(copied, engine, monkeypatch):
    genuine, digest = load_engine(str(copied), engine=engine), file_sha256(copied)
    read = manifest.read_verified

    def swapped(kind, path, *rest):
        """Put another checkpoint in the place of one that has just been read."""
        data = read(kind, path, *rest)
        if path == copied:
            with safe_open(path, 'np') as file:
                metadata = file.metadata()
                tensors = {x: np.zeros_like(file.get_tensor(x)) for x in file.keys()}  # noqa: SIM118
            values = json.loads(metadata['config']) | {'temperature': 9.0}
            save_file(tensors, path, metadata | {'config': json.dumps(values), 'graphs': '{}'})
        return data

    monkeypatch.setattr(manifest, 'read_verified', swapped)
    loaded = load_engine(str(copied), digest, engine)
    assert file_sha256(copied) != digest
    assert loaded.sha256 == digest and loaded.config == genuine.config
    for one, other in zip(*(step(x, 0, x.initial_state(), level=1)[0].scores
                            for x in (genuine, loaded)), strict=True):
        assert one == other


def test_a_checkpoint_of_terabytes_is_refused_unread(copied):
    os.truncate(copied, 1 << 40)
    for engine in ('onnxruntime', 'torch'):
        with pytest.raises(CheckpointError, match='has 1099511627776 bytes: expected at most'):
            load_engine(str(copied), engine=engine)


def test_a_graph_that_asks_for_more_memory_than_there_is_for_graphs_is_refused(copied):
    path = graph_path(copied, graph_name(3))
    model = onnx.load(path)
    column = np.zeros((1 << 15, 1), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(column, 'column'))
    model.graph.node.extend([
        helper.make_node('Transpose', ['column'], ['row'], perm=[1, 0]),
        helper.make_node('Add', ['column', 'row'], ['square']),
        helper.make_node('ReduceMax', ['square'], ['none'], keepdims=0),
        helper.make_node('Add', ['scores_before', 'none'], ['scores'])])
    next(x for x in model.graph.node if 'scores' in x.output).output[0] = 'scores_before'
    path.write_bytes(model.SerializeToString())
    reseal(copied, graphs_beside(copied))
    with pytest.raises(CheckpointError, match='smaller than requested bytes of 4294967296'):
        load_engine(str(copied))


def test_a_checkpoint_from_before_digests_loads_with_one_warning(copied, caplog):
    with safe_open(copied, 'np') as file:
        metadata, tensors = file.metadata(), {x: file.get_tensor(x) for x in file.keys()}  # noqa: SIM118
    del metadata['graphs']
    save_file(tensors, copied, metadata)
    enter(copied)
    for path in graphs_beside(copied):
        model = onnx.load(path)
        model.metadata_props.add(key='checkpoint_sha256', value=file_sha256(copied))
        path.write_bytes(model.SerializeToString())
        enter(path)
    load_engine(str(copied))
    line, = caplog.messages
    assert 'does not hold the digests of its graphs' in line and 'run moss export' in line


@pytest.mark.parametrize('data, words', [
    (b'no graph\n' * 20, 'is no ONNX model, or is damaged'),
    (helper.make_model(helper.make_graph([helper.make_node('Relu', ['x'], ['y'])], 'g', [], [])
                       ).SerializeToString(), "can't be loaded by onnxruntime")])
def test_a_file_that_is_no_graph_is_refused_in_one_line(copied, data, words):
    graph_path(copied, graph_name(1)).write_bytes(data)
    reseal(copied, graphs_beside(copied))
    with pytest.raises(CheckpointError, match=words) as caught:
        load_engine(str(copied))
    assert '\n' not in str(caught.value)


def test_a_graph_that_loads_but_cannot_be_run_is_refused_in_one_line(copied):
    path = graph_path(copied, graph_name(1))
    model = onnx.load(path)
    # How many candidates there are is known only when it runs.
    shape = next(x for x in model.graph.initializer if list(x.dims) == [3]
                 and onnx.numpy_helper.to_array(x)[1] == -1)
    values = onnx.numpy_helper.to_array(shape) + [0, 0, 1]
    shape.CopyFrom(onnx.numpy_helper.from_array(values, shape.name))
    path.write_bytes(model.SerializeToString())
    reseal(copied, graphs_beside(copied))
    with pytest.raises(CheckpointError, match="can't be run by onnxruntime") as caught:
        load_engine(str(copied))
    assert '\n' not in str(caught.value)


def test_graphs_of_another_checkpoint_are_refused(copied):
    digest = save_checkpoint(copied, tiny_network(), {'trained': 'anew'})
    with pytest.raises(CheckpointError, match=f'exported from.*expected {digest}; run moss exp'):
        load_engine(str(copied))


def test_a_graph_of_other_orders_is_refused(copied):
    shutil.copy(graph_path(copied, graph_name(1)), graph_path(copied, graph_name(2)))
    reseal(copied, graphs_beside(copied))
    with pytest.raises(CheckpointError, match=r"'1'}: expected .*'2'}; run moss export"):
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

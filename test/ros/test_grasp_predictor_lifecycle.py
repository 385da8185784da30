"""The lifecycle of grasp_predictor, its start values, and its other transport."""

import signal

import cv2
from moss_perception.ros.common import conversions
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import Trigger

pytestmark = pytest.mark.timeout(120)
FAULTY = """
import sys
from moss_perception.runtime.onnx_engine import OnnxEngine
from moss_perception.ros.predictor.main import main

step, steps = OnnxEngine.step, []


def faulty(*args, **kwargs):
    steps.append(1)
    if len(steps) == 3:
        raise ArithmeticError('the third step')
    return step(*args, **kwargs)


OnnxEngine.measure = lambda self: None
OnnxEngine.step = faulty
sys.exit(main())
"""
JPEG = cv2.imencode('.jpg', np.random.default_rng(2).integers(0, 255, (24, 32, 3), np.uint8))[1]


@pytest.fixture(scope='module')
def node(harness, peer, tmp_path_factory):
    """Return a node without a checkpoint, listening to a remapped topic, with simulated time."""
    bench = harness.PredictorBench(
        peer, tmp_path_factory.mktemp('lifecycle'), '-p', 'model_path:=/nowhere.safetensors',
        '-p', 'image_transport:=compressed', '-p', 'use_sim_time:=true', '-r', 'image:=/cam/rgb',
        namespace='/other', image='/cam/rgb/compressed')
    yield bench
    assert bench.process.stop() == 0, bench.process.output()
    assert 'Traceback' not in bench.process.output(), bench.process.output()


@pytest.fixture
def unconfigured(node):
    """Return the node, unconfigured."""
    for label in {'active': ('deactivate', 'cleanup'), 'inactive': ('cleanup',)}.get(
            node.peer.state(node.name), ()):
        assert node.peer.transition(node.name, label)
    yield node
    node.forget_publishers()


def jpeg(index: int, data=None) -> CompressedImage:
    return CompressedImage(
        header=conversions.header(10**9 + index * 10**8, 'camera'), format='jpeg',
        data=JPEG.tobytes() if data is None else data)


def bad_checkpoints(folder, good):
    """Return checkpoint paths with the digest to give and the words to expect."""
    truncated = folder / 'truncated.safetensors'
    truncated.write_bytes(good.read_bytes()[:1000])
    foreign = folder / 'foreign.safetensors'
    foreign.write_text('not a checkpoint')
    return [(folder / 'missing.safetensors', '', 'is not there'),
            (truncated, '', 'no known sha256'), (foreign, '', 'no known sha256'),
            (good, 'f' * 64, 'expected ' + 'f' * 64)]


def test_a_bad_checkpoint_fails_in_one_line_and_can_be_mended(
        unconfigured, tiny_checkpoint, tmp_path):
    node, peer = unconfigured, unconfigured.peer
    for path, digest, words in bad_checkpoints(tmp_path, tiny_checkpoint):
        assert all(r.successful for r in peer.set(
            node.name, model_path=str(path), model_sha256=digest))
        before = node.process.output()
        assert not peer.transition(node.name, 'configure')
        assert peer.state(node.name) == 'unconfigured'
        said = [line for line in node.process.output()[len(before):].splitlines() if line.strip()]
        assert len(said) == 1 and str(path) in said[0] and words in said[0], said
    status, _ = node.status(lambda s, _: 'configure failed' in s.message)
    assert status.level == b'\x02' and 'sha256' in status.message
    assert all(r.successful for r in peer.set(
        node.name, model_path=str(tiny_checkpoint), model_sha256=''))
    assert peer.transition(node.name, 'configure')
    assert peer.state(node.name) == 'inactive'


def test_a_gap_that_the_checkpoint_cannot_have_fails_and_can_be_mended(
        unconfigured, tiny_checkpoint):
    node, peer = unconfigured, unconfigured.peer
    peer.set(node.name, model_path=str(tiny_checkpoint), max_gap=0.1)
    assert not peer.transition(node.name, 'configure')
    assert 'max_gap 0.1 s is too short' in node.process.output()
    peer.set(node.name, max_gap=5.0)
    assert peer.transition(node.name, 'configure')


def test_a_transition_that_does_not_exist_is_refused(unconfigured):
    assert not unconfigured.peer.transition(unconfigured.name, 'activate')
    assert unconfigured.peer.state(unconfigured.name) == 'unconfigured'
    assert unconfigured.process.alive()


def test_parameters_are_refused_in_the_wrong_phase_and_by_value(unconfigured, tiny_checkpoint):
    node, peer = unconfigured, unconfigured.peer
    bad, = peer.set(node.name, engine='foo')
    assert not bad.successful and "engine='foo'" in bad.reason and 'torch' in bad.reason
    wrong_type, = peer.set(node.name, stride='two')
    assert not wrong_type.successful
    unknown, = peer.set(node.name, no_such=1)
    assert not unknown.successful
    peer.set(node.name, model_path=str(tiny_checkpoint))
    assert peer.transition(node.name, 'configure')
    late, = peer.set(node.name, device='cpu')
    assert not late.successful and 'unconfigured' in late.reason
    running, = peer.set(node.name, score_threshold=0.3)
    assert running.successful
    assert peer.transition(node.name, 'cleanup')
    assert peer.set(node.name, device='cpu')[0].successful


def test_a_budget_of_another_type_are_refused_and_the_node_lives_on(unconfigured, tiny_checkpoint):
    node, peer = unconfigured, unconfigured.peer
    values = (1.5, 0.0, True, False, [1.5], [1.0, 2.0], [True], [], None)
    for configured in (False, True):
        if configured:
            peer.set(node.name, model_path=str(tiny_checkpoint))
            assert peer.transition(node.name, 'configure')
        for value in values:
            refused, = peer.set(node.name, budget=value)
            assert not refused.successful, value
            assert 'budget' in refused.reason and "expected 'auto'" in refused.reason
    assert peer.set(node.name, budget=[1])[0].successful
    assert peer.set(node.name, budget='auto')[0].successful
    assert peer.transition(node.name, 'cleanup')
    assert node.process.alive()


def test_reset_without_a_window_says_so(unconfigured):
    response = unconfigured.peer.call(Trigger, f'{unconfigured.name}/reset', Trigger.Request())
    assert not response.success and 'unconfigured' in response.message


def test_activation_logs_the_table_and_cleanup_takes_the_topics_away(
        unconfigured, tiny_checkpoint):
    node, peer = unconfigured, unconfigured.peer
    for _ in range(2):
        before = len(node.process.output())
        node.fresh(model_path=str(tiny_checkpoint))
        table = node.process.output()[before:]
        for words in ('/cam/rgb/compressed', 'sensor_msgs/msg/CompressedImage',
                      '/other/camera_info', '/other/grasp_predictor/grasp_scores', 'match'):
            assert words in table
        assert peer.transition(node.name, 'deactivate')
        assert peer.transition(node.name, 'cleanup')
        node.wait_for(lambda: peer.node.count_publishers(f'{node.name}/grasp_scores') == 0)
        node.wait_for(lambda: peer.node.count_subscribers('/cam/rgb/compressed') == 0)


def test_compressed_images_follow_the_remapped_image(unconfigured, tiny_checkpoint):
    node = unconfigured
    node.fresh(model_path=str(tiny_checkpoint))
    node.connect(jpeg(0))
    assert [node.send(jpeg(index)) for index in range(1, 16)] == ['stored'] * 14 + ['scored']
    for data in (b'', JPEG.tobytes()[:100], b'not a jpeg'):
        assert node.send(jpeg(16, data)) == 'refused'
    # No /clock is there: the diagnostics beat by a steady clock all the same.
    _, values = node.status(lambda _, v: v.get('refused/compressed') == '3')
    assert values['topic'] == '/cam/rgb/compressed'
    assert node.send(jpeg(17)) == 'scored'


def test_raw_images_are_hinted_at_where_compressed_ones_are_awaited(
        unconfigured, tiny_checkpoint):
    unconfigured.fresh(model_path=str(tiny_checkpoint))
    raw = unconfigured.peer.node.create_publisher(Image, '/cam/rgb', 10)
    unconfigured.status(lambda s, _: 'set image_transport to raw' in s.message)
    unconfigured.peer.node.destroy_publisher(raw)


@pytest.mark.parametrize(('argument', 'words'), [
    ('engine:=foo', "engine='foo' is not allowed: expected one of onnxruntime, torch"),
    ('stride:=0', 'stride=0 is not allowed: expected 1 to 1000'),
    ('max_gap:=soon', "max_gap='soon' is not allowed: expected a number"),
    ('budget:=1.5', "budget '1.5' is not allowed: expected 'auto'"),
    ('orders:=[1, 2]', 'is not allowed: expected the parameter budget, which replaces it'),
])
def test_a_start_value_that_is_not_allowed_ends_it_in_one_line(harness, tmp_path, argument, words):
    process = harness.NodeProcess(
        tmp_path, *harness.PredictorBench.module, ros_args=('-p', argument))
    assert process.wait() == 1
    lines = [line for line in process.output().splitlines() if line.strip()]
    assert len(lines) == 1 and words in lines[0], lines


def test_an_internal_error_is_told_and_survived(harness, peer, tmp_path, tiny_checkpoint):
    script = tmp_path / 'faulty.py'
    script.write_text(FAULTY)
    bench = harness.PredictorBench(
        peer, tmp_path, '-p', f'model_path:={tiny_checkpoint}', namespace='/third',
        image='/third/image', command=(str(script),))

    def image(index: int) -> Image:
        return conversions.rgb_to_image(
            np.zeros((24, 32, 3), np.uint8), 10**9 + index * 10**8, 'camera')
    try:
        bench.fresh()
        bench.connect(image(0))
        assert [bench.send(image(index)) for index in (1, 2, 3)] == ['stored', 'refused', 'stored']
        status, values = bench.status(lambda _, v: v.get('failures') == '1')
        assert status.level == b'\x02' and 'ArithmeticError: the third step' in status.message
        assert values['resets/internal_error'] == '1' and values['window_fill'] == '1/16'
        assert 'Traceback' in bench.process.output()
        # Its end is that of any node that is told to terminate.
        bench.process.process.send_signal(signal.SIGTERM)
        assert bench.process.wait() == 0
        assert bench.process.output().count('Traceback') == 1, bench.process.output()
    finally:
        bench.process.stop()
        bench.forget_publishers()

"""Several robots in one system, and their predictors in one process."""

from frames import frame
from moss_perception.core.errors import ConfigError
from moss_perception.core.scores import GraspScores, read_scores
from moss_perception.ros.common import conversions
from moss_perception.ros.predictor.main import main, namespaces_of
from moss_perception.ros.system.grasp import grasp_system
from moss_perception.ros.system.processes import SERVICE, STARTER, WATCHER
from moss_perception.runtime.engine import EngineStore
from moss_perception.runtime.predictor import Predictor
import pytest
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

pytestmark = pytest.mark.timeout(120)
SEVERAL = {'robots': 'left, right', 'web': 'true'}


def test_each_robot_has_its_nodes_in_its_namespace():
    processes = grasp_system({**SEVERAL, 'namespace': 'cell', 'image_topic': 'color'})
    assert [(p.label, p.role) for p in processes] == [
        ('cell/left/grasp_predictor', SERVICE), ('cell/left/grasp_gate', SERVICE),
        ('cell/right/grasp_predictor', SERVICE), ('cell/right/grasp_gate', SERVICE),
        ('cell/left/lifecycle_starter', STARTER), ('cell/right/lifecycle_starter', STARTER),
        ('cell/left/grasp_monitor', WATCHER), ('cell/right/grasp_monitor', WATCHER)]
    ports = [int(p.arguments[p.arguments.index('--port') + 1]) for p in processes[-2:]]
    assert ports[1] == ports[0] + 1
    assert all(p.remappings == (('image', 'color'),) for p in processes if p.lifecycle)


def test_one_process_runs_the_predictors_of_all_robots():
    first, *others = grasp_system({**SEVERAL, 'one_process': 'true'})
    assert first.namespaces == ('/left', '/right') and not first.namespace
    assert first.command_arguments()[:4] == ['--namespaces', '/left', '/right', '--ros-args']
    assert not any('__ns' in word for word in first.command_arguments())
    assert [p.label for p in others[:2]] == ['left/grasp_gate', 'right/grasp_gate']
    assert not any(p.executable == 'grasp_predictor' for p in others)


@pytest.mark.parametrize(('values', 'message'), [
    ({'robots': 'left,left'}, "'robots' is 'left,left': expected different names"),
    ({'robots': 'left,2nd'}, 'expected different names such as left,right'),
    ({'robots': 'a,b', 'sim': 'true'}, "'sim' is 'true': expected 'false' with robots"),
    ({'robots': 'a,b', 'bag': 'x'}, "'bag' is 'x': expected '' with robots"),
    ({'robots': 'a,b', 'image_topic': '/camera'}, 'expected a relative name with robots'),
    ({'one_process': 'true'}, "'one_process' is 'true': expected names in robots"),
    ({'robots': 'a,b', 'web': 'true', 'web_port': 'x'}, 'web_port'),
])
def test_what_does_not_fit_several_robots_is_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        grasp_system(values)


def test_arguments_of_the_executable_are_checked(capsys):
    assert namespaces_of([]) == [''] and namespaces_of(['--namespaces', 'a', '/b/c']) == [
        '/a', '/b/c']
    for words in (['left'], ['--namespaces'], ['--namespaces', 'a', '/a'],
                  ['--namespaces', 'a', 'b c']):
        assert main(['grasp_predictor', *words]) == 1
        line, = capsys.readouterr().err.splitlines()
        assert 'expected' in line


def test_a_store_loads_a_checkpoint_once_and_again_if_it_changes(tiny_checkpoint):
    store = EngineStore()
    one, other = (store.load(str(tiny_checkpoint), '', 'onnxruntime', 'cpu', 1) for _ in 'ab')
    assert one is other
    assert store.load(str(tiny_checkpoint), '', 'onnxruntime', 'cpu', 2) is not one


@pytest.fixture
def two(harness, peer, tiny_checkpoint, tmp_path):
    """Return a process with two active predictors."""
    process = harness.NodeProcess(
        tmp_path, 'grasp_predictor', '--namespaces', 'left', 'right', ros_args=(
            '-p', f'model_path:={tiny_checkpoint}', '-p', 'threads:=1', '-p', 'max_gap:=60.0',
            '-p', 'qos_depth:=100'))
    for name in ('left', 'right'):
        for label in ('configure', 'activate'):
            assert peer.transition(f'/{name}/grasp_predictor', label), process.output()
    yield process
    assert process.stop() == 0, process.output()
    assert 'Traceback' not in process.output(), process.output()


def score_of(cloud):
    """Return the score of the default grasp point."""
    return float(GraspScores.of(read_scores(cloud)).default['score'])


def test_streams_of_one_process_have_the_scores_of_a_predictor_alone(
        two, harness, peer, tiny_checkpoint):
    frames = {'left': [frame(k) for k in range(20)],
              'right': [frame(k, seed=100 + k) for k in range(20)]}
    heard, publishers, processed = {}, {}, {}
    for name in frames:
        heard[name] = peer.listen(PointCloud2, f'/{name}/grasp_predictor/grasp_scores')
        processed[name] = peer.listen(Header, f'/{name}/grasp_predictor/processed')
        publishers[name] = peer.node.create_publisher(Image, f'/{name}/image', 100)
    for name, publisher in publishers.items():
        harness.wait_for(publisher.get_subscription_count, 10, f'a subscription of {name}')
    # Or the first message is lost: discovery goes each way by itself.
    harness.wait_for(lambda: all(one.get_publisher_count() for one in peer.node.subscriptions
                                 if 'grasp_predictor' in one.topic_name), 10, 'the predictors')
    for k in range(20):
        # Both at once, so that they are stepped side by side.
        for name, publisher in publishers.items():
            one = frames[name][k]
            publisher.publish(conversions.rgb_to_image(one.image, one.stamp_ns, one.frame_id))
        for name in frames:
            harness.wait_for(lambda name=name, k=k: len(processed[name]) > k, 10, f'{name} {k}')
    for name in frames:
        alone = Predictor.load(str(tiny_checkpoint), threads=1, max_gap_s=60.0)
        expected = [found.score for found in map(alone.push, frames[name]) if found]
        harness.wait_for(lambda name=name: heard[name][4:], 10, name)
        assert [score_of(one) for one in heard[name]] == pytest.approx(expected, abs=1e-5)
    left, right = ([score_of(one) for one in heard[name]] for name in frames)
    assert left != pytest.approx(right, abs=1e-5)

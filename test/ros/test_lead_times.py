"""Lead times in the node: by parameter, by topic, and what it says of those it can't use."""


from frames import START_NS, WINDOW
from moss_perception.models.checkpoint import save_checkpoint
from moss_perception.ros.common import conversions
from node_bench import Bench
import numpy as np
import pytest
from rclpy.parameter import Parameter
from sensor_msgs.msg import PointCloud2
from timed import expected_score, timed_checkpoint
from tiny import tiny_network

pytestmark = pytest.mark.timeout(120)

@pytest.fixture(scope='module')
def timed(tmp_path_factory):
    """Return a checkpoint with time inputs."""
    return timed_checkpoint(tmp_path_factory.mktemp('timed') / 'timed.safetensors')


@pytest.fixture(scope='module')
def untimed(tmp_path_factory):
    """Return a checkpoint without time inputs."""
    path = tmp_path_factory.mktemp('untimed') / 'tiny.safetensors'
    save_checkpoint(path, tiny_network())
    return path


@pytest.fixture
def start(ros_domain):
    """Return a function that starts a bench."""
    started = []

    def begin(*args, **parameters):
        started.append(Bench(*args, **parameters))
        return started[-1]
    yield begin
    for bench in started:
        bench.close()


def test_each_candidate_is_scored_at_its_own_lead_time_and_the_rest_at_the_streams(start, timed):
    bench = start(timed, lead_time=0.625)
    bench.activate()
    for k in range(WINDOW - 1):
        assert bench.send(k) is None
    bench.propose(WINDOW - 1, lead_times=[0.25, 0.75])
    found = bench.send(WINDOW - 1)
    assert found.candidates['lead_time'].tolist() == [0.25, 0.75]
    np.testing.assert_allclose(
        found.candidates['score'], expected_score([0.25, 0.75]), atol=1e-6)
    assert found.default['lead_time'] == 0.625
    assert found.default['score'] == pytest.approx(expected_score(0.625), abs=1e-6)
    # Without lead times by the next frame, its candidates have the stream's.
    bench.propose(WINDOW)
    assert bench.send(WINDOW).candidates['lead_time'].tolist() == [0.625] * 2
    # Those that come first wait.
    bench.time(WINDOW + 1, [0.375, 0.5])
    bench.propose(WINDOW + 1)
    assert bench.send(WINDOW + 1).candidates['lead_time'].tolist() == [0.375, 0.5]
    bench.node.set_parameters([Parameter('lead_time', value=-1.0)])
    found = bench.send(WINDOW + 2)
    assert found.default['lead_time'] == 0.5
    values = bench.values()
    assert (values['lead_time'], values['clamped_lead_times'], values['refused_lead_times']) == (
        '0.5', '0', '0')


def test_what_the_checkpoint_was_not_trained_for_is_clamped_said_once_and_counted(
        start, timed, capfd):
    bench = start(timed)
    bench.activate()
    for k in range(WINDOW - 1):
        bench.send(k)
    for k in range(WINDOW - 1, WINDOW + 2):
        bench.propose(k, lead_times=[0.0, 2.0])
        assert bench.send(k).candidates['lead_time'].tolist() == [0.25, 0.75]
    assert bench.values()['clamped_lead_times'] == '6'
    assert capfd.readouterr().err.count(
        '2 lead times of candidates are clamped: expected 0.25 to 0.75 s, for which the '
        'checkpoint was trained; the diagnostics count further ones') == 1


def test_a_stream_beyond_the_trained_range_is_said_at_configuration(start, timed, capfd):
    bench = start(timed, lead_time=2.0)
    assert bench.configure() == 'SUCCESS'
    assert capfd.readouterr().err.count(
        'lead_time 2 s is clamped to 0.75 s: expected 0.25 to 0.75 s, for which the checkpoint '
        'was trained') == 1
    assert bench.node.set_parameters([Parameter('lead_time', value=0.5)])[0].successful
    assert bench.node.predictor.lead_time_s == 0.5


def test_lead_times_that_can_not_be_used_are_said_and_counted(start, timed, capfd):
    bench = start(timed)
    bench.activate()

    heard = ['']

    def said(words):
        def there():
            heard[0] += capfd.readouterr().err
            return words in heard[0]
        bench.spin_until(there, 10.0)

    bench.send(0)
    bench.propose(1, lead_times=[0.5] * 3)
    said('3 lead times came for 2 candidates: expected one for each; the lead time of the ')
    bench.time(2, [0.5, -0.5])
    said('refused: lead time -0.5 s of candidate 1 is not allowed: expected')
    bench.time(2, [0.5] * 2)
    bench.send(8)
    said('lead times stamped 10.200000000 match no candidates: expected the stamp of')
    bench.lead_times.publish(PointCloud2(header=conversions.header(START_NS, 'camera')))
    said('refused: the cloud of lead times lacks the fields lead_time; it has none')
    assert bench.values()['refused_lead_times'] == '4'


def test_a_checkpoint_without_time_inputs_refuses_the_parameter(start, untimed, capfd):
    bench = start(untimed, lead_time=0.5)
    assert bench.configure() == 'FAILURE'
    assert ("lead time 0.5 s is not allowed: the checkpoint of model 'moss_grasp' has no time "
            'inputs, expected no lead time or a checkpoint with time inputs'
            ) in capfd.readouterr().err
    bench.node.set_parameters([Parameter('lead_time', value=-1.0)])
    assert bench.configure() == 'SUCCESS'
    result, = bench.node.set_parameters([Parameter('lead_time', value=0.5)])
    assert not result.successful and 'has no time inputs' in result.reason


def test_a_checkpoint_without_time_inputs_leaves_out_the_topic_and_says_it_once(
        start, untimed, capfd):
    bench = start(untimed)
    bench.activate()
    for k in range(WINDOW):
        bench.propose(k, lead_times=[0.25, 0.75])
        found = bench.send(k)
    assert np.isnan(found.candidates['lead_time']).all() and np.isnan(found.default['lead_time'])
    assert np.isfinite(found.candidates['score']).all() and bench.scores[-1].is_dense
    assert capfd.readouterr().err.count(
        "lead times on /grasp_lead_times are not used: the checkpoint of model 'moss_grasp' has "
        'no time inputs; expected one that has them, or nobody to publish lead times') == 1
    assert 'lead_time' not in bench.values()

"""The shipped sample over real topics, in lock step, and the same without topics: bit for bit."""

from moss_perception.core.resources import model_path, share_directory
from moss_perception.core.scores import GraspScores, rows_of
from moss_perception.data.bags.reader import Recording
from moss_perception.evaluation.attempts import executed_grasps
from moss_perception.evaluation.recorded import match
from moss_perception.evaluation.replay import replay
from moss_perception.evaluation.verification import compare
from moss_perception.ros.observer import Observer
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest

pytestmark = pytest.mark.timeout(115)

FRAMES = 635
REMAPS = ('-r', '__ns:=/parity', '-r', 'image:=/image', '-r', 'camera_info:=/camera_info',
          '-r', 'grasp_candidates:=/grasp_candidates',
          '-r', 'grasp_lead_times:=/grasp_lead_times')


@pytest.fixture(scope='module')
def sample():
    return share_directory() / 'samples' / 'sim_20'


@pytest.fixture
def outputs(harness, peer, tmp_path, sample, ros_domain):
    """Play the sample to a predictor, and return what it published."""
    def start(name, *values):
        words = [word for value in values for word in ('-p', value)]
        return harness.NodeProcess(tmp_path, name, ros_args=(*REMAPS, *words))

    predictor = start('grasp_predictor', f'model_path:={model_path()}', 'budget:="1,2"',
                      'image_transport:=compressed', 'threads:=1', 'qos_reliability:=reliable')
    started = [predictor]
    try:
        with Observer(ros_domain, '/parity/grasp_predictor', '/parity/grasp_gate') as observer:
            for label in ('configure', 'activate'):
                assert peer.transition('/parity/grasp_predictor', label), predictor.output()
            harness.wait_for(lambda: observer.connected, 20.0, 'the predictor')
            player = start('bag_player', f'bag:={sample}', 'lock_step:=true', 'rate:=100.0',
                           'processed_topic:=/parity/grasp_predictor/processed')
            started.append(player)
            assert player.wait(100.0) == 0, player.output()
            harness.wait_for(lambda: len(observer.statuses) >= FRAMES, 10.0, 'all frames')
            scored = sum(status == 'scored' for _, status in observer.statuses)
            harness.wait_for(lambda: len(observer.scores) >= scored, 10.0, 'all scores')
            yield observer.outputs
    finally:
        for process in started:
            process.stop()


def test_the_sample_in_lock_step_equals_its_offline_replay_bit_for_bit(outputs, sample):
    replayed, offline = {}, Predictor.load(str(model_path()), threads=1)
    replay(sample, offline, with_attempts=False, on_prediction=lambda p: replayed.__setitem__(
        p.stamp_ns, GraspScores.of(rows_of(p))))
    record = replay(sample, offline)
    found = compare(outputs, replayed)
    assert found.equal == found.frames == found.replayed == record.by_status['scored'] > 300
    statuses = [status for _, status in outputs.statuses]
    assert {status: statuses.count(status) for status in record.by_status} == record.by_status
    with Recording(sample) as recording:
        attempts = executed_grasps(recording, recording.outcomes(),
                                   image_topic=recording.image_topic().name)
    recorded = match(outputs, attempts).records()
    assert len(recorded) == len(record.attempts) == 20
    for ours, theirs in zip(record.attempts, recorded, strict=True):
        assert (ours.scored_ns, ours.score, ours.uncertainty, ours.source, theirs.source) == (
            theirs.scored_ns, theirs.score, theirs.uncertainty, 'executed', 'executed')
        np.testing.assert_array_equal(ours.times_s, theirs.times_s)

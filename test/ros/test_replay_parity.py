"""The shipped sample over real topics, in lock step, and the same without topics: bit for bit."""

from moss_perception.core.resources import model_path, share_directory
from moss_perception.data.bags.reader import Recording
from moss_perception.evaluation.arrived import compare, rows_of
from moss_perception.evaluation.live import Heard
from moss_perception.evaluation.matching import Matcher, ScoredSample
from moss_perception.evaluation.replay import executed_grasps, replay
from moss_perception.ros.evaluator.observer import Observer
from moss_perception.runtime.predictor import Predictor
import numpy as np
import pytest

pytestmark = pytest.mark.timeout(115)

FRAMES = 646
REMAPS = ('-r', '__ns:=/parity', '-r', 'image:=/image', '-r', 'camera_info:=/camera_info',
          '-r', 'grasp_candidates:=/grasp_candidates')


@pytest.fixture(scope='module')
def sample():
    return share_directory() / 'samples' / 'sim_20'


@pytest.fixture
def heard(harness, peer, tmp_path, sample, ros_domain):
    """Play the sample to a predictor, and return what it published."""
    def start(name, *values):
        words = [word for value in values for word in ('-p', value)]
        return harness.NodeProcess(tmp_path, name, ros_args=(*REMAPS, *words))

    predictor = start('grasp_predictor', f'model_path:={model_path()}', 'orders:="1,2,3"',
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
            harness.wait_for(lambda: len(observer.fates) >= FRAMES, 10.0, 'all frames')
            scored = sum(kind == 'scored' for _, kind in observer.fates)
            harness.wait_for(lambda: min(len(observer.scores), len(observer.default_scores))
                             >= scored, 10.0, 'all scores')
            yield Heard(observer.scores, observer.default_scores, observer.fates, {})
    finally:
        for process in started:
            process.stop()


def test_the_sample_in_lock_step_equals_its_offline_replay_bit_for_bit(heard, sample):
    replayed, offline = {}, Predictor.load(str(model_path()), threads=1)
    record = replay(sample, offline, watch=False,
                    on_prediction=lambda p: replayed.__setitem__(p.stamp_ns, rows_of(p)))
    found = compare(heard, replayed)
    assert found.equal == found.frames == found.replayed == record.fates['scored'] > 300
    kinds = [kind for _, kind in heard.fates]
    assert {kind: kinds.count(kind) for kind in record.fates} == record.fates
    attempts_agree(heard, record.attempts, sample)
    attempts_agree(heard, replay(sample, offline, watch=True).attempts, sample)


def attempts_agree(heard, attempts, sample):
    """Hold each attempt's score, and its curve up to the decision, against the topics'."""
    with Recording(sample) as recording:
        matcher = Matcher(executed_grasps(recording, recording.outcomes()))
    for scores, default in zip(heard.scores, heard.defaults, strict=True):
        rows = scores.rows
        places = np.stack([rows['x'], rows['y'], rows['z']], axis=1).astype(float)
        matcher.take(ScoredSample(scores.stamp_ns, places, rows['score'], rows['uncertainty'],
                                  default))
    live = matcher.records()
    assert len(live) == len(attempts) == 20
    for ours, theirs in zip(attempts, live, strict=True):
        assert (ours.scored_ns, ours.score, ours.uncertainty, ours.source) == (
            theirs.scored_ns, theirs.score, theirs.uncertainty, 'executed')
        early = ours.times_s <= 0
        np.testing.assert_array_equal(ours.scores[early], theirs.scores[theirs.times_s <= 0])
        np.testing.assert_array_equal(ours.times_s, theirs.times_s)

"""What the node's diagnostics say while the camera shows what training never did, and after."""

from types import SimpleNamespace

from moss_perception.core.scores import Prediction
from moss_perception.ros.common.diagnostics import OK, WARN
from moss_perception.ros.predictor.monitor import Monitor
from moss_perception.runtime.predictor import Counters
import numpy as np
import pytest

USUAL, STRANGE = 0.5, 2.5


def prediction(ood_score, candidates=0):
    return Prediction(
        stamp_ns=1, frame_id='camera', score=0.75, uncertainty=0.1, default_point=np.zeros(3),
        default_orientation=np.zeros(4), candidates_stamp_ns=1, points=np.zeros((candidates, 3)),
        orientations=np.zeros((candidates, 4)), pixels=np.zeros((candidates, 2)),
        reasons=np.arange(candidates, dtype=np.uint8) % 3,
        scores=np.linspace(0.2, 0.9, candidates), uncertainties=np.zeros(candidates),
        motion_features=np.zeros((1, 1, 1), np.float32), size=(1, 1), source=None,
        decode_s=0.002, inference_s=0.004, ood_score=ood_score)


@pytest.fixture
def monitor():
    return Monitor()


def see(monitor, ood_score, times, candidates=0):
    for _ in range(times):
        monitor.frame()
        monitor.prediction(prediction(ood_score, candidates), 0.03)


def say(monitor):
    predictor = SimpleNamespace(counters=Counters(), fill=16,
                                config=SimpleNamespace(window_frames=16))
    return monitor.report(predictor, '/image', True, '', 0.5)


def test_what_is_strange_for_long_enough_is_said_until_it_is_usual_again(monitor):
    see(monitor, USUAL, 20)
    level, message, values = say(monitor)
    assert level == OK and message.startswith('running')
    assert (values['out_of_distribution'], values['ood_score']) == ('no', USUAL)
    # Half of the newest 20 samples begin it.
    see(monitor, STRANGE, 9)
    assert say(monitor)[0] == OK and say(monitor)[2]['out_of_distribution'] == 'no'
    see(monitor, STRANGE, 4)
    level, message, values = say(monitor)
    assert level == WARN
    assert message.startswith('out of distribution: OOD score 2.50, expected at most 1')
    assert (values['out_of_distribution'], values['ood_score']) == ('yes', STRANGE)
    # It ends where a fifth of them are left.
    see(monitor, USUAL, 15)
    assert say(monitor)[0] == WARN and say(monitor)[2]['out_of_distribution'] == 'yes'
    see(monitor, USUAL, 1)
    level, message, values = say(monitor)
    assert level == OK and message.startswith('running')
    assert (values['out_of_distribution'], values['ood_score']) == ('no', USUAL)


def test_single_strange_samples_are_not_a_shift(monitor):
    for _ in range(10):
        see(monitor, STRANGE, 1)
        see(monitor, USUAL, 3)
        assert say(monitor)[0] == OK and say(monitor)[2]['out_of_distribution'] == 'no'


def test_where_a_planner_gives_candidates_only_what_it_chooses_from_counts(monitor):
    see(monitor, USUAL, 1, candidates=2)
    see(monitor, STRANGE, 30)
    _, _, values = say(monitor)
    assert (values['out_of_distribution'], values['ood_score']) == ('no', STRANGE)
    see(monitor, STRANGE, 20, candidates=2)
    assert say(monitor)[0] == WARN
    assert say(monitor)[2]['good_grasps'] == 1


def test_without_an_ood_score_nothing_is_strange_and_a_restart_forgets(monitor):
    see(monitor, float('nan'), 30)
    assert say(monitor)[2]['out_of_distribution'] == 'no'
    see(monitor, STRANGE, 20)
    assert say(monitor)[2]['out_of_distribution'] == 'yes'
    monitor.restart()
    see(monitor, USUAL, 1)
    assert say(monitor)[0] == OK and say(monitor)[2]['out_of_distribution'] == 'no'


def test_durations_are_told_in_milliseconds(monitor):
    assert np.isnan(say(monitor)[2]['age_p50_ms']) and 'ood_score' not in say(monitor)[2]
    see(monitor, USUAL, 3)
    values = say(monitor)[2]
    assert [values[f'{name}_p{p}_ms'] for name in ('decode', 'inference', 'age')
            for p in (50, 95)] == pytest.approx([2, 2, 4, 4, 30, 30])

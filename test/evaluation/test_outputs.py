"""The diagnostics of a run, once a second, are summarised in a few numbers."""

from moss_perception.evaluation.outputs import DURATIONS, OUT, summarise_diagnostics
import numpy as np
import pytest


def sample(scored, inference, shift='no', ood_score='0.400'):
    return {'scored': str(scored), 'inference_p50_ms': str(inference), 'ood_score': ood_score,
            'age_p50_ms': '30.0', 'out_of_distribution': shift}


def test_durations_are_the_median_and_the_shift_a_share_of_the_time():
    found = summarise_diagnostics([sample(10, 2), sample(20, 3), sample(30, 9, 'yes', '2.000'),
                             sample(40, 4, 'yes', '2.000')])
    assert found['inference_p50_ms'] == 3.5
    assert found[OUT] == pytest.approx(0.5)
    assert np.isnan(found['decode_p95_ms'])
    assert set(found) == {*DURATIONS, OUT}


def test_samples_since_which_nothing_was_scored_do_not_count():
    waiting = {'scored': '0', 'inference_p50_ms': 'nan'}
    found = summarise_diagnostics([waiting, waiting, sample(10, 2, 'yes'), sample(10, 2),
                                   sample(10, 2)])
    assert found['inference_p50_ms'] == 2 and found[OUT] == 1


def test_without_an_ood_score_the_shift_is_not_known():
    assert np.isnan(summarise_diagnostics([sample(5, 2, ood_score='nan')])[OUT])
    assert all(np.isnan(value) for value in summarise_diagnostics([]).values())


def test_the_age_of_a_recordings_stamps_is_not_told():
    assert summarise_diagnostics([sample(5, 2)])['age_p50_ms'] == 30
    assert np.isnan(summarise_diagnostics([sample(5, 2)], aged=False)['age_p50_ms'])

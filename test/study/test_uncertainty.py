"""Uncertainties: what each finds, and prediction sets that keep what they promise."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from study.uncertainty import (
    beyond_margin,
    conformal_threshold,
    measure_conformal,
    measure_uncertainty,
    summarise_uncertainty,
    uncertainties,
)


def test_uncertainties_by_hand():
    found = uncertainties(np.array([[0.5, 0.5], [0.0, 1.0], [0.9, 0.9], [1.0, 1.0]]))
    assert found['margin'] == pytest.approx([1, 1, 0.2, 0])
    assert found['spread'] == pytest.approx([0, 0.5, 0, 0])
    # Two sure members of opposite opinions: one bit.
    assert found['information'] == pytest.approx([0, math.log(2), 0, 0], abs=1e-9)


def test_what_only_repeats_the_score_finds_nothing_beyond_it():
    generator = np.random.default_rng(0)
    scores = generator.random(4000)
    labels = generator.random(4000) < scores
    margin = 1 - np.abs(2 * scores - 1)
    assert beyond_margin(generator.random(4000), scores, labels) == pytest.approx(0.5, abs=0.03)
    assert beyond_margin(margin, scores, labels) == pytest.approx(0.5, abs=0.06)
    assert beyond_margin((scores > 0.5) != labels, scores, labels) == 1
    assert math.isnan(beyond_margin(margin, labels.astype(float), labels))


def test_a_shift_is_told_by_what_grows_with_it():
    generator = np.random.default_rng(1)
    usual = np.repeat(generator.random((200, 1)), 4, axis=1)
    strange = np.clip(usual + generator.normal(0, 0.2, (200, 4)), 0, 1)
    found = measure_uncertainty(strange, generator.random(200) < 0.5, usual)
    assert found['spread']['shift'] > 0.95 and found['information']['shift'] > 0.95
    same = measure_uncertainty(usual, generator.random(200) < 0.5, usual)
    assert same['spread']['shift'] == 0.5


def test_prediction_sets_hold_what_they_promise():
    generator = np.random.default_rng(2)
    scores = generator.random(8000)
    labels = generator.random(8000) < scores
    threshold = conformal_threshold(scores[:4000], labels[:4000])
    found = measure_conformal(scores[4000:], labels[4000:], threshold)
    assert found['coverage'] == pytest.approx(0.9, abs=0.02)
    # Where half of all outcomes can hardly be told, most sets leave it open.
    assert 0.2 < found['undecided'] < 0.9
    sure = measure_conformal(np.array([1.0, 0.0]), np.array([True, True]), 0.4)
    assert sure == {'coverage': 0.5, 'undecided': 0.0}


@pytest.mark.parametrize('count', [0, 1, 8, 9, 19])
def test_prediction_sets_of_few_attempts_cover_what_they_promise(count):
    generator = np.random.default_rng(4)
    held = []
    for _ in range(400):
        scores = generator.random(count + 50)
        labels = generator.random(count + 50) < scores
        threshold = conformal_threshold(scores[:count], labels[:count])
        held.append(measure_conformal(scores[count:], labels[count:], threshold)['coverage'])
    # The promise is of the mean over calibrations; its standard error is below 0.005 here.
    assert np.mean(held) > 0.885
    assert (np.mean(held) == 1) == (count < 9)


def test_a_summary_tells_one_training_from_all():
    generator = np.random.default_rng(3)
    labels = generator.random(60) < 0.5
    some = SimpleNamespace(labels=labels, groups=np.repeat(np.arange(20), 3))
    one, other = generator.random((60, 4)), generator.random((60, 4))
    found = summarise_uncertainty({'a': {'sim': [one, other]}, 'b': {'sim': [one]}},
                                  {'sim': some})
    assert set(found['a']['sim']) == {'heads', 'trainings', 'conformal'}
    assert set(found['b']['sim']) == {'heads', 'conformal'}
    assert found['b']['sim']['heads']['spread']['errors'] == pytest.approx(
        measure_uncertainty(one, labels, one)['spread']['errors'])

"""Samples that nothing can be learned from are refused, and weak ones reported."""

from dataclasses import replace

from moss_perception.core.errors import ConfigError, DataError
from moss_perception.data.schema import Attempt
from moss_perception.training.selection import count_calibrations, SampleSet, select
from moss_perception.training.settings import Settings
import numpy as np
import pytest
from spots import MATRIX, scene


@pytest.fixture(scope='module')
def samples():
    return [replace(scene(n), labels=np.array([n % 2, 0, 0]), seed=None, name=f'attempt {n}',
                    mask=np.array([True, False, False])) for n in range(24)]


def with_label(samples, label):
    return [replace(sample, labels=np.full(3, label)) for sample in samples]


@pytest.mark.parametrize(('label', 'word'), [(1.0, 'successes'), (0.0, 'failures')])
def test_one_outcome_only_is_refused(samples, label, word):
    with pytest.raises(ConfigError, match=f'all 24 labelled candidates are {word}: expected both'):
        select(Settings(), with_label(samples, label))


def test_three_attempts_are_refused(samples):
    with pytest.raises(ConfigError, match='3 samples with a label are too few to train on: '
                                          'expected 10 or more'):
        select(Settings(), samples[:3])


@pytest.mark.parametrize('label', [float('nan'), 0.5, 2.0])
def test_a_label_is_a_success_or_a_failure(samples, label):
    with pytest.raises(DataError, match=f'attempt 0 has the label {label:g}: expected 1'):
        select(Settings(), with_label(samples[:1], label) + samples[1:])


def test_few_samples_are_reported(samples, caplog):
    select(Settings(), samples[:12] + samples[1:3])
    assert '14 samples are few' in caplog.text
    caplog.clear()
    select(Settings(), samples[:2] * 4 + samples[::2])
    assert '4 successes and 16 failures are few: expected at least 5 of each' in caplog.text


def test_different_calibrations_are_allowed_and_said(samples, caplog):
    other = [replace(sample, matrix=sample.matrix * [[1.1], [1], [1]]) for sample in samples]
    assert count_calibrations(samples + other) == 2
    with caplog.at_level('INFO'):
        select(Settings(), samples + other)
    assert '2 calibrations: each sample is taken with its own' in caplog.text


def test_sets_keep_their_weights_when_samples_are_left_out(samples):
    bare = replace(samples[0], mask=np.zeros(3, bool))
    found = select(Settings(), [bare, *samples], [SampleSet('mine', 4, 3.0), SampleSet('sim', 21)])
    assert found.weights == [3.0] * 3 + [1.0] * 21
    assert found.names == ['mine'] * 3 + ['sim'] * 21
    part = found.where(np.arange(24) == 2)
    assert (part.names, part.weights, len(part.samples)) == (['mine'], [3.0], 1)
    assert part.digest() != found.digest()


@pytest.mark.parametrize('change', [
    {'jpegs': None}, {'track': np.zeros((2, 3), np.float32)}, {'lead_time_s': 0.8},
    {'matrix': 2 * MATRIX}, {'object_mask': np.ones((32, 48), bool)}, {'groups': {'day': 'b'}},
    {'stamps_ns': np.arange(18) * 90_000_000}, {'seed': 7}, {'attempt': Attempt(1, True)}])
def test_changed_samples_are_noticed(samples, change):
    first, *others = samples
    if 'jpegs' in change:
        # As long as before.
        change = {'jpegs': (first.jpegs[0][::-1], *first.jpegs[1:])}
    before, after = (select(Settings(), [one, *others]) for one in (
        first, replace(first, **change)))
    assert before.digest() == select(Settings(), [replace(first), *others]).digest()
    assert after.digest() != before.digest()

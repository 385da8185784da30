"""What is fitted to few outcomes stays near what is expected; many outcomes outweigh it."""

from moss_perception.core.calibration import fit_temperature, fit_threshold, TEMPERATURE_BOUNDS
from moss_perception.core.errors import ShapeError
import numpy as np
import pytest


def drawn(count, seed=0):
    generator = np.random.default_rng(seed)
    true = generator.normal(size=count) * 2
    return 3 * true[:, None], generator.random(count) < 1 / (1 + np.exp(-true))


def test_few_outcomes_without_an_error_do_not_run_to_a_bound():
    logits, outcomes = np.array([[2.0], [1.0], [-1.0]]), np.array([1, 1, 0])
    assert fit_temperature(logits, outcomes) == pytest.approx(TEMPERATURE_BOUNDS[0], rel=0.01)
    found = fit_temperature(logits, outcomes, 1.3)
    assert 0.4 < found < 1.3
    # All wrong: the other bound.
    assert fit_temperature(logits, 1 - outcomes) == pytest.approx(TEMPERATURE_BOUNDS[1], rel=0.01)
    assert 1.3 < fit_temperature(logits, 1 - outcomes, 1.3) < 5


@pytest.mark.parametrize('expected', [0.2, 1.0, 10.0])
def test_many_outcomes_outweigh_the_prior(expected):
    logits, outcomes = drawn(20_000)
    assert fit_temperature(logits, outcomes, expected) == pytest.approx(
        fit_temperature(logits, outcomes), rel=0.01)


@pytest.mark.parametrize(('scores', 'outcomes'), [
    ([], []), ([0.95], [1]), ([0.05, 0.02], [0, 0]), ([0.99, 0.98, 0.01], [0, 0, 1]),
    ([0.9] * 8, [1] * 8), ([0.05] * 8, [1] * 8), ([0.97] * 8, [0] * 8)])
def test_the_threshold_of_few_outcomes_does_not_run_to_a_limit(scores, outcomes):
    assert 0.2 < fit_threshold(np.array(scores), np.array(outcomes)) < 0.8


def test_the_threshold_of_no_outcomes_is_a_half_and_that_of_many_divides_them():
    assert fit_threshold(np.zeros(0), np.zeros(0)) == 0.5
    generator = np.random.default_rng(0)
    outcomes = generator.random(4000) < 0.7
    scores = np.where(outcomes, generator.uniform(0.25, 0.6, 4000),
                      generator.uniform(0.0, 0.25, 4000))
    assert fit_threshold(scores, outcomes) == pytest.approx(0.25, abs=0.011)
    with pytest.raises(ShapeError, match='expected scores'):
        fit_threshold(scores, outcomes[1:])

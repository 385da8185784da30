"""A temperature of few outcomes stays near the expected one, one of many does not."""

from moss_perception.core.calibration import fit_temperature, TEMPERATURE_BOUNDS
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

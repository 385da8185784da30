"""The lead time of an executed grasp: measured, or as the planner gave it, or not known."""

from moss_perception.core.frames import Candidates
from moss_perception.core.lead_times import executed_lead_time
import numpy as np
import pytest

PLACES = np.array([[0.0, 0.0, 0.5], [0.1, 0.0, 0.5], [np.nan, 0.0, 0.5]])


def listed(times=(0.3, 0.6, 0.9), places=PLACES):
    return Candidates.from_yaws(1, 'camera', places, np.zeros(len(places)),
                                None if times is None else np.array(times[:len(places)]))


@pytest.mark.parametrize(('measured', 'candidates', 'position', 'expected'), [
    (0.8, listed(), PLACES[1], 0.8), (None, listed(), PLACES[1], 0.6),
    # Late or resampled candidates need not hold it.
    (None, listed(), PLACES[1] + 0.02, 0.6), (None, listed(None), PLACES[1], None),
    (None, None, PLACES[1], None), (None, listed(places=PLACES[2:]), PLACES[1], None),
    (None, listed(places=PLACES[:0]), PLACES[1], None)])
def test_the_measured_lead_time_wins_over_that_of_the_planner(
        measured, candidates, position, expected):
    assert executed_lead_time(measured, candidates, position, 0.0) == expected

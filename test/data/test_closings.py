"""When the fingers close is when their value passes the threshold, whichever way."""

from moss_perception.data.closings import Closings
import pytest


@pytest.mark.parametrize('values', [(0.08, 0.07, 0.03, 0.02), (0.0, 0.01, 0.06, 0.07)])
def test_the_first_crossing_after_the_decision_counts(values):
    closings = Closings(0.05)
    # It closed and opened before, in an earlier attempt.
    for at, value in enumerate((values[0], values[-1], *values)):
        closings.value(value, 10 * at)
    assert closings.first(20) == 20  # the opening; the robot decides after it
    assert closings.first(25) == 40
    assert closings.first(25, 39) is None and closings.first(41) is None


def test_values_that_are_no_numbers_are_left_out():
    closings = Closings(0.05)
    for at, value in enumerate((0.08, float('nan'), 0.07, float('-inf'), 0.02)):
        closings.value(value, at)
    assert closings.first(0) == 4


def test_the_first_value_is_no_crossing_but_the_first_command_to_close_is():
    closings = Closings(0.05)
    closings.value(0.02, 1)
    assert closings.first(0) is None
    commanded = Closings(0.0)
    commanded.command(True, 1)
    commanded.command(True, 2)
    commanded.command(False, 3)
    commanded.command(True, 4)
    assert [commanded.first(at) for at in (0, 2, 4, 5)] == [1, 3, 4, None]


def test_a_mark_is_a_closing():
    closings = Closings(0.05)
    closings.mark(7)
    assert closings.first(0) == 7

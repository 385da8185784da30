"""A training says what it takes, and how much is left."""

from moss_perception.training.pace import in_minutes, Pace
import pytest


def test_the_first_clips_tell_what_all_of_them_take():
    now = [0.0]
    pace = Pace(1000, lambda: now[0])
    told = []
    for batch in range(20):
        # The first two batches are slow, and do not count.
        now[0] += 8.0 if batch < 2 else 1.6
        told.append(pace.count(8))
    assert [line for line in told if line] == ['200 ms for each clip: 1000 clips take about 3 min']
    assert pace.left() == 'about 3 min left'
    pace.count(840)
    assert pace.left() == ''


@pytest.mark.parametrize(('seconds', 'words'), [
    (0.1, 'about 1 s'), (59, 'about 59 s'), (90, 'about 2 min'), (7200, 'about 2.0 h')])
def test_times_are_written_as_people_say_them(seconds, words):
    assert in_minutes(seconds) == words

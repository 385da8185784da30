"""Simulated time beside the wall clock, with a wall clock of the test's own."""

import threading

from moss_perception.simulation import live_config
from moss_perception.simulation.live_config import Pace
import pytest


class Wall(threading.Event):
    """A wall clock that passes while someone waits."""

    now_ns = 7_000_000_000

    def wait(self, timeout=None):
        self.now_ns += round(timeout * 1e9)
        return False

    def monotonic_ns(self):
        return self.now_ns


@pytest.fixture
def wall(monkeypatch):
    made = Wall()
    monkeypatch.setattr(live_config, 'time', made)
    return made


def test_real_time_waits_until_a_stamp_is_due(wall):
    pace = Pace(True, wall)
    pace.begin(100)
    pace.keep(100 + 30_000_000)
    assert wall.now_ns == 7_030_000_000
    assert pace.behind_s == pace.worst_s == 0


def test_lateness_is_told_and_made_up_for(wall):
    pace = Pace(True, wall)
    pace.begin(0)
    wall.now_ns += 300_000_000
    pace.keep(100_000_000)
    assert pace.behind_s == pytest.approx(0.2)
    pace.keep(350_000_000)
    assert (pace.behind_s, wall.now_ns) == (0, 7_350_000_000)
    assert pace.worst_s == pytest.approx(0.2)


def test_a_new_beginning_gives_up_what_was_lost(wall):
    pace = Pace(True, wall)
    pace.begin(0)
    wall.now_ns += 10**9
    pace.begin(5)
    pace.keep(5 + 10**8)
    assert wall.now_ns == 8_100_000_000


def test_without_real_time_nobody_waits(wall):
    pace = Pace(False, wall)
    pace.begin(0)
    pace.keep(10**12)
    assert wall.now_ns == 7_000_000_000

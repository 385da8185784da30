"""A live cell: what it shows, which grasps it takes, and what comes of them."""

from collections import defaultdict
import threading

from moss_perception.core.errors import ConfigError, SceneError, SimulationError
from moss_perception.data.schema import GRIP_S
from moss_perception.simulation import live as module
from moss_perception.simulation.attempt import candidates, sample_offsets
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.cells import cell_named
from moss_perception.simulation.equipment import HEIGHT, WIDTH
from moss_perception.simulation.execution import Execution
from moss_perception.simulation.live import LiveCell, MAX_FAILURES
from moss_perception.simulation.live_config import LiveConfig
from moss_perception.simulation.selection import Selections
import numpy as np
import pytest

START_NS = 5_000_000_000
FRAME = 'optical'


class Blind:
    """A camera that shows nothing, so that a test needs no OpenGL."""

    def render(self, cell):
        return np.zeros((HEIGHT, WIDTH, 3), np.uint8)


class Planner:
    """Keeps what a live cell says, and selects a candidate at the n-th frame of a scene."""

    def __init__(self, at=None, index=0):
        self.said = defaultdict(list)
        self.order = []
        self.refusals = []
        self.selections = Selections(FRAME)
        self.at, self.index, self.seen = at, index, 0

    def __getattr__(self, name):
        def say(*values, **fields):
            self.said[name].append((values, fields))
            self.order.append((name, values[0]))
            if name == 'candidates' and len(values[1]):
                self.seen += 1
                if self.seen == self.at:
                    self.refusals.append(
                        self.selections.offer(values[0], FRAME, values[1][self.index]))
            if name == 'outcome':
                self.seen = 0
        return say

    @property
    def stamps_ms(self):
        return [(values[0] - START_NS) // 10**6 for values, _ in self.said['image']]

    @property
    def outcomes(self):
        return [(values[0], fields) for values, fields in self.said['outcome']]


def config(domain='sim', cell='belt', **values):
    values = {'attempts': 1, 'real_time': False, 'rate': 10.0, **values}
    return LiveConfig(cell_named(cell).domain(domain), cell_named(cell), **values)


def run(planner, settings):
    live = LiveCell(planner, settings, planner.selections, now_ns=lambda: START_NS)
    live.run(Blind())
    return live


def test_a_selected_grasp_is_executed_from_where_the_cell_is_then():
    settings, index = config(seed=1), 2
    planner = Planner(at=11, index=index)
    live = run(planner, settings)
    assert planner.refusals == [None]
    cell = WorkCell(settings.scene(1))
    cell.wait(1.0)
    grasp = candidates(cell, sample_offsets(1))[index]
    expected = Execution(cell, grasp).run()
    (message, fields), = planner.outcomes
    assert message == expected.reason
    assert fields == {
        'attempt': 1, 'start_ns': START_NS, 'decision_ns': START_NS + 10**9,
        'end_ns': START_NS + cell.ticks * 10**7, 'success': expected.success, 'domain': 'sim',
        'motion': cell.spec.motion.name, 'object': cell.spec.object.shape, 'executed': True,
        'candidate': index}
    assert live.progress.results == {'succeeded' if expected.success else 'failed': 1}


def test_frames_of_30_hz_are_stamped_with_the_tick_they_show():
    planner = Planner()
    run(planner, config(rate=30.0, timeout_s=0.2))
    assert planner.stamps_ms == [0, 30, 70, 100, 130, 170, 200]


def test_each_frame_comes_after_its_clock_calibration_and_candidates():
    planner = Planner(at=3)
    run(planner, config(timeout_s=0.5))
    names = [name for name, _ in planner.order]
    assert names[:5] == ['clock', 'camera_info', 'candidates', 'image', 'clock']
    first = [stamp for _, stamp in planner.order[:4]]
    assert first == [START_NS] * 4
    # Once the gripper is on its way, an empty list takes the candidates back, once.
    counts = [len(values[1]) for values, _ in planner.said['candidates']]
    assert counts == [6, 6, 6, 0]
    assert len(planner.stamps_ms) > 8


def test_a_scene_without_a_selected_grasp_ends_after_its_time():
    planner = Planner()
    live = run(planner, config(timeout_s=0.3, attempts=2, pause_s=0.7))
    assert [message for message, _ in planner.outcomes] == ['none selected'] * 2
    assert [(fields['success'], fields['executed'], fields['candidate'])
            for _, fields in planner.outcomes] == [(False, False, None)] * 2
    assert [(fields['start_ns'] - START_NS, fields['end_ns'] - START_NS)
            for _, fields in planner.outcomes] == [(0, 3 * 10**8), (10**9, 13 * 10**8)]
    assert planner.stamps_ms == [0, 100, 200, 300, 1000, 1100, 1200, 1300]
    assert live.progress.summary() == (
        '2 attempts: 0 succeeded, 0 failed, 2 without a selected grasp')


def test_frames_are_lost_and_jitter_where_the_domain_says_so():
    planner = Planner()
    run(planner, config('shifted.timing', 'full', timeout_s=3.0, seed=2))
    gaps = np.diff(planner.stamps_ms)
    assert (gaps > 0).all()
    assert gaps.max() > 150
    assert len(set(gaps.tolist())) > 3


def test_the_domains_latency_counts_from_the_frame_that_was_decided_on():
    settings = config('shifted.latency', 'full', seed=3)
    spec = settings.scene(1)
    assert spec.physics.latency_s >= 0.04
    planner = Planner(at=6)
    run(planner, settings)
    cell = WorkCell(spec)
    cell.wait(planner.stamps_ms[5] / 1000)
    grasp = candidates(cell, sample_offsets(3, cell=spec.cell))[0]
    cell.wait(cell.time_s + spec.physics.latency_s)
    expected = Execution(cell, grasp).run()
    (message, fields), = planner.outcomes
    assert message == expected.reason
    assert fields['end_ns'] == START_NS + cell.ticks * 10**7


@pytest.mark.parametrize('latency_s', [0.0, 0.12])
def test_a_latency_that_is_set_replaces_that_of_the_scene(latency_s):
    settings = config('shifted.latency', 'full', seed=3, latency_s=latency_s)
    spec = settings.scene(1)
    planner = Planner(at=6)
    run(planner, settings)
    cell = WorkCell(spec)
    cell.wait(planner.stamps_ms[5] / 1000)
    # Candidates do not depend on the latency.
    grasp = candidates(cell, sample_offsets(3, cell=spec.cell))[0]
    cell.wait(cell.time_s + latency_s)
    expected = Execution(cell, grasp).run()
    (message, fields), = planner.outcomes
    assert (message, fields['end_ns']) == (expected.reason, START_NS + cell.ticks * 10**7)
    assert not planner.said['lead_times']


@pytest.mark.parametrize('latency_s', [-1.0, 0.06])
def test_lead_times_come_with_the_candidates_if_they_are_asked_for(latency_s):
    settings = config('shifted.latency', 'full', seed=3, latency_s=latency_s, lead_times=True)
    own_s = settings.scene(1).physics.latency_s
    planner = Planner(at=6)
    run(planner, settings)
    listed = {values[0]: len(values[1]) for values, _ in planner.said['candidates']}
    timed = {values[0]: values[1] for values, _ in planner.said['lead_times']}
    # None come with the empty list that ends them.
    assert list(timed) == [stamp_ns for stamp_ns, count in listed.items() if count]
    for stamp_ns, values in timed.items():
        assert len(values) == listed[stamp_ns]
        np.testing.assert_allclose(values, (own_s if latency_s < 0 else latency_s) + GRIP_S)


def broken(monkeypatch, seeds):
    """Let the physics of some scenes burst."""
    class Bursting(WorkCell):
        def tick(self, *command):
            if self.spec.seed in seeds:
                raise SceneError('unstable', f'the physics of seed {self.spec.seed} is unstable')
            super().tick(*command)
    monkeypatch.setattr(module, 'WorkCell', Bursting)


def test_a_scene_that_bursts_is_skipped_and_counted(monkeypatch):
    broken(monkeypatch, {1})
    planner = Planner()
    live = run(planner, config(attempts=3, timeout_s=0.1))
    assert [fields['attempt'] for _, fields in planner.outcomes] == [1, 3]
    assert live.progress.skipped == {'unstable': 1}
    assert '1 skipped (1 unstable)' in live.progress.summary()


def test_scenes_that_all_burst_end_the_cell(monkeypatch):
    broken(monkeypatch, set(range(100)))
    with pytest.raises(SimulationError, match='3 scenes failed in a row: the physics of seed 2'):
        run(Planner(), config(attempts=0))
    assert MAX_FAILURES == 3


def test_an_endless_cell_ends_when_it_is_told_to():
    planner = Planner()
    live = LiveCell(planner, config(attempts=0, timeout_s=0.1), planner.selections)
    thread = threading.Thread(target=live.run, args=(Blind(),))
    thread.start()
    try:
        for _ in range(1000):
            if len(planner.outcomes) > 1:
                break
            thread.join(0.02)
    finally:
        live.stop()
        thread.join(20)
    assert not thread.is_alive()
    assert len(planner.outcomes) > 1


@pytest.mark.parametrize('name, value', [
    ('rate', 0.0), ('rate', 101.0), ('attempts', -1), ('seed', -1), ('timeout_s', 0.0),
    ('pause_s', -1.0), ('latency_s', -0.5), ('latency_s', 2.5), ('latency_s', float('nan')),
    ('rate', float('nan'))])
def test_a_setting_that_is_out_of_range_is_refused(name, value):
    with pytest.raises(ConfigError, match=f'{name}={value!r} is not allowed: expected'):
        config(**{name: value})

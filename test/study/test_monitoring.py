"""Monitored grasps: the frame that counts at each time, and the metrics of its scores."""

import math

from moss_perception.core.errors import ConfigError
from moss_perception.data.schema import Attempt, Sample
import numpy as np
import pytest

from study import early_scores
from study.monitoring import measure_monitoring, MonitoredGrasps, TIMES_S

DECISION_NS = 1_900_000_000
PERIOD_NS = 100_000_000


def scene(loss_s=None, missing=(), frames=17):
    stamps = DECISION_NS + np.array(
        [n + 1 for n in range(frames) if n not in missing], np.int64) * PERIOD_NS
    to_loss = np.full(len(stamps), np.nan) if loss_s is None else (
        loss_s - (stamps - DECISION_NS) / 1e9)
    count = len(stamps)
    attempt = Attempt(1, loss_s is None, (b'',) * count, stamps, ('close',) * count,
                      to_loss.astype(np.float32), np.zeros((count, 3), np.float32))
    return Sample(seed=0, jpegs=(b'',) * 20, candidates=np.zeros((3, 4), np.float32),
                 labels=np.array([False, loss_s is None, False]), speed=0.0, motion='still',
                 shape='box', track=np.zeros((2, 3), np.float32), attempt=attempt)


def newest(clip) -> float:
    """Return when a clip ends, seconds after the decision."""
    return (int(clip.times_ns[-1]) - DECISION_NS) / 1e9


def test_the_newest_frame_that_has_arrived_counts():
    monitored = MonitoredGrasps([scene(), scene(missing=(5, 15))])
    ends = np.array([newest(clip) for clip in monitored.clips]).reshape(len(TIMES_S), 2)
    assert ends[:, 0] == pytest.approx(TIMES_S)
    # The frames of 0.6 and 1.6 s were lost: those before stand for them.
    expected = [t - 0.1 if t in (0.6, 1.6) else t for t in TIMES_S]
    assert ends[:, 1] == pytest.approx(expected)
    assert all(len(clip.candidates) == 1 for clip in monitored.clips)


def test_scenes_without_a_monitored_grasp_are_left_out():
    bare = scene()
    object.__setattr__(bare, 'attempt', None)
    # Nothing has arrived by 0.2 s: there is no clip of that time.
    late = scene(missing=(0, 1))
    assert len(MonitoredGrasps([bare, late, scene(), scene()]).success) == 2
    assert len(MonitoredGrasps([scene()] * 5, limit=3).success) == 3


def test_lost_grasps_do_not_count_as_predicted():
    monitored = MonitoredGrasps([scene(), scene(), scene(loss_s=0.5), scene(loss_s=1.3)])
    assert monitored.loss_s == pytest.approx([math.inf, math.inf, 0.5, 1.3])
    # The scores know only of losses that have happened.
    scores = np.array([[0.0 if time_s >= loss_s else 1.0 for loss_s in monitored.loss_s]
                       for time_s in TIMES_S])
    found = measure_monitoring(scores.ravel(), monitored)
    assert found['lost_later'] == [2, 2, 1, 1, 1, 1, 0, 0]
    assert found['auroc'] == [0.5, 0.5, 0.75, 0.75, 0.75, 0.75, 1, 1]
    assert found['auroc_not_lost'][:6] == [0.5] * 6 and math.isnan(found['auroc_not_lost'][6])
    assert all(low <= value <= high for low, value, high in zip(
        found['auroc_low'], found['auroc'], found['auroc_high'], strict=True))


def early_comparison(scenes):
    """Return a comparison of two variants whose early scores are all right."""
    held = [scene.attempt.success for scene in scenes]
    early = ' '.join('900' if x else '100' for x in held)
    names = ('flow', 'moss')
    return {'sets': {'sim': {'monitored': ''.join('01'[x] for x in held), 'scenes': len(held)}},
            'variants': {name: {'seeds': [0]} for name in names},
            'runs': [{'variant': name, 'seed': 0, 'sets': {'sim': {'monitoring': {
                'early': early}}}} for name in names]}


def by_kind(result, scenes):
    """Compare both variants, and return the rows by kind of grasps."""
    return {row['kind']: row
            for row in early_scores.measure(result, 'sim', scenes, 'moss', 'flow')}


def test_early_scores_are_compared_by_motion_and_by_when_the_object_is_lost():
    pytest.importorskip('scipy')
    scenes = [scene(loss_s) for loss_s in (None, 0.5, 0.8, 1.3) for _ in range(6)]
    for n, one in enumerate(scenes):
        object.__setattr__(one, 'motion', 'still' if n % 2 else 'rolling')
    result = early_comparison(scenes)
    rows = by_kind(result, scenes)
    assert list(rows) == ['all', 'rolling', 'still', 'lost before 0.6 s',
                          'lost from 0.6 to 0.9 s', 'lost after 0.9 s']
    assert [row['grasps'] for row in rows.values()] == [24, 12, 12, 12, 12, 12]
    assert [row['failed'] for row in rows.values()] == [18, 9, 9, 6, 6, 6]
    assert {row['theirs'] for row in rows.values()} == {1.0}
    assert {row['difference'] for row in rows.values()} == {0.0}
    assert '| sim | still' in early_scores.table({'variants': ['moss', 'flow'],
                                                   'sets': {'sim': list(rows.values())}})
    # MOSS takes what is lost from 0.6 to 0.9 s for the best.
    result['runs'][1]['sets']['sim']['monitoring']['early'] = ' '.join(
        ['500'] * 6 + ['100'] * 6 + ['900'] * 6 + ['100'] * 6)
    rows = by_kind(result, scenes)
    assert rows['lost from 0.6 to 0.9 s']['difference'] == -1
    assert rows['lost before 0.6 s']['difference'] == 0
    with pytest.raises(ConfigError, match='other outcomes than those of the comparison'):
        early_scores.measure(result, 'sim', scenes[::-1], 'moss', 'flow')
    result['variants']['flow']['seeds'] = [1]
    with pytest.raises(ConfigError, match='moss and flow have no training of one seed'):
        early_scores.measure(result, 'sim', scenes, 'moss', 'flow')

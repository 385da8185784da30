"""Monitored grasps: the frame that counts at each time, and the metrics of its scores."""

import math

from moss_perception.data.schema import Attempt, Sample
import numpy as np
import pytest

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

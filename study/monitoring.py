"""How early a network predicts whether a grasp that is being executed will hold."""

from typing import Any

from moss_perception.evaluation.intervals import bootstrap_interval
from moss_perception.evaluation.metrics import auroc, Scored, value_of
import numpy as np

# Seconds after the decision: from the approach to the shake.
TIMES_S = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)


class MonitoredGrasps:
    """
    Monitored grasps of scenes, cut at each of ``TIMES_S``.

    At each time, the newest frame that has arrived by then counts; frames may be late or lost.

    :param scenes: of :class:`moss_perception.data.schema.Sample`; scenes without a frame of a
        monitored grasp at each of the times are left out.
    :param limit: largest number of grasps; ``None`` for all.
    :ivar clips: scenes that end at such a frame, with the executed grasp as the only candidate:
        those of the first time, then those of the second, and so on.
    :ivar success: bool, shape ``(N,)``: whether each grasp held.
    :ivar loss_s: float64, shape ``(N,)``: seconds from the decision to the loss of the object;
        infinite if it was held.
    """

    def __init__(self, scenes: list, limit: int | None = None):
        chosen = [(scene, frames) for scene in scenes
                  if scene.attempt is not None and (frames := _frames_at(scene)).min() >= 0]
        chosen = chosen[:limit]
        self.clips = [scene.during(int(frames[n])) for n in range(len(TIMES_S))
                      for scene, frames in chosen]
        self.success = np.array([scene.attempt.success for scene, _ in chosen], bool)
        self.loss_s = np.array([_loss_s(scene) for scene, _ in chosen], float)


def _frames_at(scene) -> np.ndarray:
    """Return the index of the newest frame at each time; -1 before the first frame."""
    since_s = (scene.attempt.stamps_ns - scene.times_ns[-1]) / 1e9
    # Stamps are multiples of 10 ms.
    return np.searchsorted(since_s, np.array(TIMES_S) + 1e-6, side='right') - 1


def _loss_s(scene) -> float:
    attempt = scene.attempt
    if attempt.success:
        return np.inf
    since_s = (attempt.stamps_ns - scene.times_ns[-1]) / 1e9
    return float(np.nanmean(since_s + attempt.to_loss_s))


def measure_monitoring(scores: np.ndarray, monitored: MonitoredGrasps) -> dict[str, Any]:
    """
    Measure how well the scores at each time separate grasps that hold from grasps that fail.

    :param scores: of ``monitored.clips``, shape ``(len(TIMES_S) * N,)``.
    :returns: lists with one value a time: ``auroc`` of all grasps, with the 95 % interval
        ``auroc_low`` to ``auroc_high`` (bootstrap over grasps); ``auroc_not_lost``, of the grasps
        that were not lost by then, which are still to be predicted; and ``lost_later``, the
        number of these that will be lost. NaN where only one outcome is left.
    """
    success = monitored.success
    table = np.asarray(scores, float).reshape(len(TIMES_S), len(success))
    result: dict[str, Any] = {name: [] for name in (
        'auroc', 'auroc_low', 'auroc_high', 'auroc_not_lost', 'lost_later')}
    for time_s, now in zip(TIMES_S, table, strict=True):
        not_lost = monitored.loss_s > time_s
        area = bootstrap_interval(auroc, Scored.of(now, success), repeats=300)
        values = {'auroc': area.value, 'auroc_low': area.low, 'auroc_high': area.high,
                  'auroc_not_lost': value_of(auroc, Scored.of(now[not_lost], success[not_lost])),
                  'lost_later': int((not_lost & ~success).sum())}
        for name, value in values.items():
            result[name].append(value)
    return result

"""How early a network sees whether a grasp under way will hold."""

from typing import Any

from moss_perception.evaluation import metrics
import numpy as np

# After the decision, seconds: from the gripper on its way to the shake.
TIMES_S = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)


class Watched:
    """
    The watched grasps of some scenes, as they stand at each of ``TIMES_S``.

    At a time counts the newest frame that has arrived by then; frames may come late, or never.

    :param scenes: of :class:`moss_perception.data.schema.Sample`; those in which no grasp
        was watched until the last of the times are left out.
    :param limit: at most so many.
    :ivar clips: scenes that end at such a frame, with the executed grasp as their one candidate:
        first those of the first time, then those of the second, and so on.
    :ivar held: bool, shape ``(N,)``: whether each grasp held.
    :ivar loss_s: float64, shape ``(N,)``: when the object was lost, seconds after the decision;
        infinite if it was held.
    """

    def __init__(self, scenes: list, limit: int | None = None):
        chosen = [(scene, frames) for scene in scenes
                  if scene.attempt is not None and (frames := _frames_at(scene)).min() >= 0]
        chosen = chosen[:limit]
        self.clips = [scene.during(int(frames[n])) for n in range(len(TIMES_S))
                      for scene, frames in chosen]
        self.held = np.array([scene.attempt.success for scene, _ in chosen], bool)
        self.loss_s = np.array([_loss_s(scene) for scene, _ in chosen], float)


def _frames_at(scene) -> np.ndarray:
    """Return the newest frame at each time; -1 before the first."""
    since_s = (scene.attempt.stamps_ns - scene.times_ns[-1]) / 1e9
    # Stamps are in whole ticks of 10 ms.
    return np.searchsorted(since_s, np.array(TIMES_S) + 1e-6, side='right') - 1


def _loss_s(scene) -> float:
    watched = scene.attempt
    if watched.success:
        return np.inf
    since_s = (watched.stamps_ns - scene.times_ns[-1]) / 1e9
    return float(np.nanmean(since_s + watched.to_loss_s))


def measure_monitoring(scores: np.ndarray, watched: Watched) -> dict[str, Any]:
    """
    Measure how well scores at each time tell grasps that hold from those that do not.

    :param scores: of ``watched.clips``, shape ``(len(TIMES_S) * N,)``.
    :returns: lists, one value a time: ``auroc`` of all grasps; ``ahead``, of those that were not
        lost by then: what is still to be foretold; and ``lost_later``, how many of these there
        are that will be lost. ``auroc_low`` and ``auroc_high`` bound ``auroc``: 95 %, grasps
        drawn with replacement. NaN where only one outcome is left.
    """
    table = np.asarray(scores, float).reshape(len(TIMES_S), len(watched.held))
    result: dict[str, Any] = {name: [] for name in (
        'auroc', 'auroc_low', 'auroc_high', 'ahead', 'lost_later')}
    for time_s, now in zip(TIMES_S, table, strict=True):
        open_ = watched.loss_s > time_s
        low, high = metrics.auroc_interval(now, watched.held, np.arange(len(now)), repeats=300)
        values = {'auroc': metrics.auroc(now, watched.held), 'auroc_low': low, 'auroc_high': high,
                  'ahead': metrics.auroc(now[open_], watched.held[open_]),
                  'lost_later': int((open_ & ~watched.held).sum())}
        for name, value in values.items():
            result[name].append(value)
    return result

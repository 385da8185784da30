"""How early a network predicts whether a grasp that is being executed will hold."""

from collections.abc import Set
from typing import Any

from moss_perception.evaluation.intervals import bootstrap_interval, draw, percentile_interval
from moss_perception.evaluation.metrics import auroc, Scored, value_of
import numpy as np

from study.texts import read_digits

# Seconds after the decision: from the approach to the shake.
TIMES_S = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6)
# The scores at this time are stored, so that two variants can be compared on the same grasps.
EARLY_S = 0.4
_EARLY = TIMES_S.index(EARLY_S)


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
        chosen = monitored(scenes, limit)
        frames = [_frames_at(scene) for scene in chosen]
        self.clips = [scene.during(int(places[n])) for n in range(len(TIMES_S))
                      for scene, places in zip(chosen, frames, strict=True)]
        self.success = np.array([scene.attempt.success for scene in chosen], bool)
        self.loss_s = losses_s(chosen)


def monitored(scenes: list, limit: int | None = None) -> list:
    """Choose the scenes that have a frame of a monitored grasp at each of ``TIMES_S``."""
    return [scene for scene in scenes
            if scene.attempt is not None and _frames_at(scene).min() >= 0][:limit]


def losses_s(scenes: list) -> np.ndarray:
    """Return the seconds from each decision to the loss of the object; infinite if it is held."""
    return np.array([_loss_s(scene) for scene in scenes], float)


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
        number of these that will be lost. NaN where only one outcome is left. ``early`` has the
        scores at ``EARLY_S`` in thousandths, as one text.
    """
    success = monitored.success
    table = np.asarray(scores, float).reshape(len(TIMES_S), len(success))
    result: dict[str, Any] = {name: [] for name in (
        'auroc', 'auroc_low', 'auroc_high', 'auroc_not_lost', 'lost_later')}
    result['early'] = ' '.join(f'{1e3 * score:.0f}' for score in table[_EARLY])
    for time_s, now in zip(TIMES_S, table, strict=True):
        not_lost = monitored.loss_s > time_s
        area = bootstrap_interval(auroc, Scored.of(now, success), repeats=300)
        values = {'auroc': area.value, 'auroc_low': area.low, 'auroc_high': area.high,
                  'auroc_not_lost': value_of(auroc, Scored.of(now[not_lost], success[not_lost])),
                  'lost_later': int((not_lost & ~success).sum())}
        for name, value in values.items():
            result[name].append(value)
    return result


def early_auroc(result: dict[str, Any], name: str, variant: str) -> float | None:
    """Return the AUROC of a variant at ``EARLY_S``; ``None`` if it was not measured."""
    monitored = result['variants'][variant]['sets'][name].get('monitoring')
    return monitored['auroc'][_EARLY] if monitored else None


def early_difference(result: dict[str, Any], name: str, ours: str, theirs: str,
                     which: np.ndarray | None = None) -> dict[str, float] | None:
    """
    Compare the AUROC of two variants at ``EARLY_S`` on the same grasps.

    :param result: a stored comparison.
    :param which: bool, shape ``(N,)``: the grasps that count; ``None`` for all.
    :returns: AUROC of ``ours`` and of ``theirs``, means over the seeds that both have, and their
        ``difference`` with its 95 % interval ``low`` to ``high`` (paired bootstrap over grasps);
        ``None`` if they have none, or the scores or outcomes are not stored.
    """
    held = result['sets'][name].get('monitored')
    seeds = set.intersection(*(set(result['variants'][one]['seeds']) for one in (ours, theirs)))
    success = read_digits(held or '').astype(bool)
    which = np.ones(len(success), bool) if which is None else which
    drawn = [_early_draws(result, name, variant, seeds, success, which)
             for variant in (ours, theirs)] if held and seeds else [None]
    if None in drawn:
        return None
    gap = percentile_interval(*(one - other for one, other in zip(*drawn, strict=True)))
    return {'ours': drawn[0][0], 'theirs': drawn[1][0], 'difference': gap.value, 'low': gap.low,
            'high': gap.high}


def _early_draws(result: dict[str, Any], name: str, variant: str, seeds: Set[int],
                 success: np.ndarray, which: np.ndarray) -> tuple[float, np.ndarray] | None:
    """Return the AUROC and its draws, mean over the trainings."""
    texts = [run['sets'][name].get('monitoring', {}).get('early') for run in result['runs']
             if run['variant'] == variant and run['seed'] in seeds]
    if not texts or None in texts:
        return None
    samples = [Scored.of(np.array(text.split(), float)[which], success[which]) for text in texts]
    return (float(np.mean([value_of(auroc, sample) for sample in samples])),
            np.mean([draw(sample, {'it': auroc})['it'] for sample in samples], axis=0))

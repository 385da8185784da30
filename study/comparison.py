"""Arms, seeds and sets of scenes, put together: plain values in, plain values for JSON out."""

from dataclasses import dataclass
from itertools import combinations
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.evaluation import intervals, metrics, ranking
import numpy as np

# Attempts of one scene belong together; AUROC's interval is the slow part of a comparison.
_AUROC_REPEATS = 300


@dataclass(frozen=True)
class Attempts:
    """
    All attempts of a set of scenes, scene after scene.

    :ivar labels: bool, shape ``(N,)``.
    :ivar groups: int, shape ``(N,)``: the scene's number, from 0.
    :ivar motions: the kind of motion, one a scene.
    :ivar families: the object's family, one a scene.
    :ivar seeds: one a scene.
    :ivar baselines: by name, float, one a scene.
    """

    labels: np.ndarray
    groups: np.ndarray
    motions: np.ndarray
    families: np.ndarray
    seeds: np.ndarray
    baselines: dict[str, np.ndarray]

    @classmethod
    def of(cls, scenes: list) -> 'Attempts':
        """Take what is needed from :class:`moss_perception.data.schema.Sample`."""
        counts = [len(scene.outcomes) for scene in scenes]
        return cls(np.concatenate([scene.outcomes for scene in scenes]),
                   np.repeat(np.arange(len(scenes)), counts),
                   np.array([scene.motion for scene in scenes]),
                   np.array([getattr(scene, 'family', '') or scene.shape for scene in scenes]),
                   np.array([scene.seed for scene in scenes]), ranking.baselines(scenes))

    def describe(self) -> dict[str, Any]:
        """Say what the set is, and what choosing without a model reaches."""
        kinds = kinds_of(self.motions)
        return {'scenes': len(self.motions), 'attempts': len(self.labels),
                'seeds': [int(self.seeds.min()), int(self.seeds.max())],
                'success_rate': float(self.labels.mean()), 'motions': self.motions.tolist(),
                'families': self.families.tolist(),
                'baselines': {name: {kind: float(values[where].mean())
                                     for kind, where in kinds.items()}
                              for name, values in self.baselines.items()}}


def kinds_of(motions: np.ndarray) -> dict[str, np.ndarray]:
    """Return masks of scenes: ``all``, ``moving``, and each kind of motion."""
    motions = np.asarray(motions)
    kinds = {'all': np.ones(len(motions), bool), 'moving': motions != 'still'}
    kinds |= {str(name): motions == name for name in np.unique(motions)}
    return {name: where for name, where in kinds.items() if where.any()}


def measure(scores: np.ndarray, attempts: Attempts) -> dict[str, Any]:
    """
    Measure one network on one set.

    :param scores: probabilities, shape ``(N,)``.
    :returns: ``chosen``, a digit a scene, 1 where the best candidate succeeded; by kind of motion
        ``success``, ``auroc``, ``brier``, ``ece``; ``auroc_low`` and ``auroc_high``.
    """
    chosen = ranking.chosen_success(scores, attempts.labels, attempts.groups)
    result: dict[str, Any] = {'chosen': ''.join(map(str, chosen.astype(int))), 'kinds': {}}
    for kind, where in kinds_of(attempts.motions).items():
        some = where[attempts.groups]
        values = scores[some], attempts.labels[some]
        result['kinds'][kind] = {
            'success': float(chosen[where].mean()), 'auroc': metrics.auroc(*values),
            'brier': metrics.brier(*values),
            'ece': metrics.expected_calibration_error(*values)}
    low, high = metrics.auroc_interval(scores, attempts.labels, attempts.groups,
                                       repeats=_AUROC_REPEATS)
    return result | {'auroc_low': low, 'auroc_high': high}


def digits(text: str) -> np.ndarray:
    """Read ``chosen`` again: float64, one a scene."""
    return np.frombuffer(text.encode(), np.uint8).astype(float) - ord('0')


def summarise(runs: list[dict], sets: dict[str, dict]) -> dict[str, Any]:
    """
    Average the seeds of each arm.

    :param runs: each with ``arm``, ``seed`` and ``sets``: by set what :func:`measure` gave.
    :param sets: what :meth:`Attempts.describe` gave.
    :returns: by arm, set and kind of motion: the mean of each metric over the seeds, and the 95 %
        interval of success (scenes drawn with replacement), with the seeds' least and most; the
        interval of AUROC is the mean of the seeds' own. ``monitoring`` has the mean of each list.
    """
    arms: dict[str, Any] = {}
    for arm, mine in by_arm(runs).items():
        arms[arm] = {'seeds': sorted(mine), 'sets': {}}
        for name, described in sets.items():
            found = [run['sets'][name] for run in mine.values()]
            chosen = np.array([digits(one['chosen']) for one in found])
            arms[arm]['sets'][name] = {
                kind: _average([one['kinds'][kind] for one in found], chosen[:, where])
                for kind, where in kinds_of(described['motions']).items()}
            arms[arm]['sets'][name]['all'] |= {
                key: _mean([one[key] for one in found]) for key in ('auroc_low', 'auroc_high')}
            watched = [one['monitoring'] for one in found if 'monitoring' in one]
            if watched:
                arms[arm]['sets'][name]['monitoring'] = {
                    key: [_mean(values) for values in zip(*(one[key] for one in watched),
                                                          strict=True)]
                    for key in watched[0]}
    return arms


def _average(found: list[dict], chosen: np.ndarray) -> dict[str, float]:
    mean = intervals.mean_interval(chosen.mean(axis=0))
    each = chosen.mean(axis=1)
    return {**{key: _mean([one[key] for one in found]) for key in found[0]},
            'low': mean.low, 'high': mean.high,
            'least': float(each.min()), 'most': float(each.max())}


def _mean(values: list[float]) -> float:
    """Average those that are defined."""
    values = [value for value in values if not np.isnan(value)]
    return float(np.mean(values)) if values else float('nan')


def by_arm(runs: list[dict]) -> dict[str, dict[int, dict]]:
    """
    Sort runs by arm and seed.

    :raises ConfigError: if there are two of one arm and seed.
    """
    arms: dict[str, dict[int, dict]] = {}
    for run in runs:
        mine = arms.setdefault(run['arm'], {})
        if run['seed'] in mine:
            raise ConfigError(f'there are two runs of arm {run["arm"]} with seed {run["seed"]}: '
                              'expected one')
        mine[run['seed']] = run
    return arms


def compare_pairs(runs: list[dict], sets: dict[str, dict]) -> list[dict[str, Any]]:
    """
    Test every two arms against one another, on the same scenes and the seeds that both have.

    :returns: ``ours``, ``theirs``, ``set``, ``kind``, ``seeds``, and what
        :func:`moss_perception.evaluation.intervals.paired_test` gives.
    """
    arms, found = by_arm(runs), []
    for one, other in combinations(arms, 2):
        seeds = sorted(set(arms[one]) & set(arms[other]))
        if not seeds:
            continue
        for name, described in sets.items():
            ours, theirs = (np.array([digits(arms[arm][seed]['sets'][name]['chosen'])
                                      for seed in seeds]) for arm in (other, one))
            for kind, where in kinds_of(described['motions']).items():
                found.append({'ours': other, 'theirs': one, 'set': name, 'kind': kind,
                              'seeds': seeds,
                              **intervals.paired_test(ours[:, where], theirs[:, where])})
    return found

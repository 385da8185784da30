"""What knowing the lead time is worth: the same scenes, executed at several lead times."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from moss_perception.core.errors import ConfigError
from moss_perception.core.tables import markdown
from moss_perception.data.schema import GRIP_S, Sample
from moss_perception.evaluation import scene_scores
from moss_perception.evaluation.intervals import mean_interval
from moss_perception.training.samples import executions
import numpy as np

from study.texts import in_points, read_digits, write_digits

# Upper ends of the bins of latency, seconds; the last bin takes all above.
BIN_ENDS_S = (0.06, 0.12, 0.18, 0.24, 0.3)
# Choices without a model that are made anew at each lead time.
REFERENCES = ('constant_velocity', 'true_motion', 'oracle')
_TELLINGS = {'told': 'the true one', 'fixed': "the training's mean"}


@dataclass(frozen=True)
class LeadTimes:
    """
    Outcomes of the candidates of scenes at each of the scenes' lead times, their own first.

    :ivar times_s: float64, shape ``(N, T)``, seconds.
    :ivar labels: bool, shape ``(N, T, K)``.
    :ivar references: success of each of ``REFERENCES``, float64, shape ``(N, T)``, NaN if it is
        not known.
    """

    times_s: np.ndarray
    labels: np.ndarray
    references: dict[str, np.ndarray]

    @classmethod
    def of(cls, scenes: list[Sample]) -> 'LeadTimes | None':
        """
        Collect the lead times of scenes.

        :returns: ``None`` if no scene has more than one.
        :raises ConfigError: if the scenes differ in the number of lead times or candidates.
        """
        if all(scene.other_lead_times_s is None for scene in scenes):
            return None
        first = _shape(scenes[0])
        for scene in scenes:
            if _shape(scene) != first:
                raise ConfigError(f'{scene.title} has (lead times, candidates) {_shape(scene)}: '
                                  f'expected {first}, as {scenes[0].title} has')
        columns = [[_executed_at(scene, n) for scene in scenes] for n in range(first[0])]
        chosen = [scene_scores.baselines(some) for some in columns]
        return cls(np.array([[one.lead_time_s for one in some] for some in columns]).T,
                   np.stack([[one.outcomes for one in some] for some in columns], axis=1),
                   {name: np.stack([one[name] for one in chosen], axis=1)
                    for name in REFERENCES})

    def describe(self) -> dict[str, Any]:
        """Return the lead times in milliseconds, scene after scene, and the references' digits."""
        return {'each': self.times_s.shape[1],
                'times_ms': ' '.join(f'{1e3 * time:.0f}' for time in self.times_s.ravel()),
                'references': {name: write_digits(values.ravel())
                               for name, values in self.references.items()
                               if np.isfinite(values).all()}}

    def chosen(self, scores: np.ndarray) -> str:
        """
        Write the outcome of the best candidate at each lead time.

        :param scores: shape ``(N, T, K)``, or ``(N, 1, K)`` for the same at every lead time.
        """
        best = np.broadcast_to(scores, self.labels.shape).argmax(axis=2)
        return write_digits(np.take_along_axis(self.labels, best[..., None], axis=2).ravel())


def _executed_at(scene: Sample, number: int) -> Sample:
    """Return a scene as if one of its lead times were its only one."""
    times, labels, track = executions(scene, every=True)
    return replace(scene, lead_time_s=float(times[number]), labels=labels[number],
                   track=track[[0, number + 1]] if len(track) else None,
                   other_lead_times_s=None, other_labels=None, other_places=None)


def _shape(scene: Sample) -> tuple[int, int]:
    others = scene.other_lead_times_s
    return 1 + (0 if others is None else len(others)), len(scene.candidates)


def bins(described: dict[str, Any]) -> dict[str, np.ndarray]:
    """
    Return masks of the lead times by latency, shape ``(N, T)``; the first is of all.

    :param described: what :meth:`LeadTimes.describe` returned.
    """
    latency_s = np.array(described['times_ms'].split(), float) / 1e3 - GRIP_S
    # Lead times are stored as float32 and rounded: 60 ms belong to the bin that ends there.
    which = np.searchsorted(np.array(BIN_ENDS_S) + 1e-3, latency_s)
    which = which.clip(max=len(BIN_ENDS_S) - 1).reshape(-1, described['each'])
    masks = {'all': np.ones(which.shape, bool)}
    for number, (low, high) in enumerate(zip((0.0, *BIN_ENDS_S), BIN_ENDS_S, strict=False)):
        masks[f'{1e3 * low:.0f} to {1e3 * high:.0f} ms'] = which == number
    return {name: mask for name, mask in masks.items() if mask.any()}


def success_by_latency(result: dict[str, Any], name: str, variant: str,
                       telling: str = 'told') -> dict[str, dict[str, float]]:
    """
    Return the success of a variant, or of one of ``REFERENCES``, in each bin of latency.

    :param result: a stored comparison.
    :param name: of the set.
    :param telling: ``told`` or ``fixed``: the lead time that the network is told; one without
        time inputs chooses the same candidates at every lead time, and has only ``told``.
    :returns: by bin, ``success`` with its 95 % interval ``low`` to ``high`` (bootstrap over
        scenes); empty if it was not measured.
    """
    digits = _digits(result, name, variant, telling)
    return {} if digits is None else _by_bin(result, name, digits)


def worth_by_latency(result: dict[str, Any], name: str,
                     variant: str) -> dict[str, dict[str, float]]:
    """
    Return what a variant wins when it is told the truth and not the training's mean.

    :returns: by bin, ``difference`` of success, ``low`` and ``high``; empty without time inputs.
    """
    told, fixed = (_digits(result, name, variant, telling) for telling in _TELLINGS)
    found = {} if told is None or fixed is None else _by_bin(result, name, told - fixed)
    return {label: {'difference': one.pop('success'), **one} for label, one in found.items()}


def _digits(result: dict[str, Any], name: str, variant: str, telling: str) -> np.ndarray | None:
    """Return the success at each lead time, mean over the trainings, shape ``(N, T)``."""
    described = result['sets'][name].get('lead_times')
    if not described:
        return None
    if variant in REFERENCES:
        found = [described['references'].get(variant) if telling == 'told' else None]
    else:
        found = [run['sets'][name].get('lead_times', {}).get(telling) for run in result['runs']
                 if run['variant'] == variant]
    if not found or None in found:
        return None
    return np.mean([read_digits(text) for text in found], axis=0).reshape(-1, described['each'])


def _by_bin(result: dict[str, Any], name: str, values: np.ndarray) -> dict[str, dict]:
    found = {}
    for label, each in _scenes_by_bin(result, name, values):
        mean = mean_interval(each)
        found[label] = {'success': mean.value, 'low': mean.low, 'high': mean.high,
                        'scenes': len(each)}
    return found


def _scenes_by_bin(result: dict[str, Any], name: str,
                   values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each bin with the means of the scenes that have a lead time in it."""
    for label, mask in bins(result['sets'][name]['lead_times']).items():
        count = mask.sum(axis=1)
        yield label, (values * mask).sum(axis=1)[count > 0] / count[count > 0]


def lead_time_table(result: dict[str, Any], name: str) -> str:
    """Write success by latency on a set; empty if its scenes have one lead time each."""
    described = result['sets'][name].get('lead_times')
    if not described:
        return ''
    labels, rows = list(bins(described)), []
    for variant in [*result['costs'], *REFERENCES]:
        digits = {words: _digits(result, name, variant, telling)
                  for telling, words in _TELLINGS.items()}
        timed = not any(values is None for values in digits.values())
        for words, values in digits.items():
            if values is not None:
                rows.append([variant, words if timed else '-', *(
                    f'{100 * each.mean():.1f}'
                    for _, each in _scenes_by_bin(result, name, values))])
        worth = worth_by_latency(result, name, variant)
        if worth:
            rows.append([variant, 'difference', *map(in_points, worth.values())])
    title = (f'{name}: success of the chosen grasp in %, by the time from the stamp of the newest '
             'frame until the gripper starts. Networks with time inputs are told the true lead '
             'time, or that of their training on average [95 % interval of the difference, paired '
             'bootstrap over scenes].')
    return title + '\n\n' + markdown(['variant', 'lead time told', *labels], rows)

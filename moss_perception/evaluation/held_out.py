"""Figures of a checkpoint on the samples that its training held out, with those before it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from moss_perception.evaluation.comparison import log_losses
from moss_perception.evaluation.intervals import (
    draw,
    Interval,
    measure_interval,
    percentile_interval,
    wilson,
)
from moss_perception.evaluation.metrics import brier, Measure, Scored, value_of
from moss_perception.evaluation.scene_scores import chosen_success
from moss_perception.evaluation.small_counts import LEAST_ATTEMPTS
import numpy as np


@dataclass(frozen=True)
class Figure:
    """
    A figure of two checkpoints on the same samples.

    :ivar name: in words.
    :ivar before: of the checkpoint that the training began with; ``None`` if there is none.
    :ivar after: of the new one.
    :ivar change: paired difference, after minus before; ``None`` if it is not measured.
    """

    name: str
    before: Interval | None
    after: Interval
    change: Interval | None = None


def log_loss(sample: Scored, weights: np.ndarray) -> np.ndarray:
    """Compute mean negative log likelihoods in nats; see :data:`Measure`."""
    return weights @ log_losses(sample.scores, sample.labels) / weights.sum(axis=1)


def held_out_figures(before: np.ndarray | None, after: np.ndarray, labels: np.ndarray,
                     numbers: np.ndarray) -> list[Figure]:
    """
    Measure held-out scores; the intervals also hold for few samples.

    :param before: probabilities, shape ``(L,)``, of the checkpoint that the training began with.
    :param after: of the new checkpoint.
    :param labels: bool, shape ``(L,)``.
    :param numbers: which sample each label is of, ascending, shape ``(L,)``; samples are drawn
        for the intervals.
    """
    new = Scored.of(after, labels, numbers)
    old = None if before is None else Scored.of(before, labels, numbers)
    several = np.bincount(numbers, minlength=1)[numbers] > 1
    measures: dict[str, Callable[[Scored], Interval]] = {
        'AUROC': lambda sample: measure_interval('auroc', sample),
        'Brier score': lambda sample: _mean_interval(brier, sample),
        'log loss': lambda sample: _mean_interval(log_loss, sample)}
    if several.any():
        measures['success of the chosen grasp'] = lambda sample: _chosen(sample, several)
    changes = {'Brier score': brier, 'log loss': log_loss}
    return [Figure(name, None if old is None else measure(old), measure(new),
                   None if old is None or name not in changes
                   else _change(changes[name], old, new)) for name, measure in measures.items()]


def _mean_interval(measure: Measure, sample: Scored) -> Interval:
    value, why = value_of(measure, sample), _too_few(sample)
    if why:
        return Interval(value, why=why)
    return percentile_interval(value, draw(sample, {'it': measure})['it'],
                               count=len(np.unique(sample.episodes)))


def _change(measure: Measure, old: Scored, new: Scored) -> Interval:
    """Bound a paired difference: the same samples are drawn for both."""
    value, why = value_of(measure, new) - value_of(measure, old), _too_few(new)
    if why:
        return Interval(value, why=why)
    drawn = draw(new, {'it': measure})['it'] - draw(old, {'it': measure})['it']
    return percentile_interval(value, drawn, count=len(np.unique(new.episodes)))


def _too_few(sample: Scored) -> str:
    count = len(np.unique(sample.episodes))
    return '' if count >= LEAST_ATTEMPTS else (
        f'an interval needs at least {LEAST_ATTEMPTS} held-out samples')


def _chosen(sample: Scored, several: np.ndarray) -> Interval:
    outcomes = chosen_success(sample.scores[several], sample.labels[several],
                              sample.episodes[several])
    return wilson(int(outcomes.sum()), len(outcomes))


def undefined_reasons(figures: list[Figure]) -> Iterator[str]:
    """Say why figures or their intervals are missing, each reason once."""
    seen = set()
    for figure in figures:
        for one in (figure.after, figure.before, figure.change):
            if one is not None and one.why and one.why not in seen:
                seen.add(one.why)
                yield f'{figure.name}: {one.why}'

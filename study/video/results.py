"""The results of clips: accuracy with intervals by group, and paired comparisons."""

from collections.abc import Mapping, Sequence
from typing import Any

from moss_perception.core.tables import markdown
from moss_perception.evaluation.intervals import mean_interval, paired_test
import numpy as np

from study.video.models import BACKBONE, orders_of

FORMAT = 'moss_perception.video/1'
BLIND = 'most_frequent'
"""The baseline that answers without the video."""


def summarise(runs: Mapping[str, Sequence[Sequence[int]]], labels: Sequence[int],
              groups: Sequence[str], classes: Sequence[str],
              repeats: int = 9999) -> dict[str, Any]:
    """
    Summarise the answers to one task.

    :param runs: by variant, for each seed the answers to all questions, as indices of classes.
    :param labels: the true answers.
    :param groups: of the questions' clips.
    :param repeats: draws of each paired comparison.
    :returns: ``variants``, with accuracy, its 95 % interval over groups and its range over seeds,
        and recall by class; and ``pairs``, each variant against the backbone and against flow on
        the same questions and the seeds that both have.
    """
    truth, drawn = np.array(labels), np.array(groups)
    right = {name: np.array(answers) == truth for name, answers in runs.items()}
    variants = {}
    for name, one in right.items():
        mean = mean_interval(one.mean(axis=0), drawn)
        each = one.mean(axis=1)
        variants[name] = {
            'accuracy': mean.value, 'low': _number(mean.low), 'high': _number(mean.high),
            'seeds': len(one), 'least': float(each.min()), 'most': float(each.max()),
            'recall': {classes[n]: float(one[:, truth == n].mean()) for n in np.unique(truth)}}
    pairs = []
    for theirs in (BACKBONE, 'flow'):
        for ours in runs:
            if theirs not in runs or ours in (theirs, BLIND):
                continue
            seeds = min(len(right[ours]), len(right[theirs]))
            test = paired_test(right[ours][:seeds], right[theirs][:seeds], drawn,
                               repeats=repeats)
            pairs.append({'ours': ours, 'theirs': theirs, 'seeds': seeds,
                          **{key: _number(value) for key, value in test.items()}})
    return {'questions': len(labels), 'groups': len(set(groups)), 'classes': list(classes),
            'variants': variants, 'pairs': pairs}


def _number(value: float) -> float | None:
    """Return a number that JSON has."""
    return float(value) if np.isfinite(value) else None


def tables(result: Mapping[str, Any]) -> dict[str, str]:
    """Write a table for each task, in Markdown: accuracy, and the gain over backbone and flow."""
    found = {}
    for task, one in result['tasks'].items():
        found[task] = (
            f'{task}: {one["questions"]} questions about clips of {one["groups"]} groups; '
            f'{", ".join(one["classes"])}\n\n' + accuracies(one, 'group'))
    return found


def accuracies(one: Mapping[str, Any], drawn: str) -> str:
    """
    Write a table of all variants in Markdown: accuracy, and the gain over backbone and flow.

    :param one: as :func:`summarise` returns it.
    :param drawn: what intervals draw, in a word.
    """
    gains = gains_of(one)
    rows = [[name, orders_text(name), percent(values), str(values['seeds']),
             gain(gains.get((name, BACKBONE))), gain(gains.get((name, 'flow')))]
            for name, values in best_first(one)]
    return markdown(['variant', 'orders', f'accuracy, % [95 %, by {drawn}]', 'seeds',
                     f'over {BACKBONE}, points', 'over flow, points'], rows)


def best_first(one: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Sort the variants of a summary by their accuracy."""
    return sorted(one['variants'].items(), key=lambda item: -item[1]['accuracy'])


def gains_of(one: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Return the paired comparisons of a summary, by ours and theirs."""
    return {(pair['ours'], pair['theirs']): pair for pair in one['pairs']}


def orders_text(variant: str) -> str:
    """Write the orders of a variant; a dash for none."""
    return ', '.join(map(str, orders_of(variant))) or '-'


def percent(one: Mapping[str, Any]) -> str:
    """Write an accuracy with its interval."""
    text = f'{100 * one["accuracy"]:.1f}'
    if one['low'] is None:
        return text
    return f'{text} [{100 * one["low"]:.1f}, {100 * one["high"]:.1f}]'


def gain(pair: Mapping[str, Any] | None) -> str:
    """Write a paired difference with its interval and p; empty for none."""
    if pair is None:
        return ''
    text = f'{100 * pair["difference"]:+.1f}'
    if pair['low'] is None:
        return text
    return f'{text} [{100 * pair["low"]:+.1f}, {100 * pair["high"]:+.1f}], p = {pair["p"]:.3f}'

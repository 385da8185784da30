"""The results of clips: accuracy with intervals by group, and paired comparisons."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from moss_perception.core.tables import markdown
from moss_perception.evaluation.intervals import mean_interval, paired_test
import numpy as np

from study.video.goals import (
    GOAL_VARIANT,
    goals_table,
    NOT_BELOW_FLOW,
    OVER_BACKBONE,
    OVER_FINE_BACKBONE,
)
from study.video.models import (
    BACKBONE,
    displaces,
    FINE_BACKBONE,
    LOWER_ORDER,
    orders_of,
    parameters_of,
)
from study.video.tasks import CLAIMED

FORMAT = 'moss_perception.video/2'
BLIND = 'most_frequent'
"""The baseline that answers without the video."""

# Of a variant by seed: the answers to all questions, as indices of classes.
Answers = Mapping[int, Sequence[int]]


def summarise(runs: Mapping[str, Answers], labels: Sequence[int], groups: Sequence[str],
              classes: Sequence[str], repeats: int = 9999) -> dict[str, Any]:
    """
    Summarise the answers to one task.

    :param runs: by variant, for each of its seeds the answers to all questions.
    :param labels: the true answers.
    :param groups: of the questions' clips.
    :param repeats: draws of each paired comparison.
    :returns: ``variants``, with accuracy, its 95 % interval over groups and its range over seeds,
        recall by class, and number of trained weights; and ``pairs``, each variant against those
        of :func:`compared_with`, on the same questions and the seeds that both have.
    """
    truth, drawn = np.array(labels), np.array(groups)
    right = {name: {seed: np.array(one) == truth for seed, one in answers.items()}
             for name, answers in runs.items()}
    variants = {}
    for name, by_seed in right.items():
        one = np.stack(list(by_seed.values()))
        mean = mean_interval(one.mean(axis=0), drawn)
        each = one.mean(axis=1)
        variants[name] = {
            'accuracy': mean.value, 'low': _number(mean.low), 'high': _number(mean.high),
            'seeds': len(one), 'seed_numbers': sorted(by_seed), 'parameters': parameters_of(name),
            'least': float(each.min()), 'most': float(each.max()),
            'recall': {classes[n]: float(one[:, truth == n].mean()) for n in np.unique(truth)}}
    pairs = []
    for ours, theirs in ((one, other) for one in runs for other in compared_with(one)):
        seeds = sorted(right[ours].keys() & right.get(theirs, {}).keys())
        if seeds:
            one, other = (np.stack([right[name][seed] for seed in seeds])
                          for name in (ours, theirs))
            test = paired_test(one, other, drawn, repeats=repeats)
            pairs.append({'ours': ours, 'theirs': theirs, 'seeds': len(seeds),
                          **{key: _number(value) for key, value in test.items()}})
    return {'questions': len(labels), 'groups': len(set(groups)), 'classes': list(classes),
            'variants': variants, 'pairs': pairs}


def compared_with(variant: str) -> Iterator[str]:
    """
    Yield the variants that one is compared with.

    They are the backbone alone, flow, the same variant without its highest order, and of those
    that read displacements the backbone alone with maps as fine.
    """
    if variant != BLIND:
        yield from (one for one in (BACKBONE, 'flow') if one != variant)
    if displaces(variant):
        yield FINE_BACKBONE
    if variant in LOWER_ORDER:
        yield LOWER_ORDER[variant]


def _number(value: float) -> float | None:
    """Return a number that JSON has."""
    return float(value) if np.isfinite(value) else None


def tables(result: Mapping[str, Any]) -> dict[str, str]:
    """
    Write a stored result in Markdown.

    :returns: ``goals``; a table for each task, accuracy and the gain over backbone and flow; and
        ``orders``, what each order of self-similarity adds.
    """
    tasks = result['tasks']
    gains = {task: gains_of(one) for task, one in tasks.items()}
    found = {'goals': goals_table(
        (task, goal, gains[task].get((GOAL_VARIANT, goal.theirs)))
        for task in tasks if task in CLAIMED
        for goal in (OVER_BACKBONE, OVER_FINE_BACKBONE, NOT_BELOW_FLOW))}
    for task, one in tasks.items():
        found[task] = (
            f'{task}: {one["questions"]} questions about clips of {one["groups"]} groups; '
            f'{", ".join(one["classes"])}\n\n' + accuracies(one, 'group'))
    return found | {'orders': orders_table(tasks, 'group')}


def accuracies(one: Mapping[str, Any], drawn: str) -> str:
    """
    Write a table of all variants in Markdown: accuracy, and the gain over backbones and flow.

    :param one: as :func:`summarise` returns it.
    :param drawn: what intervals draw, in a word.
    """
    gains = gains_of(one)
    references = [name for name in (BACKBONE, FINE_BACKBONE, 'flow')
                  if name in (BACKBONE, 'flow') or name in one['variants']]
    rows = [[name, orders_text(name), percent(values), seeds_text(values),
             *(gain(gains.get((name, theirs))) for theirs in references),
             parameters_text(values)]
            for name, values in best_first(one)]
    return markdown(['variant', 'orders', f'accuracy, % [95 %, by {drawn}]',
                     'seeds: lowest to highest, %',
                     *(f'over {theirs}, points' for theirs in references), 'parameters'], rows)


def orders_table(parts: Mapping[str, Any], drawn: str) -> str:
    """
    Write in Markdown what each order adds to the orders below it.

    :param parts: by what is asked, as :func:`summarise` returns it.
    :param drawn: what intervals draw, in a word.
    """
    rows = []
    for what, one in parts.items():
        gains = gains_of(one)
        rows += [[what, ours, str(orders_of(ours)[-1]), theirs, str(pair['seeds']), gain(pair)]
                 for ours, theirs in LOWER_ORDER.items() if (pair := gains.get((ours, theirs)))]
    if not rows:
        return 'No variant was run with and without its highest order.'
    return markdown(['asked', 'variant', 'its highest order', 'without it', 'seeds',
                     f'gain, points [95 %, by {drawn}]'], rows)


def best_first(one: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Sort the variants of a summary by their accuracy."""
    return sorted(one['variants'].items(), key=lambda item: -item[1]['accuracy'])


def gains_of(one: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Return the paired comparisons of a summary, by ours and theirs."""
    return {(pair['ours'], pair['theirs']): pair for pair in one['pairs']}


def orders_text(variant: str) -> str:
    """Write the orders of a variant; a dash for none."""
    return ', '.join(map(str, orders_of(variant))) or '-'


def parameters_text(one: Mapping[str, Any]) -> str:
    """Write how many weights of a variant are trained, in thousands; a dash for none."""
    return f'{one["parameters"] / 1e3:.0f} k' if one['parameters'] else '-'


def seeds_text(one: Mapping[str, Any]) -> str:
    """Write the number of a variant's seeds, and the range of their accuracies."""
    if one['seeds'] == 1:
        return '1'
    return f'{one["seeds"]}: {100 * one["least"]:.1f} to {100 * one["most"]:.1f}'


def percent(one: Mapping[str, Any]) -> str:
    """Write an accuracy with its interval."""
    text = f'{100 * one["accuracy"]:.1f}'
    if one['low'] is None:
        return text
    return f'{text} [{100 * one["low"]:.1f}, {100 * one["high"]:.1f}]'


def gain(pair: Mapping[str, Any] | None, p: bool = True) -> str:
    """
    Write a paired difference with its interval; empty for none.

    :param p: whether to write p too.
    """
    if pair is None:
        return ''
    text = f'{100 * pair["difference"]:+.1f}'
    if pair['low'] is None:
        return text
    text += f' [{100 * pair["low"]:+.1f}, {100 * pair["high"]:+.1f}]'
    return f'{text}, p = {pair["p"]:.3f}' if p else text

"""The results of questions: accuracy by kind of question and phrasing, and as tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from moss_perception.core.tables import markdown

from study.questions.asking import Footage, Item
from study.questions.training import most_frequent, PHRASINGS
from study.questions.wording import ANSWERS, KINDS
from study.video.goals import GOAL_VARIANT, goals_table, OVER_BACKBONE, OVER_FINE_BACKBONE
from study.video.models import BACKBONE
from study.video.results import (
    accuracies,
    best_first,
    BLIND,
    gain,
    gains_of,
    orders_table,
    orders_text,
    percent,
    summarise,
)

FORMAT = 'moss_perception.questions/2'
MOTION = ('velocity', 'acceleration', 'recurrence')
"""What questions about motion are about."""
# Draws of each paired comparison of a kind; that of all questions has more.
_REPEATS = 999

# By variant and seed, the answers by phrasing.
Answers = Mapping[str, Mapping[int, Mapping[str, Sequence[int]]]]


def summarise_set(items: Sequence[Item], footage: Sequence[Footage],
                  answers: Answers) -> dict[str, dict[str, Any]]:
    """
    Summarise the answers to the questions of a set.

    :returns: by phrasing and by kind of question what
        :func:`study.video.results.summarise` returns; besides the kinds, ``all`` and ``motion``,
        and for held-out phrasings what they are about.
    """
    return {phrasing: {
        name: _subset([n for n, item in enumerate(items) if item.kind in kinds], items, footage,
                      {variant: {seed: one[phrasing] for seed, one in seeds.items()}
                       for variant, seeds in answers.items()},
                      9999 if name in ('all', 'motion') else _REPEATS)
        for name, kinds in _subsets({item.kind for item in items}, phrasing == 'held_out').items()}
        for phrasing in PHRASINGS}


def _subsets(asked: set[str], closely: bool) -> dict[str, list[str]]:
    kinds = [kind for kind in KINDS if kind in asked]
    found = {'all': kinds, 'motion': [kind for kind in kinds if KINDS[kind].about in MOTION]}
    if closely:
        found |= {about: [kind for kind in kinds if KINDS[kind].about == about]
                  for about in MOTION}
        found |= {kind: [kind] for kind in kinds}
    return {name: some for name, some in found.items() if some}


def _subset(chosen: Sequence[int], items: Sequence[Item], footage: Sequence[Footage],
            answers: Mapping[str, Mapping[int, Sequence[int]]], repeats: int) -> dict[str, Any]:
    runs = {BLIND: {0: [most_frequent(items[n]) for n in chosen]},
            **{variant: {seed: [one[n] for n in chosen] for seed, one in seeds.items()}
               for variant, seeds in answers.items()}}
    return summarise(runs, [items[n].label for n in chosen],
                     [footage[items[n].parts[0][0]].group for n in chosen], ANSWERS, repeats)


def tables(result: Mapping[str, Any]) -> dict[str, str]:
    """
    Write a stored result as Markdown.

    :returns: by name: ``goals``; ``answers``, accuracy on questions about motion; ``orders``,
        what each order of self-similarity adds; ``kinds``, by kind of question; ``phrasings``;
        and ``video``, answers about real clips, if there are any.
    """
    sets = motion_sets(result)
    found = {'goals': _goals(sets), 'answers': _answers(sets), 'orders': _orders(sets),
             'kinds': _kinds(sets), 'phrasings': _phrasings(sets)}
    if 'video' in result['sets']:
        found['video'] = _video(result['sets']['video'], motion_sets(result))
    return found


def motion_sets(result: Mapping[str, Any]) -> dict[str, Any]:
    """Return the sets of a stored result that were asked about motion."""
    return {name: one for name, one in result['sets'].items() if 'motion' in one['held_out']}


def _goals(sets: Mapping[str, Any]) -> str:
    return goals_table((name, goal, gains_of(one['held_out']['motion']).get(
        (GOAL_VARIANT, goal.theirs))) for name, one in sets.items()
        for goal in (OVER_BACKBONE, OVER_FINE_BACKBONE))


def _orders(sets: Mapping[str, Any]) -> str:
    return orders_table({f'{name}, {about}': one['held_out'][about] for name, one in sets.items()
                         for about in ('motion', *MOTION) if about in one['held_out']}, 'scene')


def _answers(sets: Mapping[str, Any]) -> str:
    parts = []
    for name, one in sets.items():
        found = one['held_out']['motion']
        parts.append(
            f'{name}: {found["questions"]} questions about motion, in held-out phrasings, on '
            f'{one["scenes"]} scenes of {", ".join(one["families"])}.\n\n'
            + accuracies(found, 'scene'))
    return '\n\n'.join(parts)


def _kinds(sets: Mapping[str, Any]) -> str:
    parts = []
    for name, one in sets.items():
        found = {kind: part for kind, part in one['held_out'].items() if kind != 'all'}
        gains = {kind: gains_of(part) for kind, part in found.items()}
        variants = [variant for variant, _ in best_first(found['motion'])]
        others = [variant for variant in variants
                  if any((variant, BACKBONE) in some for some in gains.values())]
        heads = [[kind, KINDS[kind].about if kind in KINDS else '', str(part['questions'])]
                 for kind, part in found.items()]
        parts += [
            f'{name}: accuracy in % [95 %, by scene], by what is asked.\n\n' + markdown(
                ['asked', 'about', 'questions', *variants],
                [[*head, *(percent(found[head[0]]['variants'][variant]) for variant in variants)]
                 for head in heads]),
            f'{name}: gain over {BACKBONE} in points [95 %, by scene], by what is asked.\n\n'
            + markdown(['asked', 'about', 'questions', *others],
                       [[*head, *(gain(gains[head[0]].get((variant, BACKBONE)), p=False)
                                  for variant in others)] for head in heads])]
    return '\n\n'.join(parts)


def _phrasings(sets: Mapping[str, Any]) -> str:
    rows = [[name, variant, *(percent(one[phrasing]['motion']['variants'][variant])
                              for phrasing in PHRASINGS)]
            for name, one in sets.items() for variant, _ in best_first(one['held_out']['motion'])]
    return ('Accuracy in % on questions about motion [95 %, by scene].\n\n'
            + markdown(['set', 'variant', 'held-out phrasings', 'known phrasings'], rows))


def _video(one: Mapping[str, Any], simulated: Mapping[str, Any]) -> str:
    # The same questions about simulated scenes tell what can be expected of them at all.
    beside, *_ = simulated
    known = simulated[beside]['held_out']
    kinds = [kind for kind in one['held_out'] if kind in KINDS]
    first = one['held_out'][kinds[0]]
    gains = {kind: gains_of(one['held_out'][kind]) for kind in kinds}
    rows = [[variant, orders_text(variant), *(text for kind in kinds for text in (
        percent(one['held_out'][kind]['variants'][variant]),
        percent(known[kind]['variants'][variant]) if kind in known else '-',
        gain(gains[kind].get((variant, BACKBONE)))))] for variant, _ in best_first(first)]
    counts = ', '.join(f'{one["held_out"][kind]["questions"]} of {kind}' for kind in kinds)
    return (f'{one["scenes"]} real clips of {first["groups"]} groups; questions: {counts}. '
            'Accuracy in % [95 %, by group]; no real clip was trained on. Beside it that on '
            f'{beside}.\n\n' + markdown(
                ['variant', 'orders', *(head for kind in kinds for head in (
                    kind, f'{kind}, {beside}', f'{kind}, over {BACKBONE}, points'))], rows))

"""Which samples a training holds out: every tenth, whole groups, or whole sets."""

from collections.abc import Sequence
import logging

from moss_perception.core.errors import ConfigError
from moss_perception.data.schema import Sample
import numpy as np

_SHARE = 0.1
_LOG = logging.getLogger('train')


def held_out(samples: Sequence[Sample], group: str = '') -> np.ndarray:
    """
    Choose the samples to hold out; all samples of a scene are held out together.

    :param samples: with at least one labelled candidate each.
    :param group: name of a group, such as ``day``: whole groups are held out, about a tenth of
        the samples that have one, and at least one group. All samples without this group are
        trained on. Empty: every tenth scene, or sample without a seed, is held out.
    :returns: bool, shape ``(N,)``.
    :raises ConfigError: if no sample has this group, or all have the same one.
    """
    scenes = scene_numbers(samples)
    if not group:
        return scenes % 10 == 0
    members: dict[str, list[int]] = {}
    for number, sample in enumerate(samples):
        if group in sample.groups:
            members.setdefault(str(sample.groups[group]), []).append(number)
    _check(samples, group, members)
    chosen = _choose(samples, members)
    mask = np.zeros(len(samples), bool)
    for value in chosen:
        mask[members[value]] = True
    _LOG.info('held out by %s: %s, %d of the %d samples with it', group,
              ', '.join(chosen[:5]) + (f' and {len(chosen) - 5} more' if len(chosen) > 5 else ''),
              mask.sum(), sum(map(len, members.values())))
    return np.isin(scenes, scenes[mask])


def scene_numbers(samples: Sequence[Sample]) -> np.ndarray:
    """
    Number the scenes that samples show, in their order: int, shape ``(N,)``.

    A seed has the same object and kind of motion in every domain, so samples of one cell, split
    and seed show one scene. A sample without a seed is a scene of its own.
    """
    known: dict[tuple, int] = {}
    return np.array([known.setdefault(_scene_of(sample) or (number,), len(known))
                     for number, sample in enumerate(samples)], int)


def _scene_of(sample: Sample) -> tuple:
    return () if sample.seed is None else (sample.cell, sample.split, sample.seed)


def check_apart(samples: Sequence[Sample], held: Sequence[bool]) -> None:
    """
    Check the samples of sets that are held out as a whole.

    :param samples: with at least one labelled candidate each.
    :param held: whether each is of such a set; nothing is checked if none is.
    :raises ConfigError: if one is in another set, too, or its scene is, in another domain.
    """
    chosen = [sample for sample, out in zip(samples, held, strict=True) if out]
    if not chosen:
        return
    known = {_identity(sample) for sample, out in zip(samples, held, strict=True) if not out}
    twice = [sample.title for sample in chosen if _identity(sample) in known]
    if twice:
        raise ConfigError(f'{len(twice)} samples of --hold-out are in --data too, such as '
                          f'{twice[0]}: expected other recordings')
    scenes = {_scene_of(sample) for sample, out in zip(samples, held, strict=True) if not out}
    twins = [sample.title for sample in chosen if _scene_of(sample) in scenes - {()}]
    if twins:
        raise ConfigError(f'{len(twins)} scenes of --hold-out have the seed of one in --data, '
                          f'such as {twins[0]}: expected other seeds, since a seed has the same '
                          'object and kind of motion in every domain')
    if len(_outcomes(chosen)) < 2:
        _LOG.warning('the samples of --hold-out have only successes or only failures')


def _identity(sample: Sample) -> tuple:
    return sample.jpegs[-1], sample.candidates.tobytes(), sample.labels.tobytes()


def split(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Split samples into those to train on, and those of every tenth scene."""
    mask = held_out(samples)
    return ([sample for sample, held in zip(samples, mask, strict=True) if not held],
            [sample for sample, held in zip(samples, mask, strict=True) if held])


def _check(samples: Sequence[Sample], group: str, members: dict[str, list[int]]) -> None:
    if not members:
        known = sorted({name for sample in samples for name in sample.groups})
        raise ConfigError(f'no sample has the group {group!r}: expected --hold-out-by '
                          + (f'one of {", ".join(known)}' if known else 'left out: the samples '
                             'have no groups'))
    if len(members) == 1:
        value, = members
        raise ConfigError(f'all samples with the group {group!r} have {value!r}: expected at '
                          'least two groups to hold out one')
    single = sum(len(numbers) == 1 for numbers in members.values())
    if single:
        _LOG.warning('%d of %d groups by %s have one sample only%s', single, len(members), group,
                     ': holding them out tells no more than holding out single samples'
                     if single == len(members) else '')


def _choose(samples: Sequence[Sample], members: dict[str, list[int]]) -> list[str]:
    """
    Choose groups until about a tenth is held out.

    Groups whose removal leaves both outcomes to train on come first, and of these the groups with
    both outcomes.
    """
    names = sorted(members)
    order = [names[n] for n in np.random.default_rng(0).permutation(len(names))]
    grouped = {number for numbers in members.values() for number in numbers}
    others = _outcomes([x for n, x in enumerate(samples) if n not in grouped])
    of = {name: _outcomes([samples[n] for n in members[name]]) for name in names}
    wanted, chosen, count = _SHARE * len(grouped), [], 0

    def leaves_both(name: str) -> bool:
        return len(others.union(*(of[x] for x in names if x not in (*chosen, name)))) == 2
    # Without both outcomes, the held-out figures can hardly be computed.
    trainable = [name for name in order if leaves_both(name)]
    pool = [name for name in trainable if len(of[name]) == 2] or trainable or order
    while pool and len(chosen) < len(order) - 1:
        best = min(pool, key=lambda name: abs(count + len(members[name]) - wanted))
        if chosen and abs(count + len(members[best]) - wanted) >= abs(count - wanted):
            break
        chosen.append(best)
        count += len(members[best])
        pool = [name for name in order if name not in chosen and leaves_both(name)]
    if len(set().union(*(of[name] for name in chosen))) < 2:
        _LOG.warning('the held-out groups have only successes or only failures')
    return sorted(chosen)


def _outcomes(samples: Sequence[Sample]) -> set[bool]:
    return {bool(label > 0.5) for sample in samples for label in sample.labels[sample.labelled]}

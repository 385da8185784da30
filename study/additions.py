"""What a part of a variant adds: pairs of variants that differ in this part alone."""

from typing import Any

from moss_perception.core.tables import markdown

from study.goals import difference
from study.texts import in_points

# Kinds of motion of the tables: all, and those of belts that run.
_KINDS = ('all', 'constant', 'accelerating', 'braking', 'oscillating', 'stop_and_go')
# By what is added, the variants with and without it. Time inputs are told by the variants' names.
_PAIRS = {
    'orders': [(f'displacement_{more}{end}', f'displacement_{fewer}{end}')
               for end in ('_time', '') for more, fewer in (('12', '1'), ('123', '12'))],
    'a second read-out': [(f'both_12{end}', f'{one}_12{end}')
                          for end in ('_time', '') for one in ('displacement', 'moss')],
    'MOSS on flow': [('moss_flow_time', 'flow_time'), ('moss_flow', 'flow')],
    'history': [('displacement_12_history_time', 'displacement_12_time'),
                ('flow_history_time', 'flow_read_time')],
    'longer training': [('history_twice_as_long', 'history')],
}
ADDITIONS = ('time inputs', *_PAIRS)


def addition_table(result: dict[str, Any], what: str) -> str:
    """
    Write what a part adds, over all motions and over those that it is made for.

    :param result: a stored comparison.
    :param what: one of ``ADDITIONS``.
    :returns: a titled table; empty if no pair of variants was compared.
    """
    pairs = _PAIRS.get(what) or [(f'{one}_time', one) for one in result['costs']]
    rows = []
    for ours, theirs in pairs:
        for kind in _KINDS:
            gaps = [difference(result, ours, theirs, name, kind)
                    for name in result['sets']]
            if any(gaps):
                seeds = next(gap for gap in gaps if gap)['seeds']
                rows.append([ours, theirs, ','.join(map(str, seeds)), kind,
                             *(in_points(gap) if gap else '-' for gap in gaps)])
    if not rows:
        return ''
    return (f'What is added: {what}. Success of a variant minus its success without, points, on '
            'the same scenes and seeds [95 % interval, paired bootstrap over scenes].\n\n'
            ) + markdown(['variant', 'without', 'seeds', 'motion', *result['sets']], rows)

"""The model card that ``moss train`` writes beside a checkpoint."""

from collections import Counter
from collections.abc import Sequence
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from moss_perception.cli.common import write_text
from moss_perception.core.errors import CheckpointError
from moss_perception.core.tables import markdown
from moss_perception.data.schema import Sample
from moss_perception.models.manifest import read_header
import numpy as np

if TYPE_CHECKING:
    from moss_perception.evaluation.held_out import Figure
    from moss_perception.evaluation.intervals import Interval
    from moss_perception.training.results import Results

# More values of a group are counted, not named.
_NAMED = 12


def card_path(out: Path) -> Path:
    """Return the file of a checkpoint's model card."""
    return out.with_suffix('.md')


def refuse_existing_card(out: Path) -> None:
    """
    Refuse a checkpoint's name if a model card would be overwritten.

    :raises CheckpointError: naming the card.
    """
    if card_path(out).exists():
        raise CheckpointError(f'{card_path(out)} is there already, and is never overwritten: '
                              'expected another name for the checkpoint')


def write_card(results: 'Results') -> None:
    """
    Write the model card of a training.

    :raises MossError: if it can't be written.
    """
    parts = _figures(results)
    path = card_path(results.out)
    write_text(path, '\n\n'.join(_sections(results, parts)) + '\n')
    log = logging.getLogger('train')
    for name, count, figures in parts:
        log.info('held out, %d samples%s: %s', count, f' of {name}' if name else '',
                 '; '.join(map(_in_words, figures)))
    log.info('its model card is %s', path.name)


def _figures(results: 'Results') -> list[tuple[str, int, list['Figure']]]:
    """Measure the held-out samples of each set by themselves: name, number, figures."""
    from moss_perception.evaluation.held_out import held_out_figures
    parts, owner = [], np.array(results.names)
    for name in dict.fromkeys(results.names):
        chosen = owner[results.numbers] == name
        before = None if results.before is None else results.before[chosen]
        parts.append((name, int((owner == name).sum()), held_out_figures(
            before, results.after[chosen], results.labels[chosen], results.numbers[chosen])))
    return parts


def _in_words(figure: 'Figure') -> str:
    before = f'{_interval(figure.before)} -> ' if figure.before is not None else ''
    return f'{figure.name} {before}{_interval(figure.after)}'


def _sections(results: 'Results', parts: list[tuple[str, int, list['Figure']]]) -> list[str]:
    notes, samples = results.notes, [*results.used, *results.held_out]
    initial = notes.get('initial')
    rows = [['checkpoint', f'`{results.out.name}`'], ['SHA-256', f'`{results.digest}`'],
            ['began with', f'`{initial}` (SHA-256)' if initial else 'random weights'],
            ['temperature', f'{results.temperature:.3f}'],
            ['threshold of scores', f'{results.threshold:.2f}, of highest balanced accuracy: '
             '`min_score` of `grasp_gate`'],
            ['out of distribution', 'fitted to the images of this training' if results.has_ood
             else 'not known: the checkpoint has no statistics of its training'],
            ['gripper', f'opens {2 * read_header(results.out)[0].gripper_half_width_m:g} m: the '
             'network sees grasps in units of it']]
    if without := notes.get('without_lead_time'):
        rows.append(['lead times', f'{without} of {len(samples)} samples know none: they were '
                     'taken at the default of the checkpoint that the training began with'])
    tables = [text for name, count, figures in parts
              for text in _figure_section(name, count, figures)]
    return [
        f'# Model card: {results.out.stem}', markdown(('', ''), rows),
        '## Data', markdown(('set', 'samples', 'drawn in an epoch'), _set_rows(notes)),
        markdown(('', 'trained on', 'held out'), _data_rows(results)),
        *_group_section(samples, results.held_out),
        '## How good it is', _how_measured(results), *tables,
        '## Recipe', markdown(('option', 'value'), sorted(
            [name, str(value)] for name, value in notes['recipe'].items()))]


def _how_measured(results: 'Results') -> str:
    by, seen = results.notes.get('held_out_by'), results.notes.get('held_out_seen_before')
    apart = [one['name'] for one in results.notes.get('sets', ()) if one['held_out']]
    held = ('all of ' + ', '.join(apart) if apart else f'whole groups by {by}' if by
            else 'every tenth')
    text = (f'Measured on the samples that were held out: {held}. Intervals are 95 %. '
            'Temperature and threshold were fitted to the same samples.')
    if not (by or apart):
        text += (' Samples of one day or recording resemble each other, so on another day the '
                 'figures can be worse: hold out by a group to see it.')
    if results.before is not None:
        text += ' *Before* is the checkpoint that the training began with.'
    if seen:
        text += (f' It was trained on {seen} of the {len(results.held_out)} samples, so these '
                 'flatter it, and the new one too.')
    return text


def _figure_section(name: str, count: int, figures: list['Figure']) -> list[str]:
    from moss_perception.evaluation.held_out import undefined_reasons
    return [f'{count} held-out samples' + (f' of the set `{name}`:' if name else ':'),
            markdown(('', 'before', 'after', 'change'), [
                [figure.name, *map(_interval, (figure.before, figure.after, figure.change))]
                for figure in figures]),
            *(f'- {reason}' for reason in undefined_reasons(figures))]


def _set_rows(notes: dict) -> list[list[str]]:
    """Describe the sets that are mixed."""
    rows = []
    for one in notes.get('sets', ()):
        weight, often = one['weight'], 'each once'
        if one['held_out']:
            often = 'none: all are held out'
        elif weight > 1:
            often = f'each {weight:g} times'
        elif weight < 1:
            often = f'{100 * weight:g} % of them, in turns'
        rows.append([one['name'], str(one['count']), often])
    return rows


def _data_rows(results: 'Results') -> list[list[str]]:
    from moss_perception.training.selection import count_calibrations
    parts = (results.used, results.held_out)
    counts = [[len(part), sum(int(s.labelled.sum()) for s in part),
               sum(int(s.labels[s.labelled].sum()) for s in part),
               count_calibrations(part),
               ', '.join(f'{name or "not named"} {count}' for name, count in sorted(
                   Counter(s.domain for s in part).items()))] for part in parts]
    names = ('samples', 'labelled grasps', 'successes', 'calibrations', 'domains')
    return [[name, *map(str, values)] for name, *values in zip(names, *counts, strict=True)]


def _group_section(samples: Sequence[Sample], held_out: Sequence[Sample]) -> list[str]:
    names = sorted({name for sample in samples for name in sample.groups})
    if not names:
        return []
    rows = []
    for name in names:
        every, held = (Counter(str(s.groups[name]) for s in part if name in s.groups)
                       for part in (samples, held_out))
        shown = ', '.join(f'{value} {count}' for value, count in sorted(every.items())[:_NAMED])
        more = f' and {len(every) - _NAMED} more' if len(every) > _NAMED else ''
        rows.append([name, shown + more, ', '.join(
            f'{value} {count}' for value, count in sorted(held.items())[:_NAMED])])
    return [markdown(('group', 'samples', 'of them held out'), rows)]


def _interval(one: 'Interval | None') -> str:
    if one is None:
        return '-'
    if not one.defined:
        return 'undefined'
    bounds = f' [{one.low:.3f}, {one.high:.3f}]' if one.low == one.low else ''
    return f'{one.value:.3f}{bounds}'

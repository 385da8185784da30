"""The terminal view: the state in 80 columns, with sparklines; works over SSH."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
import math
from typing import Any, TextIO

from moss_perception.ros.monitor.state import PRESENT, SystemState
from moss_perception.ros.monitor.words import no_scores
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

WIDTH = 80
_SPARKS = '▁▂▃▄▅▆▇█'
_STYLES = {'ok': 'green', 'warn': 'yellow', 'error': 'bold red', 'stale': 'bright_black'}
_CANDIDATES, _EVENTS, _ATTEMPTS = 9, 5, 5


def sparkline(times: Sequence[float], values: Sequence[float | None], now_s: float,
              width: int, span_s: float = 60.0) -> str:
    """
    Draw values in [0, 1] over time: the highest of each column, a space where there is none.

    :param times: seconds, of the same clock as ``now_s``.
    :param width: number of columns.
    :param span_s: time that they cover, seconds.
    """
    highest: list[float | None] = [None] * width
    for when, value in zip(times, values, strict=True):
        column = math.floor((span_s - now_s + when) * width / span_s)
        if value is not None and 0 <= column < width:
            highest[column] = max(value, highest[column] or 0.0)
    return ''.join(' ' if value is None else _SPARKS[
        min(len(_SPARKS) - 1, int(max(0.0, value) * len(_SPARKS)))] for value in highest)


def screen(state: SystemState) -> Group:
    """Lay out the state; texts of others are shown as they are, without markup."""
    snapshot, history = state.snapshot(), state.history()
    present = snapshot['phase'] == PRESENT
    word = snapshot['level'] if present else snapshot['phase']
    # All is well only while scores come.
    rests = snapshot['level'] == 'ok' and (snapshot['paused'] or snapshot['old'])
    style = _STYLES['stale' if rests else snapshot['level']]
    head = Text.assemble((f'{word.upper()}  ', style), snapshot['message'])
    parts: list[Any] = [Panel(head, title=Text(snapshot['predictor']), width=WIDTH,
                              title_align='left', border_style=style)]
    if snapshot['state']:
        parts += [_scores(snapshot, history), _facts(snapshot), _lists(snapshot)]
    return Group(*parts)


def _scores(snapshot: dict[str, Any], history: dict[str, list[Any]]) -> Table:
    table = Table.grid(padding=(0, 1))
    now_s, width = snapshot['now'], 50
    listed = [score if is_listed else None for score, is_listed in zip(
        history['score'], history['listed'], strict=True)]
    for name, values, shown in (
            ('best score', listed, _best(snapshot)),
            ('uncertainty x2', [None if x is None else 2 * x for x in history['uncertainty']],
             _selected(snapshot))):
        table.add_row(Text(name, 'bright_black'),
                      Text(sparkline(history['time'], values, now_s, width), 'cyan'),
                      Text(shown))
    return table


def _best(snapshot: dict[str, Any]) -> str:
    best = snapshot['best']
    if snapshot['old']:
        return '-'
    if best is None and snapshot['none_scored']:
        return f'none of {len(snapshot["candidates"])}'
    if best is None:
        return f'default {_two(snapshot["default"].get("score"))}'
    return f'{best}: {_two(snapshot["candidates"][best]["score"])}'


def _selected(snapshot: dict[str, Any]) -> str:
    return snapshot['gate'] if snapshot['old'] or snapshot['selected'] is None else (
        f'selected {snapshot["selected"]}')


def _two(value: float | None) -> str:
    return '-' if value is None else f'{value:.2f}'


def _facts(snapshot: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    ood, attempts, window = snapshot['ood'], snapshot['attempts'], snapshot['window']
    budget, counts = snapshot['budget'], snapshot['counts']
    light = Text('not known', 'bright_black') if ood['score'] is None else Text(
        f'{"OUT" if ood["out"] else "in"} of distribution, {ood["score"]:.2f}' if ood['out']
        else f'in distribution, {ood["score"]:.2f}', 'bold red' if ood['out'] else 'green')
    one = snapshot['checkpoint']
    rows: list[tuple[str, Any, str, Any]] = [
        ('images', light, 'attempts',
         f'{attempts["succeeded"]} of {attempts["executed"]} held' if attempts['count'] else '-'),
        ('window', '-' if window is None else f'{window[0]} of {window[1]}', 'rate',
         f'{_one(snapshot["rate_hz"])} images, {_one(snapshot["score_rate_hz"])} scores / s'),
        ('inference', _percentiles(snapshot, 'inference'), 'age', _percentiles(snapshot, 'age')),
        ('decoding', _percentiles(snapshot, 'decode'), 'budget',
         budget['level'] + ('' if budget['level'] == budget['target']
                            else f' (target {budget["target"]})')),
        ('resets', _counts(snapshot['resets']), 'refused', _counts(snapshot['refused'])),
        ('dropped', f'{counts["dropped"]}, missing {counts["missing"]}', 'recorder',
         snapshot['recorder'] or '-'),
        ('checkpoint', f'{one["model"]} {one["sha256"][:12]}', 'engine',
         f'{one["engine"]} on {one["device"]}')]
    for name, value, other, more in rows:
        table.add_row(Text(name, 'bright_black'), _fitted(value, 26),
                      Text(other, 'bright_black'), _fitted(more, 28))
    return table


def _fitted(value: Any, width: int) -> Text:
    text = value if isinstance(value, Text) else Text(str(value))
    text.truncate(width, overflow='ellipsis')
    return text


def _one(value: float | None) -> str:
    return '-' if value is None else f'{value:.1f}'


def _percentiles(snapshot: dict[str, Any], name: str) -> str:
    middle, high = snapshot['latency_ms'][name]
    return '-' if middle is None else f'p50 {middle:.1f}, p95 {_one(high)} ms'


def _counts(found: dict[str, int]) -> str:
    return ', '.join(f'{count} {name.replace("_", " ")}' for name, count in found.items()) or '0'


def _lists(snapshot: dict[str, Any]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=30)
    table.add_column(width=WIDTH - 32)
    table.add_row(Text('candidates', 'bright_black'), Text('attempts and events', 'bright_black'))
    table.add_row(_candidates(snapshot), _happened(snapshot))
    return table


def _candidates(snapshot: dict[str, Any]) -> Text:
    if snapshot['old']:
        return Text(no_scores(snapshot), 'yellow')
    limit = snapshot['threshold'] or 0.5
    order = sorted(snapshot['candidates'], key=lambda row: -(row['score'] or -1.0))
    lines = [Text('none', 'bright_black')] if not order else []
    for row in order[:_CANDIDATES]:
        score = row['score']
        marks = ['best'] * (row['index'] == snapshot['best']) + ['selected'] * (
            row['index'] == snapshot['selected'])
        line = f'{row["index"]:2d} ' + (row['reason'] if score is None else (
            f'{score:.2f} ±{_two(row["uncertainty"])} ' + '█' * round(8 * score) + ' '
            + ', '.join(marks)))
        style = 'bright_black' if score is None else (
            'bold blue' if 'selected' in marks else 'green' if score >= limit else 'dark_orange')
        text = Text(line, style)
        text.truncate(30, overflow='ellipsis')
        lines.append(text)
    if len(order) > _CANDIDATES:
        lines.append(Text(f'and {len(order) - _CANDIDATES} more', 'bright_black'))
    return Text('\n').join(lines)


def _happened(snapshot: dict[str, Any]) -> Text:
    now_s, lines = snapshot['now'], []
    for one in snapshot['attempts']['last'][-_ATTEMPTS:]:
        became, style = ('held', 'green') if one['success'] else ('failed', 'dark_orange')
        if not one['executed']:
            became, style = 'not executed', 'bright_black'
        lines.append(Text(f'attempt {one["attempt"]}: {became}, score {_two(one["score"])} '
                          f'{one["object"]} {one["motion"]}', style))
    for one in snapshot['events'][-_EVENTS:]:
        lines.append(Text(f'{now_s - one["time"]:4.0f} s ago  {one["text"]}'))
    for line in lines:
        line.truncate(WIDTH - 32, overflow='ellipsis')
    return Text('\n').join(lines)


def print_screen(state: SystemState, file: TextIO) -> None:
    """Print the state once; without colours if the file is no terminal."""
    Console(file=file, width=WIDTH, highlight=False).print(screen(state))


@contextmanager
def live(state: SystemState) -> Iterator[Callable[[], None]]:
    """Show the state full screen; yields a function that shows it anew."""
    console = Console(highlight=False)
    console.size = (min(WIDTH, console.width), console.height)
    with Live(screen(state), console=console, screen=True, auto_refresh=False) as shown:
        yield lambda: shown.update(screen(state), refresh=True)

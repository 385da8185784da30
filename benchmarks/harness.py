"""What every benchmark shares: its arguments, the machine, targets, tables and the JSON line."""

import argparse
import contextlib
from datetime import datetime, timezone
import importlib.metadata
import json
import os
from pathlib import Path
import platform
from typing import Any

import checkout  # noqa: F401 (makes moss_perception importable)
from moss_perception.cli.common import cpu_name, write_text
from moss_perception.core.tables import markdown

PACKAGES = ('torch', 'onnxruntime', 'numpy', 'vit-pytorch', 'transformers', 'monai')


def parse_arguments(description: str, *more: tuple[str, dict]) -> argparse.Namespace:
    """
    Read the arguments that every benchmark takes.

    :param description: first line of ``--help``.
    :param more: further arguments, name and what ``add_argument`` takes.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument('--quick', action='store_true',
                        help='few and small measurements: shows that it runs, no more')
    parser.add_argument('--out', type=Path, help='also write the JSON line into this file')
    parser.add_argument('--model', default='', metavar='FILE',
                        help='checkpoint of the predictor, instead of the one of the package')
    parser.add_argument('--threads', type=int, default=2, help='threads of every engine')
    for name, options in more:
        parser.add_argument(name, **options)
    return parser.parse_args()


def versions() -> dict[str, str]:
    """Return the version of each package that figures depend on, where it is installed."""
    found = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def machine(threads: int) -> dict[str, Any]:
    """Describe the machine, and how busy it was before the measurement began."""
    pages = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    return {'cpu': cpu_name(), 'cores': os.cpu_count(), 'ram_gib': round(pages / 2 ** 30, 1),
            'threads': threads, 'python': platform.python_version(), **versions(),
            'load_before': round(os.getloadavg()[0], 2)}


class Report:
    """
    Collects what a benchmark found, and ends it in one JSON line.

    :param name: the benchmark's name.
    :param arguments: from :func:`parse_arguments`.
    :param seeds: of everything that is drawn at random.
    """

    def __init__(self, name: str, arguments: argparse.Namespace, seeds: list[int]):
        self.out: Path | None = arguments.out
        self.content: dict[str, Any] = {
            'benchmark': name,
            'date': datetime.now(timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
            'quick': arguments.quick,
            'machine': machine(arguments.threads),
            'seeds': seeds,
            'targets': [],
            'tables': {},
            'curves': {},
        }

    def target(self, name: str, value: float | None, bound: str, target: float,
               unit: str, note: str = '') -> None:
        """
        Hold a value against its target.

        :param name: what was measured, in words.
        :param value: what was found; ``None`` if it could not be measured: ``note`` says why.
        :param bound: ``at least`` or ``at most``.
        :param target: where the bound lies.
        :param unit: of value and target, such as ``x`` or ``ms``.
        :param note: what has to be known beside it.
        """
        met = None
        if value is not None:
            met = bool(value >= target if bound == 'at least' else value <= target)
        self.content['targets'].append({
            'name': name, 'value': rounded(value), 'bound': bound, 'target': target,
            'unit': unit, 'met': met, 'note': note})

    def table(self, name: str, rows: list[dict[str, Any]], note: str = '') -> None:
        """
        Keep and print a table.

        :param name: its key in the JSON, and its title.
        :param rows: one dictionary a row, in the columns' order.
        :param note: a line below it.
        """
        rows = [{key: rounded(value) for key, value in row.items()} for row in rows]
        self.content['tables'][name] = {'rows': rows, 'note': note}
        print(f'\n{name}\n' + format_table(rows) + (f'\n{note}' if note else ''), flush=True)

    def curve(self, plot: str, label: str, x: list[float], y: list[float]) -> None:
        """Keep one curve of a plot."""
        self.content['curves'].setdefault(plot, []).append(
            {'label': label, 'x': x, 'y': [rounded(value) for value in y]})

    def finish(self) -> None:
        """Print targets, and the JSON as the last line; write it where ``--out`` says."""
        rows = [{'target': t['name'], 'found': f'{show(t["value"])} {t["unit"]}',
                 'wanted': f'{t["bound"]} {t["target"]} {t["unit"]}',
                 'met': show_met(t['met'])} for t in self.content['targets']]
        if rows:
            print('\ntargets\n' + format_table(rows))
        line = json.dumps(self.content)
        if self.out:
            write_text(self.out, line + '\n')
        print(line, flush=True)


def rounded(value: Any) -> Any:
    """Keep four digits of a float."""
    return float(f'{value:.4g}') if isinstance(value, float) else value


def show(value: Any) -> str:
    """Write a value for a table."""
    if value is None:
        return '-'
    if isinstance(value, float):
        return f'{value:.0f}' if abs(value) >= 1000 else f'{value:.3g}'
    return str(value)


def show_met(met: bool | None) -> str:
    """Say whether a target is met."""
    return 'not measured' if met is None else 'yes' if met else 'no'


def format_table(rows: list[dict[str, Any]]) -> str:
    """Format rows as a Markdown table, columns of one width."""
    if not rows:
        return '(nothing)'
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return markdown(columns, [[show(row.get(column)) for column in columns] for row in rows])

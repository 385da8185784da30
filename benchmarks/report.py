"""
Write the tables and plots of the performance pages from the last results.

A table is placed between two comments: ``begin BENCHMARK | WHAT`` and ``end``. ``WHAT`` is
``targets``, ``machine``, or the beginning of a table's title. ``begin all | missed`` lists the
targets that were missed.
"""

import json
from pathlib import Path
import sys

from checkout import IMAGES, RESULTS, ROOT
from harness import format_table, show, show_met
from moss_perception.cli.common import write_text
import plots

from study.pages import fill

PAGES = (ROOT / 'docs' / 'performance.md', ROOT / 'docs' / 'performance_details.md')
NOT_YET = '*Not measured yet: `bash benchmarks/all.sh`.*'


class ReportError(RuntimeError):
    """The results cannot be written into the pages."""


def load(folder: Path) -> dict[str, dict]:
    """Return the results by benchmark; quick runs are refused, since they measure nothing."""
    found = {}
    for path in sorted(folder.glob('performance_*.json')):
        content = json.loads(path.read_text())
        if content['quick']:
            raise ReportError(f'{path.name} is of a quick run: expected a full one')
        found[content['benchmark']] = content
    if not found:
        raise ReportError(f'{folder} has no performance_*.json: run bash benchmarks/all.sh')
    return found


def targets(contents: list[dict], missed: bool = False) -> str:
    """Write the targets as a table, or only those that are missed."""
    rows = [{'target': t['name'], 'found': f'{show(t["value"])} {t["unit"]}',
             'wanted': f'{t["bound"]} {show(t["target"])} {t["unit"]}',
             'met': show_met(t['met']), 'note': t['note']}
            for content in contents for t in content['targets'] if not (missed and t['met'])]
    return format_table(rows) if rows else 'Every target is met.'


def machine(content: dict) -> str:
    """Describe the machine, the packages and the date of a measurement."""
    about = content['machine']
    packages = [f'{name} {about[name]}' for name in about if name not in (
        'cpu', 'cores', 'ram_gib', 'threads', 'load_before')]
    return (f'{about["cpu"]}, {about["cores"]} cores, {about["ram_gib"]} GiB, '
            f'{about["threads"]} threads; {", ".join(packages)}; {content["date"]}; load before '
            f'it began {about["load_before"]}; seeds '
            + ', '.join(map(str, content['seeds'])) + '.')


def block(results: dict[str, dict], name: str, what: str) -> str:
    """
    Write the table for two comments.

    :raises ReportError: if several tables begin with ``what``.
    """
    if name == 'all' and results:
        return targets(list(results.values()), missed=what == 'missed')
    if name not in results:
        return NOT_YET
    content = results[name]
    if what == 'targets':
        return targets([content])
    if what == 'machine':
        return machine(content)
    titles = [title for title in content['tables'] if title.startswith(what)]
    if not titles:
        return NOT_YET  # the results are from before the benchmark had this table
    if len(titles) > 1:
        raise ReportError(f'{name}: {what!r} begins {titles}: expected the beginning of one title')
    table = content['tables'][titles[0]]
    note = f'\n\n{table["note"][0].upper()}{table["note"][1:]}.' if table['note'] else ''
    return f'**{titles[0]}**\n\n{format_table(table["rows"])}{note}'


def render(page: str, results: dict[str, dict]) -> str:
    """Replace the tables between the comments of a page."""
    return fill(page, lambda name, what: block(results, name, what))


def main() -> int:
    """Write the pages and their pictures."""
    try:
        results = load(RESULTS)
        for page in PAGES:
            write_text(page, render(page.read_text(), results))
    except ReportError as error:
        print(f'report: {error}', file=sys.stderr)
        return 1
    drawn = plots.draw(results, IMAGES)
    print('report: ' + ', '.join(path.name for path in [*PAGES, *drawn]))
    return 0


if __name__ == '__main__':
    sys.exit(main())

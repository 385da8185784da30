"""Draw the four pictures of the study from its results: ``python -m study.pictures``."""

import argparse
from collections.abc import Mapping
import logging
import os
from pathlib import Path
import sys
from typing import Any

from moss_perception.cli.common import (
    read_text,
    run_command,
    set_up_logging,
    status_line,
    write_text,
)
from moss_perception.core.errors import ConfigError

from study.compare import parse_pairs
from study.comparison import merge, require_comparison
from study.goals import cast
from study.lead_times import success_by_latency
from study.pages import blocks, fill
from study.panels import (
    draw_factors,
    draw_latency,
    draw_motion_error,
    draw_variants,
    whole_sets,
)
from study.shift import losses
from study.texts import read_results

log = logging.getLogger('pictures')

# What each picture shows, for readers who do not see it.
_ALT = {'motion_error': 'Endpoint error of displacements against time a frame',
        'variants': 'Success of the chosen grasp by variant and test set',
        'factors': 'What each factor of the shift costs, before and after',
        'latency': 'Success by latency, when the lead time is told truly and when it is not'}


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m study.pictures', description=__doc__,
        epilog='Example: python -m study.pictures --motion study/results/motion_error.json '
               '--variants study/results/models.json --factors study/results/factors.json '
               '--out study/docs/images --page study/docs/results.md. ' + status_line())
    parser.add_argument('--motion', metavar='FILE', help='results of study.motion_error')
    parser.add_argument('--variants', metavar='FILE',
                        help='results of study.compare: success by set, and by latency if the '
                             'scenes were executed at several')
    parser.add_argument('--factors', nargs='+', metavar='FILE',
                        help='results of study.compare on sets of the same seeds in several '
                             'domains; several files are merged')
    parser.add_argument('--before', default='', metavar='VARIANT',
                        help='older variant of --factors (default: the first)')
    parser.add_argument('--after', default='', metavar='VARIANT',
                        help='newer variant of --factors (default: the last)')
    parser.add_argument('--timed', default='', metavar='VARIANT',
                        help='variant with time inputs whose latencies are drawn (default: that '
                             'of the role moss)')
    parser.add_argument('--role', nargs='+', default=[], metavar='ROLE=VARIANT',
                        help='as for study.compare')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder for the PNG files')
    parser.add_argument('--page', metavar='FILE',
                        help='write links to the pictures into this Markdown page, between '
                             '<!-- begin pictures | NAME --> and <!-- end -->')
    return parser


def draw(arguments: argparse.Namespace) -> int:
    """Draw the pictures whose results are given, and link them in the page."""
    import matplotlib
    matplotlib.use('Agg')
    figures: dict[str, Any] = {}
    if arguments.motion:
        figures['motion_error'] = draw_motion_error(read_results(arguments.motion))
    if arguments.variants:
        result = read_results(arguments.variants)
        require_comparison(result)
        figures['variants'] = draw_variants(result)
        figures |= _latency(result, arguments.timed,
                            parse_pairs('--role', 'ROLE=VARIANT', arguments.role))
    if arguments.factors:
        figures['factors'] = _factors(merge([read_results(name) for name in arguments.factors]),
                                      arguments.before, arguments.after)
    if not figures:
        raise ConfigError('there is nothing to draw: expected --motion, --variants or --factors')
    folder = Path(arguments.out)
    folder.mkdir(parents=True, exist_ok=True)
    for name, figure in figures.items():
        figure.savefig(folder / f'{name}.png', dpi=130)
        log.info('drew %s', folder / f'{name}.png')
    if arguments.page:
        _link(Path(arguments.page), folder, list(figures))
    return 0


def _latency(result: dict[str, Any], timed: str, named: Mapping[str, str]) -> dict[str, Any]:
    """Draw success by latency, if the scenes of a set were executed at several lead times."""
    sets = [name for name in whole_sets(result) if 'lead_times' in result['sets'][name]]
    timed = timed or cast(result, named).get('moss', '')
    if not sets:
        log.warning('no picture of latencies: the scenes have one lead time each')
        return {}
    if not timed or not success_by_latency(result, sets[0], timed, 'fixed'):
        raise ConfigError(f'variant {timed!r} has no results with a told lead time: expected '
                          '--timed VARIANT, one with time inputs')
    return {'latency': draw_latency(result, sets, timed)}


def _factors(result: dict[str, Any], before: str, after: str) -> Any:
    variants = list(result['costs'])
    before, after = before or variants[0], after or variants[-1]
    for option, variant in (('--before', before), ('--after', after)):
        if variant not in variants:
            raise ConfigError(f'{option} {variant} is not allowed: expected one of {variants}')
    if not losses(result, after):
        raise ConfigError('the results have no two sets of the same seeds: expected sim and '
                          'shifted.FACTOR recorded with the same --seed')
    return draw_factors(result, before, after)


def _link(page: Path, folder: Path, names: list[str]) -> None:
    text = read_text(page)
    missing = set(names) - {what for result, what in blocks(text) if result == 'pictures'}
    if missing:
        raise ConfigError(f'{page} has no place for the picture {min(missing)}: expected '
                          f'<!-- begin pictures | {min(missing)} --> and <!-- end -->')

    def block(result: str, what: str) -> str | None:
        if result != 'pictures' or what not in names:
            return None
        path = os.path.relpath(folder / f'{what}.png', page.parent)
        return f'![{_ALT[what]}]({path})'

    write_text(page, fill(text, block))
    log.info('linked %s in %s', ', '.join(names), page)


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(draw, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())

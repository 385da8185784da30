"""Where two variants differ early in a grasp: ``python -m study.early_scores``."""

import argparse
from collections.abc import Iterator
import logging
import sys
from typing import Any

from moss_perception.cli.common import run_command, set_up_logging
from moss_perception.core.errors import ConfigError
from moss_perception.core.tables import markdown
from moss_perception.data.scenes import load_scenes
from moss_perception.evaluation.intervals import require
import numpy as np

from study.compare import named_folders
from study.comparison import require_comparison
from study.monitoring import early_difference, EARLY_S, losses_s, monitored
from study.pages import add_output_options, show_results
from study.texts import read_digits, read_results

log = logging.getLogger('early_scores')
# Seconds after the decision that divide failed grasps by when the object was lost.
_LATE_S = (0.6, 0.9)


def kinds_of(scenes: list) -> Iterator[tuple[str, np.ndarray]]:
    """
    Yield kinds of monitored grasps, each with a mask: all, by motion, and by the time of the loss.

    :param scenes: of :class:`moss_perception.data.schema.Sample`, one for each grasp. Failed
        grasps are divided by the time of their loss, each part beside all grasps that held.
    """
    motions, loss_s = np.array([scene.motion for scene in scenes]), losses_s(scenes)
    held = np.isinf(loss_s)
    yield 'all', np.ones(len(scenes), bool)
    for motion in np.unique(motions):
        yield str(motion), motions == motion
    first, last = _LATE_S
    yield f'lost before {first:g} s', held | (loss_s < first)
    yield f'lost from {first:g} to {last:g} s', held | ((first <= loss_s) & (loss_s < last))
    yield f'lost after {last:g} s', last <= loss_s


def measure(result: dict[str, Any], name: str, scenes: list, ours: str,
            theirs: str) -> list[dict[str, Any]]:
    """
    Compare two variants on each kind of monitored grasps of a set.

    :param result: a stored comparison.
    :param scenes: the scenes of the set ``name``.
    :returns: ``kind``, number of ``grasps`` and of those that ``failed``, and the values of
        :func:`study.monitoring.early_difference`. Kinds of a single outcome are left out.
    :raises ConfigError: if the scenes are others than those of the comparison, or it does not
        have both variants.
    """
    stored = read_digits(result['sets'][name]['monitored']).astype(bool)
    chosen = monitored(scenes, len(stored))
    success = np.array([scene.attempt.success for scene in chosen], bool)
    if not np.array_equal(success, stored):
        raise ConfigError(f'the monitored grasps of {name} have other outcomes than those of the '
                          'comparison: expected its scenes')
    rows = []
    for kind, which in kinds_of(chosen):
        if len(np.unique(success[which])) < 2:
            continue
        gap = early_difference(result, name, ours, theirs, which)
        if gap is None:
            raise ConfigError(f'{ours} and {theirs} have no training of one seed with scores of '
                              f'grasps of {name}: expected some')
        rows.append({'kind': kind, 'grasps': int(which.sum()),
                     'failed': int((~success[which]).sum()), **gap})
    return rows


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(prog='python -m study.early_scores', description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument('--comparison', metavar='FILE', help='results of study.compare')
    what.add_argument('--results', metavar='FILE', help='print stored results instead')
    parser.add_argument('--scenes', nargs='+', default=[], metavar='NAME=DIR',
                        help='scenes of its sets')
    parser.add_argument('--variants', nargs=2, default=['displacement_12_history_time',
                                                        'flow_history_time'], metavar='VARIANT',
                        help='variants that are compared (%(default)s)')
    add_output_options(parser, 'early_scores', 'kinds')
    return parser


def run(arguments: argparse.Namespace) -> int:
    """Compare two variants, print a table, and store the results."""
    return show_results(arguments, _measure_all, 'early_scores', 'kinds', table)


def _measure_all(arguments: argparse.Namespace) -> dict[str, Any]:
    require()
    result = read_results(arguments.comparison)
    require_comparison(result)
    ours, theirs = arguments.variants
    folders = named_folders(arguments.scenes)
    for what, given, known in (('--scenes', folders, result['sets']),
                               ('--variants', arguments.variants, result['variants'])):
        if not given or set(given) - set(known):
            raise ConfigError(f'{what} {" ".join(given)}: expected some of {", ".join(known)}')
    return {'variants': arguments.variants, 'sets': {
        name: measure(result, name, load_scenes(folder, result['sets'][name]['scenes']), ours,
                      theirs) for name, folder in folders.items()}}


def table(result: dict[str, Any]) -> str:
    """Lay out what :func:`run` stores."""
    rows = [[name, row['kind'], str(row['grasps']), str(row['failed']), f'{row["ours"]:.3f}',
             f'{row["theirs"]:.3f}', '{difference:+.3f} [{low:+.3f}, {high:+.3f}]'.format(**row)]
            for name, found in result['sets'].items() for row in found]
    return (f'AUROC of the score {EARLY_S:g} s after the decision, by motion and, for failed '
            'grasps, by when the object is lost, each beside all grasps that hold; difference '
            '[95 % interval, paired bootstrap over grasps].\n\n'
            ) + markdown(['set', 'grasps', 'number', 'failed', *result['variants'], 'difference'],
                         rows)


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(run, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())

"""Compare trained model variants on the same scenes: ``python -m study.compare``."""

import argparse
import json
import logging
from pathlib import Path
import sys

from moss_perception.cli.common import (
    run_command,
    set_up_logging,
    status_line,
    write_text,
)
from moss_perception.core.errors import CheckpointError, ConfigError
from moss_perception.evaluation.record_files import plain

from study.comparison import merge
from study.goals import ROLES
from study.pages import write_tables
from study.table import render, tables
from study.texts import read_results

log = logging.getLogger('compare')


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m study.compare',
        description='Compare trained model variants on the same scenes, each scene at its own '
                    'lead time. If the scenes were executed at several lead times, the results '
                    'also tell what knowing them is worth. Sets of the same seeds in several '
                    'domains are compared in pairs.',
        epilog='Example: python -m study.compare --runs runs/variants --scenes sim=runs/sim '
               'visual=runs/visual --validation sim=runs/validation --out variants.json. '
               + status_line())
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument('--runs', nargs='+', metavar='DIR',
                        help='folders to search for checkpoints of moss train --config; NAME=DIR '
                             'calls those of a folder NAME in place of their variant')
    source.add_argument('--results', nargs='+', metavar='FILE',
                        help='print stored results; results of several files with the same scenes '
                             'are merged')
    parser.add_argument('--variants', nargs='+', metavar='VARIANT', default=[],
                        help='with --results: keep only these variants')
    parser.add_argument('--costs', nargs='+', metavar='DIR',
                        help='with --results: measure the cost of all variants again, in one run, '
                             'with the first checkpoint of each variant found in these folders')
    parser.add_argument('--scenes', nargs='+', default=[], metavar='NAME=DIR',
                        help='test sets that no variant was trained on; the loss of success is '
                             'measured from the first set')
    parser.add_argument('--validation', nargs='+', default=[], metavar='NAME=DIR',
                        help='with --runs: sets by which the best variants are chosen, such as '
                             'sim=runs/validation; nothing else is reported of them')
    parser.add_argument('--role', nargs='+', default=[], metavar='ROLE=VARIANT',
                        help='variants that the goals compare, instead of the best on the '
                             f'validation sets; the roles are {", ".join(ROLES)}')
    parser.add_argument('--out', metavar='FILE', help='write the results to this JSON file')
    parser.add_argument('--plots', metavar='DIR', help='write the plots to this folder, as PNG')
    parser.add_argument('--page', nargs='+', metavar='FILE', default=[],
                        help='write the tables into these Markdown pages, between '
                             '<!-- begin NAME | TABLE --> and <!-- end -->; NAME is the stem of '
                             'the results file')
    parser.add_argument('--reference', default='',
                        help='variant that is compared with all others (default: the variant of '
                             'the role moss, else the last)')
    parser.add_argument('--limit', type=int, metavar='N',
                        help='use at most N scenes of each set (default: all)')
    parser.add_argument('--monitored', type=int, default=300, metavar='N',
                        help='use at most N monitored grasps of each set for the early-prediction '
                             'curve; 0: draw no curve (%(default)s)')
    parser.add_argument('--device', default='cpu', help='torch device (%(default)s)')
    parser.add_argument('--threads', type=int, default=0,
                        help='number of threads; 0: torch chooses (%(default)s)')
    return parser


def compare(arguments: argparse.Namespace) -> int:
    """Measure the checkpoints or read stored results, and print the tables."""
    if arguments.results and arguments.validation:
        raise ConfigError('--validation needs --runs: expected --runs DIR')
    if arguments.results:
        stored = [read_results(name) for name in arguments.results]
        whole = len(stored) == 1 and not arguments.variants
        result = stored[0] if whole else merge(stored, arguments.variants)
        if arguments.costs:
            result = result | {'costs': _measure_costs(arguments, result['costs'])}
    elif arguments.costs or arguments.variants:
        name = '--costs' if arguments.costs else '--variants'
        raise ConfigError(f'{name} needs --results: expected --results FILE')
    else:
        result = _measure_all(arguments)
    result = plain(result)
    roles = parse_pairs('--role', 'ROLE=VARIANT', arguments.role)
    if arguments.out:
        text = json.dumps(result, indent=1, allow_nan=False)
        write_text(Path(arguments.out), text + '\n')
    print(render(result, arguments.reference, roles), end='')
    name = Path(arguments.out or (arguments.results or ['variants'])[0]).stem
    if arguments.plots:
        from study.plots import draw
        for path in draw(result, Path(arguments.plots), name):
            log.info('drew %s', path)
    for page in arguments.page:
        write_tables(page, name, tables(result, arguments.reference, roles))
    return 0


def _measure_costs(arguments: argparse.Namespace, stored: dict) -> dict:
    """Measure the cost of each variant with its first checkpoint."""
    from moss_perception.models.checkpoint import load_checkpoint
    import torch

    from study.cost import measure_in_turns
    from study.measuring import find_checkpoints
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    paths: dict[str, Path] = {}
    for path, notes in find_checkpoints(arguments.costs):
        paths.setdefault(notes['variant'], path)
    missing = sorted(set(stored) - set(paths))
    if missing:
        raise CheckpointError(f'no checkpoint of {missing[0]} is in {" ".join(arguments.costs)}: '
                              'expected one of each variant whose cost is stored')
    return measure_in_turns({variant: load_checkpoint(paths[variant]).to(arguments.device)
                             for variant in stored})


def _measure_all(arguments: argparse.Namespace) -> dict:
    from moss_perception.evaluation.intervals import require
    import torch

    from study.measuring import find_checkpoints, Measurement
    require()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    checkpoints = find_checkpoints(arguments.runs)
    validation = parse_pairs('--validation', 'NAME=DIR', arguments.validation)
    return Measurement(named_folders(arguments.scenes), validation, checkpoints, arguments.limit,
                       arguments.monitored, arguments.device).run()


def named_folders(words: list[str]) -> dict[str, str]:
    """
    Parse the words of ``--scenes``: ``NAME=DIR``, each name once.

    :raises ConfigError: if a word has another form, a name comes twice, or there is no word.
    """
    folders = parse_pairs('--scenes', 'NAME=DIR', words)
    if not folders:
        raise ConfigError('--runs needs scenes: expected --scenes NAME=DIR')
    return folders


def parse_pairs(option: str, form: str, words: list[str]) -> dict[str, str]:
    """
    Parse words of the form ``NAME=VALUE``, each name once.

    :param option: for messages, such as ``--scenes``; ``form`` likewise.
    :raises ConfigError: if a word has another form, or a name comes twice.
    """
    pairs = {}
    for word in words:
        name, _, value = word.partition('=')
        if not name or not value or name in pairs:
            raise ConfigError(f'{option} {word} is not allowed: expected {form}, each name once')
        pairs[name] = value
    return pairs


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(compare, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())

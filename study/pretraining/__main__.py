"""Pretrain on real clips, and see whether it helps: ``python -m study.pretraining``."""

import argparse
from dataclasses import replace
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
from moss_perception.core.errors import ConfigError
from moss_perception.training.settings import read_settings

from study.compare import parse_pairs
from study.kept import require_same
from study.pretraining.plan import estimate, Plan, Sizes, SMALL, STARTS
from study.pretraining.results import FORMAT, tables
from study.pretraining.stages import compare, pretrain, train
from study.video.models import config_of, INITIAL, variant_path
from study.video.options import conditions, prepare, require_rate
from study.video.pace import tell

log = logging.getLogger('pretraining')


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m study.pretraining',
        description='Train a backbone with MOSS on real clips to tell the arrow of time, the '
                    'speed of playback and the order of parts; train the grasp model from it and '
                    'from the ordinary start, with equal budgets; and compare them. What is done '
                    'is not done again: start the same command to continue.',
        epilog='Example: python -m study.pretraining my_clips/ --table my_clips/clips.tsv '
               '--scenes runs/data/train_sim runs/data/train_randomised --test sim=runs/data/test '
               'shifted=runs/data/shifted --out runs/pretraining. ' + status_line())
    parser.add_argument('folder', type=Path, metavar='FOLDER', help='folder of the clips')
    parser.add_argument('--table', type=Path, required=True, metavar='FILE',
                        help='table with a row for each clip: columns clip and group')
    parser.add_argument('--scenes', nargs='+', required=True, metavar='DIR',
                        help='folders of moss record to train the grasp model on')
    parser.add_argument('--test', nargs='+', required=True, metavar='NAME=DIR',
                        help='sets to compare on, such as sim=DIR shifted=DIR; the set shifted '
                             'answers, or the last')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder of the checkpoints and results.json')
    parser.add_argument('--variant', default='displacement_12', metavar='NAME',
                        help='file of study/variants with MOSS (default: %(default)s)')
    for name, meaning, default in (
            ('clips', 'clips that the pretraining sees', Sizes.clips),
            ('seeds', f'trainings from each start, {" and ".join(STARTS)}', Sizes.seeds),
            ('epochs', 'passes over the scenes', "the variant's"),
            ('limit', 'scenes of each folder at most', 'all')):
        parser.add_argument(f'--{name}', type=int, metavar='N',
                            help=f'number of {meaning} (default: {default})')
    parser.add_argument('--learning-rate', type=float, metavar='X',
                        help='highest of the pretraining; a lower one moves the backbone less '
                             f'(default: {Sizes.learning_rate})')
    parser.add_argument('--initial', default=str(INITIAL), metavar='FILE',
                        help='checkpoint whose backbone both starts have; empty for random '
                             "weights (default: the study's)")
    parser.add_argument('--small', action='store_true',
                        help='little of each, to try the command: the figures mean nothing')
    parser.add_argument('--estimate', action='store_true',
                        help='say how long each stage takes, and end')
    parser.add_argument('--device', default='cpu', help='of torch (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=0, metavar='N',
                        help='number of threads; 0: torch chooses (default: %(default)s)')
    return parser


def read_plan(arguments: argparse.Namespace) -> Plan:
    """
    Make the plan of a command line.

    :raises ConfigError: if a number is out of range, or there is no such variant with MOSS.
    """
    given = {name: getattr(arguments, name) for name in ('clips', 'seeds', 'epochs', 'limit')}
    for name, value in given.items():
        if value is not None and value < 1:
            raise ConfigError(f'--{name} {value} is not allowed: expected 1 or more')
    given['learning_rate'] = arguments.learning_rate
    if arguments.learning_rate is not None:
        require_rate(arguments.learning_rate)
    if arguments.threads < 0:
        raise ConfigError(f'--threads {arguments.threads} is not allowed: expected 0 or more')
    if not config_of(arguments.variant).to_dict().get('orders'):
        raise ConfigError(f'--variant {arguments.variant} has no MOSS: expected one that has, '
                          'such as displacement_12 or moss_12')
    sizes = replace(SMALL if arguments.small else Sizes(), **{
        name: value for name, value in given.items() if value is not None})
    return Plan(arguments.out, arguments.folder, arguments.table, tuple(arguments.scenes),
                parse_pairs('--test', 'NAME=DIR', arguments.test),
                read_settings(variant_path(arguments.variant)), arguments.initial, sizes,
                arguments.device, arguments.threads)


def run(arguments: argparse.Namespace) -> int:
    """Run the stages, write results.json, and print the tables."""
    plan = read_plan(arguments)
    tell(log, estimate(plan), plan.device)
    if arguments.estimate:
        return 0
    prepare(plan.device, plan.threads)
    require_same(plan.out, plan.conditions)
    pretrain(plan)
    train(plan)
    result = {'format': FORMAT, **conditions(plan.budget, plan.initial), **compare(plan)}
    write_text(plan.out / 'results.json', json.dumps(result, indent=1, allow_nan=False) + '\n')
    print('\n\n'.join(tables(result).values()))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(run, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())

"""How many attempts of your own robot a model needs: ``python -m study.own_robot``."""

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

from study.kept import require_same
from study.own_robot.figures import measure, NAME, plot, tables
from study.own_robot.plan import CURVES, estimate, Plan, Sizes, SMALL
from study.own_robot.stages import STAGES, timed
from study.pages import write_tables
from study.texts import read_results

log = logging.getLogger('own_robot')


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m study.own_robot',
        description="Treat a simulated cell that the shipped model never saw as somebody's "
                    'robot: record attempts through its topics, import them, train on them, and '
                    'measure on new scenes how much each number of attempts helps. What is done '
                    'is not done again: start the same command to continue.',
        epilog='Example: python -m study.own_robot --out runs/own_robot --estimate. '
               + status_line())
    parser.add_argument('--out', metavar='DIR', help='folder of everything that is made')
    parser.add_argument('--results', metavar='FILE',
                        help='print stored results, instead of running the study')
    parser.add_argument('--stages', nargs='+', choices=[*STAGES, 'results'], metavar='STAGE',
                        help=f'only these stages, of {", ".join(STAGES)} and results')
    parser.add_argument('--curves', nargs='+', choices=list(CURVES), metavar='CURVE',
                        help=f'curves to measure, of: {"; ".join(CURVES)} (default: all but '
                             'mixed)')
    parser.add_argument('--attempts', nargs='+', type=int, metavar='N',
                        help='numbers of attempts, ascending (default: '
                             f'{" ".join(map(str, Sizes.attempts))})')
    for name, meaning in (('seeds', 'trainings of each point'),
                          ('scenes', 'scenes of the ceiling and of your cell file'),
                          ('test', 'new scenes that all models are measured on')):
        parser.add_argument(f'--{name}', type=int, metavar='N',
                            help=f'number of {meaning} (default: {getattr(Sizes, name)})')
    for name, meaning in (('domain', "robot's scenes"),
                          ('own-domain', 'scenes of your cell file')):
        parser.add_argument(f'--{name}', metavar='NAME', help=f'look of the {meaning} (default: '
                            f'{getattr(Sizes, name.replace("-", "_"))})')
    parser.add_argument('--small', action='store_true',
                        help='a few small samples of each, to try the command: the figures mean '
                             'nothing')
    parser.add_argument('--initial', default='', metavar='FILE',
                        help='checkpoint in the place of the shipped one')
    parser.add_argument('--estimate', action='store_true',
                        help='say how long each stage takes, and end')
    parser.add_argument('--page', metavar='FILE',
                        help='write the tables into this Markdown page, between <!-- begin '
                             'own_robot | TABLE --> and <!-- end -->')
    parser.add_argument('--plot', metavar='FILE', help='draw the curves into this PNG file')
    parser.add_argument('--workers', type=int, default=2, metavar='N',
                        help='processes that make scenes and samples (default: %(default)s)')
    parser.add_argument('--device', default='cpu', metavar='NAME',
                        help='device of the trainings, such as cuda (default: %(default)s)')
    parser.add_argument('--threads', type=int, default=0, metavar='N',
                        help='number of threads (default: torch chooses)')
    return parser


def read_plan(arguments: argparse.Namespace) -> Plan:
    """
    Make the plan of a command line.

    :raises ConfigError: if a number is out of range.
    """
    sizes = SMALL if arguments.small else Sizes()
    given = {name: getattr(arguments, name) for name in (
        'attempts', 'seeds', 'scenes', 'test', 'domain', 'own_domain')}
    sizes = replace(sizes, **{name: tuple(value) if name == 'attempts' else value
                              for name, value in given.items() if value is not None})
    if list(sizes.attempts) != sorted(set(sizes.attempts)) or sizes.attempts[0] < 10:
        raise ConfigError(f'--attempts {" ".join(map(str, sizes.attempts))}: expected ascending '
                          'numbers from 10 on, the fewest that a training takes')
    for name in ('seeds', 'scenes', 'test'):
        if getattr(sizes, name) < 1:
            raise ConfigError(f'--{name} {getattr(sizes, name)}: expected 1 or more')
    plan = Plan(Path(arguments.out).absolute(), sizes, arguments.initial,
                workers=arguments.workers, device=arguments.device, threads=arguments.threads)
    return replace(plan, curves=tuple(arguments.curves)) if arguments.curves else plan


def run(arguments: argparse.Namespace) -> int:
    """Run the stages, or read stored results, and print the tables."""
    if bool(arguments.out) == bool(arguments.results):
        raise ConfigError('expected --out DIR to run the study, or --results FILE to read it')
    if arguments.results:
        result = read_results(arguments.results)
    else:
        plan = read_plan(arguments)
        _log_estimate(plan)
        if arguments.estimate:
            return 0
        result = _run_stages(plan, arguments.stages or [*STAGES, 'results'])
        if result is None:
            return 0
    found = tables(result)
    print('\n\n'.join(found.values()))
    if arguments.plot:
        plot(result, Path(arguments.plot))
    if arguments.page:
        write_tables(arguments.page, NAME, found)
    return 0


def _log_estimate(plan: Plan) -> None:
    expected = estimate(plan)
    words = ', '.join(f'{stage} {took / 60:.0f}' for stage, took in expected.items())
    log.info('about %.1f h on %s if nothing is done yet; minutes of each stage: %s',
             sum(expected.values()) / 3600, plan.device, words)


def _run_stages(plan: Plan, names: list[str]) -> dict | None:
    """Run stages in their order; return the results if they are wanted."""
    require_same(plan.out, plan.conditions)
    plan.write_cells()
    for name, stage in STAGES.items():
        if name in names:
            log.info('stage %s', name)
            with timed(plan, name):
                stage(plan)
    if 'results' not in names:
        return None
    result = measure(plan)
    write_text(plan.out / f'{NAME}.json', json.dumps(result, indent=1, allow_nan=False) + '\n')
    log.info('wrote %s', plan.out / f'{NAME}.json')
    return result


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(run, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())

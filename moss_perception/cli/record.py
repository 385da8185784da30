"""``record``: play the simulated work cell into training data or into a recording."""

import argparse
from contextlib import closing
import logging
import sys

from moss_perception.cli.common import run_command, set_up_logging

_LOG = logging.getLogger('record')


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='record', description='Play the simulated work cell into training data (--out) or '
        'into a rosbag2 recording (--bag).')
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument('--out', metavar='DIR', help='folder for shards of training data')
    target.add_argument('--bag', metavar='DIR', help='folder of the recording to write')
    parser.add_argument('--scenes', type=int, default=400, help='scenes for --out (%(default)s)')
    parser.add_argument('--attempts', type=int, default=20,
                        help='attempts for --bag (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='of the first scene (%(default)s)')
    parser.add_argument('--workers', type=int, default=1,
                        help='processes for --out (%(default)s)')
    parser.add_argument('--domain', default='sim', help='how scenes look: sim or shifted')
    parser.add_argument('--motion', default='', help='still, constant, accelerating or '
                        'oscillating; a mixture without')
    return parser


def _record(arguments) -> int:
    from moss_perception.bags.writer import RecordingWriter
    from moss_perception.simulation.domains import domain_named
    from moss_perception.simulation.recording import record
    from moss_perception.simulation.renderer import Renderer
    domain = domain_named(arguments.domain)
    with closing(Renderer()) as renderer, RecordingWriter(arguments.bag) as writer:
        successes = record(writer, renderer, arguments.attempts, arguments.seed, domain,
                           arguments.motion)
    _LOG.info('%d attempts in %s, %d of them successful', arguments.attempts, arguments.bag,
              successes)
    return 0


def _generate(arguments) -> int:
    from moss_perception.simulation.generate import generate
    played = generate(arguments.out, arguments.scenes, arguments.seed, arguments.workers,
                      arguments.domain, arguments.motion)
    _LOG.info('%d scenes in %s, %d of them new', arguments.scenes, arguments.out, played)
    return 0


def main(argv=None) -> int:
    """
    Run the command.

    :param argv: arguments without the program's name; the process's own without.
    :returns: the exit status: 0, 1 after one line that says what is wrong, or 130 if interrupted.
    """
    set_up_logging()
    arguments = _parser().parse_args(argv)
    return run_command(_record if arguments.bag else _generate, arguments, _LOG)


if __name__ == '__main__':
    sys.exit(main())

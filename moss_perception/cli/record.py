"""``moss record``: record the simulated work cell, as training data or as a rosbag2."""

import argparse
from contextlib import closing, nullcontext
import logging

_LOG = logging.getLogger('record')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument('--out', metavar='DIR', help='write training data (shards) to this folder')
    target.add_argument('--bag', metavar='DIR', help='write a recording (rosbag2) to this folder')
    parser.add_argument('--scenes', type=int, default=400, help='number of scenes for --out '
                                                                '(%(default)s)')
    parser.add_argument('--attempts', type=int, default=20,
                        help='number of attempts for --bag (%(default)s)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the first scene '
                                                            '(%(default)s)')
    parser.add_argument('--workers', type=int, default=1,
                        help='number of processes (%(default)s)')
    parser.add_argument('--cell', default='full',
                        help='distribution of the scenes: belt or full (%(default)s)')
    parser.add_argument('--domain', default='sim', help='look and behaviour of the scenes: sim, '
                        'shifted or, with --cell full, shifted.FACTOR (%(default)s)')
    parser.add_argument('--split', default='', help='held_out: only objects that are not used in '
                        'training (default: only the others)')
    parser.add_argument('--motion', default='',
                        help='only this kind of motion (default: all kinds)')
    parser.add_argument('--rate', type=float, default=10.0,
                        help='frames per second of --bag (%(default)s)')


def run(arguments: argparse.Namespace) -> int:
    """
    Record scenes or a recording.

    :raises MossError: if a setting is not allowed, or rendering or writing fails.
    """
    from moss_perception.simulation.scene import Source
    source = Source(arguments.cell, arguments.domain, arguments.split, arguments.motion)
    source.sample(max(arguments.seed, 0))
    return (_record if arguments.bag else _generate)(arguments, source)


def _record(arguments, source) -> int:
    from moss_perception.data.bags.writer import RecordingWriter
    from moss_perception.simulation.recording import record
    from moss_perception.simulation.renderer import Renderer
    # With several workers, each creates its own renderer.
    with closing(Renderer()) if arguments.workers == 1 else nullcontext() as renderer, \
            RecordingWriter(arguments.bag) as writer:
        done = record(writer, renderer, arguments.attempts, arguments.seed, source,
                      arguments.rate, workers=arguments.workers)
    _LOG.info('%d attempts in %s, %d of them successful', done.attempts, arguments.bag,
              done.successes)
    _tell_skipped(done.skipped)
    return 0


def _generate(arguments, source) -> int:
    from moss_perception.simulation.generate import generate
    made = generate(arguments.out, arguments.scenes, arguments.seed, arguments.workers, source)
    _LOG.info('%d scenes in %s; %d simulated now, %.2f per second', made.scenes, arguments.out,
              made.played, made.scenes_per_s)
    _tell_skipped(made.skipped)
    return 0


def _tell_skipped(skipped: dict) -> None:
    if skipped:
        _LOG.warning('%d scenes were left out: %s', sum(skipped.values()), ', '.join(
            f'{count} {reason}' for reason, count in sorted(skipped.items())))

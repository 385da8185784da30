"""``moss demo``: play a recording through the nodes, and show the scores."""

import argparse
import logging
from pathlib import Path
import signal
import sys

from moss_perception.cli.common import UsageError

_ENDS = (signal.SIGTERM, signal.SIGHUP)


def add_demo(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss demo``."""
    parser.set_defaults(handler=run)
    parser.add_argument('--out', type=Path, default=Path('out/demo'), metavar='DIR',
                        help='folder for the results (default: %(default)s)')
    played = parser.add_mutually_exclusive_group()
    played.add_argument('--bag', type=Path, metavar='PATH',
                        help='a rosbag2: folder, .mcap or .db3 file (default: the sample)')
    played.add_argument('--video', type=Path, metavar='FILE', help='a video, such as an .mp4')
    parser.add_argument('--image-topic', metavar='NAME',
                        help='topic of the images in the recording (default: the only one)')
    parser.add_argument('--rate', type=_rate, metavar='R',
                        help='playback speed, 1.0 is as recorded (default: in lock step, as '
                             'fast as possible without losing a frame)')
    parser.add_argument('--model', default='', metavar='PATH',
                        help='checkpoint (default: the shipped one)')
    parser.add_argument('--sha256', default='', metavar='HEX',
                        help='SHA-256 of the checkpoint (default: the one in SHA256SUMS)')
    parser.add_argument('--domain-id', type=_domain, metavar='N',
                        help='ROS_DOMAIN_ID of the run, 0 to 101 (default: from the process id)')
    parser.add_argument('--stall', type=float, default=60.0, metavar='S',
                        help='give up after this many seconds without progress '
                             '(default: %(default)s)')
    parser.add_argument('--verbose', action='store_true', help='show the log lines of the nodes')


def _rate(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.01 <= value <= 100:
        raise argparse.ArgumentTypeError(f'{text} is not allowed: expected 0.01 to 100')
    return value


def _domain(text: str) -> int:
    if not (text.isdecimal() and int(text) <= 101):
        raise argparse.ArgumentTypeError(f'{text} is not allowed: expected 0 to 101')
    return int(text)


def run(options: argparse.Namespace) -> int:
    """
    Play, watch and write the results.

    :raises UsageError: if the arguments contradict one another.
    :raises MossError: if an input can't be used, or no frame was scored.
    """
    if options.video and options.image_topic:
        raise UsageError('--image-topic goes with --bag: a video has no topics')
    from moss_perception.cli.demo.session import show
    # The terminal shows the table and the results; only warnings and errors are logged.
    logging.getLogger().setLevel(logging.WARNING)
    for number in _ENDS:
        # A command started with nohup outlives its terminal.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _end)
    show(options)
    return 0


def _end(number: int, _: object) -> None:
    """Turn a signal into an exception, which ends the nodes and removes unfinished files."""
    for other in _ENDS:
        # A closing terminal sends it more than once.
        signal.signal(other, signal.SIG_IGN)
    sys.exit(128 + number)

"""``moss import``: the options, and which kind of data is imported."""

import argparse
from pathlib import Path

from moss_perception.cli.common import UsageError
from moss_perception.cli.topic_options import add_topic_options


def add_import(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss import``."""
    parser.set_defaults(handler=import_data)
    parser.description = (parser.description or '') + (
        ' Each attempt becomes a sample: the images before the decision, the candidates, and the '
        'outcome as the label of the executed grasp. moss train reads the result.')
    parser.add_argument('bags', nargs='*', metavar='[DOMAIN:]BAG',
                        help='recordings: folders of a rosbag2, or .mcap or .db3 files')
    parser.add_argument('--outcomes', nargs='+', default=[], metavar='FILE.csv',
                        help='outcomes of the attempts, one file for all recordings or one for '
                             'each (default: those on /grasp_outcome)')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder to write, which must be new')
    topics = parser.add_argument_group('topics')
    add_topic_options(topics)
    parser.add_argument('--calibration', type=Path, metavar='FILE.yaml',
                        help="calibration of the camera, as written by ROS's camera_calibration "
                             '(default: the recorded one)')
    parser.add_argument('--group', action='append', default=[], metavar='NAME=VALUE',
                        help='group label of all attempts, such as operator=anna, by which a '
                             'training can hold out; bag, day and object are always there')
    parser.add_argument('--lead-time', type=float, default=float('nan'), metavar='S',
                        help='time from the decision until the fingers close, in seconds, of '
                             'attempts without a recorded one (default: unknown)')
    parser.add_argument('--rate', type=float, metavar='HZ',
                        help='images per second to keep, chosen by their stamps (default: as the '
                             'shipped model sees)')
    parser.add_argument('--seconds', type=float, metavar='S',
                        help='time before a decision of which images are kept (default: twice '
                             'what the shipped model sees)')
    parser.add_argument('--workers', type=int, default=1, metavar='N',
                        help='number of processes (default: %(default)s)')


def import_data(arguments: argparse.Namespace) -> int:
    """
    Import recordings.

    :raises UsageError: if there is nothing to import.
    :raises MossError: if something can't be read, used or written.
    """
    if not arguments.bags:
        raise UsageError('nothing to import: expected recordings')
    from moss_perception.cli.import_recordings import import_recordings
    return import_recordings(arguments)

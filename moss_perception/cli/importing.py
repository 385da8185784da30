"""``moss import``: the options, and which kind of data is imported."""

import argparse
import math
from pathlib import Path
from typing import Any

from moss_perception.cli.common import (
    add_executor,
    given_options,
    refuse_others,
    set_defaults,
    UsageError,
)
from moss_perception.cli.topic_options import (
    add_camera_options,
    add_topic_options,
    add_topics_by_recording,
    CAMERA_OPTIONS,
    TOPICS,
)
from moss_perception.core.parallel import PROCESSES

_BOTH = ('calibration', 'group', 'lead_time', 'gripper_opening')
_ALLOWED = {
    'recordings': (*_BOTH, *TOPICS, *CAMERA_OPTIONS, 'topics', 'bags', 'outcomes', 'rate',
                   'seconds', 'workers', 'executor'),
    '--lerobot': (*_BOTH, 'lerobot', 'camera', 'grasp', 'decision'),
}
"""Options allowed for each kind of input, by the names under which argparse stores them."""
_DEFAULTS: dict[str, Any] = {'lead_time': math.nan, 'gripper_opening': math.nan, 'camera': '',
                             'grasp': '', 'workers': 1, 'executor': PROCESSES}


def add_import(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss import``."""
    parser.set_defaults(handler=import_data)
    parser.description = (parser.description or '') + (
        ' Each attempt becomes a sample: the images before the decision, the candidates, and the '
        'outcome as the label of the executed grasp. moss train reads the result.')
    parser.add_argument('bags', nargs='*', metavar='[DOMAIN:]BAG',
                        help='recordings: folders of a rosbag2, or .mcap or .db3 files')
    parser.add_argument('--outcomes', action='append', default=[], metavar='FILE.csv',
                        help='outcomes of the attempts, one file for all recordings, or one for '
                             "each in order, where '' stands for the outcomes in the recording "
                             '(default: those on /grasp_outcome)')
    parser.add_argument('--lerobot', nargs='+', type=Path, default=[], metavar='DIR',
                        help='folders of LeRobotDatasets of version 3, in place of recordings')
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder to write, which must be new')
    topics = parser.add_argument_group('topics')
    add_topic_options(topics)
    add_topics_by_recording(topics)
    add_camera_options(parser.add_argument_group('camera'))
    parser.add_argument('--group', action='append', default=[], metavar='NAME=VALUE',
                        help='group label of all attempts, such as operator=anna, by which a '
                             'training can hold out; bag, day, object and the labels of '
                             'attempt_recorder are there by themselves')
    parser.add_argument('--lead-time', type=float, metavar='S',
                        help='time from the decision until the fingers close, in seconds, of '
                             'attempts without a recorded one (default: unknown)')
    parser.add_argument('--gripper-opening', type=float, metavar='M',
                        help='distance between the open fingers of your gripper, in metres, in '
                             'units of which a network sees grasps (default: unknown, and a '
                             'training keeps that of its initial checkpoint)')
    parser.add_argument('--rate', type=float, metavar='HZ',
                        help='images per second to keep, chosen by their stamps (default: as the '
                             'shipped model sees)')
    parser.add_argument('--seconds', type=float, metavar='S',
                        help='time before a decision of which images are kept (default: twice '
                             'what the shipped model sees)')
    elsewhere = parser.add_argument_group(
        'LeRobotDatasets that moss export-dataset has not written (and --calibration)')
    elsewhere.add_argument('--camera', metavar='FEATURE',
                           help='feature of the images (default: the only one)')
    elsewhere.add_argument('--grasp', metavar='FEATURE',
                           help='feature of the executed grasp at the decision: x, y, z in the '
                                "camera's optical frame, metres, and yaw, radians")
    elsewhere.add_argument('--decision', type=float, metavar='S',
                           help="time of the decision since the episode's first frame, in seconds")
    parser.add_argument('--workers', type=int, metavar='N',
                        help='number of processes that import recordings (default: 1)')
    add_executor(parser)


def import_data(arguments: argparse.Namespace) -> int:
    """
    Import recordings, or LeRobotDatasets.

    :raises UsageError: if there is nothing to import, both kinds are named, or an option does not
        apply.
    :raises MossError: if something can't be read, used or written.
    """
    if bool(arguments.bags) == bool(arguments.lerobot):
        raise UsageError('expected recordings to import, or LeRobotDatasets with --lerobot'
                         + (', not both' if arguments.bags else ''))
    kind = '--lerobot' if arguments.lerobot else 'recordings'
    refuse_others(given_options(arguments, set().union(*_ALLOWED.values())), _ALLOWED[kind], kind)
    set_defaults(arguments, _DEFAULTS)
    if arguments.lerobot:
        from moss_perception.cli.lerobot import import_lerobot
        return import_lerobot(arguments)
    from moss_perception.cli.import_recordings import import_recordings
    return import_recordings(arguments)


def add_export_dataset(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss export-dataset``."""
    parser.set_defaults(handler=export_dataset)
    parser.description = (parser.description or '') + (
        ' Each sample becomes an episode: the images up to the decision and of the attempt. moss '
        'import --lerobot reads it back.')
    parser.add_argument('data', nargs='+', type=Path, metavar='DATA',
                        help='folders of training data, of moss import or moss record --out')
    parser.add_argument('--lerobot', type=Path, required=True, metavar='DIR',
                        help='folder of the LeRobotDataset (version 3) to write, which must be '
                             'new')
    parser.add_argument('--images', choices=('video', 'jpeg'), default='video',
                        help='an MP4 (H.264), or the JPEGs as they are (default: %(default)s)')
    parser.add_argument('--fps', type=int, metavar='N',
                        help='frames per second of the data set (default: that of the stamps)')
    parser.add_argument('--task', default='grasp the {object}', metavar='TEXT',
                        help="task of each episode; {object} is the object's name (default: "
                             '%(default)r)')


def export_dataset(arguments: argparse.Namespace) -> int:
    """
    Write a LeRobotDataset.

    :raises MossError: if something can't be read, used or written.
    """
    from moss_perception.cli.lerobot import export_lerobot
    return export_lerobot(arguments)

"""``moss doctor``: the options, and what is checked."""

import argparse
from collections.abc import Sequence
import logging
from pathlib import Path

from moss_perception.cli.common import add_checkpoint, UsageError
from moss_perception.cli.topic_options import (
    add_camera_options,
    add_topic_options,
    setup_of,
    topics_of,
)
from moss_perception.core.errors import CheckpointError
from moss_perception.core.resources import model_path
from moss_perception.evaluation.checks import as_json, Check, Checks, ERROR, FINE, screen
from moss_perception.models.base import model_type
from moss_perception.models.config import ModelConfig
from moss_perception.models.manifest import read_header

PROBLEM = 3
_SECONDS = 5.0
_USUAL = 'moss_grasp'


def add_doctor(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss doctor``."""
    parser.set_defaults(handler=run_doctor)
    parser.description = (parser.description or '') + (
        ' Without BAG it checks this installation and the system that runs in this domain. Below '
        'each problem stands what to do.')
    parser.add_argument('bag', nargs='?', type=Path, metavar='BAG',
                        help='recording to check instead: a rosbag2 folder, .mcap or .db3 file')
    parser.add_argument('--seconds', type=float, default=_SECONDS, metavar='S',
                        help='time to listen to the running system (default: %(default)g)')
    parser.add_argument('--offline', action='store_true',
                        help='check the installation alone')
    parser.add_argument('--strict', action='store_true',
                        help=f'exit with {PROBLEM} for warnings too')
    parser.add_argument('--json', action='store_true', help='print JSON for programs')
    add_checkpoint(parser)
    add_topic_options(parser.add_argument_group('topics'))
    add_camera_options(parser.add_argument_group('camera'))


def run_doctor(arguments: argparse.Namespace) -> int:
    """
    Check, and print what was found.

    :returns: 0, or 3 if there is an error, or with ``--strict`` a warning.
    :raises UsageError: if the arguments contradict one another.
    :raises MossError: if the recording or the checkpoint can't be read.
    """
    if arguments.bag and arguments.offline:
        raise UsageError('--offline goes with the check of an installation, not of a recording')
    if arguments.calibration and not arguments.bag:
        raise UsageError('--calibration goes with the check of a recording: a running system has '
                         'its calibration on a topic')
    if arguments.seconds <= 0:
        raise UsageError(f'--seconds {arguments.seconds:g}: expected more than 0')
    # The checks say what is wrong, once.
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        checks = [one for area in _areas(arguments) for one in area]
    finally:
        root.setLevel(before)
    print(as_json(checks) if arguments.json else screen(checks))
    return PROBLEM if _is_problem(checks, arguments.strict) else 0


def _areas(arguments: argparse.Namespace) -> list[Checks]:
    topics, setup = topics_of(arguments), setup_of(arguments)
    if arguments.bag:
        from moss_perception.cli.doctor.recording import check_recording
        return check_recording(arguments.bag, _config(arguments), topics, setup)
    from moss_perception.cli.doctor.installation import check_installation, why_no_node
    found = [check_installation(arguments.model, arguments.sha256)]
    if arguments.offline:
        return found
    system = Checks('system')
    # Without a folder for logs, rclpy ends with a traceback.
    if why := why_no_node():
        system.warn(f'not checked, because {why}', 'mend that, or check with --offline')
        return [*found, system]
    from moss_perception.ros.doctor import check_system
    try:
        config = _config(arguments)
    except CheckpointError as error:
        system.warn(f'its streams are compared with the usual configuration, because {error}',
                    'restore the checkpoint')
        config = model_type(_USUAL).Config()
    return [*found, system, *check_system(config, topics, arguments.seconds, setup)]


def _config(arguments: argparse.Namespace) -> ModelConfig:
    return read_header(model_path(arguments.model))[0]


def _is_problem(checks: Sequence[Check], strict: bool) -> bool:
    return any(one.level != FINE if strict else one.level == ERROR for one in checks)

"""``moss run``, ``moss topics`` and ``moss activate``: start systems of nodes without launch."""

import argparse
from collections.abc import Callable, Sequence
import json
import signal
from typing import Any

from moss_perception.cli.common import UsageError
from moss_perception.core.errors import BagError, ConfigError
from moss_perception.ros.system.evaluation import EVALUATION_ARGUMENTS, evaluation_runs
from moss_perception.ros.system.grasp import (
    DEFAULT_IMAGE_TOPIC,
    find_images,
    GRASP_ARGUMENTS,
    grasp_system,
)
from moss_perception.ros.system.processes import Argument
from moss_perception.ros.system.supervisor import Supervisor


def add_run(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss run``."""
    parser.set_defaults(handler=run_systems)
    systems = parser.add_subparsers(metavar='SYSTEM', required=True)
    for name, summary, arguments, describe in (
            ('grasp', 'run the nodes on a camera, a recording or the simulated cell',
             GRASP_ARGUMENTS, lambda values: [grasp_system(values)]),
            ('eval', 'run the nodes, record their topics and evaluate the recordings',
             EVALUATION_ARGUMENTS, evaluation_runs)):
        one = systems.add_parser(
            name, help=summary, description=f'{summary[0].upper()}{summary[1:]}.',
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog='\n'.join(['Arguments, in the form name:=value:', *map(_show, arguments)]))
        words: Any = one.add_argument('words', nargs='*', metavar='name:=value',
                                      help='arguments of the system, listed below')
        words.completer = _completer(arguments)
        one.set_defaults(parser=one, describe=describe)


def run_systems(arguments: argparse.Namespace) -> int:
    """
    Run systems one after another, until the last has ended, one fails or the user interrupts.

    :param arguments: ``describe`` turns the values of ``words`` into the processes of each system.
    :returns: 1 if a system failed, else as
        :meth:`moss_perception.ros.system.supervisor.Supervisor.wait` says.
    :raises UsageError: if an argument or its value is not allowed.
    :raises MossError: if a recording can't be used, or an executable is missing.
    """
    try:
        # Create all of them first, to report a missing executable before any system runs.
        supervisors = [Supervisor(x) for x in arguments.describe(_parse(arguments.words))]
    except ConfigError as error:
        raise UsageError(str(error)) from error

    def interrupt(number: int, _: object) -> None:
        for supervisor in supervisors:
            supervisor.interrupt(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # What nohup, or the shell of a script's background job, ignores stays ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    for supervisor in supervisors:
        status = supervisor.start().wait()
        assert status is not None  # there is no timeout
        if status != 0:
            return status
    return 0


def _parse(words: Sequence[str]) -> dict[str, str]:
    values = {}
    for word in words:
        name, separator, value = word.partition(':=')
        if not separator or not name:
            raise ConfigError(f"unknown argument '{word}': expected name:=value; --help lists the "
                              'names')
        values[name] = value
    return values


def _show(argument: Argument) -> str:
    choices = f', one of {", ".join(repr(choice) for choice in argument.choices)}'
    return (f'  {argument.name}: {argument.description}\n'
            f'      default {argument.default!r}{choices if argument.choices else ""}')


def _completer(arguments: Sequence[Argument]) -> Callable[..., list[str]]:
    """Return the completer of these arguments for argcomplete."""
    offered = [f'{argument.name}:={choice}' for argument in arguments
               for choice in argument.choices or ('',)]

    def complete(prefix: str, **_: object) -> list[str]:
        return [word for word in offered if word.startswith(prefix)]
    return complete


def add_topics(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss topics``."""
    parser.set_defaults(handler=print_image_topic)
    parser.description = (parser.description or '') + (
        ' The launch files call it. On an error, the output has the key "error" with the reason, '
        'and the exit status is 0.')
    parser.add_argument('bag', metavar='BAG', help='rosbag2 folder, .mcap or .db3 file')
    parser.add_argument('--image-topic', default=DEFAULT_IMAGE_TOPIC, metavar='TOPIC',
                        help='image topic without /compressed (default: the only one)')
    parser.add_argument('--transport', default='', choices=('', 'raw', 'compressed'),
                        help='transport of the images (default: either)')
    parser.add_argument('--namespace', default='', metavar='NAME',
                        help='namespace of the nodes, for a relative topic')


def print_image_topic(arguments: argparse.Namespace) -> int:
    """Print the image topic and whether its images are compressed, or the error, as JSON."""
    try:
        topic, compressed = find_images(arguments.bag, arguments.image_topic,
                                        arguments.transport, arguments.namespace)
    except BagError as error:
        print(json.dumps({'error': str(error)}))
        return 0
    print(json.dumps({'topic': topic, 'compressed': compressed}))
    return 0


def add_activate(parser: argparse.ArgumentParser) -> None:
    """Describe the command line of ``moss activate``."""
    parser.set_defaults(handler=activate)
    parser.add_argument('nodes', nargs='+', metavar='NODE',
                        help='names of lifecycle nodes, in the order to activate them')
    parser.add_argument('--timeout', type=float, default=60.0, metavar='S',
                        help='time limit of each transition in seconds (default: %(default)g)')
    parser.add_argument('--ros-args', nargs=argparse.REMAINDER, default=[], metavar='...',
                        help='arguments for ROS, such as -r __ns:=/arm')


def activate(arguments: argparse.Namespace) -> int:
    """
    Activate lifecycle nodes.

    :returns: 0 if all are active, 1 if not, 130 if interrupted.
    """
    # During the import of rclpy, Python's own handler would print a traceback.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from moss_perception.ros.common.lifecycle import activate as activate_nodes
    return activate_nodes(arguments.nodes, arguments.timeout, ['--ros-args', *arguments.ros_args])

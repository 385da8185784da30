"""``moss run``: start a system of nodes without ``ros2 launch``."""

import argparse
from collections.abc import Callable, Sequence
import signal
from typing import Any

from moss_perception.cli.common import UsageError
from moss_perception.cli.eval_system import evaluation_arguments, evaluation_runs
from moss_perception.cli.supervisor import Supervisor
from moss_perception.cli.topics import system_of
from moss_perception.core.errors import ConfigError
from moss_perception.ros.system import Argument, grasp_arguments, Process

Describe = Callable[[dict[str, str]], list[list[Process]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    systems = parser.add_subparsers(metavar='SYSTEM', required=True)
    for name, summary, arguments, describe in (
            ('grasp', 'score a camera or a recording with the nodes', grasp_arguments(),
             lambda values: [system_of(values)]),
            ('eval', 'evaluate a checkpoint over topics', evaluation_arguments(),
             evaluation_runs)):
        one = systems.add_parser(
            name, help=summary, description=f'{summary[0].upper()}{summary[1:]}.',
            formatter_class=argparse.RawDescriptionHelpFormatter,
            epilog='\n'.join(['Arguments, in the form name:=value:', *map(_show, arguments)]))
        words: Any = one.add_argument('words', nargs='*', metavar='name:=value',
                                      help='arguments of the system, listed below')
        words.completer = _completer(arguments)
        one.set_defaults(parser=one, describe=describe)


def run(arguments: argparse.Namespace) -> int:
    """
    Run systems one after another, until the last has ended, one fails or the user interrupts.

    :param arguments: ``describe`` turns the values of ``words`` into the processes of each system.
    :returns: 1 if a system failed, else as
        :meth:`moss_perception.cli.supervisor.Supervisor.wait` says.
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

"""Start the grasp system without ``ros2 launch``: ``run_grasp [name:=value …]``."""

import signal
import sys

from moss_perception.cli.bag_topics import system_of
from moss_perception.cli.supervisor import Supervisor
from moss_perception.errors import ConfigError, MossError
from moss_perception.system import Argument, grasp_arguments

_USAGE = 'usage: run_grasp [--show-args] [name:=value …]'


def main(argv: list[str] | None = None) -> int:
    """
    Run the system until it ends or is interrupted.

    :param argv: ``name:=value`` words, or ``--show-args``; the command line's if None.
    :returns: 2 for a wrong argument, 1 if the system failed, else as
        :meth:`moss_perception.cli.supervisor.Supervisor.wait` says.
    """
    words = sys.argv[1:] if argv is None else argv
    if any(word in ('-h', '--help', '-s', '--show-args') for word in words):
        print(f'{_USAGE}\n\n' + '\n'.join(_show(argument) for argument in grasp_arguments()))
        return 0
    try:
        processes = system_of(_parse(words))
        supervisor = Supervisor(processes)
    except ConfigError as error:
        print(f'run_grasp: error: {error}', file=sys.stderr)
        return 2
    except MossError as error:
        print(f'run_grasp: error: {error}', file=sys.stderr)
        return 1
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, frame: supervisor.interrupt(number))
    return supervisor.start().wait()


def _parse(words: list[str]) -> dict[str, str]:
    values = {}
    for word in words:
        name, separator, value = word.partition(':=')
        if not separator or not name:
            raise ConfigError(f"'{word}' is not understood: expected name:=value, and "
                              '--show-args lists the names')
        values[name] = value
    return values


def _show(argument: Argument) -> str:
    choices = f', one of {", ".join(repr(choice) for choice in argument.choices)}'
    return (f'  {argument.name}: {argument.description}\n'
            f'      default {argument.default!r}{choices if argument.choices else ""}')


if __name__ == '__main__':
    sys.exit(main())

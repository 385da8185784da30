"""Start the grasp system without ``ros2 launch``: ``run_grasp [name:=value …]``."""

from collections.abc import Callable
import signal
import sys

from moss_perception.cli.bag_topics import system_of
from moss_perception.cli.supervisor import Supervisor
from moss_perception.core.errors import ConfigError, MossError
from moss_perception.ros.system import Argument, grasp_arguments, Process


def main(argv: list[str] | None = None) -> int:
    """
    Run the system until it ends or is interrupted.

    :param argv: ``name:=value`` words, or ``--show-args``; the command line's if None.
    :returns: see :func:`run_systems`.
    """
    return run_systems('run_grasp', grasp_arguments(), lambda values: [system_of(values)], argv)


def run_systems(program: str, arguments: list[Argument],
                describe: Callable[[dict[str, str]], list[list[Process]]],
                argv: list[str] | None = None) -> int:
    """
    Run systems one after another, until the last has ended, one fails or all are interrupted.

    :param program: name of the executable.
    :param arguments: what can be said.
    :param describe: turns what was said into the processes of each system.
    :param argv: ``name:=value`` words, or ``--show-args``; the command line's if None.
    :returns: 2 for a wrong argument, 1 if a system failed, else as
        :meth:`moss_perception.cli.supervisor.Supervisor.wait` says.
    """
    words = sys.argv[1:] if argv is None else argv
    if any(word in ('-h', '--help', '-s', '--show-args') for word in words):
        print(f'usage: {program} [--show-args] [name:=value …]\n\n'
              + '\n'.join(_show(argument) for argument in arguments))
        return 0
    try:
        # All of them at once: a missing executable must not be found when half is done.
        supervisors = [Supervisor(processes) for processes in describe(_parse(words))]
    except ConfigError as error:
        print(f'{program}: error: {error}', file=sys.stderr)
        return 2
    except MossError as error:
        print(f'{program}: error: {error}', file=sys.stderr)
        return 1

    def interrupt(number: int, _: object) -> None:
        for supervisor in supervisors:
            supervisor.interrupt(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)
    for supervisor in supervisors:
        status = supervisor.start().wait()
        if status != 0:
            return status
    return 0


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

"""
The command ``moss``: its parser and its table of subcommands.

Each subcommand is a module of the same name in this folder, with ``add_arguments(parser)`` and
``run(arguments) -> int``. It is imported only when it is used.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
import logging
import os
import sys

from moss_perception import __version__
from moss_perception.cli.common import run_command, set_up_logging, UsageError
from moss_perception.core.resources import missing

STATUS = '0 done, 1 an error, 2 wrong arguments, 130 interrupted.'


@dataclass(frozen=True)
class Command:
    """
    The help text of a subcommand.

    :ivar summary: one sentence, without its full stop.
    :ivar examples: example command lines.
    :ivar status: the meaning of each exit status.
    """

    summary: str
    examples: tuple[str, ...]
    status: str = STATUS


COMMANDS = {
    'demo': Command(
        'play a recording or a video through the nodes, and show the scores',
        ('moss demo', 'moss demo --bag my_bag/ --out out/mine')),
    'run': Command(
        'start the grasp system, or an evaluation over topics, without ros2 launch',
        ('moss run grasp image_topic:=/camera/image_raw', 'moss run eval real_bag:=my_bag/'),
        '0 done, 1 an error or a failed process, 2 wrong arguments, 3 a requirement is not met '
        '(eval), 130 interrupted while a job was running.'),
    'evaluate': Command(
        'compare the scores of checkpoints with known outcomes',
        ('moss evaluate samples/sim_20 real:my_bag/ --report out/report',
         "moss evaluate my_bag/ --require 'auroc>=0.8'"),
        '0 done, 1 an error (such as a requirement on an unmeasured metric), 2 wrong arguments, '
        '3 a requirement is not met, 130 interrupted.'),
    'record': Command(
        'record the simulated work cell, as training data or as a rosbag2',
        ('moss record --out runs/data/train --scenes 400',
         'moss record --bag out/sim --attempts 20')),
    'clips': Command(
        'turn a folder of video clips, each a grasp attempt, into a rosbag2 (MCAP)',
        ('moss clips my_clips/ --outcomes my_clips.csv --out out/clips',)),
    'train': Command(
        'train a grasp network on recorded scenes',
        ('moss train --data runs/data/train --run runs/mine --out runs/mine/mine.safetensors',)),
    'adapt': Command(
        'refit the calibration, and optionally the head, of a checkpoint to your robot',
        ('moss adapt --bag my_robot.mcap --out mine.safetensors',),
        '0 written, 1 an error, 2 wrong arguments, 3 nothing written because refitting does not '
        'improve the scores, 130 interrupted.'),
    'export': Command(
        'export a checkpoint as graphs for ONNX Runtime',
        ('moss export mine.safetensors',)),
    'ood': Command(
        'fit or compare the detectors of out-of-distribution (OOD) images',
        ('moss ood fit --scenes runs/data/train --model old.safetensors --out new.safetensors',)),
    'topics': Command(
        'find the image topic of a recording, and print it as JSON',
        ('moss topics my_bag/', 'moss topics my_bag/ --image-topic /camera/image_raw')),
    'activate': Command(
        'configure and activate lifecycle nodes',
        ('moss activate grasp_predictor',),
        '0 all are active, 1 one is not, 2 wrong arguments, 130 interrupted.'),
}

_COMPLETION = """\
For shell completion, add this line to ~/.bashrc or ~/.zshrc:
  eval "$(moss --completion bash)"
"""


def build_parser(*names: str) -> argparse.ArgumentParser:
    """
    Describe the command line.

    :param names: subcommands to describe with their arguments. The others are only listed, and
        their modules are not imported.
    """
    parser = argparse.ArgumentParser(
        prog='moss', formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Grasp scores from a camera stream, with Multi-Order Self-Similarity (MOSS).',
        epilog=f'{_examples("moss demo", "moss evaluate --help")}\n\n{_COMPLETION}')
    parser.add_argument('--version', action='version', version=f'moss_perception {__version__}')
    parser.add_argument('--completion', action=_Completion, choices=('bash', 'zsh', 'fish'),
                        help='print the completion script for this shell')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    for name, command in COMMANDS.items():
        one = commands.add_parser(
            name, help=command.summary, formatter_class=argparse.RawDescriptionHelpFormatter,
            description=f'{command.summary[0].upper()}{command.summary[1:]}.',
            epilog=f'{_examples(*command.examples)}\n\nExit status: {command.status}')
        if name in names:
            module = import_module(f'moss_perception.cli.{name}')
            one.set_defaults(handler=module.run, parser=one)
            module.add_arguments(one)
    return parser


class _Completion(argparse.Action):
    def __call__(self, parser, namespace, values, option_string=None) -> None:
        from argcomplete.shell_integration import shellcode
        print(shellcode(['moss'], shell=str(values)))
        parser.exit()


def _examples(*lines: str) -> str:
    return '\n  '.join(['Examples:' if len(lines) > 1 else 'Example:', *lines])


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run a subcommand.

    :param argv: arguments without the program's name; ``None`` for those of the process.
    :returns: the exit status, see the subcommand's help.
    :raises SystemExit: with 0 after the help, with 2 after wrong arguments.
    """
    words = sys.argv[1:] if argv is None else argv
    if '_ARGCOMPLETE' in os.environ:
        _complete()
    arguments = build_parser(*words[:1]).parse_args(words)
    set_up_logging()
    return run_command(_run, arguments, logging.getLogger(arguments.command))


def _complete() -> None:
    """Print the completions that the shell asks for, and exit."""
    import argcomplete
    words = os.environ.get('COMP_LINE', '').split()
    argcomplete.autocomplete(build_parser(*words[1:2]))


def _run(arguments: argparse.Namespace) -> int:
    try:
        return arguments.handler(arguments)
    except UsageError as error:
        return arguments.parser.error(str(error))
    except ModuleNotFoundError as error:
        raise missing(f'moss {arguments.command}', error) from error

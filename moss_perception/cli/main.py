"""
The command ``moss``: its parser and its table of subcommands.

A subcommand NAME is a function ``add_NAME(parser)`` in a module of this folder, with underscores
for hyphens. It adds the options and sets ``handler``, a function that takes the arguments and
returns the exit status. The module is imported only when the subcommand is used.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import import_module
import io
import logging
import os
import sys

from moss_perception import __version__
from moss_perception.cli.common import run_command, set_up_logging, status_line, UsageError
from moss_perception.core.resources import missing


@dataclass(frozen=True)
class Command:
    """
    A subcommand.

    :ivar module: its module in this folder.
    :ivar summary: one sentence, without its full stop.
    :ivar examples: example command lines.
    :ivar statuses: meanings of exit statuses that differ from
        :data:`moss_perception.cli.common.STATUSES`.
    """

    module: str
    summary: str
    examples: tuple[str, ...]
    statuses: dict[int, str] = field(default_factory=dict)


COMMANDS = {
    'demo': Command(
        'demo.session', 'play a recording or a video through the nodes, and show the scores',
        ('moss demo', 'moss demo --bag my_bag/ --out out/mine')),
    'run': Command(
        'run', 'run the grasp system, record attempts, or evaluate over topics, without ros2 '
        'launch',
        ('moss run grasp image_topic:=/camera/image_raw',
         'moss run record out:=recordings/monday image_topic:=/camera/image_raw',
         'moss run eval real_bag:=my_bag/'),
        {1: 'an error, or a node failed', 3: 'a requirement is not met (eval)',
         130: 'interrupted before the end of a recording or evaluation'}),
    'monitor': Command(
        'monitor', 'watch a running system in a terminal, on a page, or from a script',
        ('moss monitor', 'moss monitor --web', 'moss monitor --once --json',
         'moss monitor --node /arm/grasp_predictor'),
        {1: 'an error, or no predictor with --once'}),
    'evaluate': Command(
        'evaluate', 'compare the scores of checkpoints with known outcomes',
        ('moss evaluate samples/sim_20 real:my_bag/ --report out/report',
         "moss evaluate my_bag/ --require 'auroc>=0.8'"),
        {1: 'an error',
         3: 'a requirement is not met'}),
    'doctor': Command(
        'doctor.command', 'check this installation, the running system, or a recording',
        ('moss doctor', 'moss doctor my_bag/', 'moss doctor --json --strict'),
        {3: 'something is wrong'}),
    'look': Command(
        'look', 'draw what MOSS sees at a point of a recording or a video, order by order',
        ('moss look my_bag/', 'moss look my_clip.mp4 --at 3.5 --point 160 90 --out look.png')),
    'label': Command(
        'label', 'find the attempts of a recording, and check or write the table of their '
        'outcomes',
        ('moss label my_bag/ --template', 'moss label my_bag/ --outcomes my_bag.csv',
         'moss label my_bag/ --outcomes lab.xlsx --zone Europe/Berlin --out my_bag.csv')),
    'record': Command(
        'data', 'record the simulated work cell, as training data or as a rosbag2',
        ('moss record --out runs/data/train --scenes 400',
         'moss record --bag out/sim --attempts 20',
         'moss record --picture out/cell.png --cell config/cells/oblique_table.yaml')),
    'attempts': Command(
        'attempts', 'record attempts on a robot by keys, with a running attempt_recorder',
        ('moss attempts', 'moss attempts --node /arm/attempt_recorder')),
    'clips': Command(
        'data', 'turn a folder of video clips, each a grasp attempt, into a rosbag2 (MCAP)',
        ('moss clips my_clips/ --outcomes my_clips.csv --out out/clips',)),
    'import': Command(
        'importing', 'turn recordings of grasp attempts, or LeRobotDatasets, into training data',
        ('moss import monday/ tuesday/ --outcomes attempts.csv --out data/mine --workers 2',
         'moss import real:monday/ --group operator=anna --executed-topic /arm/grasp_pose '
         '--out data/monday',
         'moss import --lerobot my_lerobot/ --out data/mine')),
    'export-dataset': Command(
        'importing', 'write training data as a LeRobotDataset (version 3)',
        ('moss export-dataset data/mine --lerobot my_lerobot',)),
    'train': Command(
        'train', 'train a grasp network on recorded scenes',
        ('moss train --data runs/data/train --run runs/mine --out runs/mine/mine.safetensors',)),
    'adapt': Command(
        'checkpoints', 'refit the calibration, and optionally the head, of a checkpoint to your '
        'robot', ('moss adapt --bag my_robot.mcap --out mine.safetensors',),
        {3: 'nothing written, because refitting does not improve the scores'}),
    'export': Command(
        'train', 'export a checkpoint as graphs for ONNX Runtime',
        ('moss export mine.safetensors',)),
    'ood': Command(
        'checkpoints',
        'fit the detector of out-of-distribution (OOD) images, or compare detectors',
        ('moss ood fit --scenes runs/data/train --model old.safetensors --out new.safetensors',)),
    'topics': Command(
        'run', 'find the image topic of a recording, and print it as JSON',
        ('moss topics my_bag/', 'moss topics my_bag/ --image-topic /camera/image_raw')),
    'activate': Command(
        'run', 'configure and activate lifecycle nodes', ('moss activate grasp_predictor',),
        {0: 'all nodes are active', 1: 'a node is not active'}),
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
            epilog=f'{_examples(*command.examples)}\n\n{status_line(command.statuses)}')
        if name in names:
            module = import_module(f'moss_perception.cli.{command.module}')
            one.set_defaults(parser=one)
            getattr(module, f'add_{name.replace("-", "_")}')(one)
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
    return run(parse(argv))


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; see :func:`main`."""
    words = sys.argv[1:] if argv is None else argv
    if '_ARGCOMPLETE' in os.environ:
        _complete()
    return build_parser(*words[:1]).parse_args(words)


def run(arguments: argparse.Namespace) -> int:
    """Run the subcommand that was chosen; see :func:`main`."""
    # A terminal may not know all characters of a name, or an ellipsis.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors='replace')
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

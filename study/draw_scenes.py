"""Draw a contact sheet of simulated scenes: ``python -m study.draw_scenes``."""

import argparse
from contextlib import closing
import logging
from pathlib import Path
import sys

from moss_perception.cli.common import run_command, set_up_logging, status_line, write_bytes
from moss_perception.simulation.drawing import contact_sheet
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.scene import Source

log = logging.getLogger('draw_scenes')


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m study.draw_scenes', epilog=status_line(),
        description='Draw the image at the decision of several scenes, one domain below the '
                    'other.')
    parser.add_argument('--cell', default='full', help='cell of the scenes (default: full)')
    parser.add_argument('--domain', nargs='+', default=['sim', 'shifted', 'randomised'],
                        metavar='NAME', help='domains to draw (default: %(default)s)')
    parser.add_argument('--scenes', type=int, default=24, metavar='N',
                        help='scenes of each domain (default: %(default)s)')
    parser.add_argument('--seed', type=int, default=0, metavar='N',
                        help='seed of the first scene (default: %(default)s)')
    parser.add_argument('--columns', type=int, default=8, metavar='N',
                        help='images in a row (default: %(default)s)')
    parser.add_argument('--out', required=True, type=Path, metavar='FILE.png',
                        help='picture to write')
    return parser


def draw(arguments: argparse.Namespace) -> int:
    """
    Draw and write the picture.

    :raises ConfigError: if a number is out of range, or a domain is unknown.
    """
    sources = [Source(arguments.cell, domain) for domain in arguments.domain]
    with closing(Renderer()) as renderer:
        write_bytes(arguments.out, contact_sheet(
            renderer, sources, arguments.scenes, arguments.seed, arguments.columns))
    return 0


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(draw, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())

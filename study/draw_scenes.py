"""Draw a contact sheet of simulated scenes: ``python -m study.draw_scenes``."""

import argparse
from contextlib import closing
import logging
import math
from pathlib import Path
import sys

import cv2
from moss_perception.cli.common import run_command, set_up_logging, status_line, write_bytes
from moss_perception.core.errors import ConfigError, SimulationError
from moss_perception.simulation.cell import WorkCell
from moss_perception.simulation.renderer import Renderer
from moss_perception.simulation.scene import DECISION_S, Source
import numpy as np

log = logging.getLogger('draw_scenes')
_GAP = 2


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
    for name in ('scenes', 'columns'):
        if getattr(arguments, name) < 1:
            raise ConfigError(f'{name} must be at least 1, got {getattr(arguments, name)}')
    with closing(Renderer()) as renderer:
        rows = [picture for domain in arguments.domain for picture in sheet(
            images(renderer, Source(arguments.cell, domain), arguments.scenes, arguments.seed),
            arguments.columns)]
    done, data = cv2.imencode('.png', np.concatenate(rows)[..., ::-1])
    if not done:
        raise SimulationError(f'OpenCV could not encode {arguments.out} as PNG')
    write_bytes(arguments.out, data.tobytes())
    return 0


def images(renderer: Renderer, source: Source, count: int, seed: int) -> list[np.ndarray]:
    """Return the images at the decision of scenes that can be used, uint8, RGB."""
    taken: list[np.ndarray] = []
    while len(taken) < count:
        try:
            cell = WorkCell(source.sample(seed))
            cell.wait(DECISION_S)
            taken.append(renderer.render(cell))
        except SimulationError as error:
            log.warning('scene %d is left out: %s', seed, error)
        seed += 1
    return taken


def sheet(pictures: list[np.ndarray], columns: int) -> list[np.ndarray]:
    """Arrange images of one size in rows with white gaps; return the rows."""
    high, wide, _ = pictures[0].shape
    blank = np.full((high + _GAP, wide + _GAP, 3), 255, np.uint8)
    cells = [blank.copy() for _ in range(columns * math.ceil(len(pictures) / columns))]
    for cell, picture in zip(cells, pictures, strict=False):
        cell[:high, :wide] = picture
    return [np.concatenate(cells[first:first + columns], axis=1)
            for first in range(0, len(cells), columns)]


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(draw, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())

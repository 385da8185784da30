"""Draw clips of moving things with a table: ``python -m study.video.made_up``."""

import argparse
from collections.abc import Callable, Iterator
import logging
from pathlib import Path
import sys

import cv2
from moss_perception.cli.common import run_command, set_up_logging, status_line, write_text
from moss_perception.core.errors import ConfigError
from moss_perception.core.files import replaced
import numpy as np

log = logging.getLogger('video')
RATE_HZ, FRAMES, SIDE = 30.0, 100, 96
_TABLES = 6
_GRAVITY = 500.0
"""Pixels a second, each second."""


def drop(rng: np.random.Generator, times: np.ndarray) -> Iterator[tuple[float, float, float]]:
    """Let a thing fall and bounce, lower each time."""
    x, drift = rng.uniform(30, 66), rng.uniform(-8, 8)
    height, speed = rng.uniform(45, 65), 0.0
    for step in np.diff(times, prepend=times[0]):
        speed -= _GRAVITY * step
        height += speed * step
        if height < 0:
            height, speed = -0.6 * height, -0.6 * speed
        x += drift * step
        yield x, 80 - height, 0.0


def slide(rng: np.random.Generator, times: np.ndarray) -> Iterator[tuple[float, float, float]]:
    """Push a thing, and let it slide until friction stops it."""
    angle, reach, lasts = rng.uniform(0, 2 * np.pi), rng.uniform(40, 60), rng.uniform(0.8, 1.6)
    for time in times:
        way = reach * (1 - np.exp(-time / lasts * 2)) - reach / 2
        yield 48 + way * np.cos(angle), 48 + way * np.sin(angle), 0.0


def turn(rng: np.random.Generator, times: np.ndarray) -> Iterator[tuple[float, float, float]]:
    """Set a thing turning, slower and slower."""
    x, y = rng.uniform(36, 60, 2)
    turns, lasts = rng.choice((-1, 1)) * rng.uniform(4, 8), rng.uniform(0.8, 1.6)
    for time in times:
        yield x, y, turns * (1 - np.exp(-time / lasts * 2))


VERBS: dict[str, Callable[..., Iterator[tuple[float, float, float]]]] = {
    'Drop': drop, 'Slide': slide, 'Turn': turn}


def frames(verb: str, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """
    Draw a clip.

    :param verb: a key of :data:`VERBS`.
    :returns: an iterator of :data:`FRAMES` images, uint8, BGR.
    """
    ground = cv2.GaussianBlur(rng.uniform(0, 255, (SIDE, SIDE, 3)), (0, 0), 4)
    ground = np.clip((ground - ground.mean()) * 3 + rng.uniform(90, 160), 0, 255)
    colour = rng.uniform(0, 255, 3).tolist()
    size = rng.uniform(7, 11), rng.uniform(4, 7)
    for x, y, angle in VERBS[verb](rng, np.arange(FRAMES) / RATE_HZ):
        image = ground + rng.normal(0, 3, ground.shape)
        box = cv2.boxPoints(((x, y), (2 * size[0], 2 * size[1]), np.degrees(angle)))
        cv2.fillPoly(image, [np.rint(box).astype(np.int32)], colour)
        cv2.circle(image, np.rint(box[0]).astype(int).tolist(), 2, (255, 255, 255), -1)
        yield np.clip(image, 0, 255).astype(np.uint8)


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m study.video.made_up',
        description='Draw clips of things that drop, slide and turn, and a table, to try '
                    'python -m study.video without clips of your own.',
        epilog='Example: python -m study.video.made_up --out runs/made_up. ' + status_line())
    parser.add_argument('--out', type=Path, required=True, metavar='DIR',
                        help='folder for the clips and clips.tsv')
    parser.add_argument('--clips', type=int, default=60, metavar='N',
                        help='number of clips (default: %(default)s)')
    return parser


def draw(arguments: argparse.Namespace) -> int:
    """
    Write the clips and their table.

    :raises ConfigError: if there are too few for every verb in every group.
    """
    least = len(VERBS) * _TABLES
    if arguments.clips < least:
        raise ConfigError(f'--clips {arguments.clips} is not allowed: expected {least} or more')
    rows = ['clip\tgroup\tverb']
    for number in range(arguments.clips):
        verb = list(VERBS)[number % len(VERBS)]
        # Motion JPEG, which every build of OpenCV writes and reads.
        name = f'{number:04d}.avi'
        _write(arguments.out / name, frames(verb, np.random.default_rng(number)))
        rows.append(f'{name}\ttable_{number // len(VERBS) % _TABLES}\t{verb}')
    write_text(arguments.out / 'clips.tsv', '\n'.join(rows) + '\n')
    log.info('drew %d clips into %s', arguments.clips, arguments.out)
    return 0


def _write(path: Path, images: Iterator[np.ndarray]) -> None:
    # OpenCV knows the format by the name's end.
    with replaced(path) as partial:
        named = partial.with_suffix('.avi')
        video = cv2.VideoWriter(str(named), cv2.VideoWriter.fourcc(*'MJPG'), RATE_HZ, (SIDE, SIDE))
        for image in images:
            video.write(image)
        video.release()
        named.rename(partial)


def main(argv: list[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(draw, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())

"""Write the tables and pictures of video into its page: ``python -m study.video.page``."""

import argparse
from collections.abc import Callable, Mapping, Sequence
import json
import logging
import os
from pathlib import Path
import sys
from typing import Any

from moss_perception.cli.common import (
    read_text,
    run_command,
    set_up_logging,
    status_line,
    write_text,
)
from moss_perception.core.errors import ConfigError

from study.pages import fill
from study.pretraining import results as pretraining
from study.pretraining.pictures import draw_differences
from study.questions import results as questions
from study.video import results as video
from study.video.pictures import DPI, draw_questions, draw_video

log = logging.getLogger('video')
STUDY = Path(__file__).resolve().parents[1]
DOCS = STUDY.parent / 'docs'
FORMATS = {'video': video.FORMAT, 'questions': questions.FORMAT,
           'pretraining': pretraining.FORMAT}
NOT_RUN = 'Not run.'
# What each picture shows, for readers who do not see it.
ALT = {'video': 'Accuracy on real clips by task and variant, with intervals',
       'questions': 'Accuracy on questions about motion by set, what they are about and variant, '
                    'with intervals',
       'pretraining': 'Points of success that pretraining brings, by set and seed, with intervals'}


def build_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog='python -m study.video.page',
        description='Write the tables and pictures of python -m study.video, of '
                    'python -m study.questions and of python -m study.pretraining into a page. '
                    'What has no results says so.',
        epilog='Example: python -m study.video.page --video runs/video/results.json --out '
               'runs/page. ' + status_line())
    for name in FORMATS:
        parser.add_argument(f'--{name}', type=Path, metavar='FILE',
                            default=STUDY / f'results/{name}.json',
                            help=f'results.json of python -m study.{name} (default: the stored '
                                 'ones)')
    parser.add_argument('--page', type=Path, default=DOCS / 'video.md', metavar='FILE',
                        help='page with <!-- begin video | TASK --> … <!-- end --> '
                             '(default: docs/video.md)')
    parser.add_argument('--out', type=Path, default=DOCS / 'images/video', metavar='DIR',
                        help='folder for the pictures (default: docs/images/video)')
    return parser


def write(arguments: argparse.Namespace) -> int:
    """Draw the pictures whose results are there, and fill the page."""
    results = {name: read_result(getattr(arguments, name), name) for name in FORMATS}
    for name, result in results.items():
        if result is not None:
            path = picture_path(arguments.out, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            DRAWN[name](result).savefig(path, dpi=DPI)
            log.info('drew %s', path)
    write_text(arguments.page, filled(read_text(arguments.page), results, os.path.relpath(
        arguments.out, arguments.page.parent)))
    return 0


def read_result(path: Path, name: str) -> dict[str, Any] | None:
    """
    Read results; ``None`` if there are none.

    :param name: a key of :data:`FORMATS`.
    :raises ConfigError: if the file is something else.
    """
    if not path.exists():
        log.warning('%s is not there: its tables say so', path)
        return None
    try:
        result = json.loads(read_text(path))
        kind = result['format']
    except (ValueError, TypeError, KeyError) as error:
        raise ConfigError(f'{path} holds no results: {error!r}') from error
    if kind != FORMATS[name]:
        raise ConfigError(f'{path} has the format {kind!r}: expected {FORMATS[name]!r}')
    return result


def picture_path(folder: Path, name: str) -> Path:
    """Return the file of a picture."""
    return folder / f'{name}.png'


def filled(page: str, results: Mapping[str, dict[str, Any] | None], folder: str) -> str:
    """
    Fill a page.

    :param page: Markdown.
    :param results: by name, ``None`` where there are none.
    :param folder: of the pictures, as links from the page name it.
    """
    tables = {name: {} if result is None else TABLES[name](result)
              for name, result in results.items()}

    def block(name: str, what: str) -> str | None:
        if name not in results:
            return None
        if results[name] is None:
            return NOT_RUN
        if what == 'picture':
            return f'![{ALT[name]}]({picture_path(Path(folder), name).as_posix()})'
        return tables[name].get(what, NOT_RUN)

    return fill(page, block)


TABLES: dict[str, Callable[[dict[str, Any]], dict[str, str]]] = {
    'video': video.tables, 'questions': questions.tables, 'pretraining': pretraining.tables}
DRAWN: dict[str, Callable[[dict[str, Any]], Any]] = {
    'video': draw_video, 'questions': draw_questions, 'pretraining': draw_differences}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; see :func:`build_parser`."""
    set_up_logging()
    return run_command(write, build_parser().parse_args(argv), log)


if __name__ == '__main__':
    sys.exit(main())

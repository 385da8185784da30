"""Tables and pictures in Markdown pages, between comments that name them."""

import argparse
from collections.abc import Callable, Mapping
import json
import logging
from pathlib import Path
import re
from typing import Any

from moss_perception.cli.common import read_text, write_text
from moss_perception.core.errors import ConfigError

from study.texts import read_results

log = logging.getLogger('pages')

_BLOCK = re.compile(r'(<!-- begin (\w+) \| (.+?) -->\n).*?(<!-- end -->)', re.DOTALL)


def fill(page: str, block: Callable[[str, str], str | None]) -> str:
    """
    Replace the text between ``<!-- begin RESULT | WHAT -->`` and ``<!-- end -->``.

    :param page: Markdown.
    :param block: returns Markdown for ``RESULT`` and ``WHAT``, or ``None`` to keep the block.
    """
    def written(found: re.Match) -> str:
        text = block(found[2], found[3])
        return found[0] if text is None else f'{found[1]}\n{text}\n\n{found[4]}'

    return _BLOCK.sub(written, page)


def blocks(page: str) -> list[tuple[str, str]]:
    """Return ``RESULT`` and ``WHAT`` of each block of a page."""
    return [(found[2], found[3]) for found in _BLOCK.finditer(page)]


def write_tables(page: str | Path, name: str, texts: Mapping[str, str]) -> None:
    """
    Write tables between ``<!-- begin NAME | TABLE -->`` and ``<!-- end -->`` of a page.

    :param page: Markdown file.
    :param name: of the result.
    :param texts: its tables by name, as Markdown.
    :raises ConfigError: if the page has no place for a table of this result, or one for a table
        that is not there.
    """
    text = read_text(Path(page))
    asked = [what for result, what in blocks(text) if result == name]
    if not asked:
        raise ConfigError(f'{page} has no place for a table of {name}: expected <!-- begin {name} '
                          '| TABLE --> and <!-- end -->')
    for what in asked:
        if what not in texts:
            raise ConfigError(f'{page} asks for the table {what!r}: expected one of {list(texts)}')
    write_text(Path(page), fill(text, lambda result, what: (
        texts[what] if result == name else None)))
    log.info('wrote the tables of %s into %s', name, page)


def add_output_options(parser: argparse.ArgumentParser, name: str, what: str) -> None:
    """Add where :func:`show_results` writes; the other parameters are its own."""
    parser.add_argument('--out', metavar='FILE', help='write the results to this JSON file')
    parser.add_argument('--page', metavar='FILE',
                        help='write the table into this Markdown page, between '
                             f'<!-- begin {name} | {what} --> and <!-- end -->')


def show_results(arguments: argparse.Namespace, measure: Callable[[argparse.Namespace], Any],
                 name: str, what: str, table: Callable[[Any], str]) -> int:
    """
    Measure, or read stored results; print their table, and write both where the options say.

    :param arguments: with ``results``, ``out`` and ``page``, each a path or empty.
    :param measure: makes results from the options, unless there are stored ones.
    :param name: of the result on a page, and ``what`` that of its table.
    :param table: lays out results in Markdown.
    :returns: the exit status.
    :raises MossError: if something can't be read, measured or written.
    """
    result = read_results(arguments.results) if arguments.results else measure(arguments)
    print(table(result))
    if arguments.out:
        write_text(Path(arguments.out), json.dumps(result, indent=1) + '\n')
    if arguments.page:
        write_tables(arguments.page, name, {what: table(result)})
    return 0

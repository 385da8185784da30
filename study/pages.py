"""Tables and pictures in Markdown pages, between comments that name them."""

from collections.abc import Callable, Mapping
import logging
from pathlib import Path
import re

from moss_perception.cli.common import read_text, write_text
from moss_perception.core.errors import ConfigError

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
